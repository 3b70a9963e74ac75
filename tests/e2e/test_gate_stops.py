"""A gate that is told to stop finishes what it can, tells all others, and leaves in time."""

import json
import signal
import socket
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.leaks import (
    HOST,
    JSON_HEAD,
    LIMIT,
    PROGRESS,
    REPOSITORY,
    STREAM_HEAD,
    Caller,
    Link,
    Remote,
    begin_session,
    chunk,
    event,
    remote,
    result,
    route_to,
    sdk_server,
    wait_until,
)
from tests.support.mcp import legacy, modern
from tests.support.processes import SCRIPTS, Running, environment, free_port, running, timed
from tests.support.tokens import ISSUER, jwks

TIMEOUT = 3.0  # seconds that the gate has
LAST_WORDS = 0.75  # of these, in which it tells who still waits
AT_ONCE = 1.0
LATE = 1.0  # what the process may stay beyond that
STOPPING = "The gate is stopping"
PARSERS = ["strict", "h11"]
ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]


async def works(link: Link) -> None:
    """Answer calls of ``rest``, begin a stream where one is asked for, and hold all others."""
    while True:
        asked = await link.request()
        if asked.method == "GET":
            break
        message = asked.message
        params = message["params"]
        if message["method"] == "subscriptions/listen" or params["arguments"].get("streams"):
            break
        if params["name"] != "rest":
            return
        await link.answer(result(message["id"]))
    if asked.values("accept") != ["text/event-stream"] or not asked.target.endswith("?silent"):
        await link.send(STREAM_HEAD + chunk(event(PROGRESS)))


@dataclass
class Served:
    """A gate as a program, and the server behind it."""

    port: int
    program: Running
    server: Remote
    closing: ExitStack
    told: float = 0.0

    def caller(self) -> Caller:
        """Return a client's connection, which is closed at the end of the test."""
        return self.closing.enter_context(Caller(self.port))

    def stop(self) -> None:
        """Tell the gate to stop and wait until it has begun to."""
        self.told = time.perf_counter()
        self.program.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping: " in self.program.output, "the gate does not stop")

    def wait_left(self) -> float:
        """Return how long the gate took to leave; its exit code is 0."""
        assert self.program.process.wait(LIMIT) == 0
        return time.perf_counter() - self.told

    def begin(self, tool: str, message_id: Any, era: Any = modern, **arguments: Any) -> tuple[Caller, Link]:
        """Begin a call that the server holds."""
        caller = self.caller()
        caller.ask(era("tools/call", {"name": tool, "arguments": arguments}, message_id=message_id))
        return caller, self.server.take()


@contextmanager
def served(folder: Path, parser: str, *, timeout: float = TIMEOUT, **route: Any) -> Generator[Served]:
    """Run a gate whose one route has these settings, and leads to the server of this test unless they say."""
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    port = free_port()
    with ExitStack() as closing, remote(works) as server:
        target = {} if "mount" in route else route_to(server.port)
        described: dict[str, Any] = {
            "listen_addr": f"127.0.0.1:{port}",
            "shutdown_timeout": f"{timeout:g}s",
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "upstream": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": "jwks.json"}]},
            "routes": {HOST: {"tools": ["work", "rest"], **target, **route}},
            "audit": {"file": "audit.jsonl"},
        }
        file = folder / "tunnelgate.yaml"
        file.write_text(json.dumps(described), "ascii")
        command = [str(SCRIPTS / "tunnelgate"), "serve", "--config", str(file), "--http", parser]
        env = timed(environment(folder, PYTHONPATH=str(REPOSITORY)))
        with running(command, env, cwd=folder) as program:
            yield Served(port, program, server, closing)


@pytest.mark.promise("stops-in-time")
@pytest.mark.parametrize("parser", PARSERS)
def test_each_learns_what_becomes_of_its_request(tmp_path: Path, parser: str) -> None:
    with served(tmp_path, parser) as gate:
        finishing, finishing_link = gate.begin("work", "finishing")
        never, never_link = gate.begin("work", "never")
        old, old_link = gate.begin("work", "old", legacy)
        streaming, streaming_link = gate.begin("work", "streaming", streams=True)
        complete, complete_link = gate.begin("work", "complete", legacy, streams=True)
        listening = gate.caller()
        listening.listen()
        listening_link = gate.server.take()
        subscribed = gate.caller()
        subscribed.ask(modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
        subscribed_link = gate.server.take()
        for each in (streaming, complete, listening, subscribed):
            assert each.next_event()["method"] == "notifications/progress"
        idle = gate.caller()
        idle.ask(modern("tools/call", {"name": "rest", "arguments": {}}))
        assert idle.whole()[0] == 200

        gate.stop()
        unasked, asked = list(iter(listening.next_event, None)), list(iter(subscribed.next_event, None))
        closed = idle.read_end()
        at_once = time.perf_counter() - gate.told
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gate.port), timeout=LIMIT)
        body = orjson.dumps(result("finishing"))
        gate.server.call(finishing_link.write, JSON_HEAD % len(body) + body)
        gate.server.call(complete_link.write, chunk(event(result("complete"))) + b"0\r\n\r\n")
        finished = finishing.whole()
        closes = finishing.answer.headers["connection"]
        completed = list(iter(complete.next_event, None))
        in_time = time.perf_counter() - gate.told
        told = never.whole()
        retry_after = never.answer.headers["retry-after"]
        told_old = old.whole()
        last = list(iter(streaming.next_event, None))
        told_after = time.perf_counter() - gate.told
        left = gate.wait_left()
        for link in (never_link, old_link, streaming_link, listening_link, subscribed_link):
            link.wait_ended()

    assert (unasked, closed) == ([], b"")
    assert [(each["id"], each["error"]["message"]) for each in asked] == [(1, STOPPING)]
    assert at_once < AT_ONCE
    assert finished == (200, result("finishing"))
    assert closes == "close"
    assert completed == [result("complete")]
    assert in_time < TIMEOUT - LAST_WORDS, "what finishes need not wait for what does not"
    for status, message in (told, told_old):
        assert (status, message["error"]["message"]) == (503, STOPPING)
    assert [told[1]["id"], told_old[1]["id"]] == ["never", "old"]
    assert int(retry_after) > 0
    assert [(each["id"], each["error"]["message"]) for each in last] == [("streaming", STOPPING)]
    assert told_after + 0.1 >= TIMEOUT - LAST_WORDS
    assert left < TIMEOUT + LATE


@pytest.mark.promise("stops-in-time")
@pytest.mark.parametrize("parser", PARSERS)
def test_a_gate_that_only_streams_idle_leaves_at_once(tmp_path: Path, parser: str) -> None:
    with served(tmp_path, parser, timeout=30) as gate:
        listening = gate.caller()
        listening.listen()
        assert listening.next_event() is not None
        gate.stop()
        left = gate.wait_left()

    assert left < AT_ONCE + LATE


@pytest.mark.promise("stops-in-time")
@pytest.mark.parametrize("parser", PARSERS)
def test_a_gate_leaves_as_soon_as_the_last_call_is_answered(tmp_path: Path, parser: str) -> None:
    with served(tmp_path, parser, timeout=30) as gate:
        caller, link = gate.begin("work", 1)
        gate.stop()
        body = orjson.dumps(result(1))
        gate.server.call(link.write, JSON_HEAD % len(body) + body)
        answer = caller.whole()
        answered = time.perf_counter()
        gate.wait_left()
        left = time.perf_counter() - answered

    assert answer == (200, result(1))
    assert left < AT_ONCE + LATE


@pytest.mark.parametrize("parser", PARSERS)
def test_a_stream_that_has_not_begun_is_told_that_the_gate_stops(tmp_path: Path, parser: str) -> None:
    with served(tmp_path, parser) as gate:
        listening = gate.caller()
        listening.ask(legacy("ping"), method="GET", path="/mcp?silent", accept="text/event-stream")
        gate.server.take()
        gate.stop()
        status, said = listening.whole()
        gate.wait_left()

    assert (status, said["error"]["message"]) == (503, STOPPING)


def test_a_public_file_that_cannot_be_finished_is_cut_off_visibly(tmp_path: Path) -> None:
    with served(tmp_path, "strict", timeout=1, public_paths=["/file"]) as gate:
        caller = gate.caller()
        caller.ask(legacy("ping"), method="GET", path="/file")
        assert caller.answer.read1()
        gate.stop()
        with pytest.raises(IncompleteRead):
            caller.answer.read()
        left = gate.wait_left()

    assert left < 1 + LATE


@pytest.mark.parametrize("parser", PARSERS)
def test_the_stream_of_a_session_of_a_mounted_server_ends_at_once(tmp_path: Path, parser: str) -> None:
    mount = f"{sdk_server.__module__}:{sdk_server.__name__}"

    with served(tmp_path, parser, timeout=30, mount=mount) as gate:
        session = begin_session(gate.port)
        listening = gate.caller()
        listening.listen(session=session)
        status = listening.answer.status
        gate.stop()
        end = listening.next_event()
        left = gate.wait_left()

    assert (status, end) == (200, None)
    assert left < AT_ONCE + LATE
    assert '"level": "error"' not in gate.program.output
