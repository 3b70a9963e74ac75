"""A Unix socket as the listener: its file, who may connect, and what a gate makes of who does."""

import json
import logging
import os
import signal
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.asgi import Reply, Spy
from tests.support.audit import Records
from tests.support.certificates import Authority, client_context
from tests.support.mcp import legacy
from tests.support.processes import SCRIPTS, Running, environment, running
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Policy, StaticKeys, protect
from tunnelgate.asgi import ASGIApp
from tunnelgate_app.listening.addresses import ListenError, open_listener
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls
from tunnelgate_app.server import Loop, Parser, Server, run
from tunnelgate_app.unix_socket import open_unix_listener

LIMIT = 20  # seconds that anything here may take
NOBODY = 65534
SERVERS = [
    pytest.param("strict", "uvloop", id="the strict protocol on uvloop"),
    pytest.param("strict", "asyncio", id="the strict protocol on asyncio"),
    pytest.param("h11", "uvloop", id="h11 on uvloop"),
    pytest.param("h11", "asyncio", id="h11 on asyncio"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.sock"


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(LIMIT)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def check_takes_connections(listener: socket.socket, path: Path) -> None:
    with connect(path) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"


def refusal_of(path: Path | str) -> str:
    """Return the end of the sentence that begins with the address."""
    with pytest.raises(ListenError) as refused:
        open_listener(f"unix:{path}")
    sentence = str(refused.value)
    assert sentence.startswith(f"unix:{path} ")
    assert "\n" not in sentence
    return sentence.removeprefix(f"unix:{path} ")


@contextmanager
def masked(mask: int) -> Generator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        assert os.umask(before) == mask


@contextmanager
def without_privileges(folder: Path) -> Generator[None]:
    """Go on as somebody who may not write into ``folder``."""
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o777], ids="umask {:03o}".format)
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o700], ids="{:03o}".format)
def test_the_file_has_the_permissions_that_are_asked_for_whatever_the_umask(
    path: Path, mode: int, mask: int
) -> None:
    with masked(mask), open_listener(f"unix:{path}", socket_mode=mode) as listener:
        assert mode_of(path) == mode
        check_takes_connections(listener, path)


def test_the_file_is_for_its_owner_alone_unless_something_else_is_asked_for(path: Path) -> None:
    with masked(0), open_listener(f"unix:{path}"):
        assert mode_of(path) == 0o600


def test_the_file_has_no_other_permissions_for_a_moment(path: Path) -> None:
    seen: set[int] = set()

    def look(*_: object) -> None:
        if os.path.lexists(path):
            seen.add(mode_of(path))

    with masked(0):
        sys.setprofile(look)  # which is called around each call, also of what is written in C
        try:
            listener = open_unix_listener(str(path), 0o660)
        finally:
            sys.setprofile(None)
        listener.close()

    assert seen == {0o660}


def test_the_umask_is_as_it_was_where_the_socket_cannot_be_had(tmp_path: Path) -> None:
    with masked(0o022):
        assert refusal_of(tmp_path / "no folder" / "gate.sock") == (
            "cannot be listened on: No such file or directory"
        )


def test_a_socket_that_was_left_behind_is_replaced(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
        left.listen()
    assert path.is_socket()

    with caplog.at_level(logging.INFO, "tunnelgate"), open_listener(f"unix:{path}") as listener:
        check_takes_connections(listener, path)
        assert mode_of(path) == 0o600

    assert [record.getMessage() for record in caplog.records] == [
        f"unix:{path} was left behind and is replaced"
    ]


IN_USE = "is in use: stop what listens there, or choose another path"


def test_a_socket_that_somebody_listens_on_is_one_sentence_and_goes_on(path: Path) -> None:
    with open_listener(f"unix:{path}") as first:
        assert refusal_of(path) == IN_USE

        first.accept()[0].close()  # that somebody tried
        check_takes_connections(first, path)


def test_a_socket_whose_owner_is_too_busy_to_take_connections_is_in_use(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy, ExitStack() as stack:
        busy.bind(str(path))
        busy.listen(0)
        while True:
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            waiting.settimeout(0)
            try:
                waiting.connect(str(path))
            except BlockingIOError:
                break

        assert refusal_of(path) == IN_USE
        assert path.is_socket()


def a_file(path: Path) -> None:
    path.write_text("precious")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_a_socket(path: Path) -> None:
    other = path.with_name("other.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(other))
    path.symlink_to(other)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("made", [a_file, a_folder, a_link_to_a_socket, a_link_to_nothing, a_pipe])
def test_what_is_no_socket_is_left_alone(path: Path, made: Callable[[Path], None]) -> None:
    made(path)
    before = path.lstat()

    assert refusal_of(path) == "is a file that is no socket: remove it, or choose another path"

    assert path.lstat() == before


def test_a_socket_of_another_kind_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))

        assert refusal_of(path) == "cannot be listened on: Protocol wrong type for socket"

        assert path.is_socket()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        pytest.param("gate.sock", "is not an absolute path", id="relative"),
        pytest.param("", "is not an absolute path", id="empty"),
        pytest.param("\0gate", "is not an absolute path", id="without a file"),
        pytest.param("/tmp/gate\0.sock", "is not an absolute path", id="with a null octet"),
        pytest.param("/tmp/" + "x" * 200, "is too long for the path of a Unix socket", id="too long"),
        pytest.param("/tmp/" + "x" * 300, "cannot be listened on: File name too long", id="much too long"),
        pytest.param("/dev/null/gate.sock", "cannot be listened on: Not a directory", id="below a file"),
        pytest.param("/", "is a file that is no socket: remove it, or choose another path", id="a folder"),
    ],
)
def test_a_path_that_cannot_be_had_is_one_sentence(path: str, sentence: str) -> None:
    assert refusal_of(path) == sentence


def test_a_path_may_be_as_long_as_an_address_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 107  # octets, and a null
    path = tmp_path / ("x" * (room - len(os.fsencode(tmp_path)) - 1))

    with open_listener(f"unix:{path}") as listener:
        check_takes_connections(listener, path)
    assert refusal_of(f"{path}x") == "is too long for the path of a Unix socket"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with without_privileges(tmp_path):
        assert refusal_of(tmp_path / "gate.sock") == "cannot be listened on: Permission denied"


def test_the_file_is_removed_when_the_socket_is_closed(path: Path) -> None:
    listener = open_listener(f"unix:{path}")
    listener.close()
    assert not path.exists()

    with open_listener(f"unix:{path}") as again:
        listener.close()  # a second time, which is no matter of the new one
        check_takes_connections(again, path)


def test_what_somebody_else_has_put_in_its_place_stays(path: Path) -> None:
    listener = open_listener(f"unix:{path}")
    path.unlink()
    with closing(open_listener(f"unix:{path}")) as other:
        listener.close()
        check_takes_connections(other, path)


def test_a_file_that_is_gone_already_disturbs_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = open_listener(f"unix:{path}")
    path.unlink()

    listener.close()

    assert caplog.records == []


def test_a_file_that_cannot_be_removed_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = open_listener(f"unix:{path}")

    with without_privileges(path.parent):
        listener.close()

    assert listener.fileno() == -1
    assert [record.getMessage() for record in caplog.records] == [
        f"unix:{path} cannot be removed: Permission denied"
    ]


@contextmanager
def serving(
    app: ASGIApp,
    path: Path,
    parser: Parser = "strict",
    loop: Loop = "auto",
    *,
    tls: ssl.SSLContext | None = None,
) -> Generator[None]:
    """Serve ``app`` in a thread; who connects before the server accepts waits for it."""
    with open_listener(f"unix:{path}") as listener:
        server = Server(
            app, parser=parser, loop=loop, tls=None if tls is None else ListenerTls(tls), shutdown_timeout=5
        )
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(LIMIT)
            assert not thread.is_alive(), "the server did not stop"


def ask(
    path: Path,
    *headers: tuple[str, str],
    method: str = "GET",
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """Send one request over the socket, and return the answer."""
    lines = [f"{method} /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"content-length: {len(body)}", "connection: close", "", ""]
    with ExitStack() as stack:
        connection = stack.enter_context(connect(path))
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname="localhost"))
        connection.sendall("\r\n".join(lines).encode("ascii") + body)
        answer = b"".join(iter(partial(connection.recv, 65536), b""))
    head, _, rest = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode("ascii").split("\r\n")
    pairs = [(name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in fields)]
    return Reply(int(status.split(" ")[1]), pairs, rest)


@pytest.mark.parametrize("has_tls", [False, True], ids=["without TLS", "with TLS"])
@pytest.mark.parametrize(("parser", "loop"), SERVERS)
def test_a_server_listens_on_it_says_so_and_removes_it(
    path: Path, parser: Parser, loop: Loop, caplog: pytest.LogCaptureFixture, *, has_tls: bool
) -> None:
    authority, spy = Authority("the authority"), Spy()
    tls = None
    if has_tls:
        tls = open_tls(TlsFiles(*authority.issue_for_server("localhost").write(path.parent, "server")))

    with caplog.at_level(logging.INFO, "tunnelgate"), serving(spy, path, parser, loop, tls=tls):
        answer = ask(path, ("host", "docs"), tls=client_context(authority) if has_tls else None)

    assert answer.status == 200
    (scope,) = spy.scopes
    assert (scope["client"], tuple(scope["server"])) == (None, (str(path), None))
    assert scope["scheme"] == ("https" if has_tls else "http")
    assert ("tls" in scope.get("extensions", {})) is has_tls
    said = [record.getMessage() for record in caplog.records if record.name == "tunnelgate"]
    spoken = "TLS, directly or in a WebSocket" if has_tls else "HTTP in the clear"
    assert said[0] == f"listening on unix:{path}, {spoken}"
    assert not path.exists()


def test_it_is_removed_where_the_application_does_not_start(path: Path) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    assert run(broken, open_listener(f"unix:{path}")) is False
    assert not path.exists()


HOST = "docs.example.com"
FROM_HEADER = {"address_from": "cf-connecting-ip", "trust_unix_socket": True}


def call_safe_tool(path: Path, *headers: tuple[str, str], host: str = HOST) -> Reply:
    """Call a tool as a client behind a connector would."""
    pairs, body = legacy("tools/call", {"name": "safe_tool", "arguments": {}})
    bearer = Token(claims={"aud": f"https://{HOST}/mcp"}).mint()
    sent = [
        ("host", host),
        ("authorization", f"Bearer {bearer}"),
        *(pair for pair in pairs if pair[0] != "host"),
        *headers,
    ]
    return ask(path, *sent, method="POST", body=body)


@contextmanager
def gated(path: Path, **clients: Any) -> Generator[tuple[Spy, Records]]:
    """Serve an application behind the whole chain."""
    spy, records = Spy(), Records()
    policy = Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["203.0.113.0/24"], **clients},
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": "unused.json"}]},
            "routes": {HOST: {"tools": ["safe_tool"]}},
        }
    )
    gate = protect(spy, policy, audit=records, keys_of=lambda _: StaticKeys(jwks("ES256")))
    with serving(gate, path):
        yield spy, records


@pytest.mark.parametrize(
    ("clients", "headers", "status", "client", "reason"),
    [
        pytest.param({}, [], 403, None, "client-not-allowed", id="of whom nobody knows an address"),
        pytest.param(
            {},
            [("cf-connecting-ip", "203.0.113.7")],
            403,
            None,
            "client-not-allowed",
            id="who says an address that nobody asked for",
        ),
        pytest.param(
            FROM_HEADER,
            [("cf-connecting-ip", "203.0.113.7")],
            200,
            "203.0.113.7",
            None,
            id="behind a connector that is trusted",
        ),
        pytest.param(
            FROM_HEADER,
            [("cf-connecting-ip", "192.0.2.1")],
            403,
            "192.0.2.1",
            "client-not-allowed",
            id="behind a connector, from elsewhere",
        ),
        pytest.param(
            FROM_HEADER,
            [],
            400,
            None,
            "client-address-unreadable",
            id="behind a connector that does not say who it is",
        ),
        pytest.param(
            {"address_from": "x-forwarded-for", "trust_unix_socket": True},
            [("x-forwarded-for", "198.51.100.1, 203.0.113.7")],
            200,
            "203.0.113.7",
            None,
            id="whom the connector saw behind somebody that nobody trusts",
        ),
        pytest.param(
            {"address_from": "cf-connecting-ip", "trusted_proxies": ["127.0.0.1"]},
            [("cf-connecting-ip", "203.0.113.7")],
            403,
            None,
            "client-not-allowed",
            id="behind a connector, where another proxy is trusted",
        ),
    ],
)
def test_the_whole_gate_judges_a_client(
    path: Path,
    clients: dict[str, Any],
    headers: list[tuple[str, str]],
    status: int,
    client: str | None,
    reason: str | None,
) -> None:
    with gated(path, **clients) as (spy, records):
        answer = call_safe_tool(path, *headers)

    assert answer.status == status, answer.body
    (record,) = records.all
    assert (record["peer"], record["client"], record["reason"]) == (None, client, reason)
    assert len(spy.scopes) == (1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param(HOST, 200, id="without a port"),
        pytest.param(f"{HOST}:443", 200, id="with the port of HTTPS"),
        pytest.param(f"{HOST}:8080", 403, id="with the port of some listener"),
        pytest.param("evil.example.com", 403, id="of somebody else"),
        pytest.param("localhost", 403, id="as clients of Unix sockets make it up"),
    ],
)
def test_the_whole_gate_judges_a_host(path: Path, host: str, status: int) -> None:
    with gated(path, **FROM_HEADER) as (spy, _):
        answer = call_safe_tool(path, ("cf-connecting-ip", "203.0.113.7"), host=host)

    assert answer.status == status, answer.body
    assert len(spy.scopes) == (1 if status == 200 else 0)


MODULE = """
async def create(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"of the mounted application"})


def create_app():
    return create
"""


@contextmanager
def served(folder: Path, path: Path) -> Generator[Running]:
    """Run ``tunnelgate serve`` with a public path, on the socket."""
    (folder / "mounted.py").write_text(MODULE)
    (folder / "tunnelgate.yaml").write_text(
        json.dumps(
            {
                "listen_addr": f"unix:{path}",
                "socket_mode": "0660",
                "clients": {"allowed_ips": ["203.0.113.0/24"], **FROM_HEADER},
                "routes": {HOST: {"mount": "mounted:create_app", "public_paths": ["/mcp"]}},
                "audit": {"file": "audit.jsonl"},
            }
        )
    )
    command = [str(SCRIPTS / "tunnelgate"), "serve"]
    with running(command, environment(folder, PYTHONPATH=str(folder)), folder, ready="listening on") as gate:
        yield gate


def test_the_command_serves_on_it_and_takes_over_what_a_killed_one_left_behind(
    tmp_path: Path, path: Path
) -> None:
    with served(tmp_path, path) as gate:
        assert mode_of(path) == 0o660
        gate.process.kill()
        gate.process.wait(LIMIT)
    assert path.is_socket()

    with served(tmp_path, path) as gate:
        assert f"listening on unix:{path}, HTTP in the clear" in gate.output
        answer = ask(path, ("host", HOST), ("cf-connecting-ip", "203.0.113.7"))
        gate.process.send_signal(signal.SIGTERM)
        code = gate.process.wait(LIMIT)

    assert answer.status == 200
    assert b"of the mounted application" in answer.body
    assert code == 0, gate.output
    assert not path.exists()
    records = [orjson.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(each["peer"], each["client"]) for each in records] == [(None, "203.0.113.7")]
