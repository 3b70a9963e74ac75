"""Streams that are opened and dropped leave no socket, no task and no memory behind."""

import json
import resource
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.leaks import (
    HOST,
    PROGRESS,
    STREAM_HEAD,
    Caller,
    Held,
    Link,
    MeasuredGate,
    Remote,
    measured_gate,
    remote,
    route_to,
    wait_until,
)
from tests.support.mcp import legacy, modern
from tests.support.tokens import ISSUER, jwks

STREAMS = 1000
DESCRIPTORS = 4096  # a connection on each side of a stream, and the rest of a process
MOST_KEPT = 1024  # octets for each stream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is in /proc")


@pytest.fixture(scope="module", autouse=True)
def enough_descriptors() -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"a process may have no more than {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def idles(link: Link) -> None:
    asked = await link.request()
    await link.send(STREAM_HEAD)
    message = asked.message if asked.body else {"method": "GET"}
    await link.send_event(ACKNOWLEDGED if message["method"] == "subscriptions/listen" else PROGRESS)


ACKNOWLEDGED = {
    "jsonrpc": "2.0",
    "method": "notifications/subscriptions/acknowledged",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {"io.modelcontextprotocol/subscriptionId": 1},
    },
}


def listens(caller: Caller) -> None:
    caller.listen()


def subscribes(caller: Caller) -> None:
    caller.ask(modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))


def calls_of_old(caller: Caller) -> None:
    caller.ask(legacy("tools/call", {"name": "work", "arguments": {}, "_meta": {"progressToken": 1}}))


def calls(caller: Caller) -> None:
    caller.ask(modern("tools/call", {"name": "work", "arguments": {}}))


KINDS: Sequence[Callable[[Caller], None]] = (listens, subscribes, calls_of_old, calls)


def open_streams(front: MeasuredGate, server: Remote, count: int) -> tuple[list[Caller], list[Link]]:
    """Return the connections of as many streams, on each of which something came and then nothing."""
    callers: list[Caller] = []
    for number in range(count):
        caller = Caller(front.port)
        KINDS[number % len(KINDS)](caller)
        callers.append(caller)
    for caller in callers:
        assert caller.next_event() is not None
    return callers, [server.take() for _ in callers]


def dropped_by_clients(callers: Sequence[Caller], links: Sequence[Link], server: Remote) -> None:
    for number, caller in enumerate(callers):
        caller.leave("fin" if number % 3 else "rst")
    for link in links:
        link.wait_ended()


def dropped_by_the_server(callers: Sequence[Caller], links: Sequence[Link], server: Remote) -> None:
    for number, link in enumerate(links):
        server.call(link.finish if number % 3 else link.reset)
    for caller in callers:
        assert len(list(iter(caller.next_event, None))) <= 1, "an error event, where one waits for an answer"
        caller.leave("fin")


Drop = Callable[[Sequence[Caller], Sequence[Link], Remote], None]
DROPS = [
    pytest.param(dropped_by_clients, id="dropped by their clients"),
    pytest.param(dropped_by_the_server, id="dropped by the server"),
]


def settled(front: MeasuredGate, before: Held) -> Held:
    """Return what the gate holds as soon as that is no more sockets and tasks than before."""
    wait_until(lambda: front.held().sockets <= before.sockets, "a socket stays open")
    wait_until(lambda: front.held().tasks <= before.tasks, "a task goes on")
    return front.held()


@contextmanager
def gate_and_server(folder: Path, *, traced: bool = False) -> Generator[tuple[MeasuredGate, Remote]]:
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    with remote(idles) as server:
        described: dict[str, Any] = {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "upstream": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": "jwks.json"}]},
            "routes": {
                HOST: {"tools": ["work"], **route_to(server.port, max_calls=STREAMS, max_streams=STREAMS)}
            },
            "audit": {"file": "audit.jsonl"},
        }
        file = folder / "tunnelgate.yaml"
        file.write_text(json.dumps(described), "ascii")
        with measured_gate(file, traced=traced) as front:
            yield front, server


def rounds(front: MeasuredGate, server: Remote, drop: Drop) -> tuple[Held, list[Held], list[Held]]:
    """Return what the gate holds before, while all streams are open and after, twice."""
    start = front.held()
    drop(*open_streams(front, server, 20), server)  # what is made once, is made now
    before = settled(front, start)
    opened: list[Held] = []
    after: list[Held] = []
    for number in (1, 2):
        callers, links = open_streams(front, server, STREAMS)
        opened.append(front.held())
        drop(callers, links, server)
        after.append(settled(front, before))
        tell(f"open, round {number}", opened[-1], before)
        tell(f"after round {number}", after[-1], before)
    return before, opened, after


def tell(what: str, held: Held, before: Held) -> None:
    resident, traced = held.resident - before.resident, held.traced - before.traced
    sys.stdout.write(
        f"\n  {what}: {held.sockets} sockets, {held.tasks} tasks, {held.objects} objects, "
        f"{held.resident / 2**20:.1f} MiB resident ({resident / STREAMS / 1024:+.2f} KiB a stream), "
        f"{held.traced / 2**20:.1f} MiB traced ({traced / STREAMS / 1024:+.2f} KiB a stream) "
    )


@pytest.mark.parametrize("drop", DROPS)
def test_a_thousand_streams_leave_no_socket_no_task_and_no_object(tmp_path: Path, drop: Drop) -> None:
    with gate_and_server(tmp_path) as (front, server):
        before, opened, after = rounds(front, server, drop)

    assert all(held.sockets - before.sockets == 2 * STREAMS for held in opened), "not all were open at once"
    assert all((held.sockets, held.tasks) == (before.sockets, before.tasks) for held in after)
    assert after[1].objects - after[0].objects < STREAMS // 10, "something is kept for each stream"
    # An allocator keeps what the first round needed, and uses it again.
    assert after[1].resident - after[0].resident < 4 * MOST_KEPT * STREAMS


@pytest.mark.parametrize("drop", DROPS)
def test_a_thousand_streams_leave_no_memory_in_use(tmp_path: Path, drop: Drop) -> None:
    with gate_and_server(tmp_path, traced=True) as (front, server):
        before, _, after = rounds(front, server, drop)

    assert after[0].traced - before.traced < 2 * MOST_KEPT * STREAMS
    assert after[1].traced - after[0].traced < MOST_KEPT * STREAMS // 4
