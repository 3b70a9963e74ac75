"""What a configuration may hold that would bring a running gate out of step: by mistake, or on purpose."""

import os
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import closing
from http.client import HTTPSConnection, RemoteDisconnected
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support.certificates import Authority, client_context
from tests.support.leaks import HOST, LIMIT, REPOSITORY, Link, remote, result, route_to, wait_until
from tests.support.mcp import modern
from tests.support.reloading import RELOADED, WIKI, Program, describe, program
from tests.support.tokens import Token
from tunnelgate import ConfigurationError, Policy

REFUSED = "configuration not reloaded"
AT_ONCE = 2.0  # seconds
UPSTREAM = {"upstream": "http://127.0.0.1:9000"}

MODULE = """
    import asyncio, sys

    class Odd(BaseException):
        "What no server expects."

    BREAK = {
        "breaks": Odd,
        "is cancelled": asyncio.CancelledError,
        "leaves the process": SystemExit,
        "interrupts the process": KeyboardInterrupt,
    }

    def create_app(how):
        where, _, how = how.partition(" ")

        async def app(scope, receive, send):
            await receive()
            raise BREAK[how]("no database")

        if where == "factory":
            raise BREAK[how]("no database")
        return app
"""
ENDLESS = """
    import pathlib, threading
    pathlib.Path(__file__).with_name("begun").touch()
    threading.Event().wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with modules that are hard to mount."""
    (tmp_path / "hostile.py").write_text(dedent(MODULE), "utf-8")
    (tmp_path / "hostile_import.py").write_text("raise BaseException('no database')\n", "utf-8")
    (tmp_path / "endless_import.py").write_text(dedent(ENDLESS), "utf-8")
    return tmp_path


def described(folder: Path, *tools: str, wiki: Any = None, **more: Any) -> dict[str, Any]:
    routes = {HOST: {**UPSTREAM, "tools": [*tools]}}
    if wiki is not None:
        routes[WIKI] = {"tools": ["search"], **wiki}
    return describe(folder, routes, **{"shutdown_timeout": 5, **more})


def told_in_time(gate: Program, text: str, times: int = 1) -> bool:
    """Return whether the gate says so soon, while it runs."""
    limit = time.monotonic() + 2 * AT_ONCE
    while gate.output.count(text) < times:
        if time.monotonic() > limit or gate.program.process.poll() is not None:
            return False
        threading.Event().wait(0.02)
    return True


@pytest.fixture
def gate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Program]:
    monkeypatch.setattr("tests.support.reloading.REPOSITORY", f"{REPOSITORY}{os.pathsep}{folder}")
    with program(folder, described(folder, "search")) as running:
        yield running


@pytest.mark.promise("changes-whole")
def test_an_application_that_breaks_in_any_way_is_a_fault_and_the_gate_goes_on(
    gate: Program, folder: Path
) -> None:
    ways = (
        "factory breaks",
        "factory is cancelled",
        "start leaves the process",
        "start interrupts the process",
    )
    hostile: dict[str, dict[str, Any]] = {
        "module breaks": {"mount": "hostile_import:create_app"},
        **{each: {"mount": "hostile:create_app", "options": {"how": each}} for each in ways},
    }
    taken_up: dict[str, bool] = {}
    for number, (what, route) in enumerate(hostile.items()):
        times = gate.output.count(RELOADED)
        gate.write(described(folder, "search", wiki=route))
        taken_up[what] = told_in_time(gate, 'routes.\\"wiki.example.com\\".mount', number + 1)
        gate.write(described(folder, "search", f"tool-{number}"))
        taken_up[what] &= told_in_time(gate, RELOADED, times + 1)
        if not taken_up[what]:
            break

    assert all(taken_up.values()), (taken_up, gate.output[-500:])
    assert "1 added" not in gate.output
    assert gate.program.process.poll() is None


def test_a_module_that_is_never_imported_to_its_end_does_not_keep_the_gate_from_stopping(
    gate: Program, folder: Path
) -> None:
    gate.write(described(folder, "search", wiki={"mount": "endless_import:create_app"}))
    wait_until((folder / "begun").exists, "nobody imports the module")
    began = time.monotonic()
    gate.tell(signal.SIGTERM)
    status = gate.program.process.wait(LIMIT)

    assert (status, time.monotonic() - began < AT_ONCE) == (0, True)


def test_a_pipe_or_a_device_in_place_of_a_file_is_a_fault_and_the_gate_goes_on(
    gate: Program, folder: Path
) -> None:
    taken_up: dict[str, bool] = {}
    for number, what in enumerate(["tunnelgate.yaml", "jwks.json", "jwks.json as a device"]):
        name, _, kind = what.partition(" ")
        whole = folder / name
        kept = whole.rename(folder / "kept")
        if kind:
            whole.symlink_to("/dev/null")
        else:
            os.mkfifo(whole)
        is_refused = told_in_time(gate, REFUSED, number + 1)
        kept.replace(whole)
        gate.write(described(folder, f"tool-{number}"))
        taken_up[what] = is_refused and told_in_time(gate, RELOADED, number + 1)
        if not all(taken_up.values()):
            break

    assert all(taken_up.values()), (taken_up, gate.output[-500:])
    assert "is no regular file" in gate.output


BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [
        f"{each}: &{each} [{', '.join([f'*{before}'] * 9)}]"
        for before, each in zip("abcde", "bcdef", strict=True)
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{BOMB}\nlisten_addr: *f\n", id="in place of a text"),
        pytest.param(BOMB, id="under keys that nobody knows"),
    ],
)
def test_aliases_that_grow_without_bound_are_one_short_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tunnelgate.yaml"
    file.write_text(text, "utf-8")

    with pytest.raises(ConfigurationError) as error:
        Policy.from_file(file, {})

    (fault,) = error.value.faults
    assert len(str(fault)) < 500


def test_a_configuration_that_is_larger_than_anybody_writes_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    with file.open("wb") as opened:
        opened.truncate(1 << 24)

    with pytest.raises(ConfigurationError, match="is larger than"):
        Policy.from_file(file, {})


# Certificates of clients


AGENTS, OTHERS = Authority("agents"), Authority("others")


async def answers(link: Link) -> None:
    """Answer each call."""
    while True:
        asked = await link.request()
        await link.answer(result(asked.message["id"]))


def call(connection: HTTPSConnection, token: str) -> int | None:
    """Return how a call is answered, or nothing where the connection has ended."""
    headers, body = modern("tools/call", {"name": "search", "arguments": {}})
    try:
        connection.request("POST", "/mcp", body, {**dict(headers), "authorization": f"Bearer {token}"})
        answer = connection.getresponse()
    except (RemoteDisconnected, ConnectionError):
        return None
    answer.read()
    return answer.status


def test_who_was_let_in_by_a_ca_that_is_trusted_no_more_proves_nothing_any_more(tmp_path: Path) -> None:
    authority = Authority("gate")
    agent = AGENTS.issue("agent")
    cert_file, key_file = authority.issue_for_server(HOST).write(tmp_path, "server")
    clients = AGENTS.write(tmp_path, "clients")
    token = Token(claims={"cnf": {"x5t#S256": agent.thumbprint}}).mint()
    with remote(answers) as server:
        route = {**route_to(server.port), "tools": ["search"], "proof": "mtls"}
        tls = {"cert_file": str(cert_file), "key_file": str(key_file), "client_ca_file": str(clients)}
        with program(tmp_path, describe(tmp_path, {HOST: route}, tls=tls, shutdown_timeout=1)) as gate:
            context = client_context(authority, tmp_path, agent)
            http = HTTPSConnection(HOST, gate.port, timeout=LIMIT, context=context)
            connected = socket.create_connection(("127.0.0.1", gate.port), timeout=LIMIT)
            http.sock = context.wrap_socket(connected, server_hostname=HOST)
            http.auto_open = 0
            with closing(http):
                before = call(http, token)
                clients.write_text(OTHERS.pem)
                gate.wait_for(RELOADED)
                after = call(http, token)

    assert (before, after) == (200, None)
