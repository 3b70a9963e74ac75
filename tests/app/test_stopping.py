"""How a gate stops: real processes that are told to by real signals, and what they had in flight."""

import asyncio
import fcntl
import json
import signal
import socket
import ssl
import sys
import termios
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from textwrap import dedent
from typing import Any

import pytest
import uvloop

from tests.support.asgi import Spy
from tests.support.certificates import Authority, client_context
from tests.support.processes import Running, environment, running
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate_app.listening.addresses import open_listener
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.farewell import GOODBYE_SECONDS
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop, Parser, Server
from tunnelgate_app.stopping import Draining, LastResort

LIMIT = 20  # seconds that anything here may take
SOON = 5  # seconds in which what is not waited for has ended, also on a busy machine
SERVERS = [
    pytest.param("strict", "uvloop", id="the strict protocol on uvloop"),
    pytest.param("strict", "asyncio", id="the strict protocol on asyncio"),
    pytest.param("h11", "uvloop", id="h11 on uvloop"),
    pytest.param("h11", "asyncio", id="h11 on asyncio"),
]
LOOPS = SERVERS[:2]

PROGRAM = """
import asyncio
import json
import logging
import sys
import termios
import threading
import time

from sse_starlette import EventSourceResponse

from tunnelgate_app.listening.addresses import open_listener
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Server

options = json.loads(sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
in_flight = asyncio.Semaphore(0)
released, stopping = asyncio.Event(), asyncio.Event()


def say(sentence):
    print(sentence, flush=True)


def on_stop(seconds):
    say(f"told to stop with {seconds:.1f} seconds left")
    stopping.set()
    if options.get("on_stop") == "breaks":
        raise RuntimeError("no way to stop")


async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("the application stops")
    if options.get("lifespan") == "never ends":
        await asyncio.Event().wait()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, *parts, content_type=b"application/json"):
    headers = [(b"content-type", content_type)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def slow(send):
    await released.wait()
    await answer(send, b'{"is_whole":', b"true}")


async def large(send):
    await released.wait()
    await answer(send, b"x" * options["octets"])


async def stream(send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: first\\n\\n", "more_body": True})
    await stopping.wait()
    await send({"type": "http.response.body", "body": b"data: last\\n\\n"})


async def sdk_stream(scope, receive, send):
    async def events():
        yield "first"
        await asyncio.Event().wait()

    await EventSourceResponse(events())(scope, receive, send)


async def never(send):
    await asyncio.Event().wait()


async def stubborn(send):
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("a call goes on")


async def endless(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await asyncio.Event().wait()


async def working(send):
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)


async def leaving_a_thread(send):
    threading.Thread(target=time.sleep, args=(600,)).start()
    await answer(send)


async def blocking(send):
    time.sleep(600)


CALLS = {
    "/slow": slow,
    "/large": large,
    "/stream": stream,
    "/never": never,
    "/stubborn": stubborn,
    "/endless": endless,
    "/working": working,
    "/leaving-a-thread": leaving_a_thread,
    "/blocking": blocking,
}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path = scope["path"]
    if path == "/now":
        return await answer(send, b"{}")
    if path == "/in-flight":
        for _ in range(int(scope["query_string"])):
            await in_flight.acquire()
        return await answer(send, b"{}")
    if path == "/release":
        in_flight.release()
        while (await receive()).get("more_body"):
            pass
        released.set()
        return await answer(send, b"{}")
    asyncio.get_running_loop().call_soon(in_flight.release)
    say(f"called {path}")
    if path == "/sdk-stream":
        return await sdk_stream(scope, receive, send)
    return await CALLS[path](send)


listener = open_listener(options["listen_addr"])
say(f"port {listener.getsockname()[1]}")
server = Server(
    app,
    parser=options["parser"],
    loop=options["loop"],
    shutdown_timeout=options["shutdown_timeout"],
    tls=ListenerTls(open_tls(TlsFiles(*options["tls"]))) if options["tls"] else None,
    on_stop=on_stop,
)
server.run(sockets=[listener])
"""


@dataclass
class Gate:
    """A process that serves the application above."""

    program: Running
    port: int
    tls: ssl.SSLContext | None

    @contextmanager
    def connected(self) -> Generator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as plain:
            if self.tls is None:
                yield plain
                return
            with self.tls.wrap_socket(plain, server_hostname="localhost") as connection:
                yield connection

    def call(self, path: str, stack: ExitStack) -> socket.socket:
        """Call ``path``, and return the connection when the application has the call."""
        connection = stack.enter_context(self.connected())
        connection.sendall(request(path))
        self.wait_for_calls(1)
        return connection

    def wait_for_calls(self, count: int) -> None:
        with self.connected() as connection:
            connection.sendall(request(f"/in-flight?{count}", "Connection: close"))
            assert rest_of(connection).endswith(b"0\r\n\r\n")

    def releasing(self, stack: ExitStack) -> Callable[[], None]:
        """Begin a request, and return what ends it, upon which slow calls are answered."""
        connection = stack.enter_context(self.connected())
        connection.sendall(b"POST /release HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        self.wait_for_calls(1)
        return lambda: connection.sendall(b"x")

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.program.process.send_signal(number)

    def wait_until_refused(self) -> None:
        """Return when no connection is taken any more."""
        began = time.monotonic()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT).close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue  # it was taken just before
            assert time.monotonic() - began < LIMIT, "connections are still taken"
            self.check_runs(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.tell(number)
        self.wait_until_refused()

    def wait_until_said(self, line: str) -> None:
        began = time.monotonic()
        while line not in self.program.lines:
            assert time.monotonic() - began < LIMIT, f"{line!r} is not said"
            self.check_runs(0.02)

    def check_ends(self, code: int = 0, within: float = SOON) -> None:
        """Check that the process ends in time, and with this exit code."""
        try:
            ended = self.program.process.wait(within)
        except TimeoutExpired:
            pytest.fail(f"it runs after {within} seconds: {self.program.output}")
        assert ended == code, self.program.output

    def check_runs(self, seconds: float) -> None:
        """Check that the process does not end so soon."""
        with pytest.raises(TimeoutExpired):
            self.program.process.wait(seconds)


def request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: docs.example.com", *headers, "", ""]).encode()


def answer_on(connection: socket.socket) -> bytes:
    """Return one answer in chunks, on a connection that stays open."""
    answer = b""
    while not answer.endswith(b"\r\n0\r\n\r\n"):
        chunk = connection.recv(65536)
        assert chunk, f"the connection ends after {answer!r}"
        answer += chunk
    return answer


def rest_of(connection: socket.socket) -> bytes:
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the authority")


@contextmanager
def gate(
    folder: Path,
    parser: Parser = "strict",
    loop: Loop = "uvloop",
    *,
    authority: Authority | None = None,
    shutdown_timeout: float = 60,
    **options: Any,
) -> Generator[Gate]:
    """Run a gate, with TLS where there is an authority to issue its certificate."""
    (folder / "program.py").write_text(dedent(PROGRAM))
    files: list[str] = []
    if authority is not None:
        files = [str(file) for file in authority.issue_for_server("localhost").write(folder, "server")]
    arguments = {
        "listen_addr": "127.0.0.1:0",
        "parser": parser,
        "loop": loop,
        "shutdown_timeout": shutdown_timeout,
        "tls": files,
        **options,
    }
    command = [sys.executable, "program.py", json.dumps(arguments)]
    with running(command, environment(folder), folder, ready="listening on") as program:
        (line,) = [line for line in program.lines if line.startswith("port ")]
        try:
            yield Gate(
                program,
                int(line.removeprefix("port ")),
                None if authority is None else client_context(authority),
            )
        finally:
            program.process.kill()  # so that a test that fails does not wait for what never ends


@pytest.fixture(params=[False, True], ids=["without TLS", "with TLS"])
def of_gate(request: pytest.FixtureRequest, authority: Authority) -> Authority | None:
    return authority if request.param else None


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
def test_a_call_in_flight_is_answered_whole_and_idle_connections_are_closed(
    tmp_path: Path, parser: Parser, loop: Loop, of_gate: Authority | None
) -> None:
    with gate(tmp_path, parser, loop, authority=of_gate) as stopping, ExitStack() as stack:
        idle = stack.enter_context(stopping.connected())
        idle.sendall(request("/now"))
        assert answer_on(idle).startswith(b"HTTP/1.1 200 ")
        release = stopping.releasing(stack)
        slow = stopping.call("/slow", stack)

        stopping.stop()
        assert rest_of(idle) == b""
        stopping.check_runs(0.3)
        release()
        answer = rest_of(slow)
        stopping.check_ends()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'\r\n\r\nc\r\n{"is_whole":\r\n5\r\ntrue}\r\n0\r\n\r\n')
    assert "the application stops\n" in stopping.program.lines
    assert "Traceback" not in stopping.program.output


@pytest.mark.parametrize("parser", ["strict", "h11"])
def test_an_answer_during_the_stop_says_that_its_connection_is_closed(tmp_path: Path, parser: Parser) -> None:
    with gate(tmp_path, parser) as stopping, ExitStack() as stack:
        release = stopping.releasing(stack)
        slow = stopping.call("/slow", stack)
        stopping.stop()
        stopping.check_runs(0.3)  # in which it is told more than once
        release()
        answer = rest_of(slow)
        stopping.check_ends()

    assert answer.lower().count(b"\r\nconnection: close\r\n") == 1


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
def test_a_stream_that_ends_itself_when_it_is_told_of_the_stop_ends_cleanly(
    tmp_path: Path, parser: Parser, loop: Loop
) -> None:
    with gate(tmp_path, parser, loop) as stopping, ExitStack() as stack:
        stream = stopping.call("/stream", stack)

        stopping.tell()
        answer = rest_of(stream)
        stopping.check_ends()

    assert answer.endswith(b"d\r\ndata: first\n\n\r\nc\r\ndata: last\n\n\r\n0\r\n\r\n")
    assert "Traceback" not in stopping.program.output


@pytest.mark.parametrize(("parser", "loop"), LOOPS)
def test_streams_as_the_mcp_sdk_makes_them_end_with_the_stop(
    tmp_path: Path, parser: Parser, loop: Loop
) -> None:
    with gate(tmp_path, parser, loop) as stopping, ExitStack() as stack:
        stream = stopping.call("/sdk-stream", stack)

        stopping.tell()
        answer = rest_of(stream)
        stopping.check_ends()

    assert b"data: first" in answer
    assert "Traceback" not in stopping.program.output


@pytest.mark.promise("stops-in-time")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_gate_with_nothing_to_do_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with gate(tmp_path) as stopping:
        stopping.tell(number)
        stopping.check_ends()

    assert "Traceback" not in stopping.program.output


def test_who_asked_for_it_is_told_of_the_stop_once_and_how_long_there_is(tmp_path: Path) -> None:
    with gate(tmp_path, shutdown_timeout=7) as stopping:
        stopping.tell()
        stopping.check_ends()

    (told,) = [line for line in stopping.program.lines if line.startswith("told to stop")]
    seconds = float(told.split(" ")[4])
    assert 7 - SOON < seconds <= 7
    before, _, after = stopping.program.output.partition(told)
    assert "the application stops" not in before
    assert "the application stops" in after


def test_a_gate_stops_also_where_telling_of_the_stop_breaks(tmp_path: Path) -> None:
    with gate(tmp_path, on_stop="breaks") as stopping, ExitStack() as stack:
        release = stopping.releasing(stack)
        slow = stopping.call("/slow", stack)
        stopping.stop()
        release()
        assert rest_of(slow).endswith(b"0\r\n\r\n")
        stopping.check_ends()

    assert "RuntimeError: no way to stop" in stopping.program.output
    assert "the application stops\n" in stopping.program.lines


def check_ends_in_time(stopping: Gate, shutdown_timeout: float) -> None:
    """Check that a gate which is told to stop ends when its time is over, and not before."""
    began = time.monotonic()
    stopping.tell()
    stopping.check_ends()
    took = time.monotonic() - began
    assert shutdown_timeout <= took < shutdown_timeout + 2  # a second, and another for a busy machine


@pytest.mark.promise("stops-in-time")
@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.promise("bounded")
def test_calls_and_streams_that_never_end_are_cut_in_time(tmp_path: Path, parser: Parser, loop: Loop) -> None:
    with gate(tmp_path, parser, loop, shutdown_timeout=0.4) as stopping, ExitStack() as stack:
        never = stopping.call("/never", stack)
        endless = stopping.call("/endless", stack)

        check_ends_in_time(stopping, 0.4)
        assert rest_of(never).startswith(b"HTTP/1.1 500 ")
        assert rest_of(endless).endswith(b"\r\n\r\n5\r\nbegun\r\n")

    assert "calls that did not end in time are cut: 2\n" in stopping.program.lines
    assert "the application stops\n" in stopping.program.lines


@pytest.mark.parametrize(("parser", "loop"), LOOPS)
def test_without_time_to_stop_calls_are_cut_at_once(tmp_path: Path, parser: Parser, loop: Loop) -> None:
    with gate(tmp_path, parser, loop, shutdown_timeout=0) as stopping, ExitStack() as stack:
        stopping.call("/never", stack)

        check_ends_in_time(stopping, 0)

    assert "the application stops\n" in stopping.program.lines


@pytest.mark.parametrize(
    ("path", "loop"),
    [
        pytest.param("/stubborn", "uvloop", id="does not heed its cancellation, on uvloop"),
        pytest.param("/stubborn", "asyncio", id="does not heed its cancellation, on asyncio"),
        pytest.param("/working", "uvloop", id="works in a thread, on uvloop"),
        pytest.param("/working", "asyncio", id="works in a thread, on asyncio"),
        pytest.param("/leaving-a-thread", "uvloop", id="leaves a thread behind"),
        pytest.param("/blocking", "uvloop", id="blocks the event loop, which is uvloop"),
        pytest.param("/blocking", "asyncio", id="blocks the event loop, which is asyncio"),
    ],
)
@pytest.mark.promise("bounded")
def test_the_process_ends_in_time_where_a_call(tmp_path: Path, path: str, loop: Loop) -> None:
    with gate(tmp_path, loop=loop, shutdown_timeout=0.4) as stopping, ExitStack() as stack:
        connection = stack.enter_context(stopping.connected())
        connection.sendall(request(path))
        stopping.wait_until_said(f"called {path}\n")

        check_ends_in_time(stopping, 0.4)

    assert "what does not end is left behind\n" in stopping.program.lines


@pytest.mark.parametrize(("parser", "loop"), LOOPS)
def test_the_process_ends_in_time_where_the_application_does_not_stop(
    tmp_path: Path, parser: Parser, loop: Loop
) -> None:
    with gate(tmp_path, parser, loop, shutdown_timeout=0.4, lifespan="never ends") as stopping:
        stopping.tell()
        stopping.check_ends()

    assert "the application did not stop in time and is left behind\n" in stopping.program.lines


@pytest.mark.promise("stops-in-time")
@pytest.mark.parametrize(
    ("first", "second", "loop"),
    [
        pytest.param(signal.SIGTERM, signal.SIGTERM, "uvloop", id="SIGTERM twice, on uvloop"),
        pytest.param(signal.SIGTERM, signal.SIGTERM, "asyncio", id="SIGTERM twice, on asyncio"),
        pytest.param(signal.SIGINT, signal.SIGINT, "uvloop", id="SIGINT twice"),
        pytest.param(signal.SIGTERM, signal.SIGINT, "uvloop", id="SIGTERM and SIGINT"),
    ],
)
def test_told_a_second_time_the_process_ends_at_once(
    tmp_path: Path, first: signal.Signals, second: signal.Signals, loop: Loop
) -> None:
    with gate(tmp_path, loop=loop) as stopping, ExitStack() as stack:
        stopping.call("/never", stack)

        stopping.stop(first)
        stopping.tell(second)
        stopping.check_ends(128 + second)


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
@pytest.mark.promise("bounded")
def test_clients_of_tls_that_say_nothing_do_not_delay_the_stop(
    tmp_path: Path, parser: Parser, loop: Loop, authority: Authority
) -> None:
    with gate(tmp_path, parser, loop, authority=authority) as stopping, ExitStack() as stack:
        silent = stack.enter_context(stopping.connected())  # and never answers that the connection ends
        asked = stack.enter_context(stopping.connected())
        asked.sendall(request("/now"))
        assert asked.recv(65536).startswith(b"HTTP/1.1 200 ")
        begun = stack.enter_context(socket.create_connection(("127.0.0.1", stopping.port), timeout=LIMIT))
        begun.sendall(bytes.fromhex("1603010200010001fc"))  # of a handshake

        began = time.monotonic()
        stopping.tell()
        stopping.check_ends()
        took = time.monotonic() - began

        assert rest_of(silent) == b""
    assert took >= GOODBYE_SECONDS


@pytest.mark.parametrize(("parser", "loop"), SERVERS)
def test_a_connection_whose_handshake_ends_during_the_stop_is_closed(
    tmp_path: Path, parser: Parser, loop: Loop, authority: Authority
) -> None:
    with gate(tmp_path, parser, loop, authority=authority) as stopping, ExitStack() as stack:
        release = stopping.releasing(stack)
        slow = stopping.call("/slow", stack)
        assert stopping.tls is not None
        late = stack.enter_context(socket.create_connection(("127.0.0.1", stopping.port), timeout=LIMIT))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = stopping.tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        late.sendall(outgoing.read())
        incoming.write(late.recv(65536))

        stopping.stop()
        began = time.monotonic()
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(late.recv(65536))
        late.sendall(outgoing.read())
        while late.recv(65536):
            pass  # tickets, and that the connection ends
        took = time.monotonic() - began
        release()
        assert rest_of(slow).endswith(b"0\r\n\r\n")
        stopping.check_ends()

    assert took < SOON  # less than a client has for its first request


class Filling:
    """An application that answers more than the operating system takes, and then lets the server stop.

    ``surplus`` are octets that remain with the server for as long as nobody reads.
    """

    def __init__(self, surplus: int) -> None:
        self.surplus = surplus
        self.sent = 0
        self.server: Server | None = None
        self.is_done = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        else:
            await self._answer(send)

    async def _answer(self, send: Send) -> None:
        assert self.server is not None
        (connection,) = self.server.server_state.connections
        descriptor = connection.transport.get_extra_info("socket").fileno()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        before = -1
        while (taken := octets_on_their_way(descriptor)) != before:
            before = taken
            await self._send(send, CHUNK, more_body=True)
        await self._send(send, self.surplus, more_body=False)
        self.server.should_exit = True
        self.is_done.set()

    async def _send(self, send: Send, octets: int, *, more_body: bool) -> None:
        self.sent += octets
        await send({"type": "http.response.body", "body": b"x" * octets, "more_body": more_body})


async def live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def octets_on_their_way(descriptor: int) -> int:
    """Return how many octets the operating system has taken and the other side has not."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


CHUNK = 16 * 1024  # octets


@pytest.mark.parametrize("surplus", [CHUNK, 1024 * 1024], ids=["a little", "much"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_who_reads_slowly_gets_the_whole_of_an_answer_that_the_system_does_not_take(
    tmp_path: Path, loop: Loop, surplus: int, of_gate: Authority | None
) -> None:
    app = Filling(surplus)
    tls = None
    if of_gate is not None:
        tls = open_tls(TlsFiles(*of_gate.issue_for_server("localhost").write(tmp_path, "server")))
    with serving(app, loop, shutdown_timeout=LIMIT, tls=tls) as (server, port), ExitStack() as stack:
        app.server = server
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LIMIT))
        if of_gate is not None:
            context = client_context(of_gate)
            client = stack.enter_context(context.wrap_socket(client, server_hostname="localhost"))
        client.sendall(request("/"))
        assert app.is_done.wait(LIMIT)
        threading.Event().wait(GOODBYE_SECONDS * 3)  # a client that is slow
        answer = rest_of(client)

    assert answer.count(b"x") == app.sent
    assert answer.endswith(b"\r\n0\r\n\r\n")


@contextmanager
def serving(
    app: ASGIApp, loop: Loop, *, shutdown_timeout: float, tls: ssl.SSLContext | None = None
) -> Generator[tuple[Server, int]]:
    """Serve ``app`` in a thread of this process, and give the server and its port."""
    with open_listener("127.0.0.1:0") as listener:
        server = Server(
            app, loop=loop, shutdown_timeout=shutdown_timeout, tls=None if tls is None else ListenerTls(tls)
        )
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(LIMIT)
            assert not thread.is_alive(), "the server did not stop"


LARGE = 12 * 1024 * 1024  # octets, more than the operating system takes for a client that does not read


@pytest.mark.parametrize(("parser", "loop"), LOOPS)
@pytest.mark.promise("bounded")
def test_who_does_not_read_a_large_answer_is_waited_for_as_long_as_there_is_time(
    tmp_path: Path, parser: Parser, loop: Loop, of_gate: Authority | None
) -> None:
    with (
        gate(tmp_path, parser, loop, authority=of_gate, octets=LARGE, shutdown_timeout=2) as stopping,
        ExitStack() as stack,
    ):
        release = stopping.releasing(stack)
        stopping.call("/large", stack)
        release()

        check_ends_in_time(stopping, 2)


@pytest.mark.parametrize(
    "new_loop", [pytest.param(uvloop.new_event_loop, id="uvloop"), pytest.param(None, id="asyncio")]
)
def test_a_connection_that_ends_at_any_moment_of_the_stop_disturbs_nothing(
    tmp_path: Path, authority: Authority, new_loop: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    tls = open_tls(TlsFiles(*authority.issue_for_server("localhost").write(tmp_path, "server")))

    async def stop() -> None:
        loop = asyncio.get_running_loop()
        with open_listener("127.0.0.1:0") as listener:
            server = Server(Spy(), tls=ListenerTls(tls))
            serving = asyncio.create_task(server.serve([listener]))
            answers, client = await asyncio.open_connection(
                *listener.getsockname(), ssl=client_context(authority), server_hostname="localhost"
            )
            client.write(request("/"))
            async with asyncio.timeout(LIMIT):
                assert await answers.readline() == b"HTTP/1.1 200 OK\r\n"
            connections = server.server_state.connections
            (connection,) = connections
            draining = Draining(server.server_state)
            connection.transport.abort()
            await draining.finish(loop.time())  # looks once, and what is beneath the connection is there
            while connections:
                await draining.finish(loop.time())
                await asyncio.sleep(0)
            server.should_exit = True
            await serving
            client.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(stop())


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_no_connection_outlives_the_server_in_a_process_that_goes_on(loop: Loop) -> None:
    app = Filling(LARGE)
    with serving(app, loop, shutdown_timeout=0.2) as (server, port):
        app.server = server
        client = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        client.sendall(request("/"))
        assert app.is_done.wait(LIMIT)

    with client:
        assert rest_of(client).count(b"x") < app.sent


class Left:
    """Takes the place of the end of the process."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.was_left = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.was_left.set()


def test_what_was_told_to_stop_is_left_when_its_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    left = Left()

    with LastResort(0.1, left) as last_resort:
        began = time.monotonic()
        last_resort.begin()

    assert left.was_left.wait(LIMIT)
    assert time.monotonic() - began >= 0.1
    assert left.codes == [0]
    assert [record.getMessage() for record in caplog.records] == ["what does not end is left behind"]


def test_what_ended_by_itself_is_not_left() -> None:
    left = Left()
    before = set(threading.enumerate())

    with LastResort(0, left):
        (watching,) = set(threading.enumerate()) - before
    watching.join(LIMIT)

    assert left.codes == []
    assert not watching.is_alive()
