import json
import logging
import os
import resource
import stat
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.asgi import Headers, Spy, call, http_scope
from tests.support.audit import FullDisk, Records
from tests.support.mcp import legacy, modern
from tests.support.proxied import Client
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import (
    Allow,
    AuditFile,
    AuditLog,
    AuditUnavailable,
    Broken,
    ClientAllowlist,
    Clients,
    Deny,
    HostAllowlist,
    Issuer,
    NeedsScopes,
    OAuth,
    Policy,
    Principal,
    Reason,
    Route,
    Rule,
    StaticKeys,
    ToolAllowlist,
    Verdict,
    protect,
)
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.audit import AuditSink, record_of
from tunnelgate.errors import UpstreamFailed
from tunnelgate.exchange import exchange_of
from tunnelgate.handover import Handover

NOW = 1_800_000_000
FULL = Path("/dev/full")


def _gate(app: ASGIApp, sink: AuditSink) -> ASGIApp:
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_uri="https://login.example.com/keys")]),
        routes={
            "docs.example.com": Route(
                scopes=["docs:read"],
                tools={"search_docs": None, "drop_docs": Rule(scopes=["docs:admin"])},
                public_paths=["/healthz"],
            )
        },
    )
    return protect(
        app, policy, audit=sink, keys_of=lambda issuer: StaticKeys(jwks("ES256")), clock=lambda: float(NOW)
    )


def _authorized(headers: Headers, token: Token | None = None) -> list[tuple[str, str]]:
    return [*headers, ("authorization", f"Bearer {(token or Token()).mint(NOW)}")]


# Files


def test_a_file_is_created_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    before = os.umask(0)
    try:
        AuditFile(path).close()
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_records_are_appended_one_line_each(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"older": true}\n')

    for number in (1, 2):
        file = AuditFile(str(path))
        file.write({"number": number})
        file.write({"number": number, "again": True})
        file.close()

    assert path.read_text() == (
        '{"older": true}\n{"number":1}\n{"number":1,"again":true}\n{"number":2}\n{"number":2,"again":true}\n'
    )


def test_a_record_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)

    file.write({"number": 1})

    assert path.read_bytes() == b'{"number":1}\n'
    file.close()


def test_records_of_several_threads_and_files_do_not_run_into_each_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    files = [AuditFile(path) for _ in range(4)]

    def write(file: AuditFile, writer: int) -> None:
        for number in range(50):
            file.write({"writer": writer, "number": number, "text": "x" * 5000})

    threads = [threading.Thread(target=write, args=(file, writer)) for writer, file in enumerate(files)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file in files:
        file.close()

    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((each["writer"], each["number"]) for each in records) == [
        (writer, number) for writer in range(4) for number in range(50)
    ]


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    file = AuditFile("-")
    file.write({"number": 1})
    file.close()

    sys.stdout.write("still open\n")
    assert capfd.readouterr().out == '{"number":1}\nstill open\n'


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AuditFile(tmp_path / "missing" / "audit.jsonl")
    with pytest.raises(IsADirectoryError):
        AuditFile(tmp_path)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_audit_unavailable() -> None:
    file = AuditFile(FULL)

    with pytest.raises(AuditUnavailable, match="/dev/full: No space left on device"):
        file.write({"number": 1})
    file.close()


def test_a_closed_file_is_audit_unavailable(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl")
    file.close()

    with pytest.raises(AuditUnavailable):
        file.write({"number": 1})


def test_a_closed_file_never_writes_into_whatever_was_opened_next(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl")
    file.close()
    other = tmp_path / "other"

    with other.open("wb"), pytest.raises(AuditUnavailable):
        file.write({"number": 1})
    assert other.read_bytes() == b""


def test_closing_twice_closes_nothing_else(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl")
    file.close()

    with (tmp_path / "other").open("wb") as other:
        file.close()
        other.write(b"still open")
    assert (tmp_path / "other").read_bytes() == b"still open"


def test_closing_gives_the_descriptor_back(tmp_path: Path) -> None:
    free = os.open(tmp_path, os.O_RDONLY)
    os.close(free)

    AuditFile(tmp_path / "audit.jsonl").close()

    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert again == free


@contextmanager
def _files_may_have(octets: int) -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _write_past(file: AuditFile, octets: int, record: Mapping[str, Any]) -> AuditUnavailable | None:
    # Nothing is asserted in here: what a test prints would not fit into a file either.
    with _files_may_have(octets):
        try:
            file.write(record)
        except AuditUnavailable as error:
            return error
    return None


def test_a_record_of_which_only_a_part_could_be_written_is_audit_unavailable(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl")
    file.write({"number": 1})

    error = _write_past(file, len('{"number":1}\n') + 4, {"number": 2})

    assert "only part of a record could be written" in str(error)
    file.close()


def test_after_a_part_of_a_record_the_next_one_is_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    file.write({"number": 1})
    error = _write_past(file, len('{"number":1}\n') + 4, {"number": 2})

    file.write({"number": 3})
    file.close()

    assert error is not None
    lines = path.read_bytes().splitlines()
    assert lines[0] == b'{"number":1}'
    assert lines[-1] == b'{"number":3}'


HOSTILE = [
    pytest.param("safe\r\n2026-01-01 ALLOW danger", id="CR and LF"),
    pytest.param('x"}\n{"verdict":"allow","x":"', id="a whole record"),
    pytest.param("\x1b[2Jsafe_tool", id="an ANSI escape"),
    pytest.param("\x00\x07\x08", id="NUL, bell and backspace"),
    pytest.param("safe\x9b2Jtool", id="an ANSI escape in one C1 character"),
    pytest.param("safe\x852026-01-01 ALLOW danger", id="NEL, a line end of Unicode"),
    pytest.param("safe\u2028danger\u2029danger", id="the line and paragraph separators"),
    pytest.param("safe\x7f\x7f\x7f\x7fdanger", id="four deletions"),
    pytest.param("safe\u202eloot_regnad", id="a mark that turns the direction of text"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_on_one_escaped_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    file.write({"target": text})
    file.close()

    written = path.read_text(encoding="utf-8")
    assert len(written.splitlines()) == 1
    assert written[:-1].isprintable()
    assert json.loads(written) == {"target": text}


@given(st.text(max_size=20))
@settings(max_examples=200)
def test_every_text_can_be_read_back_from_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    file = AuditFile(path)
    file.write({"target": text})
    file.close()

    written = path.read_bytes()
    assert written.count(b"\n") == 1
    assert b"\r" not in written
    assert json.loads(written) == {"target": text}


def test_a_text_that_no_json_can_hold_is_escaped_or_audit_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)

    try:
        file.write({"path": "/\udc80"})
    except AuditUnavailable:
        assert path.read_bytes() == b""
    else:
        assert json.loads(path.read_bytes()) == {"path": "/\udc80"}
    finally:
        file.close()


# Records


def test_a_record_says_who_asked_for_what_and_what_was_decided() -> None:
    exchange = exchange_of(http_scope("GET", "/mcp"))
    exchange.request_id = "8c1f"
    exchange.started = 1_795_340_000.1239
    exchange.host, exchange.route = "docs.example.com", "docs"
    exchange.peer, exchange.client = "10.0.0.1", "203.0.113.7"
    exchange.principal = Principal(ISSUER, "alice", "agent", frozenset({"docs:read"}), {"sub": "alice"})

    assert record_of(exchange, Deny(Reason.TOOL_NOT_ALLOWED, "why")) == {
        "time": "2026-11-22T09:33:20.123Z",
        "request_id": "8c1f",
        "verdict": "deny",
        "reason": "tool-not-allowed",
        "detail": "why",
        "route": "docs",
        "host": "docs.example.com",
        "peer": "10.0.0.1",
        "client": "203.0.113.7",
        "principal": {"issuer": ISSUER, "subject": "alice", "client_id": "agent"},
        "http_method": "GET",
        "path": "/mcp",
        "protocol_version": None,
        "method": None,
        "target": None,
    }


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        pytest.param(Allow(), ("allow", None, None), id="allow"),
        pytest.param(Deny(Reason.HOST_UNKNOWN, "why"), ("deny", "host-unknown", "why"), id="deny"),
        pytest.param(NeedsScopes(("a", "b")), ("deny", "scope-missing", "a b"), id="needs scopes"),
        pytest.param(
            Broken(Reason.KEYS_UNAVAILABLE, "why"), ("broken", "keys-unavailable", "why"), id="broken"
        ),
    ],
)
def test_every_verdict_has_its_words(verdict: Verdict, words: tuple[str, str | None, str | None]) -> None:
    record = record_of(exchange_of(http_scope()), verdict)

    assert (record["verdict"], record["reason"], record["detail"]) == words


@pytest.mark.parametrize(
    ("request_of", "version"),
    [pytest.param(legacy, "2025-11-25", id="legacy"), pytest.param(modern, "2026-07-28", id="modern")],
)
@pytest.mark.anyio
async def test_an_allowed_call_leaves_one_whole_record(request_of: Any, version: str) -> None:
    spy, records = Spy(), Records()
    headers, body = request_of("tools/call", {"name": "search_docs", "arguments": {"q": "hunter2"}})

    reply = await call(_gate(spy, records), http_scope(headers=_authorized(headers)), body)

    assert records.all == [
        {
            "time": "2027-01-15T08:00:00.000Z",
            "request_id": reply.header("x-request-id"),
            "verdict": "allow",
            "reason": None,
            "detail": None,
            "route": "docs.example.com",
            "host": "docs.example.com",
            "peer": "127.0.0.1",
            "client": "127.0.0.1",
            "principal": {"issuer": ISSUER, "subject": "alice", "client_id": "agent"},
            "http_method": "POST",
            "path": "/mcp",
            "protocol_version": version,
            "method": "tools/call",
            "target": "search_docs",
        }
    ]
    assert len(spy.scopes) == 1


@pytest.mark.parametrize(
    ("peer", "forwarded", "written"),
    [
        pytest.param(("127.0.0.1", 1), "203.0.113.7", ("127.0.0.1", "203.0.113.7"), id="a client of a proxy"),
        pytest.param(("127.0.0.1", 1), None, ("127.0.0.1", None), id="a proxy that says nothing"),
        pytest.param(("127.0.0.1", 1), "unknown", ("127.0.0.1", None), id="a proxy that says nonsense"),
        pytest.param(
            ("198.51.100.1", 1),
            "203.0.113.7",
            ("198.51.100.1", "198.51.100.1"),
            id="somebody who is no proxy",
        ),
        pytest.param(
            ("::ffff:127.0.0.1", 1), "203.0.113.7", ("127.0.0.1", "203.0.113.7"), id="a mapped address"
        ),
        pytest.param(None, "203.0.113.7", (None, None), id="nobody knows"),
        pytest.param(("what?", 1), "203.0.113.7", (None, None), id="what is no address"),
    ],
)
@pytest.mark.anyio
async def test_who_connected_and_whom_they_speak_for_are_written_down_apart(
    peer: tuple[str, int] | None, forwarded: str | None, written: tuple[str | None, str | None]
) -> None:
    records = Records()
    app = ClientAllowlist(
        Spy(), allowed_ips=["203.0.113.0/24"], address_from="x-forwarded-for", trusted_proxies=["127.0.0.1"]
    )
    headers = [] if forwarded is None else [("x-forwarded-for", forwarded)]

    await call(AuditLog(app, sink=records), http_scope(headers=headers, client=peer))

    (record,) = records.all
    assert (record["peer"], record["client"]) == written
    assert (record["verdict"] == "allow") is (record["client"] == "203.0.113.7")


@pytest.mark.anyio
async def test_of_what_is_refused_before_anybody_judged_the_client_the_peer_is_known() -> None:
    records = Records()

    await call(_gate(Spy(), records), http_scope("PUT"))

    (record,) = records.all
    assert (record["peer"], record["client"]) == ("127.0.0.1", None)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.anyio
async def test_a_stream_and_the_end_of_a_session_leave_one_whole_record(method: str) -> None:
    spy, records = Spy(b"", content_type="text/event-stream"), Records()
    headers = _authorized([("host", "docs.example.com"), ("mcp-protocol-version", "2025-11-25")])

    reply = await call(_gate(spy, records), http_scope(method, headers=headers))

    assert records.all == [
        {
            "time": "2027-01-15T08:00:00.000Z",
            "request_id": reply.header("x-request-id"),
            "verdict": "allow",
            "reason": None,
            "detail": None,
            "route": "docs.example.com",
            "host": "docs.example.com",
            "peer": "127.0.0.1",
            "client": "127.0.0.1",
            "principal": {"issuer": ISSUER, "subject": "alice", "client_id": "agent"},
            "http_method": method,
            "path": "/mcp",
            "protocol_version": None,
            "method": None,
            "target": None,
        }
    ]
    assert reply.status == 200


@pytest.mark.parametrize(
    ("method", "header", "reason"),
    [
        pytest.param("POST", "mcp-session-id", Reason.SESSION_UNKNOWN, id="a session"),
        pytest.param("GET", "mcp-session-id", Reason.SESSION_UNKNOWN, id="a session of a stream"),
        pytest.param("DELETE", "mcp-session-id", Reason.SESSION_UNKNOWN, id="a session that is to end"),
        pytest.param("GET", "last-event-id", Reason.EVENT_UNKNOWN, id="an event"),
    ],
)
@pytest.mark.anyio
async def test_a_handle_of_somebody_else_is_refused_and_not_written_down(
    method: str, header: str, reason: Reason
) -> None:
    spy, records = Spy(), Records()
    headers, body = legacy("tools/list")
    headers = [*_authorized(headers), (header, SECRET)]

    await call(_gate(spy, records), http_scope(method, headers=headers), body)

    assert records.verdicts == [("deny", reason)]
    assert SECRET not in json.dumps(records.all)
    assert spy.scopes == []


SECRET = "hunter2"
CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(CALL % ("search_docs", '{"q":"hunter2"}'), id="an allowed call"),
        pytest.param(CALL % ("drop_docs", '{"q":"hunter2"}'), id="a call that needs a scope"),
        pytest.param(CALL % ("unknown", '{"q":"hunter2"}'), id="a call of an unknown tool"),
        pytest.param(CALL % ("search_docs", '{"q":"hunter2","q":1}'), id="a member twice"),
        pytest.param(
            CALL % ("search_docs", '{"hunter2":1,"hunter2":1}'), id="a member twice whose name is secret"
        ),
        pytest.param(CALL % ("search_docs", '{"q":"hunter2\\ud800"}'), id="an unpaired surrogate"),
        pytest.param(CALL % ("search_docs", '{"q":"hunter2"'), id="an object without an end"),
        pytest.param(CALL % ("search_docs", '{"q":"hunter2",}'), id="a comma too much"),
        pytest.param(CALL % ("search_docs", '"hunter2"'), id="arguments that are a text"),
        pytest.param('["hunter2"]', id="a batch"),
        pytest.param('"hunter2"', id="a text"),
        pytest.param("hunter2", id="no JSON"),
    ],
)
@pytest.mark.anyio
async def test_arguments_are_never_part_of_a_record(body: str) -> None:
    records = Records()
    headers, _ = legacy("tools/call", {"name": "search_docs"})

    await call(_gate(Spy(), records), http_scope(headers=_authorized(headers)), body.encode())

    assert len(records.all) == 1
    assert SECRET not in json.dumps(records.all)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(Token(), id="a good token"),
        pytest.param(Token(claims={"scope": ""}), id="a token without scopes"),
        pytest.param(Token(claims={"exp": NOW - 60}), id="an old token"),
        pytest.param(
            Token(claims={"aud": "https://wiki.example.com/mcp"}), id="a token for another resource"
        ),
        pytest.param(Token(claims={"iss": "https://evil.example"}), id="a token of another issuer"),
        pytest.param(Token(header={"kid": "other"}), id="a token by an unknown key"),
        pytest.param(Token(header={"typ": "JWT"}), id="an ID token"),
        pytest.param(Token(claims={"client_id": None}), id="a token without a client"),
    ],
)
@pytest.mark.anyio
async def test_a_token_is_never_part_of_a_record(token: Token) -> None:
    spy, records = Spy(), Records()
    headers, body = legacy("tools/call", {"name": "search_docs"})
    minted = token.mint(NOW)

    reply = await call(
        _gate(spy, records), http_scope(headers=[*headers, ("authorization", f"Bearer {minted}")]), body
    )

    assert len(records.all) == 1
    for part in minted.split("."):
        assert part not in json.dumps(records.all)
        assert part not in repr(spy.scopes)
        assert part not in repr(reply)


IN_PLACE_OF_A_NAME = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmVkIGJ5IG5vYm9keQ"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        pytest.param(IN_PLACE_OF_A_NAME, "[token]", id="a token"),
        pytest.param(f"file:///{IN_PLACE_OF_A_NAME}/a", "file:///[token]/a", id="a token within a URI"),
        pytest.param(f"{IN_PLACE_OF_A_NAME} {IN_PLACE_OF_A_NAME}", "[token] [token]", id="two tokens"),
        pytest.param(IN_PLACE_OF_A_NAME.rpartition(".")[0], "[token]", id="a token without its signature"),
        pytest.param("eyJ_is_no_token", "eyJ_is_no_token", id="a name that begins like one"),
        pytest.param("search.docs.all", "search.docs.all", id="a name with dots"),
    ],
)
@pytest.mark.parametrize(
    ("method", "member"), [("tools/call", "name"), ("prompts/get", "name"), ("resources/read", "uri")]
)
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_token_in_place_of_what_is_asked_for_is_not_written_down(
    method: str, member: str, target: str, shown: str
) -> None:
    records = Records()
    headers, body = legacy(method, {member: target})

    await call(_gate(Spy(), records), http_scope(headers=_authorized(headers)), body)

    (record,) = records.all
    assert (record["verdict"], record["target"]) == ("deny", shown)
    assert [part for part in IN_PLACE_OF_A_NAME.split(".") if part in json.dumps(record)] == []


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Bearer secret.secret", id="two segments"),
        pytest.param("Bearer secret!", id="a character that no token has"),
        pytest.param("Basic c2VjcmV0OnNlY3JldA", id="another scheme"),
        pytest.param("secret", id="no scheme"),
    ],
)
@pytest.mark.anyio
async def test_credentials_that_are_no_token_are_not_recorded_either(value: str) -> None:
    records = Records()
    headers, body = legacy("tools/call", {"name": "search_docs"})

    await call(_gate(Spy(), records), http_scope(headers=[*headers, ("authorization", value)]), body)

    assert records.verdicts == [("deny", Reason.TOKEN_MALFORMED)]
    assert "secret" not in json.dumps(records.all)
    assert "c2Vj" not in json.dumps(records.all)


@pytest.mark.anyio
async def test_a_hostile_tool_name_is_one_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    name = 'x\r\n\x1b[2J{"verdict":"allow"}'
    headers, body = legacy("tools/call", {"name": name})

    await call(_gate(Spy(), file), http_scope(headers=_authorized(headers)), body)
    file.close()

    (line,) = path.read_bytes().splitlines()
    assert b"\x1b" not in line
    record = json.loads(line)
    assert (record["verdict"], record["target"]) == ("deny", name)


# The layer


@pytest.mark.anyio
async def test_the_layer_names_requests_and_their_times_as_it_is_told() -> None:
    records = Records()
    ids = iter(["first", "second"])
    app = AuditLog(Handover(Spy()), sink=records, clock=lambda: 0.0, new_id=lambda: next(ids))

    replies = [await call(app, http_scope()) for _ in range(2)]

    assert [each["request_id"] for each in records.all] == ["first", "second"]
    assert [each["time"] for each in records.all] == ["1970-01-01T00:00:00.000Z"] * 2
    assert [reply.header("x-request-id") for reply in replies] == ["first", "second"]


@pytest.mark.anyio
async def test_each_request_has_an_id_of_its_own_that_no_client_chooses() -> None:
    records = Records()
    app = AuditLog(Handover(Spy()), sink=records)

    for _ in range(3):
        await call(app, http_scope(headers=[("x-request-id", "chosen")]))

    ids = {each["request_id"] for each in records.all}
    assert len(ids) == 3
    assert "chosen" not in ids


@pytest.mark.anyio
async def test_with_the_layer_as_ordinary_middleware_an_allowed_request_leaves_its_record_too() -> None:
    spy, records = Spy(), Records()
    app = AuditLog(ToolAllowlist(spy, tools=["search_docs"]), sink=records)
    headers, body = legacy("tools/call", {"name": "search_docs"})

    reply = await call(app, http_scope(headers=headers), body)

    assert (reply.status, len(spy.scopes)) == (200, 1)
    assert records.verdicts == [("allow", None)]


@pytest.mark.anyio
async def test_with_the_layer_as_ordinary_middleware_nothing_is_answered_that_cannot_be_written_down() -> (
    None
):
    app = AuditLog(HostAllowlist(Spy(), hosts=["docs.example.com"]), sink=FullDisk())

    reply = await call(app, http_scope())

    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})


class Breaks:
    """An application that breaks before or after it has begun to answer."""

    def __init__(self, *, is_answering: bool) -> None:
        self.is_answering = is_answering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.is_answering:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError("secret")


@pytest.mark.anyio
async def test_a_layer_that_breaks_is_recorded_and_answered_without_its_details() -> None:
    records = Records()

    reply = await call(AuditLog(Breaks(is_answering=False), sink=records), http_scope())

    assert (reply.status, reply.json()) == (500, {"error": "internal_error"})
    assert records.verdicts == [("broken", Reason.INTERNAL_ERROR)]
    assert reply.header("x-request-id") == records.all[0]["request_id"]


@pytest.mark.anyio
async def test_an_application_that_breaks_was_allowed_and_is_answered_in_its_protocol() -> None:
    records = Records()
    headers, body = legacy("tools/call", {"name": "search_docs"}, message_id="a")

    reply = await call(
        _gate(Breaks(is_answering=False), records), http_scope(headers=_authorized(headers)), body
    )

    assert (reply.status, reply.json()) == (
        500,
        {
            "jsonrpc": "2.0",
            "id": "a",
            "error": {
                "code": -32603,
                "message": "Internal error",
                "data": {"requestId": records.all[0]["request_id"]},
            },
        },
    )
    assert records.verdicts == [("allow", None)]


@pytest.mark.anyio
async def test_an_application_that_breaks_while_it_answers_is_left_to_the_server() -> None:
    records = Records()

    with pytest.raises(ZeroDivisionError):
        await call(AuditLog(Handover(Breaks(is_answering=True)), sink=records), http_scope())
    assert records.verdicts == [("allow", None)]


class Fails:
    """An application that is somewhere else, and fails after it has sent so many messages."""

    def __init__(self, failure: UpstreamFailed, *sent: Message) -> None:
        self.failure = failure
        self.sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.sent:
            await send(message)
        raise self.failure


FAILURES = [
    pytest.param(Reason.UPSTREAM_NOT_ALLOWED, 502, "upstream_not_allowed", id="it may not be dialled"),
    pytest.param(Reason.UPSTREAM_UNREACHABLE, 502, "upstream_unreachable", id="it is not there"),
    pytest.param(Reason.UPSTREAM_TIMEOUT, 504, "upstream_timeout", id="it is slow"),
    pytest.param(Reason.UPSTREAM_INTERRUPTED, 502, "upstream_interrupted", id="it broke off"),
    pytest.param(Reason.ANSWER_NOT_VALID, 502, "upstream_answer_not_valid", id="it is no HTTP"),
    pytest.param(Reason.UPSTREAM_FAILING, 503, "upstream_failing", id="it was failing"),
    pytest.param(Reason.UPSTREAM_BUSY, 503, "upstream_busy", id="it has too much to do"),
    pytest.param(Reason.GATE_STOPPING, 503, "stopping", id="the gate stops"),
    pytest.param(Reason.BODY_TOO_LARGE, 413, "too_large", id="the request is too large"),
    pytest.param(Reason.INTERNAL_ERROR, 500, "internal_error", id="something of ours"),
]


@pytest.mark.parametrize(
    "allowed", [True, False], ids=["which was allowed", "without anybody who allowed it"]
)
@pytest.mark.parametrize(("reason", "status", "error"), FAILURES)
@pytest.mark.anyio
async def test_an_upstream_that_does_not_answer_is_answered_by_the_table_and_its_details_are_logged(
    *, reason: Reason, status: int, error: str, allowed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    records = Records()
    app: ASGIApp = Fails(UpstreamFailed(reason, "secret"))

    with caplog.at_level(logging.INFO, "tunnelgate"):
        reply = await call(AuditLog(Handover(app) if allowed else app, sink=records), http_scope())

    assert (reply.status, reply.json()) == (status, {"error": error})
    assert "secret" not in repr(reply)
    assert records.verdicts == [("allow", None) if allowed else ("broken", reason)]
    assert reply.header("x-request-id") == records.all[0]["request_id"]
    (logged,) = [each for each in caplog.records if each.name == "tunnelgate"]
    assert (logged.levelno, logged.exc_info) == (logging.WARNING, None)
    assert logged.getMessage().startswith(f"request {records.all[0]['request_id']}")
    assert logged.getMessage().endswith(f": {reason}: secret")


@pytest.mark.parametrize(("route", "named"), [("docs", " to docs"), (None, "")], ids=["its name", "nothing"])
@pytest.mark.parametrize("reason", [Reason.UPSTREAM_TIMEOUT, Reason.CALL_CANCELLED])
@pytest.mark.anyio
async def test_the_log_says_of_which_route_an_upstream_failed(
    reason: Reason, route: str | None, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        exchange_of(scope).route = route
        raise UpstreamFailed(reason, "why")

    client, records = Client(), Records()
    app = AuditLog(routed, sink=records, new_id=lambda: "8c1f")
    with caplog.at_level(logging.INFO, "tunnelgate"):
        await app(http_scope(), client.receive, client.send)

    assert [each.getMessage() for each in caplog.records] == [f"request 8c1f{named}: {reason}: why"]


@pytest.mark.parametrize(("seconds", "told"), [(None, None), (0.0, "0"), (4.2, "5"), (5.0, "5")])
@pytest.mark.anyio
async def test_whoever_is_to_ask_again_is_told_after_how_many_whole_seconds(
    seconds: float | None, told: str | None
) -> None:
    app = Fails(UpstreamFailed(Reason.UPSTREAM_FAILING, retry_after=seconds))

    reply = await call(AuditLog(Handover(app), sink=Records()), http_scope())

    assert (reply.status, reply.header("retry-after")) == (503, told)


START: Message = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([START], id="with the head of its answer"),
        pytest.param(
            [START, {"type": "http.response.body", "body": b"x", "more_body": True}], id="with a part of it"
        ),
        pytest.param([START, {"type": "http.response.body", "body": b"x"}], id="with all of it"),
    ],
)
@pytest.mark.anyio
async def test_an_upstream_that_fails_when_it_had_begun_is_left_to_the_server(sent: list[Message]) -> None:
    records, client = Records(), Client()
    failure = UpstreamFailed(Reason.UPSTREAM_INTERRUPTED, "closed in the middle of the body")

    with pytest.raises(UpstreamFailed) as raised:
        await AuditLog(Handover(Fails(failure, *sent)), sink=records)(
            http_scope(), client.receive, client.send
        )

    assert raised.value is failure
    assert [message["type"] for message in client.got] == [message["type"] for message in sent]
    assert records.verdicts == [("allow", None)]


@pytest.mark.parametrize("sent", [[], [START]], ids=["before an answer", "in an answer"])
@pytest.mark.anyio
async def test_a_client_that_went_away_is_answered_nothing_and_there_is_nothing_to_warn_of(
    sent: list[Message], caplog: pytest.LogCaptureFixture
) -> None:
    records, client = Records(), Client()
    app = Fails(UpstreamFailed(Reason.CALL_CANCELLED, "the client has gone"), *sent)

    with caplog.at_level(logging.INFO, "tunnelgate"):
        await AuditLog(Handover(app), sink=records)(http_scope(), client.receive, client.send)

    assert len(client.got) == len(sent)
    assert records.verdicts == [("allow", None)]
    assert [each.levelno for each in caplog.records] == [logging.INFO]
    assert caplog.records[0].getMessage().endswith(": call-cancelled: the client has gone")


@pytest.mark.anyio
async def test_a_websocket_of_an_upstream_is_closed() -> None:
    client = Client()
    scope = {**http_scope("GET"), "type": "websocket"}

    await AuditLog(Fails(UpstreamFailed(Reason.WEBSOCKET_NOT_ALLOWED)), sink=Records())(
        scope, client.receive, client.send
    )

    assert client.got == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.anyio
async def test_a_failure_that_cannot_be_written_down_is_unavailable() -> None:
    app = Fails(UpstreamFailed(Reason.UPSTREAM_UNREACHABLE))

    reply = await call(AuditLog(app, sink=FullDisk()), http_scope())

    assert (reply.status, reply.json()) == (503, {"error": "unavailable"})


class Broke:
    """A sink that fails in its own way."""

    def write(self, record: Mapping[str, Any]) -> None:
        raise ConnectionResetError("the collector went away")


TOOL_CALL = legacy("tools/call", {"name": "search_docs"})
UNKNOWN_TOOL = legacy("tools/call", {"name": "unknown"})
REQUESTS = [
    pytest.param(
        http_scope(headers=_authorized(TOOL_CALL[0])), TOOL_CALL[1], -32603, id="an allowed call of a tool"
    ),
    pytest.param(
        http_scope(headers=_authorized(UNKNOWN_TOOL[0])), UNKNOWN_TOOL[1], -32603, id="a call that is refused"
    ),
    pytest.param(http_scope(headers=TOOL_CALL[0]), TOOL_CALL[1], None, id="a call without a token"),
    pytest.param(
        http_scope("GET", headers=_authorized([("host", "docs.example.com")])), b"", -32603, id="a stream"
    ),
    pytest.param(
        http_scope("DELETE", headers=_authorized([("host", "docs.example.com")])),
        b"",
        -32603,
        id="the end of a session",
    ),
    pytest.param(http_scope(headers=[("host", "evil.example")]), b"", None, id="an unknown host"),
    pytest.param(http_scope("PUT"), b"", None, id="a request that hygiene refuses"),
    pytest.param(http_scope("GET", "/healthz"), b"", None, id="a public path"),
    pytest.param(
        http_scope("GET", "/.well-known/oauth-protected-resource"),
        b"",
        None,
        id="the metadata of the resource",
    ),
    pytest.param(http_scope("GET", "/other"), b"", None, id="a path that is not served"),
]


@pytest.mark.promise("recorded-first")
@pytest.mark.parametrize(
    "sink",
    [
        pytest.param(FullDisk(), id="a full disk"),
        pytest.param(Broke(), id="a sink that fails in its own way"),
    ],
)
@pytest.mark.parametrize(("scope", "body", "code"), REQUESTS)
@pytest.mark.anyio
async def test_when_the_audit_sink_fails_nothing_is_forwarded_and_the_answer_is_503(
    scope: Scope, body: bytes, code: int | None, sink: AuditSink
) -> None:
    spy = Spy()

    reply = await call(_gate(spy, sink), dict(scope), body)

    assert reply.status == 503
    if code is None:
        assert reply.json() == {"error": "unavailable"}
    else:
        assert reply.json()["error"] == {
            "code": code,
            "message": "Temporarily unavailable",
            "data": {"requestId": reply.header("x-request-id")},
        }
    assert len(reply.header("x-request-id") or "") == 16
    assert reply.header("www-authenticate") is None
    assert spy.scopes == []


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.anyio
async def test_a_gate_whose_disk_is_full_forwards_nothing() -> None:
    spy, file = Spy(), AuditFile(FULL)
    headers, body = legacy("tools/call", {"name": "search_docs"})

    reply = await call(_gate(spy, file), http_scope(headers=_authorized(headers)), body)
    file.close()

    assert (reply.status, spy.scopes) == (503, [])


@pytest.mark.promise("recorded-first")
@pytest.mark.anyio
async def test_with_the_whole_chain_the_record_is_written_before_the_application_is_called() -> None:
    order: list[str] = []

    class Log(Records):
        def write(self, record: Mapping[str, Any]) -> None:
            order.append(f"record: {record['verdict']} {record['target']}")

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        order.append("application: called")
        await Spy()(scope, receive, send)

    headers, body = legacy("tools/call", {"name": "search_docs"})
    await call(_gate(application, Log()), http_scope(headers=_authorized(headers)), body)

    assert order == ["record: allow search_docs", "application: called"]


def test_a_file_of_records_knows_whether_it_is_where_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with closing(AuditFile(path)) as file:
        assert file.is_in_place
        path.rename(tmp_path / "audit.jsonl.1")
        assert not file.is_in_place
        path.touch()
        assert not file.is_in_place
        (tmp_path / "audit.jsonl.1").replace(path)
        assert file.is_in_place

    assert not file.is_in_place
    with closing(AuditFile("-")) as standard_output:
        assert standard_output.is_in_place
