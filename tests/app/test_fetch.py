import contextlib
import gzip
import socket
import threading
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tunnelgate_app import fetch as module
from tunnelgate_app.fetch import MAX_DOCUMENT, fetch

LIMIT = 10  # seconds that anything here may take
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass
class Issuer:
    """A server that answers each connection in one way, and the heads of the requests that it got."""

    port: int
    requests: list[bytes] = field(default_factory=list[bytes])
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"


Answer = bytes | Callable[[socket.socket, threading.Event], None]


@contextmanager
def answering(answer: Answer) -> Generator[Issuer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        issuer = Issuer(listener.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listener, issuer, answer), daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            issuer.is_over.set()
            with socket.create_connection(("127.0.0.1", issuer.port)):
                pass  # ends the wait for a connection
            thread.join(LIMIT)
            assert not thread.is_alive()


def _serve(listener: socket.socket, issuer: Issuer, answer: Answer) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(LIMIT)
            if issuer.is_over.is_set():
                return
            # A client that has heard enough may be gone at any time.
            with contextlib.suppress(ConnectionError):
                issuer.requests.append(_head(connection))
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                else:
                    answer(connection, issuer.is_over)


def _head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("the client went away")
        head += chunk
    return head


def whole(body: bytes, *headers: bytes) -> bytes:
    return HEAD + b"".join(headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes) -> bytes:
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(whole(b'{"keys":[]}'), b'{"keys":[]}', id="a body with a length"),
        pytest.param(chunked(b'{"keys":[]}'), b'{"keys":[]}', id="a body in chunks"),
        pytest.param(HEAD + b"\r\n{}", b"{}", id="a body that ends with the connection"),
        pytest.param(whole(b""), b"", id="an empty body"),
        pytest.param(whole(b"x" * MAX_DOCUMENT), b"x" * MAX_DOCUMENT, id="a body at the limit"),
        pytest.param(chunked(b"x" * MAX_DOCUMENT), b"x" * MAX_DOCUMENT, id="a body in chunks at the limit"),
    ],
)
@pytest.mark.anyio
async def test_what_is_fetched_is_the_body(answer: bytes, body: bytes) -> None:
    with answering(answer) as issuer:
        assert await fetch(issuer.url) == body

    (request,) = issuer.requests
    assert request.startswith(b"GET /jwks HTTP/1.1\r\n")
    assert b"\r\naccept: application/json\r\n" in request.lower()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "^status 404$", id="not found"
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "^status 204$", id="nothing"),
        pytest.param(b"HTTP/1.1 500 Broken\r\nContent-Length: 2\r\n\r\n{}", "^status 500$", id="broken"),
        pytest.param(
            whole(b"x" * (MAX_DOCUMENT + 1)), f"^more than {MAX_DOCUMENT} octets$", id="past the limit"
        ),
        pytest.param(
            chunked(b"x" * (MAX_DOCUMENT + 1)),
            f"^more than {MAX_DOCUMENT} octets$",
            id="in chunks past the limit",
        ),
        pytest.param(
            HEAD + b"\r\n" + b"x" * (MAX_DOCUMENT + 1),
            f"^more than {MAX_DOCUMENT} octets$",
            id="past the limit when the connection ends",
        ),
        pytest.param(HEAD + b"Content-Length: 10\r\n\r\n{}", ".", id="a body that ends too soon"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}", ".", id="chunks that end too soon"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", ".", id="chunks without a size"
        ),
        pytest.param(whole(b"no gzip", b"Content-Encoding: gzip\r\n"), ".", id="a coding that it is not in"),
        pytest.param(HEAD, ".", id="a head that ends too soon"),
        pytest.param(b"", ".", id="no answer at all"),
        pytest.param(b"\x00\x01\x02\r\n\r\n", ".", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000, ".", id="headers without end"),
    ],
)
@pytest.mark.anyio
async def test_whatever_else_comes_back_is_an_oserror(answer: bytes, sentence: str) -> None:
    with answering(answer) as issuer, pytest.raises(OSError, match=sentence):
        await fetch(issuer.url)


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_body_that_unpacks_to_more_than_the_limit_is_never_held_whole() -> None:
    bomb = gzip.compress(bytes(100 * MAX_DOCUMENT))
    with answering(whole(bomb, b"Content-Encoding: gzip\r\n")) as issuer:
        tracemalloc.start()
        try:
            with pytest.raises(OSError, match=f"^more than {MAX_DOCUMENT} octets$"):
                await fetch(issuer.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 20 * MAX_DOCUMENT


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.anyio
async def test_a_redirect_is_not_followed(status: int) -> None:
    with answering(whole(b"elsewhere")) as elsewhere:
        answer = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        moved = answer % (status, elsewhere.url.encode())
        with answering(moved) as issuer, pytest.raises(OSError, match=f"^status {status}$"):
            await fetch(issuer.url)

    assert elsewhere.requests == []


@pytest.mark.anyio
async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(whole(b"by the proxy")) as proxy, answering(whole(b"itself")) as issuer:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        assert await fetch(issuer.url) == b"itself"

    assert proxy.requests == []


def _says_nothing(connection: socket.socket, is_over: threading.Event) -> None:
    is_over.wait(LIMIT)


def _never_ends_its_head(connection: socket.socket, is_over: threading.Event) -> None:
    connection.sendall(HEAD)
    is_over.wait(LIMIT)


def _never_ends_its_body(connection: socket.socket, is_over: threading.Event) -> None:
    connection.sendall(HEAD + b"Content-Length: 10\r\n\r\n{")
    is_over.wait(LIMIT)


def _sends_an_octet_now_and_then(connection: socket.socket, is_over: threading.Event) -> None:
    connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        if is_over.wait(0.03):
            return


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_says_nothing, id="that says nothing"),
        pytest.param(_never_ends_its_head, id="that never ends its head"),
        pytest.param(_never_ends_its_body, id="that never ends its body"),
        pytest.param(_sends_an_octet_now_and_then, id="that sends an octet now and then"),
    ],
)
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_an_issuer_is_not_waited_for_longer_than_the_limit(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with answering(answer) as issuer, pytest.raises(OSError, match=r"."):
        await fetch(issuer.url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:1/jwks", id="a port that nobody listens on"),
        pytest.param("http://127.0.0.1:99999/jwks", id="a port that there cannot be"),
        pytest.param("http://127.0.0.1:port/jwks", id="a port that is no number"),
        pytest.param("http:///jwks", id="no host"),
        pytest.param("ftp://127.0.0.1/jwks", id="another scheme"),
        pytest.param("jwks", id="no URL"),
    ],
)
@pytest.mark.anyio
async def test_an_issuer_that_cannot_be_reached_is_an_oserror(url: str) -> None:
    with pytest.raises(OSError, match=r"."):
        await fetch(url)
