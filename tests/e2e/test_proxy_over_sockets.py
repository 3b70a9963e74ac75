"""What a server behind the gate gets of requests, and what clients get of its answers, over real sockets."""

import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.certificates import Authority
from tests.support.leaks import (
    HOST,
    JSON_HEAD,
    PROGRESS,
    STREAM_HEAD,
    Caller,
    Gate,
    Heard,
    Link,
    Remote,
    bearer,
    begin_session,
    chunk,
    event,
    gate,
    not_answering,
    policy_to,
    remote,
    result,
    route_to,
    wait_until,
)
from tests.support.mcp import legacy, modern
from tunnelgate.upstream.health import HealthReport

REST: dict[str, Any] = {"name": "rest", "arguments": {}}
ERAS = [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")]
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n"


async def answers(link: Link) -> None:
    """Answer each request: calls as MCP does, and all others with two octets."""
    while True:
        asked = await link.request()
        if asked.method == "POST":
            await link.answer(result(asked.message["id"]))
        else:
            await link.send(PLAIN + b"\r\nok")


def only(server: Remote) -> Heard:
    (heard,) = server.heard
    return heard


@pytest.mark.parametrize(
    ("options", "host"),
    [
        pytest.param({}, "127.0.0.1:{port}", id="its own"),
        pytest.param({"preserve_host": True}, HOST, id="the one that the client used"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
def test_the_host_that_a_server_gets_is(tmp_path: Path, options: Any, host: str, era: Any) -> None:
    with (
        remote(answers) as server,
        gate(policy_to(tmp_path, route_to(server.port, **options))) as front,
        Caller(front.port) as caller,
    ):
        caller.ask(era("tools/call", REST))
        assert caller.whole()[0] == 200

    assert only(server).values("host") == [host.format(port=server.port)]
    assert only(server).values("x-forwarded-host") == [HOST]


def test_a_name_is_looked_up_and_named_to_the_server(tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == "wiki.internal" else []

    with remote(answers) as server:
        policy = policy_to(tmp_path, route_to(server.port, host="wiki.internal"))
        with gate(policy, resolve=resolve) as front, Caller(front.port) as caller:
            caller.ask(modern("tools/call", REST))
            assert caller.whole()[0] == 200

    assert only(server).values("host") == [f"wiki.internal:{server.port}"]


FORGED = {
    "forwarded": "for=198.51.100.1;host=evil.example;proto=http",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "ftp",
    "x-forwarded-port": "1",
    "x-forwarded-prefix": "/admin",
    "x-forwarded-user": "root",
    "x-real-ip": "198.51.100.1",
    "true-client-ip": "198.51.100.1",
    "cf-connecting-ip": "198.51.100.1",
    "via": "1.0 evil",
}


@pytest.mark.parametrize(
    ("clients", "sent", "client"),
    [
        pytest.param({"allowed_ips": ["127.0.0.1"]}, {}, "127.0.0.1", id="that of the peer"),
        pytest.param(
            {
                "allowed_ips": ["203.0.113.0/24"],
                "address_from": "x-forwarded-for",
                "trusted_proxies": ["127.0.0.1"],
            },
            {"x-forwarded-for": "198.51.100.66, 203.0.113.7"},
            "203.0.113.7",
            id="the one that a trusted proxy names",
        ),
    ],
)
def test_the_address_that_a_server_gets_is(
    tmp_path: Path, clients: Any, sent: dict[str, str], client: str
) -> None:
    with remote(answers) as server:
        policy = policy_to(tmp_path, route_to(server.port), clients=clients, public_scheme="https")
        with gate(policy) as front, Caller(front.port) as caller:
            caller.ask(modern("tools/call", REST), **{**FORGED, **sent})
            status = caller.whole()[0]
            record = front.records.all[-1]

    assert status == 200
    heard = only(server)
    assert heard.values("x-forwarded-for") == [client]
    assert heard.values("x-forwarded-host") == [HOST]
    assert heard.values("x-forwarded-proto") == ["https"]
    assert heard.values("via") == ["1.1 tunnelgate"]
    origins = {name for name, _ in heard.headers if name in FORGED}
    assert origins == {"x-forwarded-host", "x-forwarded-proto", "via"}, "what the client says of itself"
    assert (record["peer"], record["client"]) == ("127.0.0.1", client)


TARGETS = [
    "/file",
    "/file?",
    "/file?a=b",
    "/file?a=%2F%2f&b=%c3%a9+%20&b=&=&&",
    "/file?redirect=http://169.254.169.254/latest/",
    "/file??a=?&b",
]


@pytest.mark.parametrize("parser", ["strict", "h11"])
def test_a_server_gets_path_and_query_octet_by_octet(tmp_path: Path, parser: Any) -> None:
    with remote(answers) as server:
        route = {**route_to(server.port), "public_paths": ["/file"]}
        with gate(policy_to(tmp_path, route), parser=parser) as front, Caller(front.port) as caller:
            for target in TARGETS:
                caller.ask(legacy("ping"), method="GET", path=target)
                assert caller.answer.read() == b"ok"

    # An empty query and none are the same to an ASGI application.
    assert [heard.target for heard in server.heard] == [target.removesuffix("?") for target in TARGETS]


def test_a_call_keeps_its_query(tmp_path: Path) -> None:
    with (
        remote(answers) as server,
        gate(policy_to(tmp_path, route_to(server.port))) as front,
        Caller(front.port) as caller,
    ):
        caller.ask(modern("tools/call", REST), path="/mcp?tenant=a%26b")
        assert caller.whole()[0] == 200

    assert only(server).target == "/mcp?tenant=a%26b"


async def gives_much_away(link: Link) -> None:
    while True:
        asked = await link.request()
        body = orjson.dumps(result(asked.message["id"])) if asked.method == "POST" else b"ok"
        head = JSON_HEAD.removesuffix(b"\r\n") % len(body)
        await link.send(
            head
            + b"set-cookie: session=1\r\nset-cookie: other=2\r\nserver: wiki/1.2\r\n"
            + b'alt-svc: h3=":443"\r\nx-hop: yes\r\nconnection: x-hop\r\nkeep-alive: timeout=5\r\n'
            + b"x-request-id: theirs\r\nvary: cookie\r\n\r\n"
            + body
        )


COOKIES = [
    pytest.param({}, [], [], id="not passed"),
    pytest.param(
        {"forward_cookies": True}, ["a=b; c=d"], ["session=1", "other=2"], id="passed where that is asked for"
    ),
]


@pytest.mark.parametrize(("options", "sent", "back"), COOKIES)
def test_cookies_of_a_public_path_are(tmp_path: Path, options: Any, sent: list[str], back: list[str]) -> None:
    with remote(gives_much_away) as server:
        route = {**route_to(server.port, **options), "public_paths": ["/file"]}
        with gate(policy_to(tmp_path, route)) as front, Caller(front.port) as caller:
            caller.ask(legacy("ping"), method="GET", path="/file", cookie="a=b; c=d")
            answer = caller.answer
            assert answer.read() == b"ok"

    assert only(server).values("cookie") == sent
    assert (answer.headers.get_all("set-cookie") or []) == back


@pytest.mark.parametrize("options", [{}, {"forward_cookies": True}], ids=["not forwarded", "forwarded"])
def test_a_call_has_no_cookies_even_where_they_are(tmp_path: Path, options: Any) -> None:
    with remote(gives_much_away) as server:
        policy = policy_to(tmp_path, route_to(server.port, **options))
        with gate(policy) as front, Caller(front.port) as caller:
            caller.ask(modern("tools/call", REST), cookie="a=b")
            assert caller.whole()[0] == 200
            cookies = caller.answer.headers.get_all("set-cookie")

    assert only(server).values("cookie") == []
    assert cookies is None


@pytest.mark.parametrize("path", ["/mcp", "/file"])
def test_who_the_server_is_and_where_else_it_would_be_is_not_told(tmp_path: Path, path: str) -> None:
    with remote(gives_much_away) as server:
        route = {**route_to(server.port), "public_paths": ["/file"]}
        with gate(policy_to(tmp_path, route)) as front, Caller(front.port) as caller:
            if path == "/mcp":
                caller.ask(modern("tools/call", REST))
            else:
                caller.ask(legacy("ping"), method="GET", path=path)
            answer = caller.answer
            answer.read()
            record = front.records.all[-1]

    names = {name.lower() for name in answer.headers}
    assert answer.status == 200
    assert not names & {"server", "alt-svc", "x-hop", "keep-alive", "set-cookie"}
    assert answer.headers.get_all("x-request-id") == [record["request_id"]]
    assert only(server).values("x-request-id") == [record["request_id"]]


@pytest.mark.parametrize("era", ERAS)
def test_the_server_gets_its_own_credentials_and_never_the_callers_token(tmp_path: Path, era: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("for-the-server-alone\n", "ascii")

    with remote(answers) as server:
        route = {
            **route_to(server.port, forward_cookies=True),
            "credentials": {"bearer_file": str(secret)},
            "public_paths": ["/file"],
            "forward_headers": ["x-tenant"],
        }
        with gate(policy_to(tmp_path, route)) as front, Caller(front.port) as caller:
            caller.ask(era("tools/call", REST), **{"x-tenant": "acme"})
            assert caller.whole()[0] == 200
            caller.ask(era("ping"), method="GET", path="/file")
            assert caller.answer.read() == b"ok"

    call, file = server.heard
    assert call.values("authorization") == ["Bearer for-the-server-alone"]
    assert call.values("x-tenant") == ["acme"]
    assert file.values("authorization") == []
    token = bearer().removeprefix("Bearer ")
    assert not any(token in value for heard in server.heard for _, value in heard.headers)


DISCOVERY = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/mcp",
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/mcp",
    "/mcp/.well-known/openid-configuration",
]


@pytest.mark.parametrize("path", DISCOVERY)
@pytest.mark.parametrize("offers", [True, False], ids=["offered", "not offered"])
def test_where_a_server_says_how_to_log_in_is(tmp_path: Path, path: str, *, offers: bool) -> None:
    with remote(answers) as server:
        policy = policy_to(tmp_path, route_to(server.port, oauth_discovery=offers))
        with gate(policy) as front, Caller(front.port) as caller:
            caller.ask(legacy("ping"), method="GET", path=path, authorization="none")
            status, body = caller.answer.status, caller.answer.read()

    if offers:
        assert (status, body, only(server).target) == (200, b"ok", path)
    else:
        assert (status, server.heard) == (404, [])


@pytest.mark.parametrize("parser", ["strict", "h11"])
@pytest.mark.parametrize("authorization", ["none", ""], ids=["without a token", "with a token"])
def test_a_server_that_speaks_mcp_on_every_path_is_not_asked_for_anything_where_it_says_how_to_log_in(
    tmp_path: Path, authorization: str, parser: Any
) -> None:
    with remote(answers) as server:
        policy = policy_to(tmp_path, route_to(server.port, oauth_discovery=True))
        with gate(policy, parser=parser) as front:
            refused: list[tuple[int, Any]] = []
            for era in (legacy, modern):
                for method in ("POST", "DELETE"):
                    for path in DISCOVERY:
                        with Caller(front.port) as caller:
                            message = era("tools/call", REST)
                            caller.ask(message, method=method, path=path, authorization=authorization)
                            refused.append(caller.whole())
            reasons = {record["reason"] for record in front.records.all}

    assert refused == [(405, {"error": "method_not_allowed"})] * 20
    assert reasons == {"path-is-read-only"}
    assert (server.heard, server.links) == ([], [])


def test_who_asks_how_to_log_in_says_nothing_of_mcp_and_nothing_of_himself(tmp_path: Path) -> None:
    with remote(answers) as server:
        route = {
            **route_to(server.port, oauth_discovery=True, forward_cookies=True),
            "forward_headers": ["x-tenant"],
        }
        with gate(policy_to(tmp_path, route)) as front, Caller(front.port) as caller:
            headers = {
                "accept": "text/event-stream",
                "authorization": "Basic YTpi",
                "cookie": "a=b",
                "last-event-id": "1",
                "mcp-session-id": "1",
                "origin": "https://client.example",
                "x-tenant": "acme",
            }
            caller.ask(modern("tools/call", REST), method="GET", path=DISCOVERY[0], **headers)
            assert caller.answer.read() == b"ok"

    assert sorted({name for name, _ in only(server).headers} - {"accept-encoding"}) == [
        "host",
        "origin",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ]


def moved_to(port: int, status: int) -> Any:
    async def moves(link: Link) -> None:
        while True:
            await link.request()
            head = b"HTTP/1.1 %d Moved\r\nlocation: http://127.0.0.1:%d/latest/meta-data/\r\n"
            await link.send(head % (status, port) + b"content-length: 0\r\n\r\n")

    return moves


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_the_clients_affair_on_a_public_path_and_nobodys_elsewhere(
    tmp_path: Path, status: int
) -> None:
    with remote(answers) as elsewhere, remote(moved_to(elsewhere.port, status)) as server:
        path = "/.well-known/oauth-authorization-server"
        policy = policy_to(
            tmp_path, {**route_to(server.port, oauth_discovery=True), "public_paths": ["/file"]}
        )
        with gate(policy) as front, Caller(front.port) as caller:
            public: list[tuple[int, str]] = []
            for each in (path, "/file"):
                caller.ask(legacy("ping"), method="GET", path=each)
                public.append((caller.answer.status, caller.answer.headers["location"]))
                caller.answer.read()
            caller.ask(modern("tools/call", REST, message_id=7))
            called = caller.whole()
            location = caller.answer.headers["location"]

    assert public == [(status, f"http://127.0.0.1:{elsewhere.port}/latest/meta-data/")] * 2
    assert (called[0], called[1]["id"], location) == (502, 7, None)
    assert elsewhere.links == [], "a redirect was followed"
    assert len(server.heard) == 3


class Together:
    """A server that answers calls when there are as many as it waits for."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: list[tuple[Link, Any]] = []

    async def __call__(self, link: Link) -> None:
        while True:
            asked = await link.request()
            self._waiting.append((link, asked.message["id"]))
            if len(self._waiting) == self._count:
                waiting, self._waiting = self._waiting, []
                for each, message_id in waiting:
                    await each.answer(result(message_id))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_hundred_calls_at_a_time_share_a_hundred_connections(tmp_path: Path, loop: Any) -> None:
    with (
        remote(Together(100)) as server,
        ExitStack() as closing,
        gate(policy_to(tmp_path, route_to(server.port)), loop=loop) as front,
    ):
        callers = [closing.enter_context(Caller(front.port)) for _ in range(100)]
        for turn in range(5):
            for number, caller in enumerate(callers):
                caller.ask(modern("tools/call", REST, message_id=f"{turn} {number}"))
            answered = [caller.whole() for caller in callers]

            expected = [(200, result(f"{turn} {number}")) for number in range(100)]
            assert answered == expected, "each gets the answer to its own question"
        closing.close()

    assert len(server.links) == 100
    assert len(server.heard) == 500


def test_calls_one_after_the_other_share_one_connection(tmp_path: Path) -> None:
    with remote(answers) as server, gate(policy_to(tmp_path, route_to(server.port))) as front:
        for number in range(50):
            with Caller(front.port) as caller:
                caller.ask(modern("tools/call", REST, message_id=number))
                assert caller.whole() == (200, result(number))

    assert len(server.links) == 1


@pytest.mark.parametrize("era", ERAS)
def test_two_callers_never_share_a_connection(tmp_path: Path, era: Any) -> None:
    with remote(answers) as server:
        route = {**route_to(server.port, oauth_discovery=True), "public_paths": ["/file"]}
        with gate(policy_to(tmp_path, route)) as front:
            for turn in range(5):
                for subject in ("alice", "bob"):
                    with Caller(front.port, subject=subject) as caller:
                        caller.ask(era("tools/call", REST, message_id=f"{subject} {turn}"))
                        assert caller.whole() == (200, result(f"{subject} {turn}"))
                for path in ("/file", DISCOVERY[0]):
                    with Caller(front.port, subject="alice") as caller:
                        caller.ask(legacy("ping"), method="GET", path=path)
                        assert caller.answer.read() == b"ok"

    asked = [
        {heard.message["id"].split(" ")[0] if heard.body else "nobody" for heard in link.heard}
        for link in server.links
    ]
    assert asked == [{"alice"}, {"bob"}, {"nobody"}]
    assert [len(link.heard) for link in server.links] == [5, 5, 10]


def test_an_answer_that_a_server_gives_twice_reaches_no_other_caller(tmp_path: Path) -> None:
    async def answers_twice(link: Link) -> None:
        while True:
            asked = await link.request()
            for other in server.open_links:  # before the answer to this one, and with its id
                if other is not link:
                    body = orjson.dumps(result(asked.message["id"], "of somebody else"))
                    other.write(JSON_HEAD % len(body) + body)
            await link.answer(result(asked.message["id"]))

    with (
        remote(answers_twice) as server,
        gate(policy_to(tmp_path, route_to(server.port))) as front,
        Caller(front.port, subject="alice") as alice,
        Caller(front.port, subject="bob") as bob,
    ):
        answered: list[tuple[int, Any]] = []
        for caller in (alice, bob):
            caller.ask(modern("tools/call", REST, message_id=7))
            answered.append(caller.whole())
        server.links[0].wait_ended()
        alice.ask(modern("tools/call", REST, message_id=7))
        answered.append(alice.whole())

    assert answered == [(200, result(7))] * 3


async def holds(link: Link) -> None:
    """Hold each request but for those of the tool ``rest``; a stream begins."""
    while True:
        asked = await link.request()
        message = asked.message if asked.body else {"params": {"name": "stream"}}
        if message["params"].get("name") == "rest":
            await link.answer(result(message["id"]))
            continue
        if message["params"].get("name") != "work":
            await link.send(STREAM_HEAD + chunk(event(PROGRESS)))
        return


def begin_work(caller: Caller, era: Any = modern) -> None:
    caller.ask(era("tools/call", {"name": "work", "arguments": {}}, message_id=7))


def begin_stream(caller: Caller) -> None:
    caller.listen()


def begin_subscription(caller: Caller) -> None:
    caller.ask(modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, message_id=7))


LIMITED = [
    pytest.param({"max_calls": 3}, begin_work, id="calls"),
    pytest.param({"max_streams": 3}, begin_stream, id="streams of sessions"),
    pytest.param({"max_streams": 3}, begin_subscription, id="subscriptions"),
]


@pytest.mark.parametrize(("options", "begin"), LIMITED)
def test_one_more_than_may_go_on_at_the_same_time_is_told_to_come_back(
    tmp_path: Path, options: Any, begin: Callable[[Caller], None]
) -> None:
    with (
        remote(holds) as server,
        ExitStack() as closing,
        gate(policy_to(tmp_path, route_to(server.port, **options))) as front,
    ):
        callers = [closing.enter_context(Caller(front.port)) for _ in range(3)]
        for caller in callers:
            begin(caller)
            server.take()
        with Caller(front.port) as late:
            begin(late)
            status, message = late.whole()
            retry_after = late.answer.headers["retry-after"]
        asked_at_the_limit = len(server.heard)
        callers[0].leave("fin")
        front.watched.wait_ended()
        wait_until(lambda: len(server.open_links) == 2, "the connection of a call that ended is open")
        begin(closing.enter_context(Caller(front.port)))
        server.take()
        health = front.gateway.health[HOST]
        closing.close()

    assert (status, message["error"]["message"]) == (503, "The server is busy")
    assert int(retry_after) > 0
    assert (asked_at_the_limit, len(server.heard)) == (3, 4), "what is refused does not reach the server"
    assert health.failures == 0


def test_streams_do_not_keep_calls_away(tmp_path: Path) -> None:
    with remote(holds) as server, ExitStack() as closing:
        policy = policy_to(tmp_path, route_to(server.port, max_calls=1, max_streams=1))
        with gate(policy) as front:
            listening = closing.enter_context(Caller(front.port))
            listening.listen()
            server.take()
            caller = closing.enter_context(Caller(front.port))
            caller.ask(modern("tools/call", REST))
            answered = caller.whole()
            closing.close()

    assert answered == (200, result(1))


async def holds_posts(link: Link) -> None:
    """Hold what is posted to the public path ``/slow`` and calls of ``work``, and answer all others."""
    while True:
        asked = await link.request()
        if asked.target == "/slow" or (asked.body and asked.message["params"].get("name") == "work"):
            return
        await (link.answer(result(asked.message["id"])) if asked.body else link.send(PLAIN + b"\r\nok"))


def begin_without_a_token(caller: Caller) -> None:
    caller.ask(modern("tools/call", REST, message_id=7), path="/slow", authorization="none")


@pytest.mark.parametrize(
    ("begin", "held"),
    [
        pytest.param(begin_without_a_token, "public", id="who has no token, from calling who has one"),
        pytest.param(begin_work, "calls", id="who calls, from public paths who has no token"),
    ],
)
def test_nobody_keeps_anybody_else_away(tmp_path: Path, begin: Callable[[Caller], None], held: str) -> None:
    with (
        remote(holds_posts) as server,
        ExitStack() as closing,
        gate(
            policy_to(
                tmp_path,
                {
                    **route_to(server.port, max_calls=3, oauth_discovery=True),
                    "public_paths": ["/slow", "/file"],
                },
            )
        ) as front,
    ):
        for _ in range(3):
            begin(closing.enter_context(Caller(front.port)))
            server.take()
        calling, reading, late = (closing.enter_context(Caller(front.port)) for _ in range(3))
        calling.ask(modern("tools/call", REST))
        called = calling.answer.status
        read: list[int] = []
        for path in ("/file", DISCOVERY[0]):
            reading.ask(legacy("ping"), method="GET", path=path, authorization="none")
            read.append(reading.answer.status)
            reading.answer.read()
        begin(late)
        refused = late.answer.status, late.answer.headers["retry-after"]
        closing.close()

    assert (called, read) == ((200, [503, 503]) if held == "public" else (503, [200, 200]))
    assert refused == (503, "1")


def states(front: Gate) -> tuple[str, int]:
    health: HealthReport = front.gateway.health[HOST]
    return health.state, health.failures


@pytest.mark.parametrize("era", ERAS)
def test_a_server_that_fails_is_left_alone_for_a_while_and_then_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, era: Any
) -> None:
    caplog.set_level(logging.INFO)
    is_well = threading.Event()

    async def is_ill(link: Link) -> None:
        if is_well.is_set():
            return await answers(link)
        await link.request()
        return link.reset()

    seen: list[tuple[str, int]] = []
    told: list[tuple[int, str]] = []
    with remote(is_ill) as server:
        policy = policy_to(tmp_path, route_to(server.port, max_failures=3, retry_after="1s"))
        with gate(policy) as front, Caller(front.port) as caller:
            seen.append(states(front))
            for _ in range(5):
                caller.ask(era("tools/call", REST))
                status, message = caller.whole()
                told.append((status, message["error"]["message"]))
                seen.append(states(front))
            retry_after = caller.answer.headers["retry-after"]
            last = front.gateway.health[HOST].last_failure
            asked = len(server.heard)
            is_well.set()

            def answered_again() -> bool:
                caller.ask(era("tools/call", REST))
                return caller.whole()[0] == 200

            wait_until(answered_again, "the server is not asked again")
            seen.append(states(front))

    cut_off, left_alone = (502, "The server's answer was cut off"), (503, "The server is not answering")
    assert told == [cut_off] * 3 + [left_alone] * 2
    assert seen == [
        ("unknown", 0),
        ("unknown", 1),
        ("unknown", 2),
        ("failing", 3),
        ("failing", 3),
        ("failing", 3),
        ("answering", 0),
    ]
    assert (asked, int(retry_after)) == (3, 1)
    assert last.startswith("upstream-interrupted")
    warned = [each.getMessage() for each in caplog.records if each.getMessage().startswith("upstream ")]
    assert len(warned) == 2
    assert warned[0].startswith(f"upstream {HOST} is failing (upstream-interrupted")
    assert warned[1] == f"upstream {HOST} answers again"


def test_a_server_that_cannot_be_reached_is_said_to_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with gate(policy_to(tmp_path, route_to(port))) as front, Caller(front.port) as caller:
        caller.ask(modern("tools/call", REST, message_id="one"))
        status, message = caller.whole()
        health = front.gateway.health[HOST]

    assert (status, message["id"], message["error"]["message"]) == (
        502,
        "one",
        "The server cannot be reached",
    )
    assert "connection refused" in health.last_failure
    assert str(port) not in orjson.dumps(message).decode()


SLOW = [
    pytest.param(
        {"connect_timeout": 0.2},
        marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets nobody in silently"),
        id="to connect",
    ),
    pytest.param({"read_timeout": 0.2}, id="to answer"),
    pytest.param({"total_timeout": 0.2}, id="to be done"),
]


@pytest.mark.parametrize("options", SLOW)
def test_a_server_that_is_too_slow_is_given_up(tmp_path: Path, options: Any) -> None:
    with ExitStack() as stack:
        if "connect_timeout" in options:
            port = stack.enter_context(not_answering())
        else:
            port = stack.enter_context(remote(holds)).port
        front = stack.enter_context(gate(policy_to(tmp_path, route_to(port, **options))))
        caller = stack.enter_context(Caller(front.port))
        begin_work(caller)
        status, message = caller.whole()
        caller.leave("fin")

    assert (status, message["id"]) == (504, 7)
    assert message["error"]["message"] == "The server did not answer in time"


def test_a_stream_that_idles_too_long_ends_with_an_error(tmp_path: Path) -> None:
    with remote(holds) as server:
        policy = policy_to(tmp_path, route_to(server.port, idle_timeout=0.2))
        with gate(policy) as front, Caller(front.port) as caller:
            begin_subscription(caller)
            link = server.take()
            *_, last = iter(caller.next_event, None)
            link.wait_ended()

    assert (last["id"], last["error"]["message"]) == (7, "The server did not answer in time")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the servers' authority")


def server_tls(
    authority: Authority, folder: Path, host: str = "wiki.internal", *, demands: bool = False
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue_for_server(host).write(folder, "server"))
    if demands:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authority.pem)
    return context


async def resolve_all(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def ask_over_tls(
    folder: Path, tls: ssl.SSLContext, files: dict[str, str], host: str = "wiki.internal", times: int = 1
) -> tuple[list[tuple[int, Any]], Remote, HealthReport]:
    with remote(answers, tls=tls) as server:
        policy = policy_to(folder, route_to(server.port, scheme="https", host=host, tls=files))
        with gate(policy, resolve=resolve_all) as front:
            answered: list[tuple[int, Any]] = []
            for number in range(times):
                with Caller(front.port) as caller:
                    caller.ask(modern("tools/call", REST, message_id=number))
                    answered.append(caller.whole())
            return answered, server, front.gateway.health[HOST]


def test_a_server_is_asked_over_tls_by_its_name(tmp_path: Path, authority: Authority) -> None:
    names: list[str | None] = []
    tls = server_tls(authority, tmp_path)
    tls.sni_callback = lambda _connection, name, _context: names.append(name)
    files = {"ca_file": str(authority.write(tmp_path, "ca"))}

    answered, server, _ = ask_over_tls(tmp_path, tls, files, times=3)

    assert answered == [(200, result(number)) for number in range(3)]
    assert names == ["wiki.internal"], "one handshake, by the name in the URL"
    assert len(server.links) == 1
    assert server.heard[0].values("host") == [f"wiki.internal:{server.port}"]


def test_a_server_learns_by_a_certificate_who_asks(tmp_path: Path, authority: Authority) -> None:
    tls = server_tls(authority, tmp_path, demands=True)
    cert_file, key_file = authority.issue("the gate").write(tmp_path, "gate")
    files = {
        "ca_file": str(authority.write(tmp_path, "ca")),
        "cert_file": str(cert_file),
        "key_file": str(key_file),
    }

    answered, _, _ = ask_over_tls(tmp_path, tls, files)

    assert answered == [(200, result(0))]


def of_another(authority: Authority, folder: Path) -> ssl.SSLContext:
    return server_tls(Authority("somebody else's authority"), folder)


def of_another_name(authority: Authority, folder: Path) -> ssl.SSLContext:
    return server_tls(authority, folder, "docs.internal")


def of_this_one(authority: Authority, folder: Path) -> ssl.SSLContext:
    return server_tls(authority, folder)


MISTRUSTED = [
    pytest.param(of_another, "wiki.internal", "certificate", id="of another authority"),
    pytest.param(of_another_name, "wiki.internal", "certificate", id="of another name"),
    pytest.param(of_this_one, "127.0.0.1", "certificate", id="of a name where an address is asked"),
]


@pytest.mark.parametrize(("made", "host", "word"), MISTRUSTED)
def test_nothing_is_asked_of_a_server_with_a_certificate(
    tmp_path: Path, authority: Authority, made: Any, host: str, word: str
) -> None:
    files = {"ca_file": str(authority.write(tmp_path, "ca"))}

    answered, server, health = ask_over_tls(tmp_path, made(authority, tmp_path), files, host)

    ((status, message),) = answered
    assert (status, message["error"]["message"]) == (502, "The server cannot be reached")
    assert server.heard == []
    assert word in health.last_failure


def test_a_server_that_demands_a_certificate_and_gets_none_is_a_bad_gateway(
    tmp_path: Path, authority: Authority
) -> None:
    tls = server_tls(authority, tmp_path, demands=True)
    files = {"ca_file": str(authority.write(tmp_path, "ca"))}

    answered, server, _ = ask_over_tls(tmp_path, tls, files)

    ((status, message),) = answered
    assert (status, message["id"]) == (502, 0)
    assert server.heard == []


class Asking:
    """A server of the legacy era that asks something of the client within each call, and waits for it."""

    def __init__(self) -> None:
        self.answered = threading.Semaphore(0)

    async def __call__(self, link: Link) -> None:
        while True:
            message = (await link.request()).message
            if message.get("method") == "initialize":
                begun = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": INFO}
                body = orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": begun})
                head = JSON_HEAD.removesuffix(b"\r\n") % len(body)
                await link.send(head + b"mcp-session-id: one\r\n\r\n" + body)
            elif "method" in message:
                asking = {"jsonrpc": "2.0", "id": message["id"], "method": "ping"}
                await link.send(STREAM_HEAD + chunk(event(asking)))
                return
            else:
                await link.send(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                self.answered.release()


INFO = {"name": "asking", "version": "1"}


def test_what_a_server_asks_is_answered_while_no_more_calls_may_be_made(tmp_path: Path) -> None:
    asking = Asking()
    with (
        remote(asking) as server,
        ExitStack() as closing,
        gate(policy_to(tmp_path, route_to(server.port, max_calls=2))) as front,
    ):
        session = begin_session(front.port)
        callers = [closing.enter_context(Caller(front.port)) for _ in range(2)]
        questions: list[Any] = []
        for number, caller in enumerate(callers):
            caller.ask(legacy("tools/call", REST, message_id=number), session=session)
            questions.append(caller.next_event())
        statuses: list[int] = []
        for question in questions:
            response = orjson.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {}})
            with Caller(front.port) as answering:
                answering.ask((legacy("ping")[0], response), session=session)
                statuses.append(answering.answer.status)
                answering.answer.read()
        closing.close()

    assert statuses == [202, 202]
