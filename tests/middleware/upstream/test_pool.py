import asyncio
import ssl
from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tests.support.proxied import (
    LOOPS,
    NOBODY_WAITS,
    Clock,
    Interrupted,
    WaitForTheEnd,
    cancel_this,
    nothing_left,
    pool_to,
    until,
)
from tests.support.resolving import Names, SlowNames, listening, not_answering
from tests.support.scripted_upstream import (
    Close,
    ReadRequest,
    Reset,
    Script,
    ScriptedUpstream,
    Send,
    Wait,
    answering,
)
from tunnelgate import Reason
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream import pool as pools
from tunnelgate.upstream.connection import Connection
from tunnelgate.upstream.pool import IDLE_SECONDS, LIFETIME, MAX_IDLE, Pool, Target

SOON = 0.05  # seconds
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HOST = "wiki.internal"


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def _exchange(connection: Connection, target: bytes = b"/") -> None:
    connection.ask(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target, b"GET")
    assert (await connection.head(NOBODY_WAITS)).status == 200
    assert await connection.part(NOBODY_WAITS) == (b"ok", True)


async def _ask(pool: Pool, target: bytes = b"/", *, caller: Hashable = None, fresh: bool = False) -> None:
    connection = await pool.take(caller, fresh=fresh)
    try:
        await _exchange(connection, target)
    finally:
        pool.give_back(connection, caller)


def _used(upstream: ScriptedUpstream) -> Sequence[int]:
    """Return which connection each request came on."""
    return [request.connection for request in upstream.requests]


# Where an upstream is


@pytest.mark.parametrize(
    ("url", "host", "port", "is_secure", "authority"),
    [
        pytest.param("http://wiki", "wiki", 80, False, b"wiki", id="HTTP"),
        pytest.param("http://wiki:80", "wiki", 80, False, b"wiki", id="HTTP on its own port"),
        pytest.param("http://wiki:443", "wiki", 443, False, b"wiki:443", id="HTTP on the port of HTTPS"),
        pytest.param("http://wiki:9000", "wiki", 9000, False, b"wiki:9000", id="HTTP on another port"),
        pytest.param("https://wiki", "wiki", 443, True, b"wiki", id="HTTPS"),
        pytest.param("https://wiki:443", "wiki", 443, True, b"wiki", id="HTTPS on its own port"),
        pytest.param("https://wiki:80", "wiki", 80, True, b"wiki:80", id="HTTPS on the port of HTTP"),
        pytest.param(
            "http://WIKI.Internal:1", "wiki.internal", 1, False, b"wiki.internal:1", id="in capitals"
        ),
        pytest.param("http://10.1.2.3:9000", "10.1.2.3", 9000, False, b"10.1.2.3:9000", id="an address"),
        pytest.param("http://[fd00::1]:9000", "fd00::1", 9000, False, b"[fd00::1]:9000", id="a long address"),
        pytest.param("https://[fd00::1]", "fd00::1", 443, True, b"[fd00::1]", id="a long address alone"),
    ],
)
def test_a_url_says_where_an_upstream_is_and_what_it_calls_itself(
    *, url: str, host: str, port: int, is_secure: bool, authority: bytes
) -> None:
    tls = ssl.create_default_context()

    target = Target.from_url(url, tls)

    assert (target.host, target.port, target.authority) == (host, port, authority)
    assert target.tls is (tls if is_secure else None)


def test_https_is_not_spoken_without_knowing_whom_to_believe() -> None:
    with pytest.raises(ValueError, match="needs to know whose certificates are believed"):
        Target.from_url("https://wiki", None)


@pytest.mark.parametrize(
    "url", ["ftp://wiki", "//wiki", "wiki", "wiki:9000", "http://", "https://:443", "", "unix:/run/wiki.sock"]
)
def test_what_is_no_url_of_http_says_nothing(url: str) -> None:
    with pytest.raises(ValueError, match="neither an http nor an https URL with a host"):
        Target.from_url(url, ssl.create_default_context())


def test_http_needs_no_tls() -> None:
    assert Target.from_url("http://wiki", None) == Target("wiki", 80)


# Using a connection again


@pytest.mark.anyio
async def test_a_connection_that_idles_is_used_again() -> None:
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        for _ in range(3):
            await _ask(pool)
        pool.close()

        assert _used(upstream) == [0, 0, 0]


@pytest.mark.anyio
async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        one, two = await pool.take(), await pool.take()
        await _exchange(one)
        await _exchange(two)
        pool.give_back(one)
        pool.give_back(two)
        pool.close()

        assert _used(upstream) == [0, 1]


@pytest.mark.anyio
async def test_the_connection_that_was_used_last_is_used_first() -> None:
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        one, two = await pool.take(), await pool.take()
        for connection in (one, two):
            await _exchange(connection)
            pool.give_back(connection)

        assert await pool.take() is two
        assert await pool.take() is one
        for connection in (one, two):
            pool.give_back(connection)  # nothing was asked
        pool.close()


@pytest.mark.anyio
async def test_what_is_not_risked_gets_a_new_connection_and_the_idle_one_stays() -> None:
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        await _ask(pool)
        connection = await pool.take(fresh=True)
        await _exchange(connection)
        await _ask(pool)
        pool.give_back(connection)
        pool.close()

        assert _used(upstream) == [0, 1, 0]


@pytest.mark.anyio
async def test_two_callers_never_share_a_connection() -> None:
    callers = ["alice", "bob", None, "alice", "bob", None, ("alice",), "bob"]
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        for caller in callers:
            await _ask(pool, caller=caller)
        pool.close()

        assert _used(upstream) == [0, 1, 2, 0, 1, 2, 3, 1]


@pytest.mark.anyio
async def test_an_answer_that_a_server_gives_twice_is_for_nobody_else() -> None:
    may_answer = asyncio.Event()
    again = Send(OK.replace(b"ok", b"no"))
    twice = (ReadRequest(), Send(OK), Wait(may_answer), again, WaitForTheEnd())
    async with ScriptedUpstream(twice, answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        await _ask(pool, caller="alice")
        connection = await pool.take("bob")  # before the second answer comes
        may_answer.set()
        await upstream.connections[0].until_lost()
        await _exchange(connection)
        pool.give_back(connection, "bob")
        pool.close()

        assert _used(upstream) == [0, 1]


@pytest.mark.anyio
async def test_of_one_caller_the_connection_that_was_used_last_is_used_first_whoever_came_between() -> None:
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        taken = [(caller, await pool.take(caller)) for caller in ("alice", "bob", "alice", "bob")]
        for caller, connection in taken:
            await _exchange(connection)
            pool.give_back(connection, caller)
        connections = [connection for _, connection in taken]

        assert [await pool.take(caller) for caller in ("alice", "bob", "alice", "bob")] == [
            connections[place] for place in (2, 3, 0, 1)
        ]
        for connection in connections:
            pool.give_back(connection)  # nothing was asked


@pytest.mark.anyio
async def test_the_connections_of_others_that_are_of_no_use_any_more_are_left_to_them() -> None:
    clock = Clock()
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port, clock=clock)
        await _ask(pool, caller="alice")
        await _ask(pool, caller="bob")
        clock.now += IDLE_SECONDS
        await _ask(pool, caller="bob")
        await upstream.connections[1].until_lost()
        assert not upstream.connections[0].has_ended
        await _ask(pool, caller="alice")
        await upstream.connections[0].until_lost()
        pool.close()

        assert _used(upstream) == [0, 1, 2, 3]


@pytest.mark.anyio
async def test_so_many_connections_idle_and_one_more_ends_the_one_that_idles_longest() -> None:
    count = MAX_IDLE + 2
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port, clock=Clock())
        for caller in range(count):
            await _ask(pool, caller=caller)
        for each in upstream.connections[:2]:
            await each.until_lost()
        assert [each.has_ended for each in upstream.connections] == [True] * 2 + [False] * MAX_IDLE
        await _ask(pool, caller=count - 1)
        await _ask(pool, caller=2)
        await _ask(pool, caller=0)
        pool.close()

        assert _used(upstream)[count:] == [count - 1, 2, count]


@pytest.mark.parametrize(
    ("seconds", "used"),
    [
        pytest.param(IDLE_SECONDS - 0.001, [0, 0], id="almost too long"),
        pytest.param(IDLE_SECONDS, [0, 1], id="too long"),
    ],
)
@pytest.mark.anyio
async def test_a_connection_idles_for_so_long_and_no_longer(seconds: float, used: list[int]) -> None:
    clock = Clock()
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port, clock=clock)
        await _ask(pool)
        clock.now += seconds
        await _ask(pool)
        pool.close()

        assert _used(upstream) == used


@pytest.mark.parametrize(
    ("seconds", "used"),
    [
        pytest.param(LIFETIME, [0, 0], id="just old enough"),
        pytest.param(LIFETIME + 0.001, [0, 1], id="too old"),
    ],
)
@pytest.mark.anyio
async def test_a_connection_that_is_never_idle_ends_when_it_is_old(seconds: float, used: list[int]) -> None:
    clock = Clock()
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port, clock=clock)
        connection = await pool.take()
        await _exchange(connection)
        clock.now += seconds
        pool.give_back(connection)
        await _ask(pool)
        pool.close()

        assert _used(upstream) == used


@pytest.mark.parametrize(
    ("script", "count"),
    [
        pytest.param((ReadRequest(), Send(OK), Close()), 1, id="which was closed meanwhile"),
        pytest.param((ReadRequest(), Send(OK), Reset()), 1, id="which was reset meanwhile"),
    ],
)
@pytest.mark.anyio
async def test_a_connection_that_has_ended_is_not_used_again(script: Script, count: int) -> None:
    async with ScriptedUpstream(script, answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        connection = await pool.take()
        await _exchange(connection)
        pool.give_back(connection)
        await upstream.connections[0].until_lost()
        await _ask(pool)
        pool.close()

        assert _used(upstream) == [0, 1]
        assert upstream.attempts["GET", "/"] == 2


@pytest.mark.anyio
async def test_every_connection_that_is_of_no_use_any_more_is_closed_on_the_way_to_a_new_one() -> None:
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        held = [await pool.take() for _ in range(5)]
        for connection in held:
            await _exchange(connection)
            pool.give_back(connection)
        for each in upstream.connections:
            await each.send(OK)
        await checkpoint()
        await _ask(pool)
        for each in upstream.connections[:5]:
            await each.until_lost()
        pool.close()

        assert _used(upstream)[-1] == 5


@pytest.mark.parametrize(
    "script",
    [
        pytest.param((ReadRequest(), Send(OK[:-1]), WaitForTheEnd()), id="an answer that was not waited for"),
        pytest.param((ReadRequest(), WaitForTheEnd()), id="no answer"),
        pytest.param((WaitForTheEnd(),), id="a request that nobody read"),
    ],
)
@pytest.mark.anyio
async def test_an_exchange_that_was_given_up_ends_its_connection(script: Script) -> None:
    async with ScriptedUpstream(script) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        connection = await pool.take()
        connection.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET")
        await until(lambda: bool(upstream.connections))
        pool.give_back(connection)

        await upstream.connections[0].until_lost()


# Idle connections end


@pytest.mark.anyio
async def test_connections_that_idle_too_long_are_closed_without_anybody_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "IDLE_SECONDS", SOON)
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        one, two = await pool.take(), await pool.take()
        for connection in (one, two):
            await _exchange(connection)
            pool.give_back(connection)

        for each in upstream.connections:
            await each.until_lost()


@pytest.mark.anyio
async def test_one_that_idles_since_later_is_closed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_SECONDS", SOON)
    clock = Clock()
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port, clock=clock)
        one, two = await pool.take(), await pool.take()
        await _exchange(one)
        await _exchange(two)
        pool.give_back(one)
        clock.now += SOON
        pool.give_back(two)

        await upstream.connections[0].until_lost()
        assert not upstream.connections[1].has_ended
        clock.now += SOON
        await upstream.connections[1].until_lost()


@pytest.mark.anyio
async def test_a_pool_that_is_closed_has_no_connection_that_idles_and_goes_on_if_asked() -> None:
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port)
        await _ask(pool)
        pool.close()
        pool.close()
        await upstream.connections[0].until_lost()

        await _ask(pool)
        pool.close()
        assert _used(upstream) == [0, 1]


# Where there is no connection


@pytest.mark.anyio
async def test_a_connection_that_does_not_come_about_in_time_is_given_up() -> None:
    with not_answering() as port:
        async with nothing_left():
            with pytest.raises(UpstreamFailed) as failed:
                await pool_to(port, connect_timeout=SOON).take()

    assert (failed.value.reason, failed.value.detail) == (
        Reason.UPSTREAM_TIMEOUT,
        "no connection within 0.05 seconds",
    )


@pytest.mark.anyio
async def test_the_time_to_connect_is_for_looking_the_name_up_as_well() -> None:
    names = SlowNames()
    with listening() as upstream:
        with pytest.raises(UpstreamFailed) as failed:
            await pool_to(upstream.port, host=HOST, resolve=names, connect_timeout=SOON).take()

        assert failed.value.reason is Reason.UPSTREAM_TIMEOUT
        assert upstream.connections == 0
    names.may_answer.set()
    await until(lambda: names.under_way == 0)


@pytest.mark.anyio
async def test_the_time_to_connect_is_for_tls_as_well() -> None:
    with listening() as upstream:
        async with nothing_left():
            with pytest.raises(UpstreamFailed) as failed:
                await pool_to(upstream.port, tls=ssl.create_default_context(), connect_timeout=SOON).take()

    assert failed.value.reason is Reason.UPSTREAM_TIMEOUT


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param("127.0.0.1", Reason.UPSTREAM_UNREACHABLE, id="nobody listens"),
        pytest.param("nobody.internal", Reason.UPSTREAM_UNREACHABLE, id="there is no such name"),
        pytest.param("10.1.2.3", Reason.UPSTREAM_NOT_ALLOWED, id="it may not be dialled"),
    ],
)
@pytest.mark.anyio
async def test_where_nobody_can_be_reached_that_is_said(host: str, reason: Reason) -> None:
    with listening() as gone:
        port = gone.port

    with pytest.raises(UpstreamFailed) as failed:
        await pool_to(port, host=host, resolve=Names({})).take()

    assert failed.value.reason is reason


@pytest.mark.anyio
async def test_a_name_is_looked_up_for_each_connection_and_not_for_each_request() -> None:
    names = Names({HOST: ["127.0.0.1"]})
    async with ScriptedUpstream(answering(OK)) as upstream, nothing_left():
        pool = pool_to(upstream.port, host=HOST, resolve=names)
        await _ask(pool)
        await _ask(pool)
        assert names.asked == [HOST]
        await _ask(pool, fresh=True)
        pool.close()

    assert names.asked == [HOST, HOST]


# Cancellation


@pytest.mark.parametrize("is_late", [False, True], ids=["as it waits", "as its wait is over"])
@pytest.mark.parametrize("host", ["127.0.0.1", HOST], ids=["an address", "a name"])
@pytest.mark.anyio
async def test_whoever_is_cancelled_while_a_connection_is_made_leaves_none(
    *, host: str, is_late: bool
) -> None:
    at, is_interrupted = 0, True
    async with ScriptedUpstream(answering(OK)) as upstream:
        while is_interrupted:
            at += 1
            async with nothing_left():
                pool = pool_to(upstream.port, host=host, resolve=Names({HOST: ["127.0.0.1"]}))
                interrupted = Interrupted(_ask(pool), at, cancel_this, is_late=is_late)
                task = asyncio.ensure_future(interrupted)
                await asyncio.wait([task])
                assert task.cancelled() is interrupted.is_interrupted or task.exception() is None
                pool.close()
            is_interrupted = interrupted.is_interrupted

    assert at > 3
