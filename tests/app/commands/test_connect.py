"""`tunnelgate connect` as a person starts it."""

import json
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.asgi import Spy
from tests.support.certificates import Authority
from tests.support.processes import Running, environment, running
from tests.support.servers import serve
from tests.support.tunnels import LIMIT, rest_of
from tunnelgate_app.cli import app
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls

NAME = "docs.tunnel.localhost"
AUTHORITY = Authority("the authority")


@contextmanager
def connecting(folder: Path, *arguments: str) -> Generator[tuple[Running, int]]:
    """Run the command until the block ends, and give the port at which it listens."""
    ca = AUTHORITY.write(folder, "ca")
    command = [sys.executable, "-u", "-m", "tunnelgate_app", "connect", "--fake", "--ca", str(ca), *arguments]
    with running(command, environment(folder), folder, ready="Try it: ") as program:
        yield program, int(program.lines[0].split(" ")[0].rpartition(":")[2])


def ask(port: int, host: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(f"GET /mcp HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return rest_of(connection)


def test_plain_requests_reach_the_gate_as_through_a_tunnel(tmp_path: Path) -> None:
    spy = Spy()
    tls = open_tls(TlsFiles(*AUTHORITY.issue_for_server(NAME).write(tmp_path, "server")))
    with (
        serve(spy, tls=tls, transport="tunnel") as port,
        connecting(tmp_path, "--gate", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0") as (program, number),
    ):
        answer = ask(number, f"{NAME}:{number}")
        refused = ask(number, "wiki.tunnel.localhost")
        program.process.send_signal(signal.SIGINT)
        assert program.process.wait(LIMIT) == 0

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert refused.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["error"] == "gate_not_reached"
    assert [scope["extensions"]["tls"]["server_name"] for scope in spy.scopes] == [NAME]
    assert program.lines[:2] == [
        f"http://127.0.0.1:{number} leads to the gate at 127.0.0.1:{port} as a tunnel would, until Ctrl-C.\n",
        f"Try it: curl -i http://127.0.0.1:{number}/mcp -H 'Host: docs.tunnel.localhost'\n",
    ]
    assert program.lines[2] == f"GET /mcp to {NAME}\n"
    assert program.lines[3].endswith(
        "The certificate's names (SAN) do not cover the host: "
        "it has to be <route>.<tunnel domain>, or *.<tunnel domain> for all of them.\n"
    )
    assert len(program.lines) == 4


def test_it_ends_also_while_something_is_carried(tmp_path: Path) -> None:
    with (
        connecting(tmp_path, "--listen", "127.0.0.1:0", "--host", NAME) as (program, number),
        socket.create_connection(("127.0.0.1", number), timeout=LIMIT) as connection,
    ):
        connection.sendall(b"GET /mcp HTTP/1.1\r\n")
        ask(number, "a")  # upon which the other connection has been taken
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(LIMIT) == 0
        assert rest_of(connection) == b""

    assert "Traceback" not in program.output


def test_it_warns_where_others_can_reach_it(tmp_path: Path) -> None:
    with connecting(tmp_path, "--listen", "0.0.0.0:0", "--host", NAME) as (program, number):
        ask(number, "a")

    assert program.lines[2] == (
        f"warning: whoever reaches 0.0.0.0:{number} comes to the gate as if through the tunnel.\n"
    )


def test_it_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    ca = AUTHORITY.write(tmp_path, "ca")
    command = [sys.executable, "-u", "-m", "tunnelgate_app", "connect", "--fake", "--ca", str(ca)]
    listen = ["--listen", f"unix:{tmp_path}/s"]
    with running([*command, *listen], environment(tmp_path), tmp_path, ready="Try it: ") as program:
        pass

    assert "warning" not in program.output


def test_without_fake_it_says_what_the_real_connector_is() -> None:
    done = CliRunner().invoke(app, ["connect"])

    assert done.exit_code == 2
    assert "cloudflared tunnel --no-autoupdate run --url http://localhost:8080" in done.stderr
    assert "TUNNEL_TOKEN" in done.stderr
    assert "tunnelgate connect --fake --gate 127.0.0.1:8080 --ca ca.crt" in done.stderr


def no_certificate(folder: Path) -> Sequence[str]:
    (folder / "ca.crt").write_text("nothing")
    return ["--ca", str(folder / "ca.crt")]


def no_file(folder: Path) -> Sequence[str]:
    return ["--ca", str(folder / "missing.crt")]


def with_ca(folder: Path, *arguments: str) -> Sequence[str]:
    return ["--ca", str(AUTHORITY.write(folder, "ca")), *arguments]


def test_a_ca_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    for arguments, why in (
        (no_file(tmp_path), "missing.crt cannot be used: No such file or directory\n"),
        (no_certificate(tmp_path), "ca.crt cannot be used: it has no certificate in PEM that can be read\n"),
    ):
        done = CliRunner().invoke(app, ["connect", "--fake", *arguments])

        assert done.exit_code == 1
        assert done.stderr.endswith(why)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param([], "is missing: the gate's certificate is checked by it", id="no CA"),
        pytest.param(["--gate", "nowhere"], "nowhere is not an address such as", id="no address"),
        pytest.param(["--host", "*.a"], "*.a is not a hostname such as", id="no hostname"),
    ],
)
def test_what_is_used_wrongly_is_a_sentence(tmp_path: Path, arguments: list[str], why: str) -> None:
    done = CliRunner().invoke(
        app, ["connect", "--fake", *(with_ca(tmp_path, *arguments) if arguments else [])]
    )

    assert done.exit_code == 2
    assert why in done.stderr


def test_an_address_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        done = CliRunner().invoke(app, ["connect", "--fake", *with_ca(tmp_path, "--listen", taken)])

    assert done.exit_code == 1
    assert done.stderr.startswith(f"{taken} is in use: ")
