"""What the FastAPI parts say of themselves holds for requests that are made of it, good and bad."""

from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from schemathesis import Case, HookContext, hooks
from schemathesis.core import NOT_SET
from schemathesis.engine import StopReason, events, from_schema
from sqlalchemy import select

from tests.e2e.test_four_servers import SAMPLES, Sample
from tests.servers.serving import own_check_options, served
from tests.servers.tickets_draft.test_desk_pages import Browser, Stage, living, staged
from tests.support.postgres import Databases
from tunnelgate_servers.tickets_draft.models import TicketRow

DESK = "desk.tunnel.localhost"
EXAMPLES = 20  # requests for each operation, beside those at the bounds of what it takes


@contextmanager
def sent_as_it_is() -> Generator[None]:
    """Let Schemathesis follow no redirect, and send no body by a method that is not described."""

    def before_call(_: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        kwargs["allow_redirects"] = False
        # Where there is a POST it also tries GET and DELETE with the same body, and wants a 405. The desk
        # answers 400 before anybody looks at the path: such a body has no meaning (RFC 9110, section 9.3.1).
        if case.method.upper() != case.operation.method.upper():
            case.body = NOT_SET

    schemathesis.hook(before_call)  # pyright: ignore[reportUnknownMemberType] - it takes any function
    try:
        yield
    finally:
        hooks.unregister(before_call)  # pyright: ignore[reportUnknownMemberType] - as above


class Findings:
    """What Schemathesis has found: what was answered at each operation, and what should not be."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.answered: dict[str, set[int]] = defaultdict(set)

    def add(self, event: events.EngineEvent) -> None:
        match event:
            case events.ScenarioFinished(recorder=recorder):
                statuses = (
                    each.response.status_code for each in recorder.interactions.values() if each.response
                )
                self.answered[recorder.label].update(statuses)
                checks = (check for made in recorder.checks.values() for check in made)
                for each in (check.failure_info for check in checks if check.failure_info):
                    self.faults.append(f"{recorder.label}: {each.failure.message}\n{each.code_sample}")
            case events.NonFatalError(value=error) | events.FatalError(exception=error):
                self.faults.append(repr(error))
            case events.SchemaAnalysisWarnings(warnings=warnings):
                self.faults.extend(str(each) for each in warnings)
            case events.EngineFinished(stop_reason=reason) if reason is not StopReason.COMPLETED:
                self.faults.append(reason)
            case _:
                pass

    def check_that_it_met(self, statuses: Mapping[str, set[int]]) -> None:
        """Check that these statuses were among the answers at each operation, and that there is no other."""
        assert {label: met & statuses.get(label, met) for label, met in self.answered.items()} == statuses


def examined(described: dict[str, Any], url: str, headers: Mapping[str, str]) -> Findings:
    """Make requests of a description, some that fit and some that do not, and check the answers by it."""
    configuration = {
        "base-url": url,
        "headers": dict(headers),
        "seed": 1,
        "generation": {"deterministic": True, "max-examples": EXAMPLES, "database": "none"},
        # The parser refuses a URL of more than 32 KiB with 431, which Schemathesis takes for acceptance.
        "checks": {"negative_data_rejection": {"expected-statuses": [400, 403, 404, 405, 413, 422, 431]}},
        "request-timeout": 30,
    }
    config = schemathesis.Config.from_dict(configuration)  # pyright: ignore[reportUnknownMemberType] - a dict of anything
    schema = schemathesis.openapi.from_dict(described, config=config)
    findings = Findings()
    with sent_as_it_is():
        for event in from_schema(schema).execute():
            findings.add(event)
    return findings


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_the_health_of_a_server_is_told_as_its_description_says(sample: Sample, tmp_path: Path) -> None:
    create_app = import_module(f"tunnelgate_servers.{sample.name}").create_app
    app = create_app(**sample.options(tmp_path), **own_check_options(tmp_path, sample.resource))
    with served(app) as url:
        found = examined(app.openapi(), url, {})

    assert found.faults == []
    found.check_that_it_met({"GET /healthz": {200, 405}})


@pytest.fixture
def stage(tmp_path: Path, databases: Databases) -> Generator[Stage]:
    with staged(tmp_path, databases.new()) as running:
        yield running


def described_desk(stage: Stage) -> dict[str, Any]:
    app = stage.another()
    with living(app):
        return app.openapi()


def examined_desk(stage: Stage, described: dict[str, Any], browser: Browser) -> Findings:
    """Make requests of the desk, from a page of its own and with the cookies of a browser."""
    cookies = browser.cookies.get(DESK, {})
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    headers = {"origin": stage.desk, **({"cookie": cookie} if cookie else {})}
    return examined(described, f"http://127.0.0.1:{urlsplit(stage.desk).port}", headers)


def tickets(stage: Stage) -> list[str]:
    with stage.engine.connect() as connection:
        return list(connection.execute(select(TicketRow.title)).scalars())


def test_the_desk_answers_as_its_description_says_while_nobody_is_signed_in(stage: Stage) -> None:
    draft = stage.draft()

    found = examined_desk(stage, described_desk(stage), Browser())

    assert found.faults == []
    found.check_that_it_met(
        {
            "GET /": {200, 405},
            "GET /draft": {403, 405, 422},
            "POST /submit": {403, 405, 422},
            "GET /login": {303, 405, 422},
            "GET /callback": {403, 405, 422},
            "POST /logout": {303, 405, 422},
            "GET /desk.css": {200, 405},
            "GET /healthz": {200, 405},
        }
    )
    assert stage.of("alice") == [draft.title]
    assert tickets(stage) == []


def test_the_desk_answers_as_its_description_says_to_who_is_signed_in(stage: Stage) -> None:
    draft, other = stage.draft(), stage.draft("Nobody has read this")
    browser = stage.signed_in()
    form = browser.get(stage.url(draft)).form("/submit")
    described = described_desk(stage)
    # Nothing that is made up would be the id of a draft, or the code of its form.
    (parameter,) = described["paths"]["/draft"]["get"]["parameters"]
    parameter["examples"] = {"a draft": {"value": other.id}}
    (media_type,) = described["paths"]["/submit"]["post"]["requestBody"]["content"].values()
    media_type["examples"] = {"its form": {"value": {**form.fields, "version": int(form.fields["version"])}}}

    found = examined_desk(stage, described, browser)

    assert found.faults == []
    found.check_that_it_met(
        {
            "GET /": {200, 405},
            "GET /draft": {200, 404, 405, 422},
            "POST /submit": {303, 403, 405, 422},
            "GET /login": {303, 405, 422},
            "GET /callback": {403, 405, 422},
            "POST /logout": {403, 405, 422},
            "GET /desk.css": {200, 405},
            "GET /healthz": {200, 405},
        }
    )
    assert stage.of("alice") == [other.title]
    assert tickets(stage) == [draft.title]
