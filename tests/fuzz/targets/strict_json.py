"""JSON that was accepted means one thing: everyone reads the same in it, before and after.

The canonical encoding is read again as the same value and written as the same bytes by
`read_json`, CPython's json and orjson; and it keeps the bounds that it was read with. A lenient
reading takes longer integers and no other bounds, and where a strict one accepts, means the same.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import orjson

from tests.fuzz import corpus
from tests.fuzz.other_readers import exactly
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import MAX_DEPTH, is_array, is_object, read_json, write_json

MAX_LENGTH = 4096


def check(data: bytes) -> None:
    lenient = _read(data, lenient=True)
    if lenient is not None:
        _check_one_meaning(*lenient, lenient=True)
    strict = _read(data, lenient=False)
    if strict is None:
        return
    _check_one_meaning(*strict, lenient=False)
    assert exactly(lenient) == exactly(strict)
    assert json.loads(data) == strict[0]
    assert orjson.loads(data) == strict[0]


def _read(data: bytes, *, lenient: bool) -> tuple[Any, bytes] | None:
    try:
        return read_json(data, lenient=lenient)
    except Fault:
        return None


def _check_one_meaning(value: Any, canonical: bytes, *, lenient: bool) -> None:
    again, written = read_json(canonical, lenient=lenient)
    assert (exactly(again), written) == (exactly(value), canonical)
    assert exactly(json.loads(canonical)) == exactly(value)
    assert exactly(orjson.loads(canonical)) == exactly(value)
    assert write_json(value) == canonical
    _check_bounds(value, 0, lenient=lenient)


def _check_bounds(value: Any, depth: int, *, lenient: bool) -> None:
    if is_object(value) or is_array(value):
        assert depth < MAX_DEPTH
        for part in value.values() if is_object(value) else value:
            _check_bounds(part, depth + 1, lenient=lenient)
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, int):
        assert -(2**63) <= value < 2**64 if lenient else abs(value) < 2**53


def seeds() -> Iterator[bytes]:
    yield from (body for _, body in corpus.messages())
    yield from (
        b'{"a":[1,true,false,null,"b"]}',
        b"[-0, 1E2, 1.50, -0.0]",
        b'"\\ud83d\\uDE00"',
        b'{"a":1,"a":2}',
        b"[18446744073709551615,-9223372036854775808,9007199254740992]",
        b"[18446744073709551616]",
        b'{"a\\ud800":["\\udc00\\ud800"],"b":1}',
        b'{"a\\ud800":1,"a\\ufffd":2}',
    )
    yield from (
        b"[" * 64 + b"]" * 64,
        b"[" * 65 + b"]" * 65,
        b'["\\"[[",{}]',
        b"1" * 17,
        b"0." + b"1" * 62,
        b"",
    )
    yield from (
        b"[0.30000000000000004,5e-324,1.7976931348623157e308,1e400,123456789012345678901234567890.5]",
        b"\xff",
    )
