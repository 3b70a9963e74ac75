"""The recorded attacks of tests/corpus, in the pieces that the readers read."""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpus"


def requests() -> Iterator[bytes]:
    """Return whole requests as they would come over a socket."""
    for attack in _attacks("host"):
        yield b64decode(attack["raw_request_base64"])


def hosts() -> Iterator[bytes]:
    """Return values of `Host`."""
    for request in requests():
        for line in request.split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if colon and name.strip().lower() == b"host":
                yield value.strip(b" \t")


def messages() -> Iterator[tuple[dict[str, str], bytes]]:
    """Return headers and bodies that clients send."""
    for attack in _attacks("jsonrpc"):
        if attack["headers"].get("direction") != "response":
            yield attack["headers"], _body(attack)


def answers(content_type: str) -> Iterator[bytes]:
    """Return bodies of this media type that servers send."""
    for attack in _attacks("jsonrpc"):
        headers: dict[str, str] = attack["headers"]
        if headers.get("direction") == "response" and headers.get("content-type") == content_type:
            yield _body(attack)


def media_types() -> Iterator[bytes]:
    """Return values of `Content-Type`."""
    for attack in _attacks("jsonrpc"):
        if "content-type" in attack["headers"]:
            yield attack["headers"]["content-type"].encode("latin-1")


def _body(attack: dict[str, Any]) -> bytes:
    if "body_base64" in attack:
        return b64decode(attack["body_base64"])
    body: str = attack["body"]
    return body.encode("utf-8", "surrogatepass")


def _attacks(kind: str) -> Iterator[dict[str, Any]]:
    for line in (CORPUS / f"{kind}-attacks.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)
