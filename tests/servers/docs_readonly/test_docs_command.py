"""The server as a process of its own, as a person starts it behind a gate."""

import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from typer.testing import CliRunner

from tests.servers.docs_readonly.serving import (
    Era,
    connected,
    names_in,
    structured,
    write_documents,
)
from tests.support.processes import Running, environment, running
from tunnelgate_servers.docs_readonly.__main__ import program
from tunnelgate_servers.docs_readonly.index import DocumentIndex
from tunnelgate_servers.docs_readonly.sources import DocumentSources

COMMAND = [sys.executable, "-m", "tunnelgate_servers.docs_readonly"]
READY = "docs_readonly listens on "
LIMIT = 60  # seconds that any process may take
LIST_TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    return write_documents(tmp_path / "docs", {"guide.md": "# Guide\n\nA tunnel carries bytes.\n"})


@contextmanager
def started(home: Path, documents: Path, *options: str) -> Generator[tuple[Running, str]]:
    """Start the server, and give the process and the URL that it says it listens on."""
    home.mkdir(exist_ok=True)
    command = [*COMMAND, str(documents), "--port", "0", *options]
    with running(command, environment(home, TMPDIR=str(home)), home, READY) as server:
        (line,) = [each for each in server.lines if each.startswith(READY)]
        yield server, line.removeprefix(READY).strip().removesuffix("/mcp")


def ended(command: Sequence[str], home: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command that is to end by itself."""
    return subprocess.run(
        command,
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.parametrize("era", ["2026-07-28", "legacy"])
@pytest.mark.anyio
async def test_the_official_client_searches_the_folder_where_the_server_says_it_listens(
    tmp_path: Path, documents: Path, era: Era
) -> None:
    with started(tmp_path / "home", documents) as (_, url):
        async with connected(url, era) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            found = structured(await client.call_tool("search_docs", {"query": "bytes"}))

    assert {"search_docs", "read_doc", "list_docs"} <= tools
    assert [hit["path"] for hit in found["hits"]] == ["guide.md"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_told_to_stop_it_leaves_with_0_and_leaves_nothing_behind(
    tmp_path: Path, documents: Path, stop: signal.Signals
) -> None:
    home = tmp_path / "home"
    with started(home, documents) as (server, _):
        while_running = names_in(home)
        server.process.send_signal(stop)
        code = server.process.wait(LIMIT)

    assert [name for name in while_running if name.startswith("docs_readonly-")]
    assert names_in(home) == set()
    assert (code, len(server.lines)) == (0, 1), server.output


def test_told_to_stop_twice_it_does_not_wait_for_a_request_that_never_ends(
    tmp_path: Path, documents: Path
) -> None:
    half_a_request = (
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    )
    with started(tmp_path / "home", documents) as (server, url):
        address = ("127.0.0.1", urlsplit(url).port or 0)
        with socket.create_connection(address, LIMIT) as client:
            client.sendall(half_a_request)
            waiting = client.recv(65536)
            server.process.send_signal(signal.SIGTERM)
            wait_until_refused(address)
            still_there = server.process.poll()
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(4)  # one second less than it would wait for the request

    assert waiting.startswith(b"HTTP/1.1 100 "), "the server waits for the rest of the request"
    assert (still_there, code) == (None, 0)


def wait_until_refused(address: tuple[str, int]) -> None:
    """Return when nobody listens there any more."""
    while True:
        try:
            with socket.create_connection(address, LIMIT) as connection:
                connection.recv(1)  # of a listener that closes just now
        except ConnectionError:
            return


def test_an_index_that_is_named_is_built_there_and_stays(tmp_path: Path, documents: Path) -> None:
    index = tmp_path / "state" / "docs.sqlite3"
    home = tmp_path / "home"

    with started(home, documents, "--index", str(index)):
        assert names_in(home) == set()

    with DocumentIndex(index, DocumentSources(documents)).reader() as reader:
        assert [entry.path for entry in reader.page().documents] == ["guide.md"]


@pytest.mark.parametrize(
    ("options", "answered", "refused"),
    [
        pytest.param([], ["localhost", "127.0.0.1:9"], "docs.internal:9001", id="those of loopback"),
        pytest.param(
            ["--allowed-host", "docs.internal:9001", "--allowed-host", "docs.example.com"],
            ["docs.internal:9001", "docs.example.com"],
            "localhost",
            id="those that are named",
        ),
    ],
)
def test_the_hosts_that_are_answered_are(
    tmp_path: Path, documents: Path, options: list[str], answered: list[str], refused: str
) -> None:
    with started(tmp_path / "home", documents, *options) as (_, url), httpx2.Client(timeout=LIMIT) as http:
        statuses = {
            host: http.post(f"{url}/mcp", json=LIST_TOOLS, headers={**HEADERS, "host": host}).status_code
            for host in (*answered, refused)
        }

    assert statuses == {**dict.fromkeys(answered, 200), refused: 421}


def test_it_listens_on_the_address_that_is_named(tmp_path: Path, documents: Path) -> None:
    with started(tmp_path / "home", documents, "--host", "::1") as (_, url):
        port = urlsplit(url).port
        with closing(HTTPConnection("::1", port, timeout=LIMIT)) as connection:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status

    assert (url, status) == (f"http://[::1]:{port}", 200)


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    done = ended([*COMMAND, str(missing)], tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"The documents folder {missing} does not exist or is not a folder.\n"


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, documents: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        done = ended([*COMMAND, str(documents), "--port", str(port)], tmp_path)

    sentence = "is in use: stop what listens there, or choose another port."
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"127.0.0.1:{port} {sentence}\n")


def test_an_address_of_another_machine_is_one_sentence(documents: Path) -> None:
    done = CliRunner().invoke(program, [str(documents), "--host", "192.0.2.1"])

    sentence = "192.0.2.1:9001 cannot be listened on: Cannot assign requested address.\n"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", sentence)


def test_an_index_that_cannot_be_written_is_one_sentence(tmp_path: Path, documents: Path) -> None:
    index = documents / "guide.md" / "docs.sqlite3"

    done = CliRunner().invoke(program, [str(documents), "--index", str(index)])

    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"The index {index} cannot be written: ")


def test_the_help_has_every_option_and_an_example() -> None:
    done = CliRunner().invoke(program, ["--help"])

    assert done.exit_code == 0
    for word in ("--port", "--host", "--index", "--allowed-host", "Example: python -m"):
        assert word in done.stdout
