from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate.reading.media_type import read_media_type

UNREADABLE = ("", None)
JSON = ("application/json", None)
JSON_UTF_8 = ("application/json", "utf-8")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"application/json", JSON, id="alone"),
        pytest.param(b"Application/JSON", JSON, id="in capitals"),
        pytest.param(b" \tapplication/json\t ", JSON, id="white space around"),
        pytest.param(b"application/json; charset=utf-8", JSON_UTF_8, id="a charset"),
        pytest.param(b'Application/JSON ; charset="UTF-8"', JSON_UTF_8, id="a charset in quotes"),
        pytest.param(b"application/json;CHARSET=UTF-8", JSON_UTF_8, id="a charset in capitals"),
        pytest.param(b"application/json;v=1;charset=utf-8;x=y", JSON_UTF_8, id="a charset among others"),
        pytest.param(
            b"application/json; charset=utf-16", ("application/json", "utf-16"), id="another charset"
        ),
        pytest.param(b'application/json; charset=""', ("application/json", ""), id="an empty charset"),
        pytest.param(
            b'application/json; charset="utf-8;x"',
            ("application/json", "utf-8;x"),
            id="a semicolon in quotes",
        ),
        pytest.param(
            b'application/json; charset="\xe9"', ("application/json", "é"), id="a charset beyond ASCII"
        ),
        pytest.param(
            b'application/json; x="; charset=utf-16"', JSON, id="a charset inside another parameter"
        ),
        pytest.param(b"application/json; xcharset=utf-16", JSON, id="a parameter that ends like it"),
        pytest.param(b"application/json;", JSON, id="an empty parameter"),
        pytest.param(b"application/json ;\t; ;charset=utf-8", JSON_UTF_8, id="empty parameters before"),
        pytest.param(b"text/event-stream", ("text/event-stream", None), id="an event stream"),
        pytest.param(b"a/b", ("a/b", None), id="the shortest"),
        pytest.param(b"application/problem+json", ("application/problem+json", None), id="a suffix"),
        pytest.param(b"", UNREADABLE, id="nothing"),
        pytest.param(b"json", UNREADABLE, id="no slash"),
        pytest.param(b"/json", UNREADABLE, id="no type"),
        pytest.param(b"application/", UNREADABLE, id="no subtype"),
        pytest.param(b"application/json/x", UNREADABLE, id="two slashes"),
        pytest.param(b"application /json", UNREADABLE, id="a space before the slash"),
        pytest.param(b"application/json, text/plain", UNREADABLE, id="two media types"),
        pytest.param(b"application/json charset=utf-8", UNREADABLE, id="no semicolon"),
        pytest.param(b"application/json; charset", UNREADABLE, id="a parameter without a value"),
        pytest.param(b"application/json; charset=", UNREADABLE, id="a parameter with an empty value"),
        pytest.param(b"application/json; charset =utf-8", UNREADABLE, id="a space before the equals sign"),
        pytest.param(b"application/json; charset= utf-8", UNREADABLE, id="a space behind the equals sign"),
        pytest.param(b"application/json; charset=utf-8 utf-16", UNREADABLE, id="two values"),
        pytest.param(b'application/json; charset="utf-8', UNREADABLE, id="a quote that does not close"),
        pytest.param(b'application/json; charset="utf\\-8"', UNREADABLE, id="a backslash in quotes"),
        pytest.param(b"application/json; charset='utf 8'", UNREADABLE, id="single quotes"),
        pytest.param(b"application/json; charset=utf-8; charset=utf-8", UNREADABLE, id="one charset twice"),
        pytest.param(b'application/json; charset=utf-8; Charset="utf-16"', UNREADABLE, id="two charsets"),
        # RFC 8187 and RFC 2231: some servers decode a body by a charset that is written like this.
        pytest.param(b"application/json; charset*=utf-8''utf-7", UNREADABLE, id="an extended charset"),
        pytest.param(b"application/json; charset*0=utf-7", UNREADABLE, id="the first piece of a charset"),
        pytest.param(b"application/json; Charset*0*=utf-7", UNREADABLE, id="an extended piece of a charset"),
        pytest.param(
            b"application/json; charset=utf-8; charset*0=utf-7",
            UNREADABLE,
            id="a charset and a piece of another",
        ),
        pytest.param(b"application/json\0", UNREADABLE, id="a NUL"),
        pytest.param(b"application/json\r\nx: y", UNREADABLE, id="a line end"),
        pytest.param(b"application/\xffjson", UNREADABLE, id="an octet beyond ASCII"),
        pytest.param(b"*/*\xa0", UNREADABLE, id="a no-break space"),
    ],
)
def test_a_media_type_is_read_with_its_charset_or_not_at_all(
    value: bytes, expected: tuple[str, str | None]
) -> None:
    assert read_media_type(value) == expected


@given(st.binary() | st.text('aJ/;= "\\charset\t', max_size=40).map(str.encode))
def test_no_octets_make_it_fail_and_what_is_read_is_in_lower_case(value: bytes) -> None:
    essence, charset = read_media_type(value)

    assert essence == essence.lower()
    assert essence.count("/") == (1 if essence else 0)
    assert charset is None or charset == charset.lower()


@given(
    parameters=st.lists(
        st.tuples(st.text(ascii_lowercase, min_size=1), st.text(ascii_lowercase, min_size=1))
    ),
    position=st.integers(0, 9),
    charset=st.sampled_from(["UTF-8", '"UTF-8"', "utf-8"]),
)
def test_the_charset_is_found_wherever_it_stands(
    parameters: list[tuple[str, str]], position: int, charset: str
) -> None:
    others = [f"{name}={value}" for name, value in parameters if name != "charset"]
    written = "; ".join(["application/json", *others[:position], f"charset={charset}", *others[position:]])

    assert read_media_type(written.encode()) == JSON_UTF_8
