"""What an upstream said: our client and aiohttp read the same, or ours refuses to read it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.scripted_upstream import (
    Close,
    Drip,
    KeepAlive,
    ReadRequest,
    Reset,
    Script,
    ScriptedUpstream,
    Send,
    Step,
)
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.pool import Pool, Target
from tunnelgate.verdict import Reason

LIMIT = 5.0  # seconds that an answer may take
MAX_HEAD = 64 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
HI = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Said:
    """What a client understood an upstream to say."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True)
class Heard:
    """What a client made of two answers, ``None`` for one that it refused, and of how many connections."""

    answers: Sequence[Said | None]
    connections: int
    posts: int


async def ask_with_ours(pool: Pool, method: str) -> Said | None:
    body = b"{}" if method == "POST" else b""
    request = b"%s /mcp HTTP/1.1\r\nhost: upstream\r\ncontent-length: %d\r\n\r\n" % (
        method.encode(),
        len(body),
    )
    connection = await pool.take()
    try:
        connection.ask(request + body, method.encode())
        head = await connection.head(LIMIT)
        read = b""
        is_last = False
        while not is_last:
            part, is_last = await connection.part(LIMIT)
            read += part
    except UpstreamFailed as failure:
        if failure.reason not in {Reason.ANSWER_NOT_VALID, Reason.UPSTREAM_INTERRUPTED}:
            raise
        return None
    finally:
        pool.give_back(connection)
    return Said(head.status, head.headers, read)


async def ask_with_aiohttp(session: aiohttp.ClientSession, url: str, method: str) -> Said | None:
    data = b"{}" if method == "POST" else None
    try:
        async with session.request(method, f"{url}/mcp", data=data, allow_redirects=False) as response:
            body = await response.content.read()
            headers = tuple((name.lower(), value.strip(b" \t")) for name, value in response.raw_headers)
            return Said(response.status, headers, body)
    except (aiohttp.ClientError, ConnectionError):
        return None


async def ours(script: Script, method: str = "POST", *, times: int = 1) -> Heard:
    async with ScriptedUpstream(script) as upstream:
        pool = Pool(Dialler(AddressRules(["127.0.0.1"])), Target("127.0.0.1", upstream.port))
        try:
            answers = [await ask_with_ours(pool, method) for _ in range(times)]
        finally:
            pool.close()
        return Heard(answers, len(upstream.connections), upstream.posts)


async def theirs(script: Script, method: str = "POST", *, times: int = 1) -> Heard:
    async with (
        ScriptedUpstream(script) as upstream,
        aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=LIMIT),
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
        ) as session,
    ):
        answers = [await ask_with_aiohttp(session, upstream.url, method) for _ in range(times)]
        return Heard(answers, len(upstream.connections), upstream.posts)


def ways_to_send(answer: bytes) -> list[Step]:
    return [Send(answer), Drip(answer, 1), Drip(answer, 7)]


KEPT = [
    pytest.param(OK + HI, id="a length"),
    pytest.param(OK + b"Content-Length: 0\r\n\r\n", id="a length of nothing"),
    pytest.param(CHUNKED + b'1\r\nh\r\n00A;a=b;c="d"\r\n0123456789\r\n0\r\nX: a\r\n\r\n', id="chunks"),
    pytest.param(CHUNKED + b"0\r\n\r\n", id="no chunk"),
    pytest.param(b"HTTP/1.1 404\r\n" + HI, id="no reason phrase"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="no content"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", id="not modified"),
    pytest.param(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n" + HI, id="a redirect"),
    pytest.param(b"HTTP/1.1 401 \r\nWWW-Authenticate: Basic\r\n" + HI, id="a challenge"),
    pytest.param(CONTINUE + b"HTTP/1.1 103 \r\nLink: </a>\r\n\r\n" + OK + HI, id="interim answers"),
    pytest.param(OK + b"X:\r\nx: \t a\xff \t\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n" + HI, id="headers"),
    pytest.param(OK + b"Content-Encoding: gzip\r\n" + HI, id="an encoding that is left as it is"),
    pytest.param(OK + b"X: " + b"x" * 9_000 + b"\r\n" + HI, id="a long header"),
    pytest.param(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + HI, id="HTTP/1.0 that keeps it open"),
]  # fmt: skip
NOT_KEPT = [
    pytest.param(OK + b"\r\nhi\r\n", id="a body that lasts until the end"),
    pytest.param(OK + b"Connection: close\r\n" + HI, id="a length and the last answer"),
    pytest.param(OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                 id="chunks and the last answer"),
    pytest.param(b"HTTP/1.0 200 OK\r\n" + HI, id="HTTP/1.0"),
]  # fmt: skip


@pytest.mark.parametrize("answer", KEPT)
@pytest.mark.anyio
async def test_both_read_a_good_answer_alike_and_use_the_connection_again(answer: bytes) -> None:
    for send in ways_to_send(answer):
        script = (ReadRequest(), send, KeepAlive())

        heard = await ours(script, times=2)

        assert heard == await theirs(script, times=2)
        assert None not in heard.answers
        assert (heard.connections, heard.posts) == (1, 2)


@pytest.mark.parametrize("answer", NOT_KEPT)
@pytest.mark.anyio
async def test_both_read_a_last_answer_alike_and_open_another_connection(answer: bytes) -> None:
    for send in ways_to_send(answer):
        script = (ReadRequest(), send, Close())

        heard = await ours(script, times=2)

        assert heard == await theirs(script, times=2)
        assert None not in heard.answers
        assert (heard.connections, heard.posts) == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [OK + b"Content-Length: 5\r\n\r\n", CHUNKED, OK + b"\r\n", b"HTTP/1.1 404 \r\nContent-Length: 5\r\n\r\n"],
)
@pytest.mark.anyio
async def test_both_read_an_answer_to_head_without_a_body(answer: bytes) -> None:
    script = (ReadRequest(), Send(answer), KeepAlive())

    heard = await ours(script, "HEAD", times=2)

    assert heard == await theirs(script, "HEAD", times=2)
    assert None not in heard.answers


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\r\n" + OK + HI, id="a line end in front of the answer"),
        pytest.param(b"HTTP/0.9 200 OK\r\n" + HI, id="version 0.9"),
        pytest.param(b"HTTP/2.0 200 OK\r\n" + HI, id="version 2.0"),
        pytest.param(b"HTTP/1.1 000 \r\n" + HI, id="a status of zeros"),
        pytest.param(b"HTTP/1.1 600 \r\n" + HI, id="a status past the last"),
        pytest.param(b"HTTP/1.1 200 O\x01K\r\n" + HI, id="a control character in the reason phrase"),
        pytest.param(b"HTTP/1.1 101 \r\n\r\n", id="another protocol that nobody asked for"),
        pytest.param(OK.replace(b"\r\n", b"\n") + HI, id="a status line that a line feed ends"),
        pytest.param(OK + b"X: a\n" + HI, id="a header that a line feed ends"),
        pytest.param(OK + b"X: a\r\n b\r\n" + HI, id="a header over two lines"),
        pytest.param(OK + b"X: \x01\r\n" + HI, id="a control character in a header"),
        pytest.param(OK + b"Content-Length: 0000000000000002\r\n\r\nhi", id="a length of sixteen digits"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                     id="a second transfer coding"),
        pytest.param(OK + b"Transfer-Encoding: identity\r\n\r\nhi", id="a transfer coding that is none"),
        pytest.param(OK + b"Transfer-Encoding: chunked\t\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                     id="a tab behind the transfer coding, which aiohttp takes for another coding"),
        pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                     id="chunks on HTTP/1.0"),
        pytest.param(CHUNKED + b"2 \r\nhi\r\n0\r\n\r\n", id="a space behind the size of a chunk"),
        pytest.param(CHUNKED + b"0000000002\r\nhi\r\n0\r\n\r\n", id="a size of ten digits"),
        pytest.param(CHUNKED + b"2;" + b"a" * 5000 + b"\r\nhi\r\n0\r\n\r\n", id="a long extension"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
                     id="a transfer coding in a trailer"),
        pytest.param(CONTINUE * 9 + OK + HI, id="nine interim answers"),
        pytest.param(b"HTTP/1.1 100 \r\nContent-Length: 2\r\n\r\n" + OK + HI,
                     id="an interim answer with the length of a body"),
        pytest.param(b"HTTP/1.1 204 \r\nContent-Length: 2\r\n\r\n", id="no content, with a length"),
        pytest.param(OK + HI + b"\r\n", id="a line end behind the answer"),
    ],
)  # fmt: skip
@pytest.mark.promise("one-reading")
@pytest.mark.anyio
async def test_ours_refuses_what_aiohttp_reads(answer: bytes) -> None:
    script = (ReadRequest(), Send(answer), Close())

    assert (await ours(script)).answers == [None]
    assert (await theirs(script)).answers != [None]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hi", id="a body without a head"),
        pytest.param(b"HTTP/1.1 20 OK\r\n" + HI, id="a status of two digits"),
        pytest.param(b"HTTP/1.2 200 OK\r\n" + HI, id="version 1.2"),
        pytest.param(OK + b"X : a\r\n" + HI, id="a space before the colon"),
        pytest.param(OK + b"X\r\n" + HI, id="a header without a colon"),
        pytest.param(OK + b": a\r\n" + HI, id="a header without a name"),
        pytest.param(OK + b"X: a\0\r\n" + HI, id="a NUL in a header"),
        pytest.param(OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", id="the same length twice"),
        pytest.param(OK + b"Content-Length: 2, 2\r\n\r\nhi", id="two lengths in one header"),
        pytest.param(OK + b"Content-Length: +2\r\n\r\nhi", id="a length with a sign"),
        pytest.param(OK + b"Content-Length: 18446744073709551618\r\n\r\nhi", id="a length beyond 64 bits"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n" + HI, id="chunks and a length"),
        pytest.param(CHUNKED + b"x\r\n", id="a size that is none"),
        pytest.param(CHUNKED + b"2\nhi\n0\n\n", id="line feeds around chunks"),
        pytest.param(CHUNKED + b"2\r\nhi0\r\n\r\n", id="a chunk without its end"),
        pytest.param(CHUNKED + b"2;a b\r\nhi\r\n0\r\n\r\n", id="a space in an extension"),
        pytest.param(CHUNKED + b"10000000000000002\r\nhi\r\n0\r\n\r\n", id="a size beyond 64 bits"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n0\r\nContent-Length: 2\r\n\r\n", id="a length in a trailer"),
        pytest.param(b"HTTP/1.1 100 \r\nConnection: close\r\n\r\n" + OK + HI,
                     id="an interim answer that closes the connection"),
        pytest.param(b"HTTP/1.1 204 \r\n" + HI, id="no content, and a body"),
        pytest.param(OK + HI + b"x", id="an octet behind the answer"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n0\r\n\r\nx", id="an octet behind the last chunk"),
        pytest.param(OK[:-1], id="half of a head"),
        pytest.param(OK + b"Content-Length: 3\r\n\r\nhi", id="two thirds of a body"),
        pytest.param(CHUNKED + b"2\r\nhi\r\n", id="no last chunk"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [Close(), Reset()])
@pytest.mark.anyio
async def test_both_refuse_what_is_not_http_and_what_is_not_whole(answer: bytes, end: Step) -> None:
    script = (ReadRequest(), Send(answer), end)

    assert (await ours(script)).answers == [None]
    assert (await theirs(script)).answers == [None]


STARTS = st.sampled_from(
    [OK, OK, OK, b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 \r\n", b"HTTP/1.1 304 \r\n", CONTINUE + OK]
)
LINES = st.sampled_from(
    [
        *(b"", b"", b"X: a\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"X:\t\xff \r\n"),
        *(
            b"X: a\n",
            b"X: a\r\n b\r\n",
            b"X\t: a\r\n",
            b"Upgrade: x\r\nConnection: upgrade\r\n",
            b"Trailer: X\r\n",
        ),
    ]
)
FRAMINGS = st.sampled_from(
    [
        *(b"\r\nhi", HI, HI + b"\r\n", b"Content-Length: 002 \r\n\r\nhi", b"Content-Length: 2\t\r\n\r\nhi"),
        *(b"Content-Length: 1\r\n\r\nhi", b"Content-Length: 3\r\n\r\nhi", b"Content-Length: 0\r\n\r\n"),
        b"Content-Length:\r\n\r\n",
    ]
)
SIZES = st.sampled_from(
    [b"2", b"02", b"2;a=b", b'2;a="\r"', b"2 ", b"1", b"3", b"2;", b"2\r", b"0x2", b'2;a;b="c;d"']
)
CHUNKS = st.lists(SIZES.map(lambda size: size + b"\r\nhi\r\n"), max_size=3).map(b"".join)
LAST = st.sampled_from(
    [b"0\r\n\r\n", b"0\r\n\r\n", b"00;a\r\nX: a\r\n\r\n", b"0\r\nX\r\n\r\n", b"0\r\n", b"", b"0\n\n"]
)
CODINGS = st.sampled_from([b"chunked", b"chunked", b"Chunked ", b"chunked\t", b"x, chunked", b"chunked,"])
CHUNKED_BODIES = st.tuples(st.just(b"Transfer-Encoding:"), CODINGS, st.just(b"\r\n\r\n"), CHUNKS, LAST).map(
    b"".join
)
ANSWERS = st.tuples(STARTS, LINES, LINES, FRAMINGS | CHUNKED_BODIES).map(b"".join)


@given(ANSWERS, st.sampled_from(["POST", "GET", "HEAD"]), st.integers(1, 40))
@settings(max_examples=150)
@pytest.mark.promise("one-reading")
def test_whatever_ours_reads_however_it_comes_aiohttp_reads_the_same(
    answer: bytes, method: str, size: int
) -> None:
    whole = (ReadRequest(), Send(answer), Close())
    in_pieces = (ReadRequest(), Drip(answer, size), Close())

    heard = asyncio.run(ours(whole, method))

    if heard.answers != [None]:  # of octets behind an answer, a client may not hear in time
        assert asyncio.run(ours(in_pieces, method)) == heard
        assert asyncio.run(theirs(whole, method)) == heard
        assert asyncio.run(theirs(in_pieces, method)) == heard
