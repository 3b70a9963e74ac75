"""A gate takes up what changes in its files, and nothing that is not whole."""

import json
import os
import signal
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.support.certificates import Authority, client_context
from tests.support.leaks import (
    HOST,
    JSON_HEAD,
    LIMIT,
    PROGRESS,
    STREAM_HEAD,
    Caller,
    Link,
    Remote,
    chunk,
    event,
    remote,
    result,
    route_to,
    sdk_server,
    wait_until,
)
from tests.support.mcp import legacy, modern
from tests.support.reloading import RELOADED, WIKI, Program, describe, program
from tests.support.tokens import Token, jwks

CHANGED = "The gate's policy has changed"
AT_ONCE = 1.0  # seconds
REFUSED = "configuration not reloaded"
MOUNT = f"{sdk_server.__module__}:{sdk_server.__name__}"
TOOLS = ["work", "keep", "rest"]


async def works(link: Link) -> None:
    """Answer calls of ``rest``, begin streams, and hold all others."""
    while True:
        asked = await link.request()
        if asked.method == "GET" or asked.message["method"] == "subscriptions/listen":
            await link.send(STREAM_HEAD + chunk(event(PROGRESS)))
            return
        if asked.message["params"]["name"] != "rest":
            return
        await link.answer(result(asked.message["id"]))


def calls(tool: str, message_id: Any = 1) -> Any:
    return modern("tools/call", {"name": tool, "arguments": {}}, message_id=message_id)


@pytest.fixture
def server() -> Generator[Remote]:
    with remote(works) as running:
        yield running


def routes(server: Remote, tools: list[str] = TOOLS, **wiki: Any) -> dict[str, Any]:
    target = route_to(server.port)
    return {HOST: {**target, "tools": tools}, WIKI: {**target, "tools": TOOLS, **wiki}}


def begin(gate: Program, server: Remote, message: Any, **fields: str) -> tuple[Caller, Link]:
    caller = gate.caller()
    caller.ask(message, **fields)
    return caller, server.take()


def error_of(caller: Caller) -> tuple[int, str]:
    status, message = caller.whole()
    return status, message["error"]["message"]


def unknown(tool: str) -> tuple[int, str]:
    return 200, f"Unknown tool: {tool}"


def ask(gate: Program, tool: str) -> tuple[int, Any]:
    caller = gate.caller()
    caller.ask(calls(tool))
    return caller.whole()


@pytest.mark.promise("changes-whole")
def test_a_tool_that_is_removed_is_refused_within_a_second_also_where_it_is_being_called(
    tmp_path: Path, server: Remote
) -> None:
    with program(tmp_path, describe(tmp_path, routes(server))) as gate:
        called, called_link = begin(gate, server, calls("work"))
        kept, kept_link = begin(gate, server, calls("keep"))
        listening, _ = begin(gate, server, legacy("ping"), method="GET", accept="text/event-stream")
        subscribing = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        subscribed, _ = begin(gate, server, subscribing)
        elsewhere, elsewhere_link = begin(gate, server, subscribing, host=WIKI)
        for stream in (listening, subscribed, elsewhere):
            assert stream.next_event()["method"] == "notifications/progress"

        gate.write(describe(tmp_path, routes(server, ["keep", "rest"])))
        changed = time.perf_counter()
        told = error_of(called)
        streams = list(iter(listening.next_event, None)), list(iter(subscribed.next_event, None))
        again = gate.caller()
        again.ask(calls("work"))
        refused = error_of(again)
        seconds = time.perf_counter() - changed
        called_link.wait_ended()
        gate.wait_for(RELOADED)

        body = orjson.dumps(result(1))
        server.call(kept_link.write, JSON_HEAD % len(body) + body)
        finished = kept.whole()
        server.call(elsewhere_link.write, chunk(event(PROGRESS)))
        still = elsewhere.next_event()

    assert (told, refused) == ((503, CHANGED), unknown("work"))
    assert seconds < AT_ONCE
    assert streams[0] == []
    assert [each["error"]["message"] for each in streams[1]] == [CHANGED]
    assert (finished, still) == ((200, result(1)), PROGRESS)
    assert "configuration reloaded: 1 route changed, 0 added, 0 removed; revision " in gate.output
    ended = [line for line in gate.output.splitlines() if "policy-changed" in line]
    assert len(ended) == 3
    assert f" to {HOST}: policy-changed: tool-not-allowed" in gate.output


@pytest.mark.promise("changes-whole")
def test_a_configuration_with_faults_changes_nothing_and_each_fault_is_said_once(
    tmp_path: Path, server: Remote
) -> None:
    good = describe(tmp_path, routes(server))
    faulty = describe(tmp_path, {**routes(server), WIKI: {"tools": []}}, unknown=True)
    with program(tmp_path, good) as gate:
        gate.write(faulty)
        gate.wait_for("unknown = True: is not a key")
        first = ask(gate, "rest")
        os.utime(gate.file)
        gate.tell(signal.SIGHUP)
        gate.wait_for("it still has the faults that were told")
        second = ask(gate, "rest")
        gate.reload(describe(tmp_path, routes(server, ["work"])))
        refused = ask(gate, "rest")[1]["error"]["message"]

    assert (first, second) == ((200, result(1)),) * 2
    assert refused == "Unknown tool: rest"
    said = [json.loads(line)["event"] for line in gate.output.splitlines() if '"error"' in line]
    assert said[0] == f"{REFUSED}, the one before it still holds: {gate.file}"
    assert f'routes."{WIKI}".tools = []: is empty, which would allow nothing' in said
    assert len(said) == len(set(said))


def test_a_hangup_without_a_change_is_answered_and_the_gate_still_stops_as_it_is_told(
    tmp_path: Path, server: Remote
) -> None:
    with program(tmp_path, describe(tmp_path, routes(server))) as gate:
        gate.tell(signal.SIGHUP)
        gate.wait_for("configuration read again: nothing has changed")
        gate.tell(signal.SIGTERM)
        code = gate.program.process.wait(LIMIT)

    assert code == 0
    assert RELOADED not in gate.output


def in_config_map(file: Path, text: str) -> None:
    """Write a file as a kubelet does: into a folder of its own, to which one link leads and then another."""
    version = file.parent / f"..{time.monotonic_ns()}"
    version.mkdir()
    (version / file.name).write_text(text, "utf-8")
    link = file.parent / "..data_tmp"
    link.symlink_to(version.name)
    link.replace(file.parent / "..data")
    if not file.is_symlink():
        file.symlink_to(f"..data/{file.name}")


@pytest.mark.promise("changes-whole")
def test_a_config_map_of_kubernetes_is_followed_where_its_link_leads(tmp_path: Path, server: Remote) -> None:
    with program(tmp_path, describe(tmp_path, routes(server)), in_config_map) as gate:
        before = ask(gate, "rest")
        gate.write(describe(tmp_path, routes(server, ["work"])))
        gate.wait_for(RELOADED)
        after = ask(gate, "rest")[1]["error"]["message"]
        gate.reload(describe(tmp_path, routes(server)))
        again = ask(gate, "rest")

    assert (before, again) == ((200, result(1)),) * 2
    assert after == "Unknown tool: rest"


def test_a_file_that_is_away_for_long_is_said_once_and_taken_up_when_it_is_there_again(
    tmp_path: Path, server: Remote
) -> None:
    with program(tmp_path, describe(tmp_path, routes(server))) as gate:
        gate.file.unlink()
        gate.wait_for(f"{gate.file}: cannot be read: No such file or directory")
        answered = ask(gate, "rest")
        gate.reload(describe(tmp_path, routes(server, ["work"])))

    assert answered == (200, result(1))
    assert gate.output.count(REFUSED) == 1


@pytest.mark.promise("keys-follow-issuer")
def test_what_a_file_that_is_named_holds_is_taken_up_as_well(tmp_path: Path, server: Remote) -> None:
    described = describe(tmp_path, routes(server))
    with program(tmp_path, described) as gate:
        before = ask(gate, "rest")
        (tmp_path / "jwks.json").write_bytes(jwks("RS256"))
        gate.wait_for(RELOADED)
        caller = gate.caller()
        caller.ask(calls("rest"))
        status, _ = caller.whole()

    assert (before[0], status) == (200, 401)
    assert "configuration reloaded: 2 routes changed" in gate.output


@pytest.mark.promise("changes-whole")
def test_on_one_connection_each_request_is_judged_by_the_policy_that_it_began_with(
    tmp_path: Path, server: Remote
) -> None:
    with program(tmp_path, describe(tmp_path, routes(server))) as gate:
        headers, body = calls("keep")
        headers = [*headers, ("authorization", f"Bearer {Token().mint()}")]
        second, second_body = calls("rest", 2)
        second = [*second, ("authorization", f"Bearer {Token().mint()}")]
        with socket.create_connection(("127.0.0.1", gate.port), timeout=LIMIT) as connection:
            connection.sendall(_request(headers, body) + _request(second, second_body))
            link = server.take()
            gate.reload(describe(tmp_path, routes(server, ["keep"])))
            answer = orjson.dumps(result(1))
            server.call(link.write, JSON_HEAD % len(answer) + answer)
            first = read_until(connection, b"Unknown tool: rest")
            connection.sendall(_request(second, second_body))
            read_until(connection, b"Unknown tool: rest")

    assert first.count(b"HTTP/1.1 200") == 2
    assert first.index(answer) < first.index(b"Unknown tool: rest")


def read_until(connection: socket.socket, text: bytes) -> bytes:
    received = b""
    while text not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def _request(headers: Any, body: bytes) -> bytes:
    lines = ["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


@pytest.mark.promise("recorded-first")
def test_records_go_on_in_a_new_file_where_the_old_one_was_moved_away(tmp_path: Path, server: Remote) -> None:
    audit = tmp_path / "audit.jsonl"
    with program(tmp_path, describe(tmp_path, routes(server))) as gate:
        assert ask(gate, "rest")[0] == 200
        audit.rename(tmp_path / "audit.jsonl.1")
        assert ask(gate, "rest")[0] == 200
        gate.tell(signal.SIGHUP)
        gate.wait_for(RELOADED)
        assert ask(gate, "rest")[0] == 200

    assert len((tmp_path / "audit.jsonl.1").read_text().splitlines()) == 2
    assert len(audit.read_text().splitlines()) == 1


def test_the_level_of_the_log_is_taken_up(tmp_path: Path, server: Remote) -> None:
    with program(tmp_path, describe(tmp_path, routes(server))) as gate:
        gate.reload(describe(tmp_path, routes(server), log_level="warn"))
        gate.write(describe(tmp_path, routes(server, ["work"]), log_level="warn"))
        wait_until(lambda: ask(gate, "rest")[1].get("error") is not None, "the change is not taken up")

    assert gate.output.count(RELOADED) == 1


@pytest.mark.anyio
async def test_the_official_client_goes_on_in_its_session_and_sees_what_has_changed(tmp_path: Path) -> None:
    mounted = {HOST: {"mount": MOUNT, "tools": ["rest", "work"]}}
    headers = {"host": HOST, "authorization": f"Bearer {Token().mint()}"}
    with program(tmp_path, describe(tmp_path, mounted)) as gate:
        url = f"http://127.0.0.1:{gate.port}/mcp"
        async with (
            httpx2.AsyncClient(headers=headers, timeout=LIMIT) as http,
            Client(streamable_http_client(url, http_client=http), mode="legacy") as client,
        ):
            before = {tool.name for tool in (await client.list_tools()).tools}
            gate.reload(describe(tmp_path, {HOST: {"mount": MOUNT, "tools": ["rest"]}}))
            after = {tool.name for tool in (await client.list_tools()).tools}
            rested = await client.call_tool("rest", {})
            with pytest.raises(MCPError, match="Unknown tool: work"):
                await client.call_tool("work", {})

    assert (before, after) == ({"rest", "work"}, {"rest"})
    assert "rested" in str(rested.content)


# Certificates


@contextmanager
def tls_gate(folder: Path, server: Remote, authority: Authority) -> Generator[Program]:
    cert_file, key_file = authority.issue_for_server(HOST).write(folder, "server")
    described = describe(
        folder, routes(server), tls={"cert_file": cert_file.name, "key_file": key_file.name}, transport="tls"
    )
    with program(folder, described) as gate:
        yield gate


class SecureCaller:
    """A connection over TLS that is used again and again."""

    def __init__(self, port: int, authority: Authority) -> None:
        self._http = HTTPSConnection(HOST, port, timeout=LIMIT, context=client_context(authority))
        connected = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        self.tls = client_context(authority).wrap_socket(connected, server_hostname=HOST)
        self._http.sock = self.tls

    @property
    def certificate(self) -> bytes | None:
        return self.tls.getpeercert(binary_form=True)

    def ask(self) -> tuple[int, Any]:
        headers, body = calls("rest")
        fields: Mapping[str, str] = {**dict(headers), "authorization": f"Bearer {Token().mint()}"}
        self._http.request("POST", "/mcp", body, dict(fields))
        answer = self._http.getresponse()
        return answer.status, json.loads(answer.read())

    def close(self) -> None:
        self._http.close()


def shown(port: int, authority: Authority) -> bytes | None:
    with closing(SecureCaller(port, authority)) as caller:
        assert caller.ask() == (200, result(1))
        return caller.certificate


@pytest.mark.promise("pair-whole")
def test_a_new_certificate_is_shown_without_a_restart_once_its_key_is_there_too(
    tmp_path: Path, server: Remote
) -> None:
    authority = Authority("gate")
    renewed = authority.issue_for_server(HOST)
    with tls_gate(tmp_path, server, authority) as gate, closing(SecureCaller(gate.port, authority)) as open_:
        before = open_.certificate
        (tmp_path / "server.pem").write_text(renewed.chain_pem)
        gate.wait_for("is not the key of the first certificate")
        half = shown(gate.port, authority)
        (tmp_path / "server.key").write_text(renewed.key_pem())
        gate.wait_for("new connections are shown the certificate that is in tls.cert_file now")
        gate.wait_for(RELOADED)
        after = shown(gate.port, authority)
        still, kept = open_.ask(), open_.certificate

    assert before == half
    assert after == renewed.der != before
    assert (still, kept) == ((200, result(1)), before)
    assert gate.output.count("is not the key of the first certificate") == 1
    assert "configuration reloaded: 0 routes changed, 0 added, 0 removed" in gate.output


@pytest.mark.promise("changes-whole")
def test_what_cannot_change_while_the_gate_runs_keeps_out_the_rest_as_well(
    tmp_path: Path, server: Remote
) -> None:
    with program(tmp_path, describe(tmp_path, routes(server))) as gate:
        gate.write(describe(tmp_path, routes(server, ["work"]), shutdown_timeout=3))
        gate.wait_for("shutdown_timeout = 3.0: cannot change while the gate runs; restart it")
        answered = ask(gate, "rest")

    assert answered == (200, result(1))
    assert RELOADED not in gate.output
