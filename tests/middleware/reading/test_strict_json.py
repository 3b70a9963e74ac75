import json
from contextlib import suppress
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunnelgate import Reason
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_array, is_object, read_json, write_json

MAX_DEPTH = 64
MAX_CONTAINERS = 200_000
MAX_INTEGER = 2**53 - 1


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + b"1" + closing * depth


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        pytest.param(b'{"a":[1,true,false,null,"b"]}', b'{"a":[1,true,false,null,"b"]}', id="compact"),
        pytest.param(b'\r\n\t { "a" :\n[ 1 , 2 ] }\r\n ', b'{"a":[1,2]}', id="white space everywhere"),
        pytest.param(b'{"b":1,"a":2}', b'{"b":1,"a":2}', id="members keep their order"),
        pytest.param(b'{"n\\u0061me":"x"}', b'{"name":"x"}', id="an escaped letter in a name"),
        pytest.param(b'"tools\\/call"', b'"tools/call"', id="an escaped solidus"),
        pytest.param(b'"\\u000a\\b\\u0000"', b'"\\n\\b\\u0000"', id="control characters stay escaped"),
        pytest.param(b'"\x7f"', b'"\x7f"', id="a delete character is no control character of JSON"),
        pytest.param(b'"\\u00E9\\u00e9"', '"éé"'.encode(), id="hexadecimal in both cases"),
        pytest.param(b'"\\ud83d\\uDE00"', '"😀"'.encode(), id="a pair of surrogates"),
        pytest.param('"\uffff\u2028"'.encode(), '"\uffff\u2028"'.encode(), id="a noncharacter"),
        pytest.param(
            b'["\\\\","' + b"[" * 99 + b'"]',
            b'["\\\\","' + b"[" * 99 + b'"]',
            id="many brackets behind a backslash",
        ),
        pytest.param(b'{"":1}', b'{"":1}', id="an empty name"),
        pytest.param(b'{"a":{"a":{"a":1}}}', b'{"a":{"a":{"a":1}}}', id="a name again a level below"),
        pytest.param(b'[{"a":1},{"a":2}]', b'[{"a":1},{"a":2}]', id="a name again in the next object"),
        pytest.param(b'{"a":1,"A":2}', b'{"a":1,"A":2}', id="names that differ in case"),
        pytest.param(
            b'{"\xc3\xa9":1,"e\xcc\x81":2}', b'{"\xc3\xa9":1,"e\xcc\x81":2}', id="names that look the same"
        ),
        pytest.param(b"9007199254740991", b"9007199254740991", id="the largest integer"),
        pytest.param(b"-9007199254740991", b"-9007199254740991", id="the smallest integer"),
        pytest.param(b" 9007199254740991 ", b"9007199254740991", id="the largest integer, with spaces"),
        pytest.param(b" -9007199254740991 ", b"-9007199254740991", id="the smallest integer, with spaces"),
        pytest.param(b"-0", b"0", id="minus nothing"),
        pytest.param(b"-0.0", b"-0.0", id="minus nothing as a real"),
        pytest.param(b"1E2", b"100.0", id="an exponent"),
        pytest.param(b"1.50", b"1.5", id="a zero behind"),
        pytest.param(b"1.5e10", b"15000000000.0", id="a real without a fraction"),
        pytest.param(b"0." + b"1" * 62, b"0.1111111111111111", id="a real of 64 characters"),
        pytest.param(b"null", b"null", id="null"),
        pytest.param(b'"tools/call"', b'"tools/call"', id="a text"),
        pytest.param(b"[]", b"[]", id="an empty list"),
        pytest.param(
            nested(b"[", b"]", MAX_DEPTH), nested(b"[", b"]", MAX_DEPTH), id="lists as deep as may be"
        ),
        pytest.param(
            nested(b'{"a":', b"}", MAX_DEPTH),
            nested(b'{"a":', b"}", MAX_DEPTH),
            id="objects as deep as may be",
        ),
        pytest.param(
            nested(b"[ ", b"]", MAX_DEPTH), nested(b"[", b"]", MAX_DEPTH), id="as deep as may be, with spaces"
        ),
        pytest.param(
            b"[[]," + nested(b"[", b"]", MAX_DEPTH - 1) + b"]",
            b"[[]," + nested(b"[", b"]", MAX_DEPTH - 1) + b"]",
            id="as deep as may be, with a list beside",
        ),
        pytest.param(b"[" + b"[]," * 99 + b"[]]", b"[" + b"[]," * 99 + b"[]]", id="many lists side by side"),
        pytest.param(b'"' + b"[{" * 99 + b'"', b'"' + b"[{" * 99 + b'"', id="many brackets in a text"),
        pytest.param(
            b'["\\"' + b"[" * 99 + b'\\\\",{}]',
            b'["\\"' + b"[" * 99 + b'\\\\",{}]',
            id="brackets behind an escape",
        ),
    ],
)
def test_what_has_one_meaning_is_read_and_written_canonically(raw: bytes, canonical: bytes) -> None:
    value, written = read_json(raw)

    assert written == canonical
    assert repr(value) == repr(json.loads(raw))


TOO_DEEP = "nested deeper than 64"
TOO_LARGE = "an integer beyond 2**53 - 1"
OUT_OF_RANGE = "a number beyond the range of a double"
UNPAIRED = "an unpaired surrogate"


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        pytest.param(b'{"name":"a","name":"b"}', "a member twice", id="a member twice"),
        pytest.param(b'{"id":1,"name":2,"x":3,"name":4}', "a member twice", id="a member twice among others"),
        pytest.param(b'{"name":"a","name":"a"}', "a member twice", id="a member twice with one value"),
        pytest.param(b'{"a":{"b":[{"c":1,"c":2}]}}', "a member twice", id="a member twice, deep inside"),
        pytest.param(b'{"params":{},"params":{}}', "a member twice", id="an object twice"),
        pytest.param(b'{"name":1,"n\\u0061me":2}', "a member twice", id="a member twice, once escaped"),
        pytest.param(b'{"":1,"":2}', "a member twice", id="an empty name twice"),
        pytest.param(
            b'{"%s":1,"%s":2}' % (b"k" * 999, b"k" * 999),
            "a member twice",
            id="a long name twice",
        ),
        pytest.param(b"9007199254740992", TOO_LARGE, id="one past the largest integer"),
        pytest.param(b"-9007199254740992", TOO_LARGE, id="one past the smallest integer"),
        pytest.param(b"18446744073709551616", TOO_LARGE, id="an integer past 64 bits"),
        pytest.param(b"-99999999999999999", TOO_LARGE, id="an integer of 18 characters"),
        pytest.param(b'{"id":' + b"9" * 5000 + b"}", TOO_LARGE, id="an integer of 5000 digits"),
        pytest.param(b"1e400", OUT_OF_RANGE, id="a real past the largest"),
        pytest.param(b"-1e400", OUT_OF_RANGE, id="a real past the smallest"),
        pytest.param(b"0." + b"1" * 63, OUT_OF_RANGE, id="a real of 65 characters"),
        pytest.param(b"1" + b"0" * 400 + b".0", OUT_OF_RANGE, id="a real of 400 digits"),
        pytest.param(b'"\\ud800"', UNPAIRED, id="a high surrogate alone"),
        pytest.param(b'"\\udc00"', UNPAIRED, id="a low surrogate alone"),
        pytest.param(b'"\\udc00\\ud800"', UNPAIRED, id="a pair the wrong way round"),
        pytest.param(b'{"\\ud800":1}', UNPAIRED, id="a surrogate alone in a name"),
        pytest.param(nested(b"[", b"]", MAX_DEPTH + 1), TOO_DEEP, id="a list one deeper than may be"),
        pytest.param(nested(b'{"a":', b"}", MAX_DEPTH + 1), TOO_DEEP, id="an object one deeper than may be"),
        pytest.param(
            b"[[]," + nested(b"[", b"]", MAX_DEPTH) + b"]",
            TOO_DEEP,
            id="one deeper than may be, with a list beside",
        ),
        pytest.param(b"[" * 100_000, TOO_DEEP, id="100,000 opening brackets"),
        pytest.param(b'["]]]]",' * 65, TOO_DEEP, id="closing brackets in texts do not count"),
        pytest.param(b'["\\"]",' * 65, TOO_DEEP, id="nor behind an escaped quote"),
        pytest.param(b'["\\\\",' * 65, TOO_DEEP, id="brackets behind a backslash do"),
        pytest.param(b"[" * 65 + b'"\\', TOO_DEEP, id="a text that ends in a backslash"),
    ],
)
def test_what_parsers_disagree_about_is_not_strict(raw: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_json(raw)

    assert (caught.value.reason, caught.value.detail) == (Reason.BODY_NOT_STRICT, detail)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    ("raw", "more"),
    [
        pytest.param(b"[" + b"[]," * (MAX_CONTAINERS - 2) + b"[]]", b"[[],", id="lists"),
        pytest.param(b"[" + b"{}," * (MAX_CONTAINERS - 2) + b"{}]", b"[{},", id="objects"),
        pytest.param(
            b"[" + b'{"a":[]},' * (MAX_CONTAINERS // 2 - 1) + b"[]]", b"[{},", id="objects and lists"
        ),
        pytest.param(b'["' + b"[{" * (MAX_CONTAINERS // 2 - 1) + b'",[]]', b"[{},", id="brackets in a text"),
    ],
)
def test_there_may_be_as_many_brackets_as_the_bound_says_and_not_one_more(
    raw: bytes,
    more: bytes,
    lenient: bool,  # noqa: FBT001 - both readings have the bound
) -> None:
    assert raw.count(b"[") + raw.count(b"{") == MAX_CONTAINERS
    assert read_json(raw, lenient=lenient)[1] == raw

    with pytest.raises(Fault) as caught:
        read_json(more + raw.removeprefix(b"["), lenient=lenient)

    assert (caught.value.reason, caught.value.detail) == (
        Reason.BODY_NOT_STRICT,
        f"more than {MAX_CONTAINERS} objects and arrays",
    )


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        pytest.param(b'{"a":[1,2.5,"b"]}', b'{"a":[1,2.5,"b"]}', id="what is strict"),
        pytest.param(b'{ "n\\u0061me" : 1E2 }', b'{"name":100.0}', id="what is strict, written loosely"),
        pytest.param(b"9007199254740992", b"9007199254740992", id="an integer that doubles have not"),
        pytest.param(b"18446744073709551615", b"18446744073709551615", id="the largest of 64 bits"),
        pytest.param(b" 18446744073709551615 ", b"18446744073709551615", id="the largest, with spaces"),
        pytest.param(b"-9223372036854775808", b"-9223372036854775808", id="the smallest of 64 bits"),
        pytest.param(b" -9223372036854775808 ", b"-9223372036854775808", id="the smallest, with spaces"),
        pytest.param(b'"\\ud800"', '"\ufffd"'.encode(), id="a high surrogate alone"),
        pytest.param(b'"\\uDFFF"', '"\ufffd"'.encode(), id="a low surrogate alone"),
        pytest.param(b'"\\udc00\\ud800"', '"\ufffd\ufffd"'.encode(), id="a pair the wrong way round"),
        pytest.param(
            b'"\\ud83d\\ud83d\\ude00x"', '"\ufffd\U0001f600x"'.encode(), id="one alone before a pair"
        ),
        pytest.param(
            b'{"a":["\\ud800"],"b\\udc00":18446744073709551615}',
            '{"a":["\ufffd"],"b\ufffd":18446744073709551615}'.encode(),
            id="surrogates alone in a value and in a name",
        ),
        pytest.param(b'["\\\\ud800"]', b'["\\\\ud800"]', id="an escaped backslash and letters"),
        pytest.param(
            b'[-0.0,1E-7,1E22,"\\ud800"]',
            '[-0.0,1e-7,1e+22,"\ufffd"]'.encode(),
            id="reals beside a surrogate",
        ),
        pytest.param(
            nested(b"[", b"]", MAX_DEPTH).replace(b"1", b'"\\ud800"'),
            nested(b"[", b"]", MAX_DEPTH).replace(b"1", '"\ufffd"'.encode()),
            id="a surrogate alone as deep as may be",
        ),
    ],
)
def test_what_is_only_passed_on_may_hold_longer_integers_and_unpaired_surrogates(
    raw: bytes, canonical: bytes
) -> None:
    value, written = read_json(raw, lenient=True)

    assert written == canonical
    assert repr(value) == repr(orjson.loads(canonical))
    assert read_json(canonical, lenient=True) == (value, canonical)


TOO_LONG = "an integer of more than 64 bits"
TWICE = "a member twice"


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        pytest.param(
            b"18446744073709551616", Reason.BODY_NOT_STRICT, TOO_LONG, id="one past the largest integer"
        ),
        pytest.param(
            b"-9223372036854775809", Reason.BODY_NOT_STRICT, TOO_LONG, id="one past the smallest integer"
        ),
        pytest.param(
            b"-18446744073709551615", Reason.BODY_NOT_STRICT, TOO_LONG, id="an integer of 21 characters"
        ),
        pytest.param(b"9" * 5000, Reason.BODY_NOT_STRICT, TOO_LONG, id="an integer of 5000 digits"),
        pytest.param(b"1e400", Reason.BODY_NOT_STRICT, OUT_OF_RANGE, id="a real past the largest"),
        pytest.param(b"0." + b"1" * 63, Reason.BODY_NOT_STRICT, OUT_OF_RANGE, id="a real of 65 characters"),
        pytest.param(b'{"a":1,"a":2}', Reason.BODY_NOT_STRICT, TWICE, id="a member twice"),
        pytest.param(
            b'{"\\ud800":1,"\\ud801":2}',
            Reason.BODY_NOT_STRICT,
            TWICE,
            id="two surrogates that become one name",
        ),
        pytest.param(
            b'{"a\\ud800":1,"a\\ufffd":2}',
            Reason.BODY_NOT_STRICT,
            TWICE,
            id="a surrogate that becomes the character beside it",
        ),
        pytest.param(
            '{"a\ufffd":1,"a\\udfff":2}'.encode(),
            Reason.BODY_NOT_STRICT,
            TWICE,
            id="a surrogate that becomes what stands there plainly",
        ),
        pytest.param(
            nested(b"[", b"]", MAX_DEPTH + 1), Reason.BODY_NOT_STRICT, TOO_DEEP, id="one deeper than may be"
        ),
        pytest.param(b'"\xed\xa0\x80"', Reason.BODY_NOT_JSON, "not UTF-8", id="a surrogate in UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", Reason.BODY_NOT_JSON, "byte order mark", id="a byte order mark"),
        pytest.param(b"NaN", Reason.BODY_NOT_JSON, "NaN is not JSON", id="NaN"),
        pytest.param(b"{}{}", Reason.BODY_NOT_JSON, "Extra data", id="a second object"),
        pytest.param(b"", Reason.BODY_NOT_JSON, "Expecting value", id="nothing"),
    ],
)
def test_what_is_only_passed_on_has_one_meaning_all_the_same(raw: bytes, reason: Reason, detail: str) -> None:
    with pytest.raises(Fault, match=detail) as caught:
        read_json(raw, lenient=True)

    assert caught.value.reason is reason


OBJECT = '{"jsonrpc":"2.0","id":1}'


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        pytest.param(b"", "Expecting value at character 0", id="nothing"),
        pytest.param(b" \r\n\t", "Expecting value at character 4", id="white space alone"),
        pytest.param(b"\xef\xbb\xbf{}", "starts with a byte order mark", id="a byte order mark"),
        pytest.param(OBJECT.encode("utf-16"), "not UTF-8 at octet 0", id="UTF-16 with a mark"),
        pytest.param(OBJECT.encode("utf-16-le"), "Expecting property name", id="UTF-16"),
        pytest.param(OBJECT.encode("utf-32"), "not UTF-8 at octet 0", id="UTF-32 with a mark"),
        pytest.param(OBJECT.encode("utf-32-be"), "Expecting value at character 0", id="UTF-32"),
        pytest.param(b"+AHsAfQ-", "Expecting value at character 0", id="UTF-7"),
        pytest.param(b'{"name":"safe\xff"}', "not UTF-8 at octet 13", id="an octet that UTF-8 never has"),
        pytest.param(b'"\xc0\xaf"', "not UTF-8 at octet 1", id="an overlong form"),
        pytest.param(b'"\xed\xa0\x80"', "not UTF-8 at octet 1", id="a surrogate in UTF-8"),
        pytest.param(b'"\xf4\x90\x80\x80"', "not UTF-8 at octet 1", id="a character past the last"),
        pytest.param(b"\x1f\x8b\x08\x00", "not UTF-8 at octet 1", id="gzip"),
        pytest.param(b'{"x":NaN}', "NaN is not JSON", id="NaN"),
        pytest.param(b"Infinity", "Infinity is not JSON", id="Infinity"),
        pytest.param(b"[-Infinity]", "-Infinity is not JSON", id="minus Infinity"),
        pytest.param(b"{}{}", "Extra data at character 2", id="a second object"),
        pytest.param(b"{}\n{}", "Extra data at character 3", id="a second object on its own line"),
        pytest.param(b"{}\0", "Extra data at character 2", id="a NUL behind"),
        pytest.param(b"{},", "Extra data at character 2", id="a comma behind"),
        pytest.param(b"\x0c{}", "Expecting value at character 0", id="a form feed before"),
        pytest.param(b"{\x0b}", "Expecting property name", id="a vertical tab inside"),
        pytest.param(b"\xc2\xa0{}", "Expecting value at character 0", id="a no-break space before"),
        pytest.param(b'{"a":1,}', "at character", id="a comma after the last member"),
        pytest.param(b"[1,]", "at character", id="a comma after the last entry"),
        pytest.param(b"{'a':1}", "Expecting property name", id="single quotes"),
        pytest.param(b"{a:1}", "Expecting property name", id="a name without quotes"),
        pytest.param(b'{1:"a"}', "Expecting property name", id="a number for a name"),
        pytest.param(b'{"a":1//x\n}', "Expecting ',' delimiter", id="a comment"),
        pytest.param(b"01", "Extra data at character 1", id="a leading zero"),
        pytest.param(b"+1", "Expecting value", id="a plus sign"),
        pytest.param(b".5", "Expecting value", id="no digit before the point"),
        pytest.param(b"1.", "Extra data at character 1", id="no digit behind the point"),
        pytest.param(b"1e", "Extra data at character 1", id="no digit in the exponent"),
        pytest.param(b"0x10", "Extra data at character 1", id="a hexadecimal number"),
        pytest.param("\uff11".encode(), "Expecting value", id="a fullwidth digit"),
        pytest.param(b"True", "Expecting value", id="a constant in capitals"),
        pytest.param(b'"a\nb"', "Invalid control character", id="a line end in a text"),
        pytest.param(b'"a\0b"', "Invalid control character", id="a NUL in a text"),
        pytest.param(b'"\\x41"', "Invalid \\escape", id="an escape that JSON lacks"),
        pytest.param(b'"\\u00g0"', "Invalid \\uXXXX escape", id="an escape that is not hexadecimal"),
        pytest.param(b'"\\u 12a"', "Invalid \\uXXXX escape", id="an escape with a space"),
        pytest.param(b'"abc', "Unterminated string", id="a text that does not end"),
        pytest.param(b'{"a":', "Expecting value", id="an object that does not end"),
        pytest.param(b"]" * 99 + b"[" * 60, "Expecting value", id="brackets that close before they open"),
    ],
)
def test_what_no_parser_should_accept_is_not_json(raw: bytes, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        read_json(raw)

    assert caught.value.reason == Reason.BODY_NOT_JSON
    assert detail in caught.value.detail


def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


def check_that_it_has_one_meaning(raw: bytes) -> None:
    value, canonical = read_json(raw)

    for parsed in (
        json.loads(canonical),
        json.loads(canonical, object_pairs_hook=first_wins),
        orjson.loads(canonical),
    ):
        assert repr(parsed) == repr(value)  # tells 1, 1.0 and True apart, and 0.0 and -0.0
    assert read_json(canonical) == (value, canonical)
    assert write_json(value) == canonical


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from(
    [
        *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b'"a"', b'"\\u0061"', b'"\\ud800"', b"\\u00e9"),
        *(b"0", b"-", b"1", b"9007199254740991", b"1e400", b"1E-400", b".5", b"true", b"null", b"NaN"),
        *(b" ", b"\n", b"\0", b"\xff", b"\xef\xbb\xbf", b'{"a":', b'"a":1', b"[" * 64, b"]" * 64),
    ]
)


@given(st.binary() | st.lists(PIECES, max_size=24).map(b"".join))
@example(b"[" * 2000)
@example(b"]" * 2000 + b"[" * 2000)
@example(b"[" * 2000 + b"}" * 2000)
@example(b'["\\"]",' * 2000)
@example(b'{"a":' * 2000)
@example(b"9" * 5000)
@example(b"-0.0e-0")
@settings(max_examples=300)
def test_no_octets_raise_anything_but_a_fault_and_what_is_read_has_one_meaning(raw: bytes) -> None:
    with suppress(Fault):
        check_that_it_has_one_meaning(raw)


@given(st.binary() | st.lists(PIECES, max_size=24).map(b"".join))
@settings(max_examples=300)
def test_a_lenient_reading_accepts_what_a_strict_one_does_and_means_the_same(raw: bytes) -> None:
    strict: tuple[Any, bytes] | None = None
    with suppress(Fault):
        strict = read_json(raw)
    with suppress(Fault):
        value, canonical = read_json(raw, lenient=True)

        assert strict is None or repr(strict) == repr((value, canonical))
        assert repr(json.loads(canonical)) == repr(orjson.loads(canonical)) == repr(value)
        assert read_json(canonical, lenient=True) == (value, canonical)
        assert write_json(value) == canonical
        return
    assert strict is None


ODD_TEXTS = st.text(st.sampled_from("a\ud800\udbff\udc00\udfff\ufffd\U0001f600\\u"), max_size=6)


@given(st.dictionaries(ODD_TEXTS, ODD_TEXTS | st.lists(ODD_TEXTS, max_size=2), max_size=3))
def test_a_text_with_unpaired_surrogates_becomes_one_that_everyone_reads(members: dict[str, Any]) -> None:
    raw = json.dumps(members).encode()  # its decoder, like ours, takes two escapes in a row for a pair
    read = json.loads(raw)
    expected = {
        whole(name): [*map(whole, text)] if is_array(text) else whole(text) for name, text in read.items()
    }

    if len(expected) == len(read):
        assert read_json(raw, lenient=True) == (expected, orjson.dumps(expected))
    else:
        with pytest.raises(Fault, match=TWICE):
            read_json(raw, lenient=True)


def whole(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text)


@given(VALUES, st.data())
def test_a_document_with_one_octet_changed_has_one_meaning_or_is_a_fault(
    value: Any, data: st.DataObject
) -> None:
    raw = bytearray(orjson.dumps(value))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position : position + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2) | PIECES)

    with suppress(Fault):
        check_that_it_has_one_meaning(bytes(raw))


SHORT_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def loose_character(character: str, random: Random) -> str:
    """Write a character of a text in one of its spellings."""
    spellings = [SHORT_ESCAPES[character]] if character in SHORT_ESCAPES else []
    if character >= " " and character not in '"\\':
        spellings.append(character)
    octets = character.encode("utf-16-be")
    units = [octets[at : at + 2].hex() for at in range(0, len(octets), 2)]
    spellings.append("".join("\\u" + random.choice((unit, unit.upper())) for unit in units))
    return random.choice(spellings)


def loose_real(number: float, random: Random) -> str:
    return random.choice(
        (repr(number), f"{number:.16e}", f"{number:.20E}", f"{number:.17e}".replace("e+", "E"))
    )


def loose(value: Any, random: Random) -> str:
    """Write a value with white space, escapes and spellings of numbers as chance has it."""

    def space() -> str:
        return "".join(random.choices(" \t\r\n", k=random.choice((0, 0, 1, 3))))

    if isinstance(value, str):
        text = '"' + "".join(loose_character(character, random) for character in value) + '"'
    elif isinstance(value, float):
        text = loose_real(value, random)
    elif is_array(value):
        text = "[" + (",".join(loose(entry, random) for entry in value) or space()) + "]"
    elif is_object(value):
        members = ",".join(loose(name, random) + ":" + loose(each, random) for name, each in value.items())
        text = "{" + (members or space()) + "}"
    else:
        text = json.dumps(value)
    return space() + text + space()


def shuffled(value: Any, random: Random) -> Any:
    """Return the value with the members of its objects in another order."""
    if is_array(value):
        return [shuffled(entry, random) for entry in value]
    if is_object(value):
        names = random.sample(list(value), len(value))
        return {name: shuffled(value[name], random) for name in names}
    return value


@given(VALUES, st.integers())
@settings(max_examples=150)
def test_however_a_value_is_written_it_is_read_as_in_its_compact_form(value: Any, seed: int) -> None:
    random = Random(seed)
    ordered = shuffled(value, random)
    compact = orjson.dumps(ordered)

    read, canonical = read_json(loose(ordered, random).encode())

    assert canonical == compact
    assert repr(read) == repr(ordered)
    assert read_json(compact) == (ordered, compact)


@given(VALUES.filter(lambda value: bool(value) and is_object(value)), st.integers(), st.data())
def test_a_member_that_stands_twice_is_found_however_both_are_written(
    value: dict[str, Any], seed: int, data: st.DataObject
) -> None:
    random = Random(seed)
    again = data.draw(st.sampled_from(sorted(value)))
    member = loose(again, random) + ":" + loose(data.draw(VALUES), random)
    inside = loose(value, random).strip().removesuffix("}")

    with pytest.raises(Fault) as caught:
        read_json(f"[{inside},{member}}}]".encode())

    assert caught.value.reason == Reason.BODY_NOT_STRICT


@pytest.mark.parametrize(
    ("value", "object_", "array"),
    [
        pytest.param({}, True, False, id="an empty object"),
        pytest.param([], False, True, id="an empty list"),
        pytest.param("{}", False, False, id="a text"),
        pytest.param(None, False, False, id="null"),
        pytest.param(True, False, False, id="a truth"),
    ],
)
def test_objects_and_lists_are_told_from_the_rest(value: Any, object_: bool, array: bool) -> None:  # noqa: FBT001
    assert (is_object(value), is_array(value)) == (object_, array)
