"""The gate's first promise about messages: what was judged is what is sent, and nothing else is."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import Phase, event, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.json_texts import Draw, Sketch, Verbatim, encoded, scalars, sketches, variants
from tests.fuzz.other_readers import OTHERS, folding, seen_by, seen_by_the_gate
from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.mcp import legacy, modern
from tests.support.tokens import ISSUER
from tunnelgate import Principal, ToolAllowlist
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import exchange_of
from tunnelgate.handles import Handles
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import Message, read_message
from tunnelgate.reading.methods import CLIENT_METHODS, LOG_LEVELS
from tunnelgate.reading.mirrored import read_header, write_header
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate.requirements import Requirement
from tunnelgate.sealing import Sealer

SEALER = Sealer.random()
SCOPES = ("a", "b")
CLAIMS: Sequence[Mapping[str, Any]] = ({}, {"team": "x"}, {"team": ["x", "y"]}, {"team": True}, {"Team": "x"})
LETTERS = st.sampled_from(
    ["a", "A", "b", "_", "é", "e\u0301", "ﬁ", "fi", "\u0430", "\u017f", "s", " ", "\n", "/"]
)
NAMES = st.lists(LETTERS, min_size=1, max_size=2).map("".join)
# URIs of servers, with what lies beside the listed ones, above them and beneath them.
URIS = st.sampled_from(
    [
        *(
            "docs:///guide.md",
            "docs:///GUIDE.md",
            "docs:///a/b",
            "docs:///a/../b",
            "docs:///a/%2e%2e/b",
            "docs:///a%2Fb",
        ),
        *("docs:///", "docs://x/guide.md", "DOCS:///guide.md", "docs:///guide.md?x=1", "docs:///guide.md#x"),
        *(
            "test://template/1/data",
            "test://template//data",
            "test://template/1/2/data",
            "test://template/%31/data",
        ),
        *(
            "test://template/{id}/data",
            "docs:///{+path}",
            "docs:///gu\u0131de.md",
            "x",
            "docs:///a//b",
            "docs:///a\\b",
        ),
    ]
)
LISTED_URIS = st.sampled_from(
    ["docs:///guide.md", "docs:///a/b", "docs:///{+path}", "test://template/{id}/data", "docs:///{a}/b"]
)
REQUIREMENTS = st.just(Requirement()) | st.builds(
    Requirement,
    scopes=st.sets(st.sampled_from(SCOPES)).map(sorted),
    claims=st.sampled_from([{}, {}, {"team": "x"}, {"team": ["y", "z"]}]),
)


def _catalogues(names: st.SearchStrategy[str]) -> st.SearchStrategy[Mapping[str, Requirement]]:
    some = st.dictionaries(names, REQUIREMENTS, min_size=1, max_size=3)
    return st.one_of(some, some, some, st.just(dict[str, Requirement]()))


@dataclass(frozen=True)
class Rules:
    """A policy, as somebody writes it."""

    tools: Mapping[str, Requirement] = field(default_factory=dict[str, Requirement])
    prompts: Mapping[str, Requirement] = field(default_factory=dict[str, Requirement])
    resources: Mapping[str, Requirement] = field(default_factory=dict[str, Requirement])
    methods: tuple[str, ...] = ()
    log_level: str | None = None
    tasks: bool = False

    def gate(self, app: ASGIApp) -> ToolAllowlist:
        return ToolAllowlist(
            app,
            tools=self.tools,
            prompts=self.prompts,
            resources=self.resources,
            methods=self.methods,
            log_level=self.log_level,
            tasks=self.tasks,
            sealer=SEALER,
        )


RULES = st.builds(
    Rules,
    tools=_catalogues(NAMES),
    prompts=_catalogues(NAMES),
    resources=_catalogues(LISTED_URIS),
    methods=st.sampled_from([(), ("x/y",)]),
    log_level=st.none() | st.sampled_from(LOG_LEVELS),
    tasks=st.booleans(),
).filter(lambda rules: bool(rules.tools or rules.prompts or rules.resources or rules.methods))
PRINCIPALS = st.none() | st.builds(
    Principal,
    issuer=st.just(ISSUER),
    subject=st.just("alice"),
    client_id=st.just("agent"),
    scopes=st.frozensets(st.sampled_from(SCOPES)),
    claims=st.sampled_from(CLAIMS),
)
OPEN = Rules(
    tools={"search": Requirement()},
    prompts={"review": Requirement()},
    resources={"docs:///guide.md": Requirement()},
)


@dataclass(frozen=True)
class Attempt:
    """One request of somebody through a gate."""

    rules: Rules
    principal: Principal | None
    headers: Headers
    body: bytes


# Writing messages


@st.composite
def attempts(draw: Draw) -> Attempt:
    """Return requests of which many are allowed, and some are nothing that anybody has seen."""
    rules: Rules = draw(RULES)
    principal: Principal | None = draw(PRINCIPALS)
    percent = draw(st.sampled_from([0, 0, 0, 1, 4, 20]))
    method, params = _called(draw, rules, principal)
    is_modern = draw(st.booleans())
    if is_modern:
        meta: Sketch = [
            ("io.modelcontextprotocol/protocolVersion", "2026-07-28"),
            ("io.modelcontextprotocol/clientCapabilities", []),
        ]
        params = [*params, ("_meta", meta)]
    message: list[tuple[str, Sketch]] = [
        ("jsonrpc", "2.0"),
        ("method", method),
        ("params", params if percent < 20 else draw(st.just(params) | sketches)),
    ]
    if _usually(draw):
        message.append(("id", draw(st.sampled_from([Verbatim("1"), "a"]) if _usually(draw) else scalars)))
    body = draw(encoded(draw(st.permutations(message)), percent))
    return Attempt(rules, principal, _headers(draw, method, params, is_modern=is_modern), body)


def _called(draw: Draw, rules: Rules, principal: Principal | None) -> tuple[str, list[tuple[str, Sketch]]]:
    arguments: Sketch = draw(st.just([]) | st.just([("q", "a"), ("Q", "b")]) | st.just([("q", "a")]))
    tool = draw(_some(rules.tools) if _usually(draw) else _some(rules.tools).map(str.upper) | NAMES)
    prompt = draw(_some(rules.prompts) if _usually(draw) else _some(rules.prompts).map(str.upper) | NAMES)
    uri = draw(_some(rules.resources) if _usually(draw) else URIS)
    level = draw(st.sampled_from(LOG_LEVELS))
    page = Handles(SEALER, None, principal).cursor("tools/list", "2")
    completed: Sketch = (
        [("name", draw(st.sampled_from(["path", "id", "a"]))), ("value", "")] if _usually(draw) else arguments
    )
    references: Sequence[Sketch] = (
        [("type", "ref/prompt"), ("name", prompt)],
        [("type", "ref/resource"), ("uri", uri)],
    )
    calls: Sequence[tuple[str, list[tuple[str, Sketch]]]] = (
        ("tools/call", [("name", tool), ("arguments", arguments)]),
        ("tools/call", [("name", tool)]),
        ("tools/call", [("name", tool), ("task", [("ttl", Verbatim("1"))])]),
        ("prompts/get", [("name", prompt), ("arguments", arguments)]),
        *((f"resources/{what}", [("uri", uri)]) for what in ("read", "subscribe", "unsubscribe")),
        ("completion/complete", [("ref", draw(st.sampled_from(references))), ("argument", completed)]),
        ("logging/setLevel", [("level", level)]),
        ("tools/list", [("cursor", page if _usually(draw) else "2")]),
        ("subscriptions/listen", [("notifications", [("resourceSubscriptions", (uri,))])]),
        ("x/y", [("name", tool), ("uri", uri), ("anything", arguments)]),
    )
    method: str
    params: list[tuple[str, Sketch]]
    method, params = draw(st.sampled_from(calls))
    if not _usually(draw):
        method = draw(st.sampled_from(sorted(CLIENT_METHODS)) | st.sampled_from(variants("tools/call")))
    return method, params


def _usually(draw: Draw) -> bool:
    return bool(draw(st.integers(0, 9)) < 9)


def _some(listed: Mapping[str, Requirement]) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(listed)) if listed else NAMES


def _headers(draw: Draw, method: str, params: Sequence[tuple[str, Sketch]], *, is_modern: bool) -> Headers:
    headers = [("host", "docs.example.com"), ("content-type", "application/json")]
    named = dict(params)
    name = named.get("name", named.get("uri"))
    if draw(st.integers(0, 19)) == 19:
        name, method = draw(NAMES), draw(st.sampled_from([method, "tools/list", "ping"]))
    if is_modern:
        headers += [("mcp-protocol-version", "2026-07-28"), ("mcp-method", write_header(method).decode())]
        if isinstance(name, str):
            headers.append(("mcp-name", write_header(name).decode()))
    else:
        versions = st.sampled_from(["2025-11-25", "2025-11-25", "2025-06-18", "2026-07-28", "1"])
        headers += [("mcp-protocol-version", draw(versions))] if draw(st.booleans()) else []
    return headers


# Asking


class _Recorder:
    """Stands around a gate: says who asks, and keeps what the gate found out about the request."""

    def __init__(self, app: ASGIApp, principal: Principal | None) -> None:
        self._app = app
        self._principal = principal
        self.message: Message | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.principal = self._principal
        await self._app(scope, receive, send)
        self.message = exchange.message


def _try(attempt: Attempt) -> tuple[Spy, Message | None, Reply]:
    spy = Spy()
    recorder = _Recorder(attempt.rules.gate(spy), attempt.principal)
    reply = asyncio.run(call(recorder, http_scope(headers=attempt.headers), attempt.body))
    return spy, recorder.message, reply


def _meets(principal: Principal | None, requirement: Requirement) -> bool:
    granted: frozenset[str] = frozenset() if principal is None else principal.scopes
    for name, values in requirement.claims:
        found = None if principal is None else principal.claims.get(name)
        if not any(each in values for each in (found if is_array(found) else [found])):
            return False
    return granted.issuperset(requirement.scopes)


def _may_be_read(uri: str, rules: Rules, principal: Principal | None) -> bool:
    """Return whether somebody who reads templates generously would find this URI among the listed."""
    about = [
        requirement
        for entry, requirement in rules.resources.items()
        if uri == entry or ("{" in entry and uri.startswith(entry.partition("{")[0]))
    ]
    return ".." not in uri and any(_meets(principal, requirement) for requirement in about)


def _is_permitted(members: Any, rules: Rules, principal: Principal | None) -> bool:
    """Judge what arrived behind the gate by the policy alone, in the simplest words that there are."""
    method, params = members["method"], members.get("params", {})
    match method:
        case "tools/call":
            return params["name"] in rules.tools and _meets(principal, rules.tools[params["name"]])
        case "prompts/get":
            return params["name"] in rules.prompts and _meets(principal, rules.prompts[params["name"]])
        case "resources/read" | "resources/subscribe" | "resources/unsubscribe":
            return _may_be_read(params["uri"], rules, principal)
        case "completion/complete" if params["ref"]["type"] == "ref/prompt":
            return params["ref"]["name"] in rules.prompts
        case "completion/complete":
            return _may_be_read(params["ref"]["uri"], rules, principal)
        case "tools/list" if params.get("cursor") is not None:
            return bool(params["cursor"] == "2")  # by the server's own name, whatever the caller called it
        case "subscriptions/listen":
            uris = params["notifications"].get("resourceSubscriptions", ())
            return all(_may_be_read(uri, rules, principal) for uri in uris)
        case "logging/setLevel":
            allowed = rules.log_level
            return allowed is not None and LOG_LEVELS.index(params["level"]) >= LOG_LEVELS.index(allowed)
        case _:
            return method in rules.methods or (method in CLIENT_METHODS and not method.startswith("tasks/"))


def _check_forwarded(attempt: Attempt, spy: Spy, message: Message | None) -> None:
    (body,) = spy.bodies
    assert message is not None
    gate = seen_by_the_gate(message)
    for who, read in OTHERS.items():
        assert seen_by(read, body) == gate, f"{who} finds something else in what was forwarded"
        assert seen_by(read, attempt.body) == gate, f"{who} finds something else in what came"
        assert read(body)["jsonrpc"] == "2.0"
    assert orjson.dumps(orjson.loads(body)) == body
    assert _is_permitted(json.loads(body), attempt.rules, attempt.principal)
    headers = spy.seen_headers
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"] == "application/json"
    if message.is_modern:
        assert read_header(headers["mcp-method"].encode()) == message.method
        names = json.loads(body).get("params", {})
        if "mcp-name" in headers and message.method != "completion/complete":
            said = read_header(headers["mcp-name"].encode())
            assert said in (names.get("name"), names.get("uri"))
    else:
        assert not {"mcp-method", "mcp-name"} & headers.keys()


def _check_refused(reply: Reply) -> None:
    content = reply.json()
    assert reply.status < 500
    assert reply.header("x-request-id")
    assert isinstance(content["error"], str) or {"code", "message"} <= content["error"].keys()
    assert "result" not in content


@pytest.mark.promise("judged-is-sent")
@given(attempt=attempts())
@settings(max_examples=300)
@example(
    Attempt(
        OPEN,
        None,
        legacy("tools/list")[0],
        b'{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"review","Name":"other"}}',
    )
)
@example(
    Attempt(
        OPEN,
        None,
        legacy("tools/list")[0],
        b'{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"docs:///guide.md","u\\u0072I":"x"}}',
    )
)
@example(
    Attempt(
        OPEN,
        None,
        legacy("tools/list")[0],
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"SEARCH"}}',
    )
)
@example(
    Attempt(
        Rules(methods=("x/y",)),
        None,
        legacy("tools/list")[0],
        b'{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"name":"a","Name":"b"}}',
    )
)
def test_everybody_behind_the_gate_reads_what_the_gate_has_judged(attempt: Attempt) -> None:
    spy, message, reply = _try(attempt)

    if spy.bodies:
        event("forwarded")
        _check_forwarded(attempt, spy, message)
    else:
        event(f"refused with {reply.status}")
        _check_refused(reply)


def _code(reply: Reply) -> int | None:
    error: Any = reply.json().get("error")
    return error["code"] if is_object(error) else None


def test_the_messages_that_are_tried_are_forwarded_and_refused_in_every_way() -> None:
    reached: set[tuple[Any, ...]] = set()

    @given(attempt=attempts())
    @settings(max_examples=600, phases=[Phase.generate], database=None, derandomize=True)
    def try_all(attempt: Attempt) -> None:
        spy, message, reply = _try(attempt)
        if spy.bodies and message is not None:
            reached.add((message.method, "modern" if message.is_modern else "legacy"))
        else:
            reached.add((reply.status, _code(reply)))

    try_all()

    calls = {"tools/call", "prompts/get", "resources/read"}
    assert calls <= {what for what, _ in reached}
    assert {("tools/call", "legacy"), ("tools/call", "modern")} <= reached
    assert {(200, -32601), (200, -32602), (400, -32020), (400, -32600), (400, -32700), (403, None)} <= reached


# Reading whatever comes

HEADER_VALUES = st.text(st.characters(max_codepoint=255), max_size=20)
HEADER_NAMES = st.sampled_from(
    [
        "content-type",
        "content-encoding",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "x",
    ]
)
ANY_HEADERS = st.lists(
    st.tuples(HEADER_NAMES, HEADER_VALUES)
    | st.sampled_from(
        [
            ("content-type", "application/json"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-protocol-version", "2025-11-25"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?/w==?="),
            ("last-event-id", "1"),
        ]
    ),
    max_size=6,
)
ANY_BODY = st.binary(max_size=200) | sketches.flatmap(lambda sketch: encoded(sketch, 10))


@given(body=ANY_BODY, headers=ANY_HEADERS)
def test_a_reader_raises_nothing_but_faults(body: bytes, headers: Headers) -> None:
    given_headers = {name.encode(): value.encode("latin-1") for name, value in headers}

    try:
        message = read_message(body, given_headers)
    except Fault:
        return
    assert read_message(message.canonical, given_headers) == message


@given(
    method=st.sampled_from(["POST", "POST", "GET", "DELETE", "PUT", "OPTIONS", "X" * 100]),
    headers=ANY_HEADERS,
    body=ANY_BODY | attempts().map(lambda attempt: attempt.body),
    chunk=st.integers(1, 50),
)
def test_whatever_comes_is_answered_once_and_never_by_an_exception(
    method: str, headers: Headers, body: bytes, chunk: int
) -> None:
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]

    reply = asyncio.run(call(OPEN.gate(Spy()), http_scope(method, headers=headers), chunks))

    assert reply.status in {200, 202, 400, 404, 405, 415, 502}


# Listing


@dataclass(frozen=True)
class Area:
    """A list of a server, how an entry is named in it, and how it is asked for."""

    listing: str
    member: str
    name: str
    calling: str
    rules: str


AREAS = [
    pytest.param(Area("tools/list", "tools", "name", "tools/call", "tools"), id="tools"),
    pytest.param(Area("prompts/list", "prompts", "name", "prompts/get", "prompts"), id="prompts"),
    pytest.param(Area("resources/list", "resources", "uri", "resources/read", "resources"), id="resources"),
]


def _in_json(message: bytes) -> Spy:
    return Spy(message)


def _in_a_stream(message: bytes) -> Spy:
    lines = b"\r\n".join(b"data:" + line for line in message.replace(b"\r", b"\n").split(b"\n"))
    return Spy(
        b": hello\r\nid: 1\r\n\r\nevent: message\r\n" + lines + b"\r\n\r\n", content_type="text/event-stream"
    )


def _message_in(reply: Reply) -> bytes:
    if reply.header("content-type") == "application/json":
        return reply.body
    *_, last = reply.body.split(b"\n\ndata: ") if reply.body.startswith(b"data: ") else [reply.body]
    lines = [line.removeprefix(b"data: ") for line in last.split(b"\n") if line.startswith(b"data: {")]
    return lines[-1]


def _names_in(reply: Reply, area: Area) -> list[str] | None:
    """Return the names in a list as every reader finds them, and `None` where there is no list."""
    message = _message_in(reply)
    found: list[list[str]] = []
    for read in OTHERS.values():
        result = read(message).get("result")
        if result is None:
            return None
        found.append([entry[area.name] for entry in result[area.member]])
    assert found == [found[0]] * len(found), "readers find different lists"
    return found[0]


def _ask(app: ASGIApp, principal: Principal | None, era: Any, method: str, params: Any = None) -> Reply:
    headers, body = era(method, params)
    sent = [
        (name, write_header(value).decode() if name in ("mcp-name", "mcp-method") else value)
        for name, value in headers
    ]
    return asyncio.run(call(_Recorder(app, principal), http_scope(headers=sent), body))


def _exists(reply: Reply) -> bool:
    """Return whether the answer to a call says, in one way or another, that there is such a thing."""
    return _code(reply) not in (-32600, -32601, -32602)


@st.composite
def _answers(draw: Draw, area: Area, rules: Rules) -> bytes:
    listed = sorted(getattr(rules, area.rules))
    names = (URIS if area.name == "uri" else NAMES) | (st.sampled_from(listed) if listed else st.nothing())
    entries = tuple(
        [
            (area.name, name),
            ("title", "x"),
            *draw(st.sampled_from([[], [("inputSchema", [])], [("_meta", [])]])),
        ]
        for name in draw(st.lists(names, max_size=5))
    )
    result: Sketch = [
        (area.member, entries),
        *draw(
            st.sampled_from([[], [("nextCursor", "2")], [("cacheScope", "public"), ("ttlMs", Verbatim("1"))]])
        ),
    ]
    message: Sketch = [("jsonrpc", "2.0"), ("id", Verbatim("1")), ("result", result)]
    octets: bytes = draw(encoded(message, draw(st.sampled_from([0, 0, 0, 1, 3]))))
    return octets


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("form", [_in_json, _in_a_stream])
@pytest.mark.parametrize("era", [legacy, modern])
@given(data=st.data())
@settings(max_examples=60)
def test_what_is_in_a_list_is_exactly_what_can_be_asked_for(
    area: Area, form: Callable[[bytes], Spy], era: Any, data: st.DataObject
) -> None:
    rules, principal = data.draw(RULES), data.draw(PRINCIPALS)
    answer = data.draw(_answers(area, rules))

    listed = _names_in(_ask(rules.gate(form(answer)), principal, era, area.listing), area)

    if listed is None:
        event("no list")
        return
    event("a list")
    offered = [entry[area.name] for entry in folding(answer)["result"][area.member]]
    asked = {
        name: _exists(_ask(rules.gate(Spy()), principal, era, area.calling, {area.name: name}))
        for name in {*offered, *getattr(rules, area.rules)}
    }
    assert listed == [name for name in offered if asked[name]]


@pytest.mark.promise("listed-equals-callable")
@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("era", [legacy, modern])
@given(rules=RULES, principal=PRINCIPALS)
@settings(max_examples=30)
def test_what_is_listed_but_not_offered_by_the_server_stays_out_of_the_list(
    area: Area, era: Any, rules: Rules, principal: Principal | None
) -> None:
    empty = b'{"jsonrpc":"2.0","id":1,"result":{"%s":[]}}' % area.member.encode()

    reply = _ask(rules.gate(Spy(empty)), principal, era, area.listing)

    assert _names_in(reply, area) == ([] if getattr(rules, area.rules) else None)
