"""A server as a process of its own: where it listens, what it takes, and how it ends."""

import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.processes import Running, environment, running, timed
from tests.support.servers import exchange_bytes
from tunnelgate_servers.hosting import OptionsError
from tunnelgate_servers.hosting.running import authority, open_listener

LIMIT = 60  # seconds that anything may take
PROGRAM = """
import sys
from asyncio import sleep
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from tunnelgate_servers.hosting.running import Server, open_listener


@asynccontextmanager
async def lifespan(app):
    if "fails" in sys.argv:
        raise RuntimeError("it cannot start")
    held = Path("held")
    held.touch()
    yield
    held.unlink()


app = FastAPI(title="sample", lifespan=lifespan)


@app.get("/")
async def root():
    return "here"


@app.get("/slow")
async def slow(seconds: float):
    Path("asked").touch()
    await sleep(seconds)
    return "done"


with open_listener(sys.argv[1], 0) as listener:
    sys.exit(0 if Server(app, listener).serve_until_stopped() else 3)
"""


@dataclass(frozen=True)
class Program:
    """A server that runs in a folder."""

    running: Running
    folder: Path
    host: str

    @property
    def port(self) -> int:
        (line,) = [each for each in self.running.lines if each.startswith("sample listens on ")]
        return int(line.strip().removesuffix("/mcp").rpartition(":")[2])

    def get(self, path: str) -> tuple[int, bytes]:
        with closing(HTTPConnection(self.host, self.port, timeout=LIMIT)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.running.process.send_signal(number)

    def end(self, seconds: float = LIMIT) -> int:
        return self.running.process.wait(seconds)

    def ask_and_wait(self, seconds: float) -> socket.socket:
        """Ask what takes so long, and return the connection when the server is at it."""
        client = socket.create_connection((self.host, self.port), LIMIT)
        client.sendall(b"GET /slow?seconds=%a HTTP/1.1\r\nhost: localhost\r\n\r\n" % seconds)
        wait_for(self.folder / "asked")
        return client

    def wait_until_refused(self) -> None:
        """Return when nobody listens any more."""
        while True:
            try:
                with socket.create_connection((self.host, self.port), LIMIT) as connection:
                    connection.recv(1)  # of a listener that closes just now
            except ConnectionError:
                return


def wait_for(file: Path) -> None:
    until = time.monotonic() + LIMIT
    while not file.exists():
        assert time.monotonic() < until, f"{file.name} is not there"
        time.sleep(0.01)


@contextmanager
def started(folder: Path, host: str = "127.0.0.1", *, is_timed: bool = False) -> Generator[Program]:
    command = [sys.executable, "-c", PROGRAM, host]
    env = environment(folder)
    with running(command, timed(env) if is_timed else env, folder, "sample listens on ") as process:
        yield Program(process, folder, host)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "127.0.0.1"), ("", "0.0.0.0")],
)
def test_it_says_in_one_line_where_it_listens_and_answers_there(
    tmp_path: Path, host: str, shown: str
) -> None:
    with started(tmp_path, host) as program:
        status, body = Program(program.running, tmp_path, host or "127.0.0.1").get("/")

    assert program.running.lines == [f"sample listens on http://{shown}:{program.port}/mcp\n"]
    assert (status, body) == (200, b'"here"')


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_told_to_stop_it_cleans_up_and_leaves_with_0(tmp_path: Path, stop: signal.Signals) -> None:
    with started(tmp_path) as program:
        while_running = [file.name for file in tmp_path.iterdir()]
        program.stop(stop)
        code = program.end()

    assert (while_running, list(tmp_path.iterdir())) == (["held"], [])
    assert (code, len(program.running.lines)) == (0, 1), program.running.output


def test_told_to_stop_it_finishes_what_it_is_at(tmp_path: Path) -> None:
    with started(tmp_path) as program, program.ask_and_wait(1) as client:
        program.stop()
        program.wait_until_refused()
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        code = program.end()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (answer.endswith(b'"done"'), code) == (True, 0)


def test_told_to_stop_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    with started(tmp_path) as program, program.ask_and_wait(3600):
        program.stop()
        began = time.monotonic()
        code = program.end()

    assert code == 0
    assert 4 < time.monotonic() - began < 30
    assert not (tmp_path / "held").exists()


def test_told_to_stop_twice_it_does_not_wait_at_all(tmp_path: Path) -> None:
    with started(tmp_path, is_timed=True) as program, program.ask_and_wait(3600):
        program.stop()
        program.wait_until_refused()
        still_there = program.running.process.poll()
        program.stop()
        code = program.end(4)  # one second less than it would wait

    assert (still_there, code) == (None, 0)


def test_an_application_that_does_not_start_is_no_success(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "127.0.0.1", "fails"]
    with running(command, environment(tmp_path), tmp_path, "Application startup failed") as program:
        code = program.process.wait(LIMIT)

    assert code == 3
    assert "it cannot start" in program.output
    assert "listens on" not in program.output


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
            id="two lengths",
        ),
        pytest.param(b"GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505, id="another version"),
    ],
)
def test_it_reads_requests_as_strictly_as_the_gate(tmp_path: Path, head: bytes, status: int) -> None:
    with started(tmp_path) as program:
        answer = exchange_bytes(program.port, head)

    assert answer.startswith(b"HTTP/1.1 %a " % status)


def test_it_believes_no_header_about_who_asks_and_names_no_software(tmp_path: Path) -> None:
    with started(tmp_path) as program:
        answer = exchange_bytes(
            program.port,
            b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\nconnection: close\r\n\r\n",
        )

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\nserver:" not in answer.lower()
    assert program.running.lines == [f"sample listens on http://127.0.0.1:{program.port}/mcp\n"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_one_sentence(host: str) -> None:
    with open_listener(host, 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OptionsError) as raised:
            open_listener(host, port)

    sentence = "is in use: stop what listens there, or choose another port."
    assert str(raised.value) == f"{authority(host, port)} {sentence}"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param("192.0.2.1", "Cannot assign requested address", id="an address of another machine"),
        pytest.param(
            "2001:db8::1", "Cannot assign requested address", id="an IPv6 address of another machine"
        ),
        pytest.param("nowhere.invalid", "", id="a name that means nothing"),
    ],
)
def test_an_address_that_is_not_here_is_one_sentence(host: str, reason: str) -> None:
    with pytest.raises(OptionsError) as raised:
        open_listener(host, 9001)

    said = str(raised.value)
    assert said.startswith(f"{authority(host, 9001)} cannot be listened on: {reason}")
    assert said.endswith(".")
    assert "\n" not in said
