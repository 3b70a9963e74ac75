"""Sample tickets, the same for the same seed and day."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any, Final

from sqlalchemy import Engine, insert

from tunnelgate_servers.tickets_draft.models import TicketRow
from tunnelgate_servers.tickets_draft.seed_texts import PEOPLE, PLACES, STORIES, THINGS
from tunnelgate_servers.tickets_draft.words import folded

_SENTENCE: Final = re.compile(r"(?:^|(?<=[.!?] ))the\b", re.MULTILINE)
_FRIDAY: Final = 4
_DAYS: Final = 540
_CLOSED_AFTER_DAYS: Final = 45
_CLOSED_SOONER: Final = 0.4
_OPENS_AT, _WORK_MINUTES = time(7, tzinfo=UTC), 10 * 60


def seed_tickets(engine: Engine, *, seed: int, until: date, count: int = 400) -> int:
    """Add `count` tickets of the 18 months before `until` to a migrated database, and return how many.

    Of those that are older than six weeks nearly all are closed. Raises `SQLAlchemyError` where that fails.
    """
    random = Random(seed)  # noqa: S311 - sample data
    opened = sorted(_at_work(random, until - timedelta(days=random.randint(1, _DAYS))) for _ in range(count))
    rows = [_ticket(random, at, until) for at in opened]
    with engine.begin() as connection:
        # One after the other, so that their numbers follow their times.
        for row in rows:
            connection.execute(insert(TicketRow).values(row))
    return len(rows)


def _ticket(random: Random, at: datetime, until: date) -> Mapping[str, Any]:
    story = random.choice(STORIES)
    words = {"place": random.choice(PLACES)} | {name: random.choice(some) for name, some in THINGS.items()}
    title, body = _written(story.title, words), _written(story.body, words)
    end = datetime.combine(until, time(), UTC)
    solved = at + timedelta(minutes=random.randint(20, 12 * 24 * 60))
    chance = 0.97 if end - at > timedelta(days=_CLOSED_AFTER_DAYS) else _CLOSED_SOONER
    is_closed = random.random() < chance and solved < end
    if is_closed:
        body = f"{body}\n\nSolved: {random.choice(story.endings)}"
    return {
        "title": title,
        "body": body,
        "folded_title": folded(title),
        "folded_body": folded(body),
        "state": "closed" if is_closed else "open",
        "priority": story.priority,
        "requester": f"{random.choice(PEOPLE)}@example.com",
        "version": 2 if is_closed else 1,
        "created_at": at,
        "updated_at": solved if is_closed else at,
    }


def _at_work(random: Random, day: date) -> datetime:
    day -= timedelta(days=max(0, day.weekday() - _FRIDAY))
    seconds = random.randrange(_WORK_MINUTES * 60)
    return datetime.combine(day, _OPENS_AT) + timedelta(seconds=seconds)


def _written(text: str, words: Mapping[str, str]) -> str:
    """Return a text with its placeholders filled, each sentence of it with a capital letter first."""
    filled = _SENTENCE.sub(lambda found: found[0].capitalize(), text.format_map(words))
    return filled[:1].upper() + filled[1:]
