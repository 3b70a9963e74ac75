"""The sample documents, each kind from a template of its own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from random import Random
from typing import Final

from tunnelgate_servers.docs_readonly import seed_texts as texts

_DAYS: Final = 900  # over which the documents were written


@dataclass(frozen=True, slots=True)
class Facts:
    """What one document is about; everything else in it is drawn as it is written."""

    random: Random
    day: date
    service: str
    team: str
    region: str

    @classmethod
    def drawn(cls, random: Random, until: date, number: int) -> "Facts":
        """Return what the document with this number is about; the first one is from `until`."""
        day = until - timedelta(days=random.randrange(_DAYS) if number else 0)
        return cls(
            random,
            day,
            random.choice(texts.SERVICES),
            random.choice(texts.TEAMS),
            random.choice(texts.REGIONS),
        )

    def sentences(self, among: Iterable[str], count: int) -> list[str]:
        """Return sentences with their gaps filled."""
        return [self._filled(each) for each in self.random.sample(list(among), count)]

    def words(self) -> str:
        """Return a sentence with some of the field's words, which few documents share."""
        one, other = self.random.sample(texts.WORDS, 2)
        return self._filled(
            f"The metrics to know here are {self.service}_{one}_total and {self.service}_{other}_seconds; "
            f"alerts name them as {{word}} in {{region}}, above {self.random.randrange(2, 98)} percent."
        )

    def _filled(self, sentence: str) -> str:
        draw = self.random.choice
        return sentence.format(
            service=self.service,
            other=draw([each for each in texts.SERVICES if each != self.service]),
            team=self.team,
            region=draw(texts.REGIONS),
            store=draw(texts.STORES),
            person=draw(texts.PEOPLE),
            word=draw(texts.WORDS),
        )


def _runbook(facts: Facts) -> tuple[str, str]:
    symptom, meaning = facts.random.choice(texts.SYMPTOMS)
    checks = "\n".join(f"1. {each}" for each in facts.sentences(texts.CHECKS, 4))
    actions = "\n".join(f"- {each}" for each in facts.sentences(texts.ACTIONS, 4))
    owner = facts.random.choice(texts.PEOPLE)
    lag = facts.random.randrange(5, 60)
    content = f"""\
---
title: "{facts.service}: {symptom}"
owner: {facts.team}
reviewed: {facts.day.isoformat()}
---

This runbook is for whoever is paged because {meaning}.

# {facts.service}: {symptom}

The service `{facts.service}` belongs to {facts.team} and runs in **{facts.region}** among others.

## What it means

{meaning.capitalize()}. {facts.words()}

## What to check

{checks}

```sh
kubectl --context {facts.region.lower().replace(" ", "-")} logs deploy/{facts.service} --since={lag}m
```

## What to do

{actions}

## Who to call

After {lag} minutes without improvement, page {facts.team}; {owner} knows the history.
"""
    return f"runbooks/{facts.service}/{_slug(symptom)}.md", content


def _handbook(facts: Facts) -> tuple[str, str]:
    topic, about = facts.random.choice(texts.TOPICS)
    title = f"{topic} in {facts.team}"
    rules = "\n".join(f"* {each}" for each in facts.sentences(texts.RULES, 5))
    reviewed = facts.random.choice(texts.PEOPLE)
    days = facts.random.randrange(5, 120)
    content = f"""\
{"=" * len(title)}
{title}
{"=" * len(title)}

:Owner: {facts.team}
:Reviewed: {facts.day.isoformat()} by {reviewed}

This page says {about}.
It holds for everybody in {facts.team}, and for those who work with them in {facts.region}.

Rules
=====

{rules}

Exceptions
==========

.. note:: An exception lasts at most {days} days.

{reviewed} grants exceptions. Each is written down with its reason, as for ``{facts.service}`` last year.

Where this comes from
---------------------

{facts.words()}
"""
    return f"handbooks/{_slug(facts.team)}/{_slug(topic)}.rst", content


def _postmortem(facts: Facts) -> tuple[str, str]:
    cause, why = facts.random.choice(texts.CAUSES)
    symptom, meaning = facts.random.choice(texts.SYMPTOMS)
    title = f"{facts.service}: {symptom} after {cause}"
    minutes, orders = facts.random.randrange(7, 300), facts.random.randrange(20, 90_000)
    lessons = "\n".join(f"<li>{escape(each)}" for each in facts.sentences((*texts.RULES, *texts.ACTIONS), 4))
    first, second = facts.random.sample(texts.PEOPLE, 2)
    content = f"""\
<!DOCTYPE html>
<html lang="en">
<head><title>{escape(title)}</title><style>body {{ max-width: 60em }}</style></head>
<body>
<h1>{escape(title)}</h1>
<p>On <time>{facts.day.isoformat()}</time> in {escape(facts.region)}, {escape(meaning)}.
It lasted {minutes} minutes.
<h2>Impact</h2>
<p>{orders:,} orders were delayed. No data was lost. {escape(facts.team)} answered the page.</p>
<table>
<tr><th>Time (UTC)</th><th>What happened</th></tr>
<tr><td>09:02</td><td>The alert fired, and {first} took the lead.</td></tr>
<tr><td>09:{minutes % 50 + 10}</td><td>{second} found {escape(cause)}.</td></tr>
</table>
<h2>Cause</h2>
<p>It was {escape(cause)}: {escape(why)}. {escape(facts.words())}</p>
<h2>What we change</h2>
<ul>
{lessons}
</ul>
</body>
</html>
"""
    day = facts.day.isoformat()
    return f"postmortems/{facts.day.year}/{day}-{facts.service}.html", content


def _api_note(facts: Facts) -> tuple[str, str]:
    resource = facts.random.choice(texts.RESOURCES)
    version = facts.random.randrange(1, 6)
    title = f"{facts.service}: {resource}, version {version}"
    notes = "\n\n".join(facts.sentences(texts.NOTES, 5))
    limit = facts.random.randrange(10, 900)
    content = f"""\
{title}
{"=" * len(title)}

Changed on {facts.day.isoformat()} by {facts.team}; questions to {facts.random.choice(texts.PEOPLE)}.

    GET    /v{version}/{resource}
    POST   /v{version}/{resource}
    GET    /v{version}/{resource}/{{id}}
    DELETE /v{version}/{resource}/{{id}}

Rules
-----

{notes}

Limits
------

A client may make {limit} requests a minute from {facts.region}. {facts.words()}
"""
    return f"api/{facts.service}/{resource}-v{version}.txt", content


def _slug(text: str) -> str:
    return text.lower().replace(" ", "-")


DOCUMENTS: Final[tuple[Callable[[Facts], tuple[str, str]], ...]] = (
    _runbook,
    _handbook,
    _postmortem,
    _api_note,
)
"""What makes a document out of its facts: its path, and what it holds."""
