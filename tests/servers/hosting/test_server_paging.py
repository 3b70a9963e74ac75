"""Cursors: what comes back, and what a server cannot have given."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tunnelgate_servers.hosting import Cursor, RequestError, cursor_after, keys_before

KEYS = st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])) | st.integers(-(2**63), 2**63 - 1)


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode()


@given(st.lists(KEYS, min_size=1, max_size=4))
def test_a_cursor_leads_to_the_keys_that_it_was_made_of(keys: list[str | int]) -> None:
    assert keys_before(cursor_after(*keys), *(type(key) for key in keys)) == tuple(keys)


@given(st.lists(KEYS, min_size=1, max_size=4))
def test_a_cursor_can_stand_in_a_url_and_says_nothing_to_a_reader(keys: list[str | int]) -> None:
    cursor = cursor_after(*keys)

    assert cursor.isascii()
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")


def test_without_a_cursor_a_list_begins_at_its_beginning() -> None:
    assert keys_before("", str, int) is None


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("x", id="no Base64"),
        pytest.param("!!!!", id="characters that Base64 has not"),
        pytest.param("é", id="beyond ASCII"),
        pytest.param("\x00", id="NUL"),
        pytest.param("\ud800", id="half of a character"),
        pytest.param(" ", id="a blank"),
        pytest.param(cursor_after("a", 1) + "\n", id="a line after it"),
        pytest.param(cursor_after("a", 1)[:-4], id="cut short"),
        pytest.param(cursor_after("a", 1).replace("=", ""), id="without its padding"),
        pytest.param(encoded(b"null"), id="null"),
        pytest.param(encoded(b"{}"), id="an object"),
        pytest.param(encoded(b"[]"), id="no keys"),
        pytest.param(encoded(b'["a"]'), id="a key too few"),
        pytest.param(encoded(b'["a",1,2]'), id="a key too many"),
        pytest.param(encoded(b'[1,"a"]'), id="keys in another order"),
        pytest.param(encoded(b'["a",true]'), id="true for a number"),
        pytest.param(encoded(b'["a",1.0]'), id="a fraction"),
        pytest.param(encoded(b'["a",1e3]'), id="an exponent"),
        pytest.param(encoded(b'["a",null]'), id="null for a number"),
        pytest.param(encoded(b'["a","1"]'), id="a text for a number"),
        pytest.param(encoded(b'[["a"],1]'), id="a list for a text"),
        pytest.param(encoded(b'["a",1'), id="JSON that does not end"),
        pytest.param(encoded(b'["a",9223372036854775808]'), id="a number that no database has"),
        pytest.param(encoded(b'["a",-9223372036854775809]'), id="a number below what a database has"),
        pytest.param(encoded(b'["a",1' + b"0" * 400 + b"]"), id="a number without end"),
        pytest.param(encoded(b'["\\u0000",1]'), id="a NUL, which PostgreSQL has not"),
        pytest.param(encoded(b'["\\ud800",1]'), id="a key that is half of a character"),
        pytest.param(encoded(b"[" * 1400), id="nested without end"),
        pytest.param(encoded('["ä",1]'.encode("latin-1")), id="octets that are no text"),
    ],
)
def test_a_cursor_that_the_server_cannot_have_given_is_refused_without_repeating_it(cursor: str) -> None:
    with pytest.raises(RequestError) as refused:
        keys_before(cursor, str, int)

    assert str(refused.value) == "This cursor is not one of this server; list again without a cursor."


@given(st.text(max_size=60) | st.binary(max_size=60).map(encoded))
def test_whatever_comes_for_a_cursor_there_are_keys_of_these_types_or_one_sentence(cursor: str) -> None:
    try:
        keys: Any = keys_before(cursor, str, int)
    except RequestError:
        return
    assert keys is None or [type(key) for key in keys] == [str, int]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_whatever_json_comes_for_a_cursor_likewise(value: Any) -> None:
    try:
        cursor = encoded(orjson.dumps(value))
    except TypeError:  # which no JSON can have
        return
    try:
        keys = keys_before(cursor, str, int)
    except RequestError:
        return
    assert keys is not None
    assert list(keys) == value
    assert "\x00" not in keys[0]
    assert -(2**63) <= keys[1] < 2**63


def test_the_cursor_after_the_longest_line_is_one_that_is_taken() -> None:
    cursor = cursor_after("🌍" * 255, 2**63 - 1)

    assert TypeAdapter(Cursor).validate_python(cursor) == cursor
