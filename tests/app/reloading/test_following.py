import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.audit import Records
from tests.support.leaks import HOST
from tests.support.proxied import until
from tests.support.reloading import describe, lives, write_whole
from tunnelgate import Policy
from tunnelgate_app import gateway
from tunnelgate_app.gateway import Gateway, create_gateway
from tunnelgate_app.reloading.following import Following
from tunnelgate_app.reloading.reading import read_configuration

pytestmark = pytest.mark.anyio

LIMIT = 20  # seconds that anything here may take
DAY = 24 * 60 * 60
STILL = "configuration not reloaded: it still has the faults that were told"
UPSTREAM = {"upstream": "http://127.0.0.1:9000"}


class Listener:
    """A listener that a test looks through, and into whose opening it can do something."""

    def __init__(self) -> None:
        self.opened: list[Policy] = []
        self.said_at: list[datetime] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def open(self, policy: Policy) -> Callable[[], None]:
        self.opened.append(policy)
        self.meanwhile()
        return lambda: None

    def warnings(self, now: datetime) -> Iterable[str]:
        self.said_at.append(now)
        return [f"server.crt is {len(self.said_at)} days old"]


class Followed:
    """A gateway that follows a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "tunnelgate.yaml"
        self.listener = Listener()
        self.levels: list[str] = []
        self.now = 1_800_000_000.0
        self.write("search")
        reading = read_configuration(self.file, {})
        self.gateway: Gateway = create_gateway(reading.policy, audit=Records())
        self.following = Following(
            self.gateway,
            reading,
            self.listener,
            apply_level=self.levels.append,
            environment={},
            clock=lambda: self.now,
        )
        self.gateway.accompany(self.following)

    def write(self, *tools: str, **more: Any) -> None:
        described = describe(self.folder, {HOST: {**UPSTREAM, "tools": [*tools]}}, **more)
        write_whole(self.file, yaml.safe_dump(described))

    @property
    def tools(self) -> Any:
        return self.gateway.policy.routes[HOST].tools


@pytest.fixture
def followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Followed:
    caplog.set_level("DEBUG", "tunnelgate")
    return Followed(tmp_path)


@pytest.mark.promise("changes-whole")
async def test_what_is_written_holds_within_a_second(followed: Followed) -> None:
    async with lives(followed.gateway):
        followed.write("read", log_level="debug")
        written = time.perf_counter()
        await until(lambda: followed.tools == ("read",))
        seconds = time.perf_counter() - written
        await until(lambda: bool(followed.levels))

    assert seconds < 1
    assert followed.levels == ["debug"]
    assert [each.routes[HOST].tools for each in followed.listener.opened] == [("read",)]


async def test_what_was_written_before_the_gateway_started_is_not_overlooked(followed: Followed) -> None:
    followed.write("read")

    async with lives(followed.gateway):
        await until(lambda: followed.tools == ("read",))


async def test_a_file_that_was_written_anew_as_it_was_changes_nothing(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    async with lives(followed.gateway):
        followed.write("search")
        await until(lambda: "configuration read again: nothing has changed" in caplog.messages)
        revision = followed.gateway.revision
        followed.following.tell()
        await until(lambda: [*_levels(caplog)] == ["DEBUG", "INFO"])

    assert followed.gateway.revision == revision
    assert followed.listener.opened == []


def _levels(caplog: pytest.LogCaptureFixture) -> Iterable[str]:
    return (
        record.levelname for record in caplog.records if record.getMessage().startswith("configuration read")
    )


async def test_changes_that_come_during_one_lead_to_exactly_one_more(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    asked = iter([True])

    def meanwhile() -> None:
        if next(asked, False):
            for tool in ("second", "third", "fourth"):
                followed.write(tool)
                followed.following.tell()

    async with lives(followed.gateway):
        followed.listener.meanwhile = meanwhile
        followed.write("first")
        followed.following.tell()
        await until(lambda: followed.tools == ("fourth",))
        followed.following.tell()
        await until(lambda: "configuration read again: nothing has changed" in caplog.messages)

    assert [each.routes[HOST].tools for each in followed.listener.opened] == [("first",), ("fourth",)]


@pytest.mark.promise("changes-whole")
async def test_faults_are_said_once_for_each_content_and_again_in_short_to_who_asks(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    def errors() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    refused = [f"configuration not reloaded, the one before it still holds: {followed.file}"]
    async with lives(followed.gateway):
        followed.write("*")
        await until(lambda: len(errors()) == 2)
        (fault,) = errors()[1:]
        followed.write("*")
        await until(lambda: caplog.messages[-1] == STILL)
        assert len(errors()) == 2
        followed.following.tell()
        await until(lambda: len(errors()) == 3)
        followed.write("search", unknown=1)
        await until(lambda: len(errors()) == 5)
        followed.write("search")
        await until(lambda: [*_levels(caplog)] == ["INFO"])
        followed.write("*")
        await until(lambda: len(errors()) == 7)

    assert fault.startswith(f'routes."{HOST}".tools')
    assert errors() == [
        *(*refused, fault),
        STILL,
        *(*refused, "unknown = 1: is not a key"),
        *(*refused, fault),
    ]
    assert followed.tools == ("search",)


async def test_a_file_that_mends_a_fault_is_followed_although_the_policy_that_holds_does_not_name_it(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    key = followed.folder / "seal.key"
    async with lives(followed.gateway):
        followed.write("search", sealing_keys=["seal.key"])
        await until(lambda: "No such file or directory" in caplog.text)
        key.write_bytes(b"k" * 32)
        await until(lambda: [*map(str, followed.gateway.policy.sealing_keys)] == [str(key)])


async def test_a_mistake_of_ours_is_logged_and_the_files_are_still_followed(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks() -> None:
        raise ZeroDivisionError

    async with lives(followed.gateway):
        followed.listener.meanwhile = breaks
        followed.write("first")
        await until(lambda: "could not be reloaded; the one before it still holds" in caplog.text)
        assert followed.tools == ("search",)
        followed.listener.meanwhile = lambda: None
        followed.write("second")
        await until(lambda: followed.tools == ("second",))

    assert "ZeroDivisionError" in caplog.text


async def test_what_is_to_be_said_of_certificates_is_said_at_the_start_after_a_change_and_each_day(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    start = followed.now
    async with lives(followed.gateway):
        await until(lambda: len(followed.listener.said_at) == 1)
        followed.write("read")
        await until(lambda: len(followed.listener.said_at) == 2)
        followed.now += DAY
        await until(lambda: len(followed.listener.said_at) == 3)
        followed.following.tell()
        await until(lambda: "configuration read again: nothing has changed" in caplog.messages)

    assert followed.listener.said_at == [
        datetime.fromtimestamp(start + days * DAY, UTC) for days in (0, 0, 1)
    ]
    assert "server.crt is 1 days old" in caplog.messages


async def test_who_never_began_to_look_stops_at_once(followed: Followed) -> None:
    await asyncio.wait_for(followed.following.stop(), 1)


async def test_a_gateway_that_has_stopped_looks_no_more(followed: Followed) -> None:
    before = asyncio.all_tasks()

    async with lives(followed.gateway):
        assert asyncio.all_tasks() > before

    assert asyncio.all_tasks() == before


@pytest.mark.promise("changes-whole")
async def test_what_does_not_end_is_a_fault_and_the_next_change_holds(
    followed: Followed, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "ASIDE_SECONDS", 0.5)
    released = threading.Event()
    followed.listener.meanwhile = lambda: released.wait(LIMIT)

    async with lives(followed.gateway):
        followed.write("read")
        fault = f"{followed.file}: takes longer than 0.5 seconds to read and to open"
        await until(lambda: fault in caplog.messages)
        kept = followed.tools
        followed.listener.meanwhile = lambda: None
        followed.write("list")
        await until(lambda: followed.tools == ("list",))
        released.set()

    assert kept == ("search",)
    assert caplog.messages.count(fault) == 1


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
async def test_that_nothing_is_followed_any_more_is_said(
    followed: Followed, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    def end() -> None:
        raise error

    followed.listener.meanwhile = end

    async with lives(followed.gateway):
        followed.write("read")
        await until(lambda: any(record.levelname == "CRITICAL" for record in caplog.records))

    assert "the configuration is not followed any more; restart the gate" in caplog.messages
