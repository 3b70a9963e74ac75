"""Every vector of the corpus, as octets over a real connection to a whole gate, with either parser.

What stands behind the gate is mounted in it, or is a server elsewhere.
"""

import base64
import json
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.mcp import LEGACY
from tests.support.raw import (
    DANGER,
    IDN_HOST,
    LEGACY_HEADERS,
    SAFE,
    Canned,
    Outcome,
    RawGate,
    call_of,
    chunked,
    request_of,
)
from tests.support.remote import GATES, open_gate, said_by_gate

CORPUS = Path(__file__).parents[1] / "corpus"
MAX_BODY = 1024 * 1024
# Said in words in the corpus, because no plain HTTP/1.1 says them.
EXCLUDED = {"H080": "SNI belongs to a listener with TLS, which the gate does not have yet"}
NOT_HTTP_1 = {"H079": "the octets that it has are the pseudo headers of HTTP/2, and no request at all"}


@dataclass(frozen=True)
class Vector:
    """One line of the corpus."""

    id: str
    description: str
    expected: Literal["allow", "deny", "error"]
    status: int | None = None
    rpc_code: int | None = None
    why: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    raw_headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: str | None = None
    body_base64: str | None = None
    raw_request: str = ""
    raw_request_base64: str = ""

    @property
    def octets(self) -> bytes:
        """The body."""
        if self.body_base64 is not None:
            return base64.b64decode(self.body_base64)
        return (self.body or "").encode()

    @property
    def request(self) -> bytes:
        """The whole request, of those that are given so."""
        return base64.b64decode(self.raw_request_base64)

    @property
    def is_answer(self) -> bool:
        return self.headers.get("direction") == "response"


def read_corpus(name: str) -> list[Vector]:
    lines = (CORPUS / name).read_text("utf-8").splitlines()
    return [Vector(**json.loads(line)) for line in lines]


JSON_RPC = read_corpus("jsonrpc-attacks.jsonl")
HOSTS = read_corpus("host-attacks.jsonl")
MESSAGES = [vector for vector in JSON_RPC if not vector.is_answer]
ANSWERS = [vector for vector in JSON_RPC if vector.is_answer]
REQUESTS = [vector for vector in HOSTS if vector.id not in {**EXCLUDED, **NOT_HTTP_1}]


def named(vector: Vector) -> str:
    return f"{vector.id} {vector.description}".encode("ascii", "backslashreplace").decode()


@pytest.fixture(scope="module", params=GATES)
def gate(request: pytest.FixtureRequest) -> Generator[RawGate]:
    with open_gate(*request.param) as running:
        yield running


def test_nothing_of_the_corpus_is_left_out_but_what_needs_tls() -> None:
    assert {vector.id for vector in HOSTS} - {vector.id for vector in REQUESTS} == {"H079", "H080"}
    assert set(EXCLUDED) == {"H080"}
    assert {vector.id for vector in JSON_RPC} == {vector.id for vector in MESSAGES + ANSWERS}
    assert (len(MESSAGES), len(ANSWERS), len(REQUESTS)) == (71, 6, 53)
    assert len({vector.id for vector in JSON_RPC + HOSTS}) == len(JSON_RPC + HOSTS)


def check(vector: Vector, outcome: Outcome) -> None:
    """Check what came of a vector against what the corpus expects."""
    if vector.expected == "allow":
        outcome.check_allowed()
        assert vector.status in (None, 200)
        return
    outcome.check_refused(*([vector.status] if vector.status else range(400, 500)))
    assert all(status < 500 or status == vector.status for status in outcome.statuses)
    if vector.rpc_code is not None:
        assert outcome.rpc_code == vector.rpc_code, outcome.reasons
        assert outcome.answer.json()["id"] == 1


def message_request(gate: RawGate, vector: Vector, *, by_length: bool = True) -> bytes:
    """Return the request that a vector describes."""
    replaced = {name for name, _ in vector.raw_headers}
    own = [pair for pair in vector.headers.items() if pair[0] != ":method" and pair[0] not in replaced]
    headers = [("host", "mcp.example.com"), *own, *vector.raw_headers, gate.bearer()]
    body = vector.octets
    if vector.id == "J098":
        body = padded(vector, MAX_BODY + 1)
    if vector.id == "J101":
        (original,) = (each for each in MESSAGES if each.id == "J002")
        return request_of(chunked(original.octets, size=1), headers)
    if not by_length:
        headers.append(("transfer-encoding", "chunked"))
    if "transfer-encoding" in dict(headers):
        body = chunked(body, size=65536)
    return request_of(
        body,
        headers,
        method=vector.headers.get(":method", "POST"),
        # What follows a body that is shorter than it is said to be must be read as a request.
        close="content-length" not in dict(headers),
    )


def padded(vector: Vector, size: int) -> bytes:
    """Return the body of a vector with its padding, ``size`` octets in all."""
    before, marker, after = vector.octets.partition(b"<pad to limit+1>")
    assert marker
    return before + b"x" * (size - len(before) - len(after)) + after


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("vector", MESSAGES, ids=named)
def test_a_message_is_let_through_or_refused_as_the_corpus_says(gate: RawGate, vector: Vector) -> None:
    outcome = gate.send(message_request(gate, vector))

    check(vector, outcome)
    if vector.expected == "allow":
        (forwarded,) = outcome.forwarded
        assert json.loads(forwarded.body) == json.loads(vector.octets)
        assert outcome.executed == [SAFE]
        assert outcome.answer.json()["result"]["content"]


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("vector", MESSAGES, ids=named)
def test_a_message_that_arrives_in_small_pieces_is_judged_the_same(gate: RawGate, vector: Vector) -> None:
    request = message_request(gate, vector)
    size = 1 if len(request) < 2048 else 64 * 1024

    check(vector, gate.send([request[start : start + size] for start in range(0, len(request), size)]))


# A body that is not announced by its length is only counted while it is read.
@pytest.mark.promise("bounded")
@pytest.mark.parametrize("by_length", [True, False], ids=["of known length", "in chunks"])
def test_a_body_at_the_bound_passes_and_one_octet_more_does_not(gate: RawGate, *, by_length: bool) -> None:
    (vector,) = (each for each in MESSAGES if each.id == "J098")
    coding = [] if by_length else [("transfer-encoding", "chunked")]
    headers = [*LEGACY_HEADERS, gate.bearer(), *coding]

    def send(size: int) -> Outcome:
        body = padded(vector, size)
        return gate.send(request_of(body if by_length else chunked(body, size=65536), headers))

    send(MAX_BODY).check_allowed()
    check(vector, send(MAX_BODY + 1))


def with_token(request: bytes, *headers: tuple[str, str]) -> bytes:
    """Return a request with more headers before its first empty line."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    head, end, rest = request.partition(b"\r\n\r\n")
    assert end
    return head + b"\r\n" + lines + b"\r\n" + rest


@pytest.mark.promise("host-exact")
@pytest.mark.parametrize("vector", REQUESTS, ids=named)
def test_a_request_with_a_token_is_let_through_or_refused_as_the_corpus_says(
    gate: RawGate, vector: Vector
) -> None:
    host = IDN_HOST if vector.id == "H047" else "mcp.example.com"
    headers = [gate.bearer(host), ("MCP-Protocol-Version", LEGACY), ("Accept", "text/event-stream")]

    outcome = gate.send(with_token(vector.request, *headers))

    check(vector, outcome)
    if vector.expected == "allow":
        (forwarded,) = outcome.forwarded
        assert forwarded.method == "GET"
        assert forwarded.header("host") == host
        assert forwarded.raw_path == b"/mcp"
        overriding = {name: value for name, value in forwarded.headers if name.startswith("x-")}
        del overriding["x-request-id"]
        said = said_by_gate(gate, host)
        assert overriding == {name: value for name, value in said.items() if name.startswith("x-")}
        assert outcome.answer.header("content-type") == "text/event-stream"


@pytest.mark.promise("host-exact")
@pytest.mark.parametrize("vector", REQUESTS, ids=named)
def test_a_request_as_it_stands_in_the_corpus_is_never_let_through(gate: RawGate, vector: Vector) -> None:
    outcome = gate.send(vector.request)

    if vector.expected == "allow":
        outcome.check_refused(401)  # it lacks nothing but the token
        assert outcome.reasons == ["token-missing"]
    else:
        check(vector, outcome)


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize("ending", [b"", b"\r\n"], ids=["unfinished", "with an empty line at the end"])
def test_the_pseudo_headers_of_http_2_are_no_request(gate: RawGate, ending: bytes) -> None:
    (vector,) = (each for each in HOSTS if each.id in NOT_HTTP_1)

    outcome = gate.send(vector.request + ending, unfinished=True)

    outcome.check_accounts()
    assert outcome.forwarded == []
    assert outcome.records == []
    # h11 looks at a head when it is whole.
    is_silent = gate.parser == "h11" and not ending
    assert outcome.statuses == ([] if is_silent else [vector.status])


def data_of(stream: bytes) -> list[Any]:
    """Return the messages in an event stream that has been written with one ``LF`` a line."""
    events = [block for block in stream.decode("utf-8").split("\n\n") if block]
    return [
        json.loads(
            "\n".join(line.removeprefix("data: ") for line in block.split("\n") if line[:5] == "data:")
        )
        for block in events
    ]


# From a server elsewhere, what was sent in pieces may arrive in fewer.
@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("vector", ANSWERS, ids=named)
@pytest.mark.parametrize("octetwise", [False, True], ids=["at once", "octet by octet"])
def test_an_answer_shows_nothing_that_is_not_listed(
    gate: RawGate, vector: Vector, *, octetwise: bool
) -> None:
    body = vector.octets
    headers = {"content-type": "application/json", **vector.headers}
    del headers["direction"]
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    pieces = [body[at : at + 1] for at in range(len(body))] if octetwise else [body]

    gate.app.canned = Canned(pairs, pieces)
    try:
        outcome = gate.ask('{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
    finally:
        gate.app.canned = None

    outcome.check_accounts()
    assert len(outcome.forwarded) == 1
    answer = outcome.answer
    assert DANGER.encode() not in answer.body
    assert b"html" not in answer.body
    if vector.status is not None:
        assert answer.status == vector.status
        assert outcome.rpc_code == -32603
        assert answer.json()["id"] == 1
    elif vector.expected == "allow":
        assert answer.status == 200
        assert data_of(answer.body) == [{"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}]
    else:
        assert answer.status == 200
        assert all("result" not in message for message in data_of(answer.body))


def test_the_gate_that_the_corpus_is_sent_to_serves_the_safe_tool_and_no_other(gate: RawGate) -> None:
    listed = gate.ask('{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
    called = gate.ask(call_of(SAFE))
    denied = gate.ask(call_of(DANGER))

    assert [tool["name"] for tool in listed.answer.json()["result"]["tools"]] == [SAFE]
    called.check_allowed()
    assert called.executed == [SAFE]
    denied.check_refused(200)
    assert denied.rpc_code == -32602
