"""A host that was read is in its normal form: writing it and reading it again changes nothing.

`urllib`, which is what the SDK's clients go by, finds the same name and port in the same text.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.fuzz import corpus
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.host import Host, read_host

MAX_LENGTH = 400


def check(data: bytes) -> None:
    try:
        host = read_host(data)
    except Fault:
        return
    written = _written(host)
    assert read_host(written) == host
    assert written == data.lower()
    assert 0 < len(host.name) <= 253
    assert host.name == host.name.lower()
    assert host.name.isascii()
    assert host.port is None or 0 < host.port < 65536
    url = urlsplit(f"http://{data.decode('ascii')}/")
    assert (url.hostname, url.port) == (host.name.strip("[]"), host.port)
    assert (url.username, url.password, url.path) == (None, None, "/")


def _written(host: Host) -> bytes:
    return host.name.encode() if host.port is None else f"{host.name}:{host.port}".encode()


def seeds() -> Iterator[bytes]:
    yield from corpus.hosts()
    yield from (
        b"docs.example.com",
        b"DOCS.example.com:8080",
        b"[::1]:443",
        b"[::ffff:1.2.3.4]",
        b"a_b.example",
    )
    yield from (
        b"a" * 63 + b".b",
        b"a" * 64,
        b".".join([b"a" * 50] * 5),
        b"a:0",
        b"a:65536",
        b"a.",
        b"a@b",
        b"",
    )
