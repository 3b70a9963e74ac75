import signal
import subprocess
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.support.demos import prepare_docs_alone
from tests.support.leaks import Link, remote, wait_until
from tests.support.processes import SCRIPTS, environment, free_port, running
from tests.support.reloading import write_whole
from tunnelgate_app.client import DemoClient
from tunnelgate_app.demo import ROUTES, DemoState

STRICT = (
    "--http tunnelgate.uvicorn_http:StrictHttpToolsProtocol "
    "--no-proxy-headers --no-access-log --no-server-header --ws none"
)
TLS = "tls: {cert_file: server.pem, key_file: server.key}\n"
SERVE_ALONE = "tls: is for `tunnelgate serve`; this server has its own options, such as --ssl-certfile"
LIMIT = 60  # seconds that any process may take


def uvicorn(*options: str) -> list[str]:
    return [str(SCRIPTS / "uvicorn"), "tunnelgate_app.main:app", *options]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "tunnels.md").write_text("# Tunnels\n\nA tunnel carries bytes.\n", "utf-8")
    return folder


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(STRICT.split(), 0, id="with the strict protocol"),
        pytest.param([], 1, id="with its own choice of protocol"),
    ],
)
def test_uvicorn_serves_the_gateway_and_says_when_it_should_be_run_otherwise(
    tmp_path: Path, documents: Path, options: Sequence[str], told: int
) -> None:
    port = free_port()
    configuration = prepare_docs_alone(tmp_path, port, documents)

    env = environment(tmp_path, TUNNELGATE_CONFIG=str(configuration))
    with running(uvicorn("--port", str(port), *options), env, ready="Uvicorn running on") as server:
        answers, wrong = DemoClient(DemoState.from_folder(tmp_path)).probe(ROUTES["docs"])
        server.process.send_signal(signal.SIGINT)
        code = server.process.wait(LIMIT)

    assert (wrong, answers["blocked_status"]) == ([], "403")
    assert server.output.count(STRICT) == told, server.output
    assert (code, "Traceback" in server.output) == (0, False)


@pytest.mark.promise("whole-configuration")
def test_a_listener_with_tls_is_not_for_a_server_that_has_its_own(tmp_path: Path, documents: Path) -> None:
    configuration = prepare_docs_alone(tmp_path, free_port(), documents)
    configuration.write_text(configuration.read_text("utf-8") + TLS, "utf-8")

    done = subprocess.run(
        uvicorn(*STRICT.split()),
        env=environment(tmp_path, TUNNELGATE_CONFIG=str(configuration)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["gateway: 1 fault", f"  {SERVE_ALONE}"]


def test_without_the_variable_the_configuration_is_the_one_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "tunnelgate.yaml").write_text("routes: {}\nport: 8080\n")

    done = subprocess.run(
        uvicorn(),
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "tunnelgate.yaml: 3 faults",
        "  routes = {}: is empty, which would allow nothing",
        "  port = 8080: is not a key",
        "  clients: is required",
    ]


UPSTREAM = """
clients: {{allowed_ips: [127.0.0.1]}}
upstream: {{allowed_ips: [127.0.0.1]}}
routes:
  docs.example.com: {{upstream: "http://127.0.0.1:{port}", public_paths: [/file]}}
"""


async def breaks_off(link: Link) -> None:
    await link.request()
    await link.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nhalf")
    link.finish()


@pytest.mark.parametrize("options", [STRICT.split(), []], ids=["with the strict protocol", "with its own"])
def test_uvicorn_says_of_an_upstream_that_broke_off_one_sentence_and_shows_no_traceback(
    tmp_path: Path, options: Sequence[str]
) -> None:
    port = free_port()
    configuration = tmp_path / "tunnelgate.yaml"
    with remote(breaks_off) as server:
        configuration.write_text(UPSTREAM.format(port=server.port), "utf-8")
        env = environment(tmp_path, TUNNELGATE_CONFIG=str(configuration))
        command = uvicorn("--port", str(port), *options)
        with running(command, env, ready="Uvicorn running on") as program:
            with closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as client:
                client.request("GET", "/file", headers={"host": "docs.example.com"})
                answer = client.getresponse()
                with pytest.raises(HTTPException):  # too short, and nobody says that it was all
                    answer.read()
            program.process.send_signal(signal.SIGINT)
            code = program.process.wait(LIMIT)

    told = [line for line in program.output.splitlines() if "upstream-interrupted" in line]
    assert len(told) == 1, program.output
    assert " to docs.example.com: upstream-interrupted: " in told[0]
    assert "Traceback" not in program.output, program.output
    assert "Exception in ASGI application" not in program.output
    assert (answer.status, code) == (200, 0)


@pytest.mark.promise("changes-whole")
def test_uvicorn_serves_a_gateway_that_follows_its_files_and_keeps_sighup_for_itself(tmp_path: Path) -> None:
    port = free_port()
    configuration = tmp_path / "tunnelgate.yaml"
    configuration.write_text(UPSTREAM.format(port=9000), "utf-8")
    env = environment(tmp_path, TUNNELGATE_CONFIG=str(configuration))
    with running(uvicorn("--port", str(port), *STRICT.split()), env, ready="Uvicorn running on") as program:
        changed = UPSTREAM.format(port=9000).replace("docs.example.com", "wiki.example.com")
        write_whole(configuration, changed)
        wait_until(lambda: status_of(port, "docs.example.com") == 403, "the change is not taken up")
        write_whole(configuration, changed + TLS)
        wait_until(lambda: SERVE_ALONE in program.output, "the fault is not told")
        status = status_of(port, "wiki.example.com")
        program.process.send_signal(signal.SIGINT)
        program.process.wait(LIMIT)

    assert status == 502  # nobody is there
    assert "Traceback" not in program.output


def status_of(port: int, host: str) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as client:
        client.request("GET", "/file", headers={"host": host})
        return client.getresponse().status
