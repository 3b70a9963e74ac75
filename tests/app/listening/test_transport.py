"""The transport beneath an HTTP protocol, over real sockets on both event loops."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from tests.support.certificates import Authority
from tests.support.tunnels import (
    BINARY,
    CLOSE,
    LIMIT,
    PING,
    PONG,
    Frames,
    Tunnel,
    frame,
    rest_of,
    server_credential,
    tunnelled,
)
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.farewell import GOODBYE_SECONDS
from tunnelgate_app.listening.protocol import Arrivals, Carried
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.listening.transport import SecureTransport

AUTHORITY = Authority("the authority")
MEGABYTE = 1 << 20
Test = Callable[["Listener"], Awaitable[None]]


@dataclass
class Above(asyncio.Protocol):
    """Keeps what the transport says, in the place of an HTTP protocol."""

    received: bytearray = field(default_factory=bytearray)
    said: list[str] = field(default_factory=list[str])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    transport: SecureTransport = field(init=False)
    on_data: Callable[[bytes], None] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("SecureTransport", transport)
        self._say("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)
        self.changed.set()

    def eof_received(self) -> None:
        self._say("eof")

    def pause_writing(self) -> None:
        self._say("pause")

    def resume_writing(self) -> None:
        self._say("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self._say("lost")

    def _say(self, what: str) -> None:
        self.said.append(what)
        self.changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so, after something has been said."""
        async with asyncio.timeout(LIMIT):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Listener:
    """A listener with one protocol above, which is that of its next connection."""

    port: int
    above: Above

    @asynccontextmanager
    async def tunnel(self) -> AsyncGenerator[Tunnel]:
        """Give the other end of a tunnel when its connection has come up."""
        opening = tunnelled(self.port, AUTHORITY)
        tunnel = await asyncio.to_thread(opening.__enter__)
        try:
            await self.above.until(lambda: "made" in self.above.said)
            yield tunnel
        finally:
            opening.__exit__(None, None, None)


@pytest.fixture(params=[pytest.param(uvloop.new_event_loop, id="uvloop"), pytest.param(None, id="asyncio")])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Test], None]:
    """Give what runs a test beside a listener on one of the event loops."""
    tls = ListenerTls(open_tls(TlsFiles(*server_credential(AUTHORITY).write(tmp_path, "server"))))

    async def run(test: Test, carried: Carried) -> None:
        above = Above()
        arrivals = Arrivals(tls, carried, lambda: above, LIMIT)
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as sock:
            server = await loop.create_server(arrivals, sock=sock)
            try:
                async with asyncio.timeout(LIMIT):
                    await test(Listener(sock.getsockname()[1], above))
                    await above.until(lambda: "lost" in above.said)
            finally:
                arrivals.stop()
                server.close()

    def runs(test: Test, carried: Carried = "either") -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(run(test, carried))

    return runs


Listening = Callable[[Test], None]


def test_what_is_beneath_is_known_and_half_a_goodbye_is_not_offered(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            transport = listener.above.transport
            assert transport.get_extra_info("peername") == tunnel.connection.getsockname()
            assert transport.get_extra_info("sockname") == tunnel.connection.getpeername()
            assert transport.get_extra_info("socket").family is socket.AF_INET
            assert transport.get_extra_info("ssl_object").version() == tunnel.tls.version()
            assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
            assert transport.get_extra_info("nothing of the sort", 7) == 7
            assert not transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                transport.write_eof()
            transport.set_write_buffer_limits(high=1000, low=10)
            assert transport.get_write_buffer_limits() == (10, 1000)
            assert transport.get_protocol() is listener.above
            assert transport.is_reading()
            transport.set_protocol(listener.above)

    listening(test)


def test_what_is_written_in_one_turn_travels_together(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            transport = listener.above.transport
            transport.write(b"before")
            assert await asyncio.to_thread(tunnel.recv) == b"before"  # and the tickets
            transport.write(b"")
            transport.write(b"one ")
            transport.writelines([b"two ", bytearray(b"three "), memoryview(b"four")])
            assert transport.get_write_buffer_size() > 0
            octets = await asyncio.to_thread(tunnel.connection.recv, 65536)

        ((opcode, record),) = Frames().read(octets)
        assert opcode == BINARY
        assert record[0] == 23  # application data
        assert int.from_bytes(record[3:5], "big") == len(record) - 5
        assert len(record) - 5 > len(b"one two three four")

    listening(test)


def test_a_large_write_goes_beneath_at_once(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            listener.above.transport.write(b"x" * 16384)
            received = await asyncio.to_thread(tunnel.recv)
            assert received == b"x" * 16384

    listening(test)


def test_a_connection_is_closed_when_everything_has_been_sent(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            transport = listener.above.transport
            transport.write(b"x" * MEGABYTE)
            transport.write(b"the last")
            transport.close()
            transport.close()
            transport.write(b"too late")
            transport.resume_reading()
            transport.pause_reading()
            assert transport.is_closing()
            assert not transport.is_reading()

            def read() -> bytes:
                tunnel.sendall(b"what nobody reads any more")
                return tunnel.rest()

            assert await asyncio.to_thread(read) == b"x" * MEGABYTE + b"the last"
            await asyncio.to_thread(tunnel.receive)
            assert [opcode for opcode, _ in tunnel.control] == [CLOSE]
        await listener.above.until(lambda: "lost" in listener.above.said)
        assert listener.above.received == b""
        assert listener.above.said.count("lost") == 1
        transport.abort()

    listening(test)


def test_who_does_not_close_its_side_is_cut_off_a_moment_later(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel():
            began = time.monotonic()
            listener.above.transport.close()
            await listener.above.until(lambda: "lost" in listener.above.said)
            assert GOODBYE_SECONDS * 0.9 < time.monotonic() - began < GOODBYE_SECONDS + LIMIT / 2

    listening(test)


def test_who_reads_slowly_gets_all_of_it_before_the_connection_ends(listening: Listening) -> None:
    size = 16 * MEGABYTE  # more than the operating system takes for a client that does not read

    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            transport = listener.above.transport
            transport.write(b"x" * size)
            transport.close()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS * 2.5):
                    await listener.above.until(lambda: "lost" in listener.above.said)
            assert transport.get_write_buffer_size() > 0
            assert len(await asyncio.to_thread(tunnel.rest)) == size

    listening(test)


def test_a_connection_that_is_aborted_ends_without_a_goodbye(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            listener.above.transport.write(b"never sent")
            listener.above.transport.abort()
            received = b""
            with suppress(ssl.SSLEOFError, ConnectionResetError):  # which not every Python says
                received = await asyncio.to_thread(tunnel.recv)
            assert (received, tunnel.control) == (b"", [])

    listening(test)


def test_who_goes_away_without_a_goodbye_is_told_to_the_protocol(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            tunnel.connection.shutdown(socket.SHUT_WR)
            await listener.above.until(lambda: "lost" in listener.above.said)
            assert listener.above.said == ["made", "eof", "lost"]

    listening(test)


@pytest.mark.parametrize("is_said_in_tls", [True, False], ids=["in TLS", "in the WebSocket alone"])
def test_a_goodbye_of_the_other_end_is_answered(listening: Listening, *, is_said_in_tls: bool) -> None:
    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:

            def leave() -> None:
                tunnel.sendall(b"the last")
                if is_said_in_tls:
                    with pytest.raises(ssl.SSLWantReadError):
                        tunnel.tls.unwrap()
                    tunnel.flush()
                else:
                    tunnel.connection.sendall(frame(b"\x03\xe8", CLOSE))
                while not tunnel.control:
                    tunnel.receive()

            await asyncio.to_thread(leave)
            assert listener.above.received == b"the last"
            assert tunnel.control == [(CLOSE, b"\x03\xe8")]

    listening(test)


def test_nothing_is_passed_on_to_who_has_paused_and_everything_afterwards(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        above = listener.above
        async with listener.tunnel() as tunnel:
            above.transport.pause_reading()
            above.transport.pause_reading()
            above.transport.data_received(b"")  # as a loop may do that has read already
            assert not above.transport.is_reading()
            sending = asyncio.create_task(asyncio.to_thread(tunnel.sendall, b"x" * 16 * MEGABYTE))
            await asyncio.wait([sending], timeout=0.3)
            assert not sending.done()  # since nothing is taken from it beyond what fits into buffers
            assert above.received == b""
            for _ in range(3):
                above.transport.resume_reading()
            await sending
            await above.until(lambda: len(above.received) == 16 * MEGABYTE)

    listening(test)


def test_who_pauses_after_each_part_gets_one_part_each_time(listening: Listening) -> None:
    parts: list[int] = []

    async def test(listener: Listener) -> None:
        above = listener.above

        def pause(data: bytes) -> None:
            parts.append(len(data))
            above.transport.pause_reading()

        above.on_data = pause
        async with listener.tunnel() as tunnel:

            def send() -> None:
                for _ in range(1000):
                    tunnel.tls.write(b"x")
                with pytest.raises(ssl.SSLWantReadError):
                    tunnel.tls.unwrap()
                tunnel.flush()

            await asyncio.to_thread(send)
            while len(above.received) < 1000:
                count = len(parts)
                await above.until(lambda: bool(parts))
                above.transport.resume_reading()
                await asyncio.sleep(0)
                assert len(parts) <= count + 1
            assert "eof" not in above.said
            above.transport.resume_reading()
            await above.until(lambda: "eof" in above.said)

    listening(test)
    assert sum(parts) == 1000
    assert len(parts) > 10


def test_who_pauses_between_two_parts_gets_nothing_more_until_it_goes_on(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        above = listener.above
        is_paused = asyncio.Event()

        def pause() -> None:
            above.transport.pause_reading()
            is_paused.set()

        def pause_soon(_: bytes) -> None:
            above.on_data = lambda _: None
            asyncio.get_running_loop().call_soon(pause)

        above.on_data = pause_soon
        async with listener.tunnel() as tunnel:

            def send() -> None:
                for _ in range(1000):
                    tunnel.tls.write(b"x")
                tunnel.flush()

            await asyncio.to_thread(send)
            await is_paused.wait()
            count = len(above.received)
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(above.received) == count < 1000
            above.transport.resume_reading()
            await above.until(lambda: len(above.received) == 1000)

    listening(test)


def test_very_many_records_are_passed_on_in_turns_with_others(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        above = listener.above
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1
            if len(above.received) < 10_000:
                asyncio.get_running_loop().call_soon(count)

        def begin(_: bytes) -> None:
            above.on_data = lambda _: None
            count()

        above.on_data = begin
        async with listener.tunnel() as tunnel:

            def send() -> None:
                for _ in range(10_000):
                    tunnel.tls.write(b"x")
                tunnel.flush()

            await asyncio.to_thread(send)
            await above.until(lambda: len(above.received) == 10_000)
        assert turns > 100

    listening(test)


def test_who_writes_more_than_is_taken_is_told_and_told_again(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        above = listener.above
        async with listener.tunnel() as tunnel:
            while "pause" not in above.said:
                above.transport.write(b"x" * MEGABYTE)
            written = above.transport.get_write_buffer_size()
            assert written > 0
            reading = asyncio.create_task(asyncio.to_thread(tunnel.rest))
            await above.until(lambda: "resume" in above.said)
            assert above.transport.get_write_buffer_size() < written
            above.transport.close()
            assert len(await reading) % MEGABYTE == 0

    listening(test)


def test_pings_of_who_takes_no_answers_are_answered_once_it_does(listening: Listening) -> None:
    async def test(listener: Listener) -> None:
        above = listener.above
        async with listener.tunnel() as tunnel:
            while "pause" not in above.said:
                above.transport.write(b"x" * MEGABYTE)
            size = above.transport.get_write_buffer_size()
            for number in range(5):
                await asyncio.to_thread(tunnel.connection.sendall, frame(b"%d" % number, PING) * 500)
            await asyncio.to_thread(tunnel.sendall, b"hello")
            await above.until(lambda: bytes(above.received) == b"hello")
            assert above.transport.get_write_buffer_size() <= size

            def read() -> None:
                while not tunnel.control:
                    tunnel.receive()

            await asyncio.to_thread(read)
            assert tunnel.control == [(PONG, b"4")]

    listening(test)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        pytest.param(
            frame(b"hello", 1), "websocket failed: a text frame came, and binary ones are expected", id="text"
        ),
        pytest.param(
            frame(b"\x17\x03\x03\x00\x20" + bytes(32), BINARY),
            "tls failed: what came was changed on its way",
            id="a record that is none of this connection's",
        ),
    ],
)
def test_what_breaks_the_connection_is_one_line_of_the_log(
    listening: Listening, octets: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    peers: list[Any] = []

    async def test(listener: Listener) -> None:
        async with listener.tunnel() as tunnel:
            peers.extend(tunnel.connection.getsockname())

            def send() -> None:
                tunnel.connection.sendall(octets * 3)
                while not any(opcode == CLOSE for opcode, _ in tunnel.control):
                    tunnel.receive()

            await asyncio.to_thread(send)

    with caplog.at_level(logging.INFO, "tunnelgate"):
        listening(test)

    host, port = peers
    assert [each.getMessage() for each in caplog.records if each.name == "tunnelgate"] == [
        f"{why} (from {host}:{port})"
    ]


def test_what_was_written_before_the_connection_broke_is_given_up(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(listener: Listener) -> None:
        above = listener.above
        above.on_data = lambda _: above.transport.write(b"an answer")
        async with listener.tunnel() as tunnel:

            def send() -> bytes:
                tunnel.tls.write(b"a question")
                question = frame(tunnel.taken())
                tunnel.connection.sendall(question + frame(b"\x17\x03\x03\x00\x20" + bytes(32)) * 300)
                return rest_of(tunnel.connection)

            answered = await asyncio.to_thread(send)
            assert Frames().read(answered)[-1][0] == CLOSE
            assert above.transport.get_write_buffer_size() == 0

    listening(test)
    assert len([each for each in caplog.records if each.name == "tunnelgate"]) == 1


def test_a_protocol_that_breaks_in_a_later_turn_loses_its_connection(listening: Listening) -> None:
    said: list[str] = []

    async def test(listener: Listener) -> None:
        above = listener.above
        asyncio.get_running_loop().set_exception_handler(lambda _, each: said.append(str(each["exception"])))

        def break_later(_: bytes) -> None:
            if len(above.received) > 500:
                raise RuntimeError("the protocol is broken")

        above.on_data = break_later
        async with listener.tunnel() as tunnel:

            def send() -> None:
                for _ in range(1000):
                    tunnel.tls.write(b"x")
                tunnel.flush()

            await asyncio.to_thread(send)
            await above.until(lambda: "lost" in above.said)
        assert len(above.received) < 1000

    listening(test)
    assert said == ["the protocol is broken"]
