"""A URI that a template matches leads nowhere else, however a server decodes it.

However often it is decoded, and with its dot segments taken out as file systems do, its path stays
below the folder that the template begins with. A template that is not supported is a `ValueError`
with the end of a sentence; matching one that is never fails, and what it makes of a value is ASCII.

An input is a line with the template, and then the URI.
"""

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from tests.fuzz.target import check_end_of_sentence
from tunnelgate.reading.uri_template import UriTemplate, is_template

MAX_LENGTH = 2200
_DECODINGS = 6
_NAME = re.compile(r"[A-Za-z0-9_]+")
_FOLDER = re.compile(r"(?<=[/:])[^/:{]*\{.*", re.DOTALL)  # what stands behind it


def check(data: bytes) -> None:
    text, _, uri = data.decode("utf-8", "surrogateescape").partition("\n")
    try:
        template = UriTemplate(text)
    except ValueError as error:
        check_end_of_sentence(error)
        return
    made = template.expand(dict.fromkeys(_NAME.findall(text), _encodable(uri)))
    assert made is not None
    assert made.isascii()
    if not is_template(text):
        assert made == text
        assert not template.matches(uri) or uri == text
        return
    if not template.matches(uri):
        return
    assert uri.isascii()
    assert uri.isprintable()
    assert " " not in uri
    folder = _FOLDER.sub("", text).encode()
    octets = uri.encode()
    for _ in range(_DECODINGS):
        if _path(folder) in (folder, folder.removesuffix(b"/")):
            assert (_path(octets) + b"/").startswith(folder), "it leads out of the template's folder"
            is_absolute = octets[len(folder) :].startswith(b"/")
            assert "{/" in text or not (folder.endswith(b"/") and is_absolute), (
                "joined, it is a path of its own"
            )
        folder, octets = unquote_to_bytes(folder), unquote_to_bytes(octets)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # what is read as JSON has no other text


def _path(uri: bytes) -> bytes:
    """Return the URI without query and fragment and with its dot segments taken out."""
    scheme, colon, rest = uri.split(b"?")[0].split(b"#")[0].replace(b"\\", b"/").partition(b":")
    slashes = len(rest) - len(rest.lstrip(b"/"))
    return scheme + colon + rest[:slashes] + posixpath.normpath(b"/" + rest[slashes:])[1:]


def seeds() -> Iterator[bytes]:
    for template in ("docs:///{+path}", "docs:///{a}/x/{b}.md", "test://template/{id}/data", "a:{/b*}{?q,r}"):
        yield from (f"{template}\n{uri}".encode() for uri in _URIS)
    for template in (
        "docs:///guide.md",
        "docs:///{",
        "{a}",
        "a:{a}{b}",
        "a:/{+a}/{+b}",
        "a:{?a}{?b}",
        "a:{#a}",
        "docs://{/a*}",
        "docs:{/a}{/b}",
        "https://{a}/b",
        "docs://{a}/b",
    ):
        yield f"{template}\ndocs:///guide.md".encode()
    yield b"a:/{?a}{?a}\na:/?a=1?a=2"
    yield b"a:/.{x}/{?y}\na:/..b/?y=../.."


_URIS = (
    "docs:///guide.md",
    "docs:///a/x/b.md",
    "docs:///../secret.md",
    "docs:///%2e%2e/secret.md",
    "docs:///a%2F..%2Fb",
    "docs:///a%252F..%252Fb",
    "docs:///a%25252525252F..",
    "docs:///a//b",
    "docs:////etc/passwd",
    "docs:///%2Fetc/passwd",
    "docs:///a?q=../b#c",
    "docs:///a/x/..%5Cb.md",
    "test://template/1/data",
    "test://template/1%2F2/data",
    "a:/b?q=1&r=2&q=3",
    "a:/b?q=",
)
