import asyncio
import contextlib
import gzip
import re
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.asgi import Spy
from tests.support.certificates import Authority
from tests.support.fetching import fetch_within
from tests.support.fetching import loopback_fetch as fetch
from tests.support.resolving import Names
from tests.support.servers import serve
from tunnelgate.fetching import Fetched
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.fetching import MAX_DOCUMENT, GuardedFetch
from tunnelgate.upstream.tls import ClientTlsFiles, open_client_tls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls

LIMIT = 10  # seconds that anything here may take
ENCODED = "^an encoded document, which was not asked for$"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass
class Issuer:
    """A server that answers each connection in one way, and the requests that it got."""

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
                issuer.requests.append(_request(connection))
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                else:
                    answer(connection, issuer.is_over)


def _request(connection: socket.socket) -> bytes:
    request, missing = b"", 1
    while missing > 0:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("the client went away")
        request += chunk
        head, end, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
        missing = (int(length[1]) if length else 0) - len(body) if end else 1
    return request


def _fields(head: bytes) -> dict[bytes, bytes]:
    """Return the header fields of a request, by their names in lower case."""
    lines = head.split(b"\r\n")[1:]
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    assert len(fields) == len(lines), "a field stands twice"
    return fields


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
        assert await fetch(issuer.url) == Fetched(200, "application/json", body)

    (request,) = issuer.requests
    head, _, sent = request.partition(b"\r\n\r\n")
    fields = _fields(head)
    assert head.startswith(b"GET /jwks HTTP/1.1\r\n")
    assert fields[b"host"] == b"127.0.0.1:%d" % issuer.port
    assert fields[b"accept"] == b"application/json"
    assert sent == b""
    assert not fields.keys() & {b"authorization", b"content-type", b"cookie"}


@pytest.mark.parametrize(
    ("head", "status", "body"),
    [
        pytest.param(b"HTTP/1.1 201 Created", 201, b"{}", id="created"),
        pytest.param(b"HTTP/1.1 204 No Content", 204, b"", id="nothing"),
        pytest.param(b"HTTP/1.1 304 Not Modified", 304, b"", id="what nobody asked for"),
        pytest.param(b"HTTP/1.1 400 Bad Request", 400, b"{}", id="a bad request"),
        pytest.param(b"HTTP/1.1 401 Unauthorized", 401, b"{}", id="an unauthorized request"),
        pytest.param(b"HTTP/1.1 404 Not Found", 404, b"{}", id="not found"),
        pytest.param(b"HTTP/1.1 500 Broken", 500, b"{}", id="broken"),
        pytest.param(b"HTTP/1.1 599 Whatever", 599, b"{}", id="a status that nobody knows"),
        pytest.param(b"HTTP/1.0 200 OK", 200, b"{}", id="an older version"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK", 200, b"{}", id="an early hint"),
    ],
)
@pytest.mark.anyio
async def test_a_status_is_no_failure(head: bytes, status: int, body: bytes) -> None:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    with answering(head + b"\r\n" + length + b"\r\n" + body) as issuer:
        assert await fetch(issuer.url) == Fetched(status, "", body)


@pytest.mark.parametrize(
    ("fields", "media_type"),
    [
        pytest.param(b"", "", id="none"),
        pytest.param(b"Content-Type:\r\n", "", id="an empty one"),
        pytest.param(b"Content-Type: application/json\r\n", "application/json", id="plain"),
        pytest.param(
            b"Content-Type: Application/JSON ; charset=utf-8\r\n",
            "application/json",
            id="in capitals and with a parameter",
        ),
        pytest.param(
            b"Content-Type: text/html;application/json\r\n", "text/html", id="another one as a parameter"
        ),
        pytest.param(
            b"Content-Type: application/json\r\nContent-Type: text/html\r\n",
            "application/json, text/html",
            id="two, which are none that anybody looks for",
        ),
        pytest.param(b"Content-Type: \xff\r\n", "\xff", id="beyond ASCII"),
    ],
)
@pytest.mark.anyio
async def test_the_media_type_is_in_lower_case_and_without_parameters(fields: bytes, media_type: str) -> None:
    with answering(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\n{}") as issuer:
        assert await fetch(issuer.url) == Fetched(200, media_type, b"{}")


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        pytest.param(
            {"token": "a.b-c_d~", "token_type_hint": "access_token"},
            b"token=a.b-c_d~&token_type_hint=access_token",
            id="plain values",
        ),
        pytest.param(
            {"token": "a&b=c +%/\u00e9\r\n"},
            b"token=a%26b%3Dc+%2B%25%2F%C3%A9%0D%0A",
            id="values with all that a form knows",
        ),
        pytest.param({}, b"", id="an empty form"),
    ],
)
@pytest.mark.anyio
async def test_a_form_is_posted(form: dict[str, str], sent: bytes) -> None:
    with answering(whole(b'{"active":false}')) as issuer:
        answer = await fetch(f"{issuer.url}?a=b", form=form)

    (request,) = issuer.requests
    head, _, body = request.partition(b"\r\n\r\n")
    fields = _fields(head)
    assert answer == Fetched(200, "application/json", b'{"active":false}')
    assert head.startswith(b"POST /jwks?a=b HTTP/1.1\r\n")
    assert fields[b"accept"] == b"application/json"
    assert fields[b"content-length"] == b"%d" % len(sent)
    assert fields[b"content-type"] == b"application/x-www-form-urlencoded"
    assert body == sent


@pytest.mark.parametrize("name", ["accept", "Accept"])
@pytest.mark.parametrize("form", [None, {"token": "t"}], ids=["with GET", "with POST"])
@pytest.mark.anyio
async def test_headers_are_sent_and_ours_gives_way(form: dict[str, str] | None, name: str) -> None:
    headers = {"Authorization": "Basic Z2F0ZTpzZWNyZXQ=", name: "application/jwk-set+json"}
    with answering(whole(b"{}")) as issuer:
        await fetch(issuer.url, form=form, headers=headers)

    (request,) = issuer.requests
    fields = _fields(request.partition(b"\r\n\r\n")[0])
    assert fields[b"authorization"] == b"Basic Z2F0ZTpzZWNyZXQ="
    assert fields[b"accept"] == b"application/jwk-set+json"


@pytest.mark.anyio
async def test_nothing_of_one_request_is_in_the_next() -> None:
    with answering(whole(b"{}", b"Set-Cookie: a=b; Path=/\r\n")) as issuer:
        await fetch(issuer.url, form={"token": "t"}, headers={"Authorization": "Basic eA=="})
        await fetch(issuer.url)

    _, request = issuer.requests
    assert request.startswith(b"GET ")
    assert not _fields(request.partition(b"\r\n\r\n")[0]).keys() & {b"authorization", b"cookie"}


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_certificates_of_authorities_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[ssl.SSLContext] = []
    load = ssl.SSLContext.load_verify_locations

    def count(context: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        loaded.append(context)
        load(context, *args, **kwargs)

    with answering(whole(b"{}")) as issuer:
        await fetch(issuer.url)
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", count)
        await fetch(issuer.url)
        await fetch(issuer.url, form={"token": "t"})

    assert loaded == []  # it takes 50 ms, in which nobody else is served


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer secret\r\nX-A: b"}, id="a second line"),
        pytest.param({"Authorization": "Bearer secret\0"}, id="a zero octet"),
        pytest.param({"Authorization": "Bearer secret\u20ac"}, id="a character beyond ISO 8859-1"),
    ],
)
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_what_cannot_be_a_header_is_an_oserror_that_does_not_repeat_it(headers: dict[str, str]) -> None:
    with answering(whole(b"{}")) as issuer:
        with pytest.raises(OSError, match=r".") as raised:
            await fetch(issuer.url, headers=headers)

        assert issuer.requests == []

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
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
        pytest.param(b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n", ".", id="no status"),
        pytest.param(b"HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n", ".", id="a status of four digits"),
        pytest.param(
            HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", ".", id="a body with two lengths"
        ),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\n\r\n", ".", id="an early hint and nothing that follows it"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000, ".", id="headers without end"),
    ],
)
@pytest.mark.anyio
async def test_whatever_else_comes_back_is_an_oserror(answer: bytes, sentence: str) -> None:
    with answering(answer) as issuer, pytest.raises(OSError, match=sentence):
        await fetch(issuer.url)


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_a_body_that_would_unpack_to_more_than_the_limit_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(100 * MAX_DOCUMENT))
    with answering(whole(bomb, b"Content-Encoding: gzip\r\n")) as issuer:
        tracemalloc.start()
        try:
            with pytest.raises(OSError, match=ENCODED):
                await fetch(issuer.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < 20 * MAX_DOCUMENT


@pytest.mark.parametrize(
    "codings",
    [
        pytest.param(b"Content-Encoding: gzip\r\n", id="a coding"),
        pytest.param(b"Content-Encoding: GZIP\r\n", id="in capitals"),
        pytest.param(b"Content-Encoding: x-unknown\r\n", id="one that nobody knows"),
        pytest.param(b"Content-Encoding: gzip, identity\r\n", id="two in a line"),
        pytest.param(b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", id="after no coding"),
        pytest.param(b"Content-Encoding: gzip\r\nContent-Encoding: identity\r\n", id="before no coding"),
    ],
)
@pytest.mark.anyio
async def test_an_encoded_document_is_refused(codings: bytes) -> None:
    with answering(whole(b"{}", codings)) as issuer, pytest.raises(OSError, match=ENCODED):
        await fetch(issuer.url)

    assert _fields(issuer.requests[0].partition(b"\r\n\r\n")[0])[b"accept-encoding"] == b"identity"


@pytest.mark.parametrize("coding", [b"Content-Encoding: identity\r\n", b"Content-Encoding: Identity\r\n"])
@pytest.mark.anyio
async def test_a_document_that_is_said_not_to_be_encoded_is_taken(coding: bytes) -> None:
    with answering(whole(b"{}", coding)) as issuer:
        assert (await fetch(issuer.url)).body == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"secret\r\n\r\n", id="in place of a status"),
        pytest.param(b"HTTP/1.1 2xx secret\r\n\r\n", id="in a status that is none"),
        pytest.param(HEAD + b"secret\r\n\r\n", id="in place of a header"),
        pytest.param(HEAD + b"secret : x\r\n\r\n", id="in a name that is none"),
        pytest.param(HEAD + b"X: secret\0\r\n\r\n", id="in a value that is none"),
        pytest.param(HEAD + b"Content-Length: secret\r\n\r\n", id="in place of a length"),
        pytest.param(HEAD + b"Transfer-Encoding: secret\r\n\r\n", id="in place of a coding"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n", id="in place of the size of a chunk"
        ),
        pytest.param(whole(b"secret", b"Content-Encoding: gzip\r\n"), id="in a coding that it is not in"),
    ],
)
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_what_is_no_http_is_an_oserror_that_does_not_repeat_it(answer: bytes) -> None:
    with answering(answer) as issuer, pytest.raises(OSError, match=r".") as raised:
        await fetch(issuer.url, form={"token": "secret"})

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("form", [None, {"token": "t"}], ids=["of GET", "of POST"])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.promise("sent-once")
@pytest.mark.anyio
async def test_a_redirect_is_not_followed(status: int, form: dict[str, str] | None) -> None:
    with answering(whole(b"elsewhere")) as elsewhere:
        answer = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        moved = answer % (status, elsewhere.url.encode())
        with answering(moved) as issuer:
            assert await fetch(issuer.url, form=form) == Fetched(status, "", b"")

    assert elsewhere.requests == []
    assert len(issuer.requests) == 1


@pytest.mark.promise("sent-once")
@pytest.mark.anyio
async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(whole(b"by the proxy")) as proxy, answering(whole(b"itself")) as issuer:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        assert (await fetch(issuer.url)).body == b"itself"
        assert (await fetch(issuer.url, form={"token": "t"})).body == b"itself"

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
@pytest.mark.parametrize("form", [None, {"token": "t"}], ids=["asked with GET", "asked with POST"])
@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_an_issuer_is_not_waited_for_longer_than_the_limit(
    answer: Answer, form: dict[str, str] | None
) -> None:
    with answering(answer) as issuer, pytest.raises(OSError, match=r"^no whole answer within 0\.2 seconds$"):
        await fetch_within(0.2)(issuer.url, form=form)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:1/jwks", id="a port that nobody listens on"),
        pytest.param("http://127.0.0.1:22/jwks", id="a port that is never asked"),
        pytest.param("http://127.0.0.1:99999/jwks", id="a port that there cannot be"),
        pytest.param("http://127.0.0.1:port/jwks", id="a port that is no number"),
        pytest.param("http:///jwks", id="no host"),
        pytest.param("http://[::1/jwks", id="half an address"),
        pytest.param("http://issuer\0.example/jwks", id="a host with a zero octet"),
        pytest.param("http://\u00fc\ud800.example/jwks", id="a host with half a character"),
        pytest.param("http://nobody.invalid/jwks", id="a name that does not exist"),
        pytest.param("ftp://127.0.0.1/jwks", id="another scheme"),
        pytest.param("jwks", id="no URL"),
    ],
)
@pytest.mark.anyio
async def test_an_issuer_that_cannot_be_reached_is_an_oserror(url: str) -> None:
    with pytest.raises(OSError, match=r"."):
        await fetch(url)


@pytest.mark.parametrize("scheme", ["ftp", "ws", "file", "httpx", ""])
@pytest.mark.anyio
async def test_a_url_of_another_scheme_is_not_asked(scheme: str) -> None:
    with answering(whole(b"{}")) as issuer:
        with pytest.raises(OSError, match=r"."):
            await fetch(issuer.url.replace("http", scheme, 1))

        assert issuer.requests == []


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        pytest.param("/a/b", b"/a/b", id="a path"),
        pytest.param("", b"/", id="no path"),
        pytest.param("?a=b", b"/?a=b", id="no path and a query"),
        pytest.param("/%2e%2E/%41", b"/%2e%2E/%41", id="escapes, as they are written"),
        pytest.param("/a?b=%26&c=d/e?f", b"/a?b=%26&c=d/e?f", id="a query with escapes"),
        pytest.param("/a b?c d", b"/a%20b?c%20d", id="spaces"),
        pytest.param("/\u00e9?\u00e9", b"/%C3%A9?%C3%A9", id="Unicode"),
        pytest.param("/a#b", b"/a", id="a fragment, which is nobody else's business"),
        pytest.param('/"<>\\^`{|}', b"/%22%3C%3E%5C%5E%60%7B%7C%7D", id="what no URL has"),
        pytest.param("/a\0b", b"/a%00b", id="a zero octet"),
        pytest.param("/a\r\nX-A: b", b"/aX-A:%20b", id="a second line"),
    ],
)
@pytest.mark.anyio
async def test_what_is_asked_for_is_one_line_of_ascii(written: str, asked: bytes) -> None:
    with answering(whole(b"{}")) as issuer:
        await fetch(issuer.url.removesuffix("/jwks") + written)

    head, _, _ = issuer.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"GET " + asked + b" HTTP/1.1\r\n")
    assert _fields(head) == {
        b"host": b"127.0.0.1:%d" % issuer.port,
        b"accept": b"application/json",
        b"accept-encoding": b"identity",
        b"connection": b"close",
        b"user-agent": b"tunnelgate",
    }


NAME = "login.example.com"


def guarded(names: Names, authority: Authority, folder: Path, *allowed: str) -> GuardedFetch:
    """Return a client that believes one authority and goes to these networks."""
    tls = open_client_tls(ClientTlsFiles(ca_file=authority.write(folder, "authority")))
    return GuardedFetch(Dialler(AddressRules(allowed or None), resolve=names), tls)


@pytest.mark.promise("checked-is-dialled")
@pytest.mark.parametrize(
    ("addresses", "allowed"),
    [
        pytest.param(["127.0.0.1"], [], id="this machine, which nobody named"),
        pytest.param(["::ffff:127.0.0.1"], [], id="this machine in another form"),
        pytest.param(["127.0.0.1", "169.254.169.254"], ["127.0.0.1"], id="one good address of two"),
        pytest.param(["169.254.169.254", "127.0.0.1"], ["127.0.0.1"], id="one good address at the end"),
        pytest.param(["127.0.0.1"], ["10.0.0.0/8"], id="an address outside of what is allowed"),
    ],
)
@pytest.mark.anyio
async def test_an_issuer_is_asked_only_where_all_of_its_addresses_may_be_dialled(
    addresses: list[str], allowed: list[str], tmp_path: Path
) -> None:
    names = Names({NAME: addresses})
    with answering(whole(b"{}")) as issuer:
        fetching = guarded(names, Authority("A"), tmp_path, *allowed)
        with pytest.raises(OSError, match=f"^{NAME}: "):
            await fetching(f"http://{NAME}:{issuer.port}/jwks")

        assert issuer.requests == []

    assert names.asked == [NAME]


@pytest.mark.anyio
async def test_an_issuer_is_asked_by_its_name_at_a_checked_address(tmp_path: Path) -> None:
    names = Names({NAME: ["127.0.0.1"]})
    with answering(whole(b"{}")) as issuer:
        answer = await guarded(names, Authority("A"), tmp_path, "127.0.0.1")(
            f"http://{NAME}:{issuer.port}/jwks"
        )

    assert answer == Fetched(200, "application/json", b"{}")
    assert _fields(issuer.requests[0].partition(b"\r\n\r\n")[0])[b"host"] == b"%b:%d" % (
        NAME.encode(),
        issuer.port,
    )


@pytest.mark.parametrize(
    ("believes", "certified", "sentence"),
    [
        pytest.param(True, NAME, None, id="that is believed"),
        pytest.param(False, NAME, "TLS: the certificate is not accepted: ", id="of another authority"),
        pytest.param(
            True, "evil.example.com", "TLS: the certificate is not accepted: ", id="of another name"
        ),
    ],
)
@pytest.mark.anyio
async def test_an_issuer_shows_a_certificate(
    believes: bool,  # noqa: FBT001
    certified: str,
    sentence: str | None,
    tmp_path: Path,
) -> None:
    authority, spy = Authority("A"), Spy(b"{}")
    cert_file, key_file = authority.issue_for_server(certified).write(tmp_path, "server")
    believed = authority if believes else Authority("A")
    with serve(spy, tls=open_tls(TlsFiles(cert_file, key_file))) as port:
        fetching = guarded(Names({NAME: ["127.0.0.1"]}), believed, tmp_path, "127.0.0.1")
        if sentence is None:
            answer = await fetching(f"https://{NAME}:{port}/jwks", form={"token": "t"})

            assert answer == Fetched(200, "application/json", b"{}")
            assert spy.bodies == [b"token=t"]
        else:
            with pytest.raises(OSError, match=sentence):
                await fetching(f"https://{NAME}:{port}/jwks", form={"token": "secret"})

            assert spy.scopes == []


@pytest.mark.anyio
async def test_who_gives_up_leaves_no_connection_behind() -> None:
    is_asked, has_ended = threading.Event(), threading.Event()

    def wait_for_the_end(connection: socket.socket, is_over: threading.Event) -> None:
        is_asked.set()
        try:
            ended = connection.recv(1) == b""
        except ConnectionResetError:
            ended = True
        if ended:
            has_ended.set()

    with answering(wait_for_the_end) as issuer:
        asking = asyncio.create_task(fetch(issuer.url))
        assert await asyncio.to_thread(is_asked.wait, LIMIT)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        assert await asyncio.to_thread(has_ended.wait, LIMIT)
