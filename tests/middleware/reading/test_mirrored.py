from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.mirrored import check_mirrored, read_header, write_header

METHOD_DIFFERS = "Mcp-Method is not the method of the body"
NAME_DIFFERS = "Mcp-Name is not the name in the body"
UNREADABLE = "a mirrored header is not readable"
NOT_CANONICAL = "a mirrored header is not canonical Base64"


def sentinel(text: str) -> bytes:
    return b"=?base64?" + b64encode(text.encode()) + b"?="


@pytest.mark.parametrize(
    ("text", "header"),
    [
        pytest.param("search_docs", b"search_docs", id="visible ASCII"),
        pytest.param("x", b"x", id="one character"),
        pytest.param("a b\tc", b"a b\tc", id="spaces and tabs inside"),
        pytest.param("", b"=?base64??=", id="nothing"),
        pytest.param(" ", b"=?base64?IA==?=", id="a space alone"),
        pytest.param(" a", b"=?base64?IGE=?=", id="a space before"),
        pytest.param("a\t", b"=?base64?YQk=?=", id="a tab behind"),
        pytest.param("é", b"=?base64?w6k=?=", id="a letter beyond ASCII"),
        pytest.param("a\r\nb", b"=?base64?YQ0KYg==?=", id="a line end"),
        pytest.param("a\n", b"=?base64?YQo=?=", id="a line end behind"),
        pytest.param("a\0", b"=?base64?YQA=?=", id="a NUL"),
        pytest.param("a\x7f", b"=?base64?YX8=?=", id="a delete character"),
        pytest.param("=?base64?YQ==?=", b"=?base64?PT9iYXNlNjQ/WVE9PT89?=", id="what looks like Base64"),
        pytest.param("=?base64?", b"=?base64?PT9iYXNlNjQ/?=", id="what begins like it"),
        pytest.param("=?BASE64?YQ==?=", b"=?BASE64?YQ==?=", id="what looks like another's Base64"),
    ],
)
def test_a_text_is_mirrored_in_base64_where_it_needs_that(text: str, header: bytes) -> None:
    assert write_header(text) == header
    assert read_header(header) == text


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"\xff", id="an octet beyond ASCII"),
        pytest.param("é".encode(), id="UTF-8"),
        pytest.param(b"=?base64?YQ?=", id="no padding"),
        pytest.param(b"=?base64?YQ=?=", id="half the padding"),
        pytest.param(b"=?base64?YWE==?=", id="padding past the end"),
        pytest.param(b"=?base64?=?=", id="padding alone"),
        pytest.param(b"=?base64?A?=", id="one octet of Base64"),
        pytest.param(b"=?base64?/w==?=", id="Base64 of no text"),
        pytest.param(b"=?base64?7aCA?=", id="Base64 of a surrogate"),
        pytest.param(b"=?base64?wK8=?=", id="Base64 of an overlong slash"),
    ],
)
def test_a_mirrored_header_that_carries_no_text_is_not_readable(value: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_header(value)

    assert (caught.value.reason, caught.value.detail) == (Reason.HEADER_MISMATCH, UNREADABLE)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"=?base64?bGlzdF9kb2Nz=?=", id="padding that is not needed"),
        pytest.param(b"=?base64?YR==?=", id="bits behind the end"),
    ],
)
def test_a_mirrored_header_in_another_spelling_of_base64_is_a_mismatch(value: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_header(value)

    assert caught.value.reason is Reason.HEADER_MISMATCH
    assert caught.value.detail in {NOT_CANONICAL, UNREADABLE}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"=?base64?_-8=?=", id="the other alphabet of Base64"),
        pytest.param(b"=?base64?YQ ==?=", id="a space inside"),
        pytest.param(b"=?BASE64?YQ==?=", id="the mark in capitals"),
        pytest.param(b"=?base64?YQ==", id="no mark at the end"),
        pytest.param(b"=?base64?YQ==?= x", id="text behind the mark"),
        pytest.param(b"x=?base64?YQ==?=", id="text before the mark"),
        pytest.param(b"=?base64?YQ==?==?base64?YQ==?=", id="two marks"),
        pytest.param(b"=?utf-8?B?YQ==?=", id="an encoded word of mail"),
    ],
)
def test_what_is_not_wholly_between_the_marks_is_plain_text(value: bytes) -> None:
    assert read_header(value) == value.decode()


HEADERS = {b"mcp-method": b"tools/call", b"mcp-name": b"search_docs"}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(HEADERS, id="as they are"),
        pytest.param({**HEADERS, b"mcp-name": b" search_docs\t"}, id="white space around the name"),
        pytest.param({**HEADERS, b"mcp-method": b"\ttools/call "}, id="white space around the method"),
        pytest.param({**HEADERS, b"mcp-name": sentinel("search_docs")}, id="the name in Base64"),
        pytest.param({**HEADERS, b"mcp-method": sentinel("tools/call")}, id="the method in Base64"),
        pytest.param({**HEADERS, b"mcp-param-x": b"\xff"}, id="an argument that is mirrored as well"),
    ],
)
def test_headers_that_say_what_the_body_says_are_fine(headers: Mapping[bytes, bytes]) -> None:
    check_mirrored("tools/call", "search_docs", headers)
    with pytest.raises(Fault):
        check_mirrored("tools/call", "delete_docs", headers)
    with pytest.raises(Fault):
        check_mirrored("prompts/get", "search_docs", headers)


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        pytest.param({}, METHOD_DIFFERS, id="none at all"),
        pytest.param({b"mcp-method": b"tools/call"}, NAME_DIFFERS, id="no name"),
        pytest.param({b"mcp-name": b"search_docs"}, METHOD_DIFFERS, id="no method"),
        pytest.param({**HEADERS, b"mcp-method": b""}, METHOD_DIFFERS, id="an empty method"),
        pytest.param({**HEADERS, b"mcp-name": b""}, NAME_DIFFERS, id="an empty name"),
        pytest.param({**HEADERS, b"mcp-method": b"\xfftools/call"}, UNREADABLE, id="a method beyond ASCII"),
        pytest.param({**HEADERS, b"mcp-name": b"\xffsearch_docs"}, UNREADABLE, id="a name beyond ASCII"),
        pytest.param({**HEADERS, b"mcp-name": b"search_docs\r\n"}, NAME_DIFFERS, id="a line end behind"),
        pytest.param({**HEADERS, b"mcp-name": b"=?base64??="}, NAME_DIFFERS, id="Base64 of nothing"),
        pytest.param(
            {**HEADERS, b"mcp-name": sentinel(" search_docs")}, NAME_DIFFERS, id="Base64 of a space before"
        ),
        pytest.param(
            {**HEADERS, b"mcp-name": sentinel(sentinel("search_docs").decode())},
            NAME_DIFFERS,
            id="Base64 twice",
        ),
    ],
)
def test_headers_that_say_something_else_are_a_mismatch(headers: Mapping[bytes, bytes], detail: str) -> None:
    with pytest.raises(Fault) as caught:
        check_mirrored("tools/call", "search_docs", headers)

    assert (caught.value.reason, caught.value.detail) == (Reason.HEADER_MISMATCH, detail)


def test_where_the_body_names_nothing_a_name_says_nothing() -> None:
    check_mirrored("tools/list", None, {b"mcp-method": b"tools/list", b"mcp-name": b"\xff"})

    with pytest.raises(Fault, match=METHOD_DIFFERS):
        check_mirrored("tools/list", None, {b"mcp-method": b"tools/call"})


@given(st.text() | st.text(" \t=?base64YQ", max_size=24))
@settings(max_examples=200)
def test_any_text_survives_as_a_mirrored_header_that_a_client_may_send(text: str) -> None:
    header = write_header(text)

    assert read_header(header) == text
    assert header == header.strip(b" \t")
    assert all(octet in b"\t" or 0x20 <= octet <= 0x7E for octet in header)


@given(st.binary() | st.binary().map(lambda octets: b"=?base64?" + octets + b"?="))
def test_no_octets_of_a_mirrored_header_raise_anything_but_a_fault(value: bytes) -> None:
    with suppress(Fault):
        assert read_header(write_header(read_header(value))) == read_header(value)


@given(st.binary() | st.binary().map(b64encode).map(lambda text: b"=?base64?" + text + b"?="))
def test_a_text_has_at_most_two_mirrored_headers_its_own_and_its_base64(value: bytes) -> None:
    with suppress(Fault):
        text = read_header(value)

        assert value in {text.encode(), sentinel(text)}
