"""Reads JSON as no two parsers could read it differently.

What is accepted has one meaning: UTF-8 without a byte order mark, one value and nothing after it,
no member twice, no number that IEEE 754 doubles cannot hold, no unpaired surrogate, bounded depth.

Specification: RFC 8259, RFC 7493 (I-JSON).
"""

import json
import math
import re
from typing import Any, TypeGuard

import orjson

from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

MAX_DEPTH = 64
MAX_CONTAINERS = 200_000  # counted by their brackets, also those in texts; more keep all others waiting
_MAX_INTEGER = 2**53 - 1
_MAX_INTEGER_DIGITS = 17  # with a sign; anything longer is out of range without counting
_STRICT_INTEGER = orjson.OPT_STRICT_INTEGER
_MAX_LONG_DIGITS = 20
_MAX_REAL_DIGITS = 64
_SURROGATE = re.compile("[\ud800-\udfff]")
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_BOM = "\ufeff"


def read_json(raw: bytes, *, lenient: bool = False) -> tuple[Any, bytes]:
    """Return the value that ``raw`` means, and its canonical encoding.

    ``lenient`` is for what is only passed on: integers may have 64 bits, and an unpaired surrogate
    becomes U+FFFD.

    The canonical encoding is UTF-8 without insignificant white space, members in their order.
    Raises :class:`~tunnelgate.reading.fault.Fault`: ``body-not-json`` when no parser should accept
    it, ``body-not-strict`` when parsers disagree about it.
    """
    brackets = raw.count(b"{") + raw.count(b"[")
    if brackets > MAX_CONTAINERS:
        raise Fault(Reason.BODY_NOT_STRICT, f"more than {MAX_CONTAINERS} objects and arrays")
    if brackets > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise Fault(Reason.BODY_NOT_STRICT, f"nested deeper than {MAX_DEPTH}")
    # What orjson writes has no member twice, no white space and no odd number. Bytes that are
    # their own canonical encoding therefore need no second look, and that is what clients send.
    try:
        value = orjson.loads(raw)
        if orjson.dumps(value, option=None if lenient else _STRICT_INTEGER) == raw:
            return value, raw
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass  # the long way says what is wrong with it
    return _read_the_long_way(raw, lenient=lenient)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value that :func:`read_json` returned, or a part of it, is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value that :func:`read_json` returned, or a part of it, is an array."""
    return isinstance(value, list)


def write_json(value: Any) -> bytes:
    """Return the canonical encoding of a value that :func:`read_json` returned, or of its parts."""
    return orjson.dumps(value)


def _read_the_long_way(raw: bytes, *, lenient: bool) -> tuple[Any, bytes]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fault(Reason.BODY_NOT_JSON, f"not UTF-8 at octet {error.start}") from None
    if text.startswith(_BOM):
        raise Fault(Reason.BODY_NOT_JSON, "starts with a byte order mark")
    try:
        value = (_LENIENT_DECODER if lenient else _DECODER).decode(text)
        if lenient and "\\u" in text:
            text = _SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False))
            value = _LENIENT_DECODER.decode(text)  # two members may have become one
        return value, orjson.dumps(value, option=None if lenient else _STRICT_INTEGER)
    except json.JSONDecodeError as error:
        raise Fault(Reason.BODY_NOT_JSON, f"{error.msg} at character {error.pos}") from None
    except (orjson.JSONEncodeError, UnicodeEncodeError):
        raise Fault(Reason.BODY_NOT_STRICT, "an unpaired surrogate") from None


def _depth(raw: bytes) -> int:
    # Behind an odd quote is text, once escaped quotes are gone. Of what is left, each pass takes
    # away the innermost pairs of brackets; all of it runs in C, however hostile the text.
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(raw.split(b'"')[::2]).translate(_SQUARE, _NO_BRACKET)
    depth = 0
    while brackets and depth <= MAX_DEPTH:
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            return depth + outer.count(b"[")  # unbalanced: no JSON, but parsers recurse before they notice
        brackets = outer
        depth += 1
    return depth


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Fault(Reason.BODY_NOT_STRICT, "a member twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS or abs(number := int(digits)) > _MAX_INTEGER:
        raise Fault(Reason.BODY_NOT_STRICT, "an integer beyond 2**53 - 1")
    return number


def _long_integer(digits: str) -> int:
    if len(digits) > _MAX_LONG_DIGITS or not -(2**63) <= (number := int(digits)) < 2**64:
        raise Fault(Reason.BODY_NOT_STRICT, "an integer of more than 64 bits")
    return number


def _real(digits: str) -> float:
    if len(digits) > _MAX_REAL_DIGITS or not math.isfinite(number := float(digits)):
        raise Fault(Reason.BODY_NOT_STRICT, "a number beyond the range of a double")
    return number


def _constant(name: str) -> None:
    raise Fault(Reason.BODY_NOT_JSON, f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_real, parse_constant=_constant
)
_LENIENT_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_long_integer, parse_float=_real, parse_constant=_constant
)
