"""However often the policy changes, no request is lost, and nothing is left behind."""

import gc
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tests.support.asgi import call, http_scope
from tests.support.leaks import HOST, Caller, Link, begin_session, remote, result, route_to, sdk_server
from tests.support.mcp import legacy, modern
from tests.support.reloading import (
    CHANGED,
    WIKI,
    Load,
    Program,
    changing_by_itself,
    describe,
    policy_of,
    program,
)
from tests.support.tokens import RESOURCE, Token
from tunnelgate_app.gateway import create_gateway

MOUNT = f"{sdk_server.__module__}:{sdk_server.__name__}"
REST = {"name": "rest", "arguments": dict[str, Any]()}
CLIENTS = 3


async def rests(link: Link) -> None:
    """Answer each call at once."""
    while True:
        asked = await link.request()
        await link.answer(result(asked.message["id"]))


def routes(port: int, tools: list[str]) -> dict[str, Any]:
    return {HOST: {"mount": MOUNT, "tools": tools}, WIKI: {**route_to(port), "tools": tools}}


def asks_upstream(caller: Caller) -> Any:
    caller.ask(modern("tools/call", REST), host=WIKI)
    status, message = caller.whole()
    return None if (status, message) == (200, result(1)) else (status, message)


def asks_session(caller: Caller, session: str) -> Any:
    caller.ask(legacy("tools/call", REST), session=session)
    answer = caller.answer
    body = answer.read()
    return None if answer.status == 200 and b"rested" in body else (answer.status, body)


@pytest.mark.promise("changes-whole")
def test_in_1000_changes_no_request_is_lost_no_session_and_no_connection_to_a_server(tmp_path: Path) -> None:
    load = Load()
    with remote(rests) as server:
        first = describe(tmp_path, routes(server.port, ["rest"]))
        second = describe(tmp_path, routes(server.port, ["rest", "work"]))
        with changing_by_itself(tmp_path, first, second, 1000) as gate:
            session = begin_session(gate.port)
            begin(load, gate, session)
            gate.tell(signal.SIGUSR1)
            gate.wait_for(CHANGED)
            load.stop()
        links = len(server.links)

    assert f"{CHANGED}1000\n" in gate.output
    assert load.wrong == []
    assert load.answered > 500
    assert links <= CLIENTS


def begin(load: Load, gate: Program, session: str) -> None:
    """Let clients ask without a pause: one within a session, the others a remote server."""
    callers = [gate.caller() for _ in range(CLIENTS)]
    load.add(lambda: asks_session(callers[0], session))
    for caller in callers[1:]:
        load.add(partial(asks_upstream, caller))


@pytest.mark.promise("changes-whole")
def test_while_files_change_and_sighups_come_no_request_is_lost(tmp_path: Path) -> None:
    load = Load()
    with remote(rests) as server:
        described = [describe(tmp_path, routes(server.port, tools)) for tools in (["rest"], ["rest", "work"])]
        with program(tmp_path, described[0]) as gate:
            begin(load, gate, begin_session(gate.port))
            for number in range(1, 21):
                gate.write(described[number % 2])
                gate.tell(signal.SIGHUP)
                gate.wait_for("configuration reloaded: 2 routes changed", number)
            load.stop()

    assert load.wrong == []
    assert load.answered > 20


@pytest.mark.anyio
async def test_1000_changes_leave_nothing_in_memory(tmp_path: Path) -> None:
    """A request that is refused in each generation goes through all that is made anew."""
    file = {"file": str(tmp_path / "audit.jsonl")}
    policies = [policy_of(tmp_path, routes(9000, tools), audit=file) for tools in (["a"], ["b"])]
    gateway = create_gateway(policies[0])
    headers, body = modern("tools/call", REST)
    headers = [
        ("host", WIKI),
        *headers[1:],
        ("authorization", f"Bearer {Token(claims={'aud': RESOURCE}).mint()}"),
    ]

    async def held_after(changes: int) -> tuple[int, int]:
        for number in range(1, changes + 1):
            assert await gateway.change_to(policies[number % 2]) is not None
            reply = await call(gateway, http_scope(headers=headers), body)
            assert reply.json()["error"]["message"] == "Unknown tool: rest"
        await checkpoint()
        gc.collect()
        return sys.getallocatedblocks(), len(gc.get_objects())

    await held_after(50)
    before = await held_after(50)
    after = await held_after(1000)

    grown = after[0] - before[0], after[1] - before[1]
    assert max(grown) < 1000, grown
