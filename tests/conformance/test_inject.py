"""The forwarder adds headers and changes nothing else, whatever shape the traffic has."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.conformance.inject import Requests, Rewriting, forwarding, read_field

pytestmark = pytest.mark.anyio

TOKEN = (b"Authorization", b"Bearer abc")
ADDING = Rewriting(added=(TOKEN,))
RENAMING = Rewriting(host=b"docs.tunnel.localhost", origin=b"http://docs.tunnel.localhost")


@dataclass
class Peer:
    """One connection that came through, as the server behind sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def receive(self, expected: bytes) -> None:
        assert await self.reader.readexactly(len(expected)) == expected

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@dataclass
class Ends:
    """Both ends of a connection that runs through the forwarder."""

    client: Peer
    server: Peer


@dataclass
class _Accepted:
    peers: "asyncio.Queue[Peer]" = field(default_factory=asyncio.Queue[Peer])
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.put_nowait(peer)
        await self.done.wait()
        await peer.close()


@asynccontextmanager
async def connected(rewriting: Rewriting = ADDING) -> AsyncGenerator[Ends]:
    """Give a client's connection through the forwarder, and the server's end of it."""
    accepted = _Accepted()
    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with asyncio.timeout(20), server, forwarding(server.sockets[0].getsockname()[1], rewriting) as port:
        client = Peer(*await asyncio.open_connection("127.0.0.1", port))
        try:
            yield Ends(client, await accepted.peers.get())
        finally:
            accepted.done.set()
            await client.close()


def forwarded(
    sent: bytes, rewriting: Rewriting = ADDING, cut: Callable[[bytes], list[bytes]] | None = None
) -> bytes:
    requests = Requests(rewriting)
    return b"".join(requests.feed(part) for part in (cut(sent) if cut is not None else [sent]))


def octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


HEAD = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nmcp-METHOD:  tools/list  \r\nX: 1\r\nX: 2\r\n"
HEAD_FORWARDED = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nmcp-METHOD: tools/list  \r\nX: 1\r\nX: 2\r\n"
ADDED = b"Authorization: Bearer abc\r\n"
GET = b"GET /mcp HTTP/1.1\r\nHost: a\r\n"
BODY = b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"
SIZED = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"

FORWARDED = {
    "a head keeps its order, its case, its duplicates and its spaces at the end": (
        HEAD + SIZED + b"\r\n" + BODY,
        HEAD_FORWARDED + SIZED + ADDED + b"\r\n" + BODY,
    ),
    "a body that looks like a request is a body": (
        GET + SIZED + b"\r\n" + BODY,
        GET + SIZED + ADDED + b"\r\n" + BODY,
    ),
    "every one of several requests in a row": (
        (GET + b"\r\n") * 2 + GET + SIZED + b"\r\n" + BODY + GET + b"\r\n",
        (GET + ADDED + b"\r\n") * 2 + GET + SIZED + ADDED + b"\r\n" + BODY + GET + ADDED + b"\r\n",
    ),
    "a body in chunks, and the request after it": (
        GET + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n" + GET + b"\r\n",
        GET + CHUNKED + ADDED + b"\r\n5\r\nhello\r\n0\r\n\r\n" + GET + ADDED + b"\r\n",
    ),
    "a body of no chunks": (
        GET + CHUNKED + b"\r\n0\r\n\r\n",
        GET + CHUNKED + ADDED + b"\r\n0\r\n\r\n",
    ),
    "trailers stay behind the body": (
        GET + CHUNKED + b"\r\n1\r\nx\r\n0\r\nDigest: d\r\n\r\n",
        GET + CHUNKED + ADDED + b"\r\n1\r\nx\r\n0\r\nDigest: d\r\n\r\n",
    ),
    "a header that the request brings itself is left alone": (
        GET + b"authorization: Basic x\r\n\r\n",
        GET + b"authorization: Basic x\r\n\r\n",
    ),
}


@pytest.mark.parametrize("case", FORWARDED)
def test_requests_are_forwarded_with_the_header(case: str) -> None:
    sent, expected = FORWARDED[case]

    assert forwarded(sent) == expected


@pytest.mark.parametrize("case", [case for case in FORWARDED if "chunk" not in case])
def test_it_does_not_matter_where_the_octets_are_cut(case: str) -> None:
    sent, expected = FORWARDED[case]

    assert forwarded(sent, cut=octets) == expected


def test_a_chunk_that_arrives_in_parts_is_forwarded_in_parts() -> None:
    requests = Requests(Rewriting())
    requests.feed(GET + CHUNKED + b"\r\n5\r\nhe")

    assert requests.feed(b"llo\r\n0\r\n\r\n") == b"3\r\nllo\r\n0\r\n\r\n"


HOSTS = {
    "127.0.0.1:8081": "docs.tunnel.localhost",
    "127.0.0.1": "docs.tunnel.localhost",
    "LocalHost:8081": "docs.tunnel.localhost",
    "[::1]:8081": "docs.tunnel.localhost",
    "evil.example.com": "evil.example.com",
    "localhost.evil.example.com": "localhost.evil.example.com",
    "127.0.0.1.evil.example.com:8081": "127.0.0.1.evil.example.com:8081",
    "127.0.0.10": "127.0.0.10",
}


@pytest.mark.parametrize("host", HOSTS)
def test_only_a_host_that_names_loopback_is_replaced(host: str) -> None:
    sent = f"GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\r\n".encode()
    name = HOSTS[host]

    assert (
        forwarded(sent, RENAMING)
        == f"GET / HTTP/1.1\r\nHost: {name}\r\nOrigin: http://{name}\r\n\r\n".encode()
    )


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_is_kept_unless_told_otherwise(host: str) -> None:
    sent = f"GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n\r\n".encode()

    assert forwarded(sent, Rewriting()) == sent


@pytest.mark.parametrize("line", ["", "Name", "Na me: x", "Name: a\r\nOther: b", "Name:", ": x"])
def test_a_header_line_is_one_header(line: str) -> None:
    with pytest.raises(ValueError, match="not a header line"):
        read_field(line)


async def test_requests_and_answers_alternate_on_one_connection() -> None:
    async with connected() as ends:
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", b"HTTP/1.1 204 No Content\r\n\r\n"):
            await ends.client.send(GET + b"\r\n")
            await ends.server.receive(GET + ADDED + b"\r\n")
            await ends.server.send(answer)
            await ends.client.receive(answer)


async def test_each_event_of_a_stream_arrives_before_the_next_is_sent() -> None:
    async with connected() as ends:
        await ends.client.send(GET + b"\r\n")
        await ends.server.receive(GET + ADDED + b"\r\n")
        for part in (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"9\r\ndata: 1\n\n\r\n",
            b": ping\n\n",
        ):
            await ends.server.send(part)
            await ends.client.receive(part)


async def test_each_part_of_a_body_arrives_before_the_next_is_sent() -> None:
    async with connected() as ends:
        await ends.client.send(GET + CHUNKED + b"\r\n")
        await ends.server.receive(GET + CHUNKED + ADDED + b"\r\n")
        for part in (b"5\r\nhello\r\n", b"5\r\nworld\r\n", b"0\r\n\r\n"):
            await ends.client.send(part)
            await ends.server.receive(part)


async def test_an_answer_may_come_before_the_request_is_complete() -> None:
    async with connected() as ends:
        await ends.client.send(GET + b"Content-Length: 10\r\n\r\n12345")
        await ends.server.receive(GET + b"Content-Length: 10\r\n" + ADDED + b"\r\n12345")
        await ends.server.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await ends.client.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
        await ends.client.send(b"67890")
        await ends.server.receive(b"67890")


async def test_a_client_that_has_said_all_can_still_listen() -> None:
    async with connected() as ends:
        await ends.client.send(GET + b"\r\n")
        ends.client.writer.write_eof()
        await ends.server.receive(GET + ADDED + b"\r\n")
        assert await ends.server.reader.read() == b""
        await ends.server.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await ends.server.close()

        assert await ends.client.reader.read() == b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_a_client_that_goes_away_is_gone_for_the_server() -> None:
    async with connected() as ends:
        await ends.client.send(GET + b"\r\n")
        await ends.server.receive(GET + ADDED + b"\r\n")
        ends.client.writer.transport.abort()

        assert await ends.server.reader.read() == b""


async def test_a_server_that_closes_closes_the_client() -> None:
    async with connected() as ends:
        await ends.server.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        await ends.server.close()

        assert await ends.client.reader.read() == b"HTTP/1.1 408 Request Timeout\r\n\r\n"


async def test_nothing_is_forwarded_from_where_requests_cannot_be_told_apart() -> None:
    async with connected() as ends:
        await ends.client.send(GET + b"\r\n" + GET + SIZED + CHUNKED + b"\r\n" + BODY)

        assert await ends.server.reader.read() == GET + ADDED + b"\r\n"


async def test_a_server_that_is_not_there_closes_the_client() -> None:
    server = await asyncio.start_server(_Accepted(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with asyncio.timeout(20), forwarding(port, ADDING) as listening:
        client = Peer(*await asyncio.open_connection("127.0.0.1", listening))

        assert await client.reader.read() == b""
        await client.close()


async def test_what_is_large_arrives_whole_in_both_directions() -> None:
    large = bytes(range(256)) * 8192
    head = b"Content-Length: %d\r\n" % len(large)
    async with connected() as ends, asyncio.TaskGroup() as group:
        group.create_task(ends.client.send(GET + head + b"\r\n" + large))
        await ends.server.receive(GET + head + ADDED + b"\r\n" + large)
        group.create_task(ends.server.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + large))
        await ends.client.receive(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + large)
