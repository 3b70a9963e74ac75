import ntpath
import posixpath
import re
from contextlib import suppress
from itertools import pairwise
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from time import perf_counter
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnelgate.reading.methods import MAX_URI
from tunnelgate.reading.uri_template import UriTemplate, is_template

PATH = "docs:///{+path}"
NAME = "docs:///{name}"

NOT_SUPPORTED = "has an expression that is none of {a}, {+a}, {/a}, {/a*} and {?a,b}"
NO_SCHEME = "does not begin with a scheme such as docs:"
NO_CHARACTER = "has a character that no URI has"
CROWDED = "has two expressions in one segment"
TWICE = "has {+a} or {/a*} twice"
MOVES_HOST = "has an expression where the host stands"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        pytest.param("", NO_SCHEME, id="nothing"),
        pytest.param("{+path}", NO_SCHEME, id="an expression and nothing else"),
        pytest.param("{scheme}:///a", NO_SCHEME, id="an expression for the scheme"),
        pytest.param("do{x}cs:///a", NO_SCHEME, id="an expression in the scheme"),
        pytest.param("Docs:///{+path}", NO_SCHEME, id="a scheme in capitals"),
        pytest.param("1docs:///{+path}", NO_SCHEME, id="a scheme that begins with a digit"),
        pytest.param("/docs/{+path}", NO_SCHEME, id="a path"),
        pytest.param("//host/{+path}", NO_SCHEME, id="a host without a scheme"),
        pytest.param(" docs:///{+path}", NO_SCHEME, id="a space before"),
        pytest.param("docs:///{}", NOT_SUPPORTED, id="an empty expression"),
        pytest.param("docs:///{+}", NOT_SUPPORTED, id="an operator alone"),
        pytest.param("docs:///{ a }", NOT_SUPPORTED, id="spaces in an expression"),
        pytest.param("docs:///{a b}", NOT_SUPPORTED, id="two words in an expression"),
        pytest.param("docs:///{a,}", NOT_SUPPORTED, id="a comma and no second name"),
        pytest.param("docs:///{*}", NOT_SUPPORTED, id="a star"),
        pytest.param("docs:///{a*}", NOT_SUPPORTED, id="an exploded value"),
        pytest.param("docs:///{path*}", NOT_SUPPORTED, id="the wildcard of FastMCP"),
        pytest.param("docs:///{a:3}", NOT_SUPPORTED, id="the beginning of a value"),
        pytest.param("docs:///{#a}", NOT_SUPPORTED, id="a fragment"),
        pytest.param("docs:///{.a}", NOT_SUPPORTED, id="a label"),
        pytest.param("docs:///{;a}", NOT_SUPPORTED, id="a path parameter"),
        pytest.param("docs:///x?y=1{&a}", NOT_SUPPORTED, id="a query that goes on"),
        pytest.param("docs:///{++a}", NOT_SUPPORTED, id="two operators"),
        pytest.param("docs:///{a.b}", NOT_SUPPORTED, id="a dot in a name"),
        pytest.param("docs:///{%41}", NOT_SUPPORTED, id="an encoded name"),
        pytest.param("docs:///{a|b}", NOT_SUPPORTED, id="a regular expression for a name"),
        pytest.param("docs:///{\u0430}", NOT_SUPPORTED, id="a letter beyond ASCII in a name"),
        pytest.param("docs:///{a\n}", NOT_SUPPORTED, id="a line end in an expression"),
        pytest.param("docs:///{a", NOT_SUPPORTED, id="an expression that does not end"),
        pytest.param("docs:///a}", NOT_SUPPORTED, id="an expression that does not begin"),
        pytest.param("docs:///{{a}}", NOT_SUPPORTED, id="an expression in another"),
        pytest.param("docs:///{a}{", NOT_SUPPORTED, id="a brace at the end"),
        pytest.param("docs:///{a}\n", NO_CHARACTER, id="a line end"),
        pytest.param("docs:///a b/{c}", NO_CHARACTER, id="a space"),
        pytest.param("docs:///caf\u00e9/{a}", NO_CHARACTER, id="a letter beyond ASCII"),
        pytest.param("docs:\\\\{a}", NO_CHARACTER, id="backslashes"),
        pytest.param("docs:///{a}\0", NO_CHARACTER, id="a NUL"),
        pytest.param("docs:///<{a}>", NO_CHARACTER, id="angle brackets"),
        pytest.param("docs:///{a}{b}", CROWDED, id="two expressions side by side"),
        pytest.param("docs:///{a}-{b}", CROWDED, id="two expressions with a hyphen between"),
        pytest.param("docs:///{a}?b={b}", CROWDED, id="two expressions with a question mark between"),
        pytest.param("docs:///{+a}{b}", CROWDED, id="a path and a name side by side"),
        pytest.param("docs:///{b}{+a}", CROWDED, id="a name and a path side by side"),
        pytest.param("docs:///{+a}.{b}", CROWDED, id="a path and what it ends with"),
        pytest.param("docs://{/a}{b}", CROWDED, id="a segment and a name side by side"),
        pytest.param("docs:///{a}/{b}{c}", CROWDED, id="side by side in the second segment"),
        pytest.param("docs:///{a,b}", CROWDED, id="two names in one expression"),
        pytest.param("docs:///{+a,b}", CROWDED, id="two paths in one expression"),
        pytest.param("docs://{/a,b}", CROWDED, id="two segments in one expression"),
        pytest.param("docs:///{+a*}", NOT_SUPPORTED, id="an exploded path"),
        pytest.param("docs:///s{?a*}", NOT_SUPPORTED, id="an exploded query"),
        pytest.param("docs://{/*}", NOT_SUPPORTED, id="a star for a segment"),
        pytest.param("docs://{/a**}", NOT_SUPPORTED, id="two stars"),
        pytest.param("docs://{/a*,b}", NOT_SUPPORTED, id="exploded segments and another"),
        pytest.param("docs://{/a,b*}", CROWDED, id="two names of exploded segments"),
        pytest.param("docs://{/a*}{b}", CROWDED, id="exploded segments and a name side by side"),
        pytest.param("docs://{/a*}.{b}", CROWDED, id="exploded segments and what they end with"),
        pytest.param("docs:///{+a}/{+b}", TWICE, id="two paths"),
        pytest.param("docs:///{+a}/x/{+a}", TWICE, id="the same path twice"),
        pytest.param("docs://{/a*}{/b*}", TWICE, id="exploded segments twice"),
        pytest.param("docs:///{+a}{/b*}", TWICE, id="a path and exploded segments"),
        pytest.param("docs://{/a*}/{+b}", TWICE, id="exploded segments and a path"),
    ],
)
def test_a_template_that_is_not_supported_is_refused_with_what_is_wrong(template: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        UriTemplate(template)


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("docs:///s{?a}{?b}", id="two queries"),
        pytest.param("docs:///s{?a}/more", id="a query before the path ends"),
        pytest.param("docs:///s{?a}&b=1", id="a query that goes on"),
        pytest.param("docs:///s{?a}#top", id="a fragment behind a query"),
        pytest.param("docs:///s{?a}{/b}", id="a segment behind a query"),
        pytest.param("docs:///s{?a}/{+b}", id="a path behind a query"),
        pytest.param("docs:///s?b=1{?a}", id="a query behind another"),
        pytest.param("docs:///s#b{?a}", id="a query in a fragment"),
    ],
)
def test_a_query_stands_at_the_end_of_a_template_and_once(template: str) -> None:
    with pytest.raises(ValueError, match=r"^has .*\{\?a\}"):
        UriTemplate(template)


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("docs:///%/{a}", id="a percent sign alone"),
        pytest.param("docs:///%{a}", id="a percent sign before an expression"),
        pytest.param("docs:///{a}%", id="a percent sign at the end"),
        pytest.param("docs:///{a}%2", id="half an octet"),
        pytest.param("docs:///%zz/{a}", id="no octet"),
        pytest.param("docs:///caf%c3%a9/{a}", id="an octet in small letters"),
        pytest.param("docs:///%41/{a}", id="an encoded letter"),
    ],
)
def test_a_template_that_could_never_match_as_it_is_written_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="encoded"):
        UriTemplate(template)


@pytest.mark.parametrize("scheme", ["ftp", "http", "https", "ws", "wss"])
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("//{host}/a", id="an expression for the host"),
        pytest.param("//{+url}", id="an expression for all of it"),
        pytest.param("//{tenant}.internal/a", id="the beginning of the host"),
        pytest.param("//api.{domain}/a", id="the end of the host"),
        pytest.param("//api.internal{+path}", id="what may go on with the host"),
        pytest.param("//api.internal:{port}/a", id="the port"),
        pytest.param("//{user}@api.internal/a", id="the user"),
        pytest.param("//{/a}", id="a segment where there is no host"),
        pytest.param("{+path}", id="all behind the scheme"),
        pytest.param("/{+path}", id="all behind one slash"),
        pytest.param("///{+path}", id="all behind three slashes"),
        pytest.param("{/path*}", id="segments behind the scheme"),
    ],
)
def test_no_value_stands_where_the_host_of_a_url_is_found(scheme: str, rest: str) -> None:
    """Browsers and Node.js read ``https:evil``, ``https:/evil`` and ``https:///evil`` like ``https://evil``."""
    with pytest.raises(ValueError, match=f"^{MOVES_HOST}$"):
        UriTemplate(f"{scheme}:{rest}")


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        pytest.param("https://api.internal/{+path}", "https://api.internal/a/b", id="a path behind a host"),
        pytest.param("https://api.internal:8443/{id}", "https://api.internal:8443/7", id="behind a port"),
        pytest.param("https://api.internal{/path*}", "https://api.internal/a/b", id="segments behind a host"),
        pytest.param("https://api.internal{/id}", "https://api.internal/7", id="a segment behind a host"),
        pytest.param("https://api.internal{?q}", "https://api.internal?q=a", id="a query behind a host"),
        pytest.param("https://api.internal?q={q}", "https://api.internal?q=a", id="a value of a query"),
        pytest.param("httpx://{host}/a", "httpx://docs/a", id="a host of another scheme"),
    ],
)
def test_behind_the_host_a_url_has_expressions_like_any_other_uri(template: str, uri: str) -> None:
    assert UriTemplate(template).matches(uri)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("12:30.md", id="a colon"),
        pytest.param("a@b", id="an at sign"),
        pytest.param("[a]", id="brackets"),
    ],
)
def test_a_segment_is_matched_alike_however_its_slash_is_written(value: str) -> None:
    assert UriTemplate("docs:///{name}").matches(f"docs:///{value}")
    assert UriTemplate("docs://{/name}").matches(f"docs:///{value}")
    assert UriTemplate("docs://{/name*}").matches(f"docs:///{value}")


def test_a_template_remembers_how_it_was_written() -> None:
    assert UriTemplate("docs:///R%26D/{name}").template == "docs:///R%26D/{name}"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        pytest.param("docs:///{a}", True, id="an expression"),
        pytest.param("docs:///{", True, id="a brace that opens"),
        pytest.param("docs:///}", True, id="a brace that closes"),
        pytest.param("docs:///a", False, id="a URI"),
        pytest.param("docs:///*", False, id="a star"),
        pytest.param("docs:///%7Ba%7D", False, id="encoded braces"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_braces_make_a_template(text: str, verdict: bool) -> None:  # noqa: FBT001 - the verdict of a table
    assert is_template(text) is verdict


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        pytest.param(PATH, "docs:///guide.md", id="a path of one segment"),
        pytest.param(PATH, "docs:///a/b/c/guide.md", id="a path of many segments"),
        pytest.param(PATH, "docs:///.hidden/..a/a..b/.b.c", id="segments with dots and more"),
        pytest.param(PATH, "docs:///caf%C3%A9/%E6%96%87.md", id="letters beyond ASCII"),
        pytest.param(PATH, "docs:///a%20b.md", id="a space"),
        pytest.param(PATH, "docs:///100%25.md", id="a percent sign"),
        pytest.param(PATH, "docs:///R&D/a+b,(c)'!*$=@.md", id="each character that a segment may have"),
        pytest.param(PATH, "docs:///~guides/a_b-c.d", id="each character that is never encoded"),
        pytest.param(PATH, "docs:///a/12:30.md", id="a colon behind the first segment"),
        pytest.param(PATH, "docs:///12:30.md", id="a colon behind digits"),
        pytest.param(
            PATH, "docs:///MCP%EF%BC%9A%E4%BB%80%E4%B9%88%EF%BC%9F", id="the punctuation of another script"
        ),
        pytest.param("docs:///a/{+path}", "docs:///a/b", id="a path below another"),
        pytest.param("docs:///{+path}.md", "docs:///a/b.md", id="a path with an ending"),
        pytest.param("docs:///{+path}/{name}", "docs:///a/b/c", id="a path and a name"),
        pytest.param("docs:///{first}/{+path}", "docs:///a/b/c", id="a name and a path"),
        pytest.param("docs:///{+path}/end/{name}", "docs:///end/end/end/end", id="a path that holds its end"),
        pytest.param("docs://{+path}", "docs://a/b", id="a path from the host on"),
        pytest.param("docs:{+path}", "docs:a/b", id="a path without a slash before"),
        pytest.param(NAME, "docs:///guide.md", id="a name"),
        pytest.param(NAME, "docs:///a%20b", id="a name with a space"),
        pytest.param("docs:///v{name}.md", "docs:///v1.md", id="a name with text around"),
        pytest.param("docs:///a.b/{name}", "docs:///a.b/c", id="a dot that is a dot"),
        pytest.param("docs:///a+(b)*$/{name}", "docs:///a+(b)*$/c", id="text that looks like a pattern"),
        pytest.param("test://template/{id}/data", "test://template/42/data", id="a name in the middle"),
        pytest.param("a:///{a}/{b}/{c}", "a:///1/2/3", id="three names"),
        pytest.param("a:///{a}/{a}", "a:///1/2", id="one name twice"),
        pytest.param("weather://{city}/now", "weather://New%20York/now", id="a name for the host"),
        pytest.param("docs://{/a}{/b}", "docs:///1/2", id="two segments"),
        pytest.param("docs:///{a}{/b}", "docs:///1/2", id="a name and a segment"),
        pytest.param("docs://{/a}/b", "docs:///1/b", id="a segment and text"),
        pytest.param("docs://{/path*}", "docs:///a", id="one exploded segment"),
        pytest.param("docs://{/path*}", "docs:///a/b/c.md", id="many exploded segments"),
        pytest.param("docs:///a{/path*}", "docs:///a/b/c", id="exploded segments below another"),
        pytest.param("docs:///{a}{/path*}", "docs:///a/b/c", id="a name and exploded segments"),
        pytest.param("docs://{/path*}/end", "docs:///a/b/end", id="exploded segments before text"),
        pytest.param("docs://{/path*}/{name}", "docs:///a/b/c", id="exploded segments and a name"),
        pytest.param("docs://{/path*}{?q}", "docs:///a/b?q=1", id="exploded segments and a query"),
        pytest.param("docs:{/path*}", "docs:/a/b", id="exploded segments behind the scheme"),
        pytest.param("docs:///s{?q}", "docs:///s", id="a query that is left out"),
        pytest.param("docs:///s{?q}", "docs:///s?q=a", id="a query"),
        pytest.param("docs:///s{?q}", "docs:///s?q=", id="an empty query"),
        pytest.param("docs:///s{?q}", "docs:///s?q=a%20b%26c", id="a query with encoded characters"),
        pytest.param("docs:///s{?p,size}", "docs:///s?p=1&size=2", id="a query of two"),
        pytest.param("docs:///s{?p,size}", "docs:///s?size=2&p=1", id="a query of two in another order"),
        pytest.param("docs:///s{?p,size}", "docs:///s?size=2", id="one of two"),
        pytest.param("docs:///{a}{?q}", "docs:///x?q=1", id="a name and a query"),
        pytest.param("docs:///{+a}{?q}", "docs:///x/y?q=1", id="a path and a query"),
        pytest.param("docs:///s?id={id}", "docs:///s?id=7", id="a name in a query that is written out"),
        pytest.param("docs:///a#{id}", "docs:///a#7", id="a name in a fragment"),
        pytest.param("a+b.c-1:///{a}", "a+b.c-1:///x", id="each character that a scheme may have"),
        pytest.param("docs:///fixed", "docs:///fixed", id="no expression at all"),
    ],
)
def test_a_uri_that_a_template_makes_is_matched(template: str, uri: str) -> None:
    assert UriTemplate(template).matches(uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        pytest.param(PATH, "", id="nothing"),
        pytest.param(PATH, PATH, id="the template itself"),
        pytest.param(PATH, "docs:///", id="an empty path"),
        pytest.param(PATH, "docs://a", id="a host and no path"),
        pytest.param(PATH, "docs:/a", id="two slashes fewer"),
        pytest.param(PATH, "docs:a", id="no slash"),
        pytest.param(PATH, "docs://evil/a", id="a host"),
        pytest.param(PATH, "docs://user@/a", id="a user"),
        pytest.param(PATH, "docs://:80/a", id="a port"),
        pytest.param(PATH, "docs:////evil/a", id="a slash more"),
        pytest.param(PATH, "DOCS:///a", id="the scheme in capitals"),
        pytest.param(PATH, "Docs:///a", id="the scheme with a capital"),
        pytest.param(PATH, "file:///a", id="another scheme"),
        pytest.param(PATH, "docs+file:///a", id="a longer scheme"),
        pytest.param(PATH, "xdocs:///a", id="a scheme that ends like it"),
        pytest.param(PATH, "view-source:docs:///a", id="a scheme before the scheme"),
        pytest.param(PATH, "///a", id="no scheme"),
        pytest.param(PATH, "docs%3A///a", id="an encoded colon behind the scheme"),
        pytest.param(PATH, "d%6Fcs:///a", id="an encoded letter in the scheme"),
        pytest.param(PATH, " docs:///a", id="a space before"),
        pytest.param(PATH, "docs:///a\n", id="a line end behind"),
        pytest.param(PATH, "\tdocs:///a", id="a tab before"),
        pytest.param("docs:///a/{+path}", "docs:///a/", id="an empty path below another"),
        pytest.param("docs:///a/{+path}", "docs:///b/c", id="a path below something else"),
        pytest.param("docs:///a/{+path}", "docs:///A/c", id="a path below another in capitals"),
        pytest.param("docs:///a.b/{name}", "docs:///axb/c", id="any character where a dot stands"),
        pytest.param(NAME, "docs:///a/b", id="two segments for a name"),
        pytest.param(NAME, "docs:///a/", id="a slash behind a name"),
        pytest.param(NAME, "docs:///a?b", id="a query behind a name"),
        pytest.param(NAME, "docs:///a#b", id="a fragment behind a name"),
        pytest.param("docs:///{a}/{b}", "docs:///a", id="a segment too few"),
        pytest.param("docs:///{a}/{b}", "docs:///a//b", id="an empty segment between two names"),
        pytest.param("docs:///{a}.md", "docs:///.md", id="an ending and no name"),
        pytest.param("docs:///{a}.md", "docs:///a.md.exe", id="another ending behind the ending"),
        pytest.param("docs://{/a}", "docs://a", id="no slash before a segment"),
        pytest.param("docs://{/a}", "docs:///a/b", id="two segments for one"),
        pytest.param("docs://{/a*}", "docs://a", id="no slash before exploded segments"),
        pytest.param("docs://{/a*}", "docs:///", id="no exploded segment"),
        pytest.param("docs://{/a*}", "docs://host/a", id="a host before exploded segments"),
        pytest.param("docs:///a{/b*}", "docs:///ab/c", id="no slash before the segments below another"),
        pytest.param("docs:///s{?q}", "docs:///s?", id="a question mark alone"),
        pytest.param("docs:///s{?q}", "docs:///s?q", id="a parameter without a value"),
        pytest.param("docs:///s{?q}", "docs:///s?Q=a", id="a parameter in capitals"),
        pytest.param("docs:///s{?q}", "docs:///s?x=a", id="another parameter"),
        pytest.param("docs:///s{?q}", "docs:///s?qq=a", id="a parameter that begins like it"),
        pytest.param("docs:///s{?q}", "docs:///s?q=a&x=b", id="another parameter besides"),
        pytest.param("docs:///s{?q}", "docs:///s?q=a&", id="an ampersand behind"),
        pytest.param("docs:///s{?q}", "docs:///s?&q=a", id="an ampersand before"),
        pytest.param("docs:///s{?p,q}", "docs:///s?p=1&&q=2", id="two ampersands"),
        pytest.param("docs:///s{?q}", "docs:///s?q=a#b", id="a fragment behind a query"),
        pytest.param("docs:///s{?q}", "docs:///s&q=a", id="an ampersand for a question mark"),
        pytest.param("docs:///s{?q}", "docs:///s%3Fq=a", id="an encoded question mark"),
        pytest.param("docs:///s?id={id}", "docs:///s?id=7/../8", id="a path in a query that is written out"),
        pytest.param("docs:///fixed", "docs:///fixed/", id="a slash behind a URI"),
        pytest.param("docs:///fixed", "docs:///fixe", id="a letter too few"),
    ],
)
def test_a_uri_that_a_template_does_not_make_is_not_matched(template: str, uri: str) -> None:
    assert not UriTemplate(template).matches(uri)


ELSEWHERE = [
    pytest.param("..", id="above"),
    pytest.param(".", id="here"),
    pytest.param("%2E%2E", id="above, encoded"),
    pytest.param("%2e%2e", id="above, encoded in small letters"),
    pytest.param(".%2E", id="above, half encoded"),
    pytest.param("%252E%252E", id="above, encoded twice"),
    pytest.param("%25252E%25252E", id="above, encoded three times"),
    pytest.param("%2525252E%2525252E", id="above, encoded four times"),
    pytest.param("%252525252E%252525252E", id="above, encoded five times"),
    pytest.param("%25252525252525252E", id="something encoded more often than anybody means"),
    pytest.param("..%2F", id="above and an encoded slash"),
    pytest.param("%2F", id="an encoded slash"),
    pytest.param("%2Fetc", id="an encoded slash before"),
    pytest.param("a%2F", id="an encoded slash behind"),
    pytest.param("%252Fetc", id="a slash before, encoded twice"),
    pytest.param("a%2F..%2Fb", id="above between encoded slashes"),
    pytest.param("a%252F..%252Fb", id="above between slashes that are encoded twice"),
    pytest.param("a%2F%2Fb", id="an empty segment between encoded slashes"),
    pytest.param("a\\b", id="a backslash"),
    pytest.param("..%5Cb", id="above and an encoded backslash"),
    pytest.param("a%5Cb", id="an encoded backslash"),
    pytest.param("a%5cb", id="a backslash encoded in small letters"),
    pytest.param("a%255Cb", id="a backslash, encoded twice"),
    pytest.param("%5C%5Chost%5Cshare", id="a share of another host"),
    pytest.param("a\0", id="a NUL"),
    pytest.param("a%00", id="an encoded NUL"),
    pytest.param("a%00.md", id="an encoded NUL before an ending"),
    pytest.param("a%2500", id="a NUL, encoded twice"),
    pytest.param("a%0D%0Ab", id="an encoded line end"),
    pytest.param("a%250Ab", id="a line end, encoded twice"),
    pytest.param("a%09b", id="an encoded tab"),
    pytest.param("a%1Bb", id="an encoded escape"),
    pytest.param("a%7Fb", id="an encoded delete character"),
    pytest.param("a\n", id="a line end"),
    pytest.param("a b", id="a space"),
    pytest.param("caf\u00e9", id="a letter beyond ASCII"),
    pytest.param("\uff0e\uff0e", id="fullwidth dots"),
    pytest.param("\ud800", id="an unpaired surrogate"),
    pytest.param("%61", id="a letter that need not be encoded"),
    pytest.param("%7Eroot", id="a tilde that need not be encoded"),
    pytest.param("%C3%a9", id="an octet in small letters"),
    pytest.param("a%", id="a percent sign alone"),
    pytest.param("a%2", id="half an octet"),
    pytest.param("%%32%65", id="a percent sign before an octet"),
    pytest.param("%u002e%u002e", id="the encoding of another age"),
    pytest.param("a{b}", id="braces"),
    pytest.param('a"b', id="a quotation mark"),
    pytest.param("<a>", id="angle brackets"),
    pytest.param("a|b", id="a bar"),
    pytest.param("a^b`", id="a caret and a backtick"),
    pytest.param("*?", id="a star and a question mark"),
]


@pytest.mark.parametrize("value", ELSEWHERE)
@pytest.mark.parametrize(
    "template",
    [
        pytest.param(PATH, id="a path"),
        pytest.param("docs:///a/{+path}", id="a path below another"),
        pytest.param("docs:///{+path}/b", id="a path before a segment"),
        pytest.param(NAME, id="a name"),
        pytest.param("docs:///a/{name}/b", id="a name in the middle"),
        pytest.param("docs://{/name}", id="a segment"),
        pytest.param("docs://{/name*}", id="exploded segments"),
        pytest.param("docs:///a{/name*}/b", id="exploded segments in the middle"),
        pytest.param("docs://{name}/a", id="a host"),
        pytest.param("docs:///s{?name}", id="a query"),
        pytest.param("docs:///s{?x,name}", id="a query of two"),
        pytest.param("docs:///s?name={name}", id="a query that is written out"),
    ],
)
def test_a_value_that_a_server_could_take_for_another_place_is_not_matched(template: str, value: str) -> None:
    expanded = {"{?name}": f"?name={value}", "{?x,name}": f"?x=1&name={value}", "{/name}": f"/{value}"}
    expanded["{/name*}"] = expanded["{/name}"]
    uri = re.sub(r"\{[^}]*\}", lambda expression: expanded.get(expression[0], value), template)

    assert not UriTemplate(template).matches(uri)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("../etc/passwd", id="above at the beginning"),
        pytest.param("a/../../b", id="above in the middle"),
        pytest.param("a/..", id="above at the end"),
        pytest.param("a/./b", id="here in the middle"),
        pytest.param("/etc/passwd", id="a slash at the beginning"),
        pytest.param("a//b", id="an empty segment"),
        pytest.param("a/", id="a slash at the end"),
        pytest.param("a/%2E%2E/b", id="above in the middle, encoded"),
        pytest.param("a/%252e%252e/b", id="above in the middle, encoded twice"),
        pytest.param("a/%2F/b", id="a segment that is a slash"),
        pytest.param("a%2F/b", id="an encoded slash before a slash"),
        pytest.param("..%252Fb/c", id="above and a slash that is encoded twice"),
        pytest.param("a?b/../../c", id="above in a query"),
        pytest.param("a#b/../../c", id="above in a fragment"),
    ],
)
def test_a_path_that_leads_elsewhere_is_not_matched(path: str) -> None:
    assert not UriTemplate(PATH).matches(f"docs:///{path}")
    assert not UriTemplate("docs://{/path*}").matches(f"docs:///{path}")
    assert not UriTemplate("docs:///a{/path*}").matches(f"docs:///a/{path}")
    assert not UriTemplate("docs:///a/{+path}").matches(f"docs:///a/{path}")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("a?b", id="a query"),
        pytest.param("a#b", id="a fragment"),
        pytest.param("a?", id="an empty query"),
        pytest.param("a#", id="an empty fragment"),
        pytest.param("..?x", id="above before a query"),
        pytest.param("a/..#x", id="above before a fragment"),
        pytest.param("..%3Fx", id="above before an encoded question mark"),
        pytest.param("..%2523x", id="above before a number sign that is encoded twice"),
        pytest.param("a%3Fx", id="an encoded question mark"),
        pytest.param("a%23x", id="an encoded number sign"),
    ],
)
def test_a_path_that_a_server_could_end_elsewhere_is_not_matched(path: str) -> None:
    """A server that takes a URI apart would read ``docs:///secret.md?x`` as ``/secret.md``."""
    assert not UriTemplate(PATH).matches(f"docs:///{path}")
    assert not UriTemplate("docs:///{+path}.md").matches(f"docs:///{path}.md")
    assert not UriTemplate(NAME).matches(f"docs:///{path}")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("a%2Fb", id="encoded"),
        pytest.param("a%252Fb", id="encoded twice"),
        pytest.param("secret%2Fplan.md", id="encoded before what another entry may restrict"),
    ],
)
def test_a_segment_is_one_segment_however_often_it_is_decoded(path: str) -> None:
    """A server that decodes before it looks for a template would find another one, and so another rule."""
    assert not UriTemplate(NAME).matches(f"docs:///{path}")
    assert not UriTemplate("docs://{/name}").matches(f"docs:///{path}")
    assert not UriTemplate(PATH).matches(f"docs:///{path}")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("C:/Windows/win.ini", id="a drive"),
        pytest.param("c:secret.md", id="what a drive remembers"),
        pytest.param("C%3A/Windows/win.ini", id="a drive with an encoded colon"),
        pytest.param("https:/evil.example/a", id="the scheme of the server and a path"),
        pytest.param("https:evil.example", id="a scheme and a host, as browsers read it"),
        pytest.param("file:a", id="another scheme"),
        pytest.param("file%253Aa", id="a scheme with a colon that is encoded twice"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("a+b.c-1:x", id="each character that a scheme may have"),
        pytest.param("1:x", id="a digit for a drive"),
    ],
)
def test_a_path_that_begins_like_a_uri_or_a_drive_is_not_matched(path: str) -> None:
    """Joined to a base it would not stay below it: RFC 3986 section 4.2."""
    assert not UriTemplate(PATH).matches(f"docs:///{path}")
    assert not UriTemplate("docs:///a/{+path}").matches(f"docs:///a/{path}")


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param("..;", id="above and an empty parameter"),
        pytest.param("..;a=b", id="above and a parameter"),
        pytest.param(".;x", id="here and a parameter"),
        pytest.param(";x", id="a parameter of nothing"),
        pytest.param("..%3Bx", id="above and an encoded parameter"),
        pytest.param("...", id="three dots"),
        pytest.param("..%20", id="above and a space"),
        pytest.param("%20..", id="a space and above"),
        pytest.param("..&x", id="above and an ampersand"),
        pytest.param("%20", id="nothing but a space"),
        pytest.param("a;v=1", id="a parameter, which some servers take away"),
        pytest.param("a;", id="an empty parameter"),
        pytest.param("a%3Bv=1", id="an encoded parameter"),
        pytest.param("secret.md;x", id="a name and a parameter"),
    ],
)
def test_a_segment_that_some_servers_shorten_or_take_for_the_one_above_is_not_matched(segment: str) -> None:
    assert not UriTemplate(PATH).matches(f"docs:///{segment}/b")
    assert not UriTemplate(PATH).matches(f"docs:///a/{segment}/b")
    assert not UriTemplate(NAME).matches(f"docs:///{segment}")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("%C0%AE%C0%AE", id="above in overlong UTF-8"),
        pytest.param("a%C0%AFb", id="a slash in overlong UTF-8"),
        pytest.param("a%E0%80%AFb", id="a slash in three octets"),
        pytest.param("a%25C0%25AFb", id="an overlong slash, encoded twice"),
        pytest.param("a%FF", id="an octet that UTF-8 does not have"),
        pytest.param("a%C3", id="half a character"),
        pytest.param("%ED%A0%80", id="an encoded surrogate"),
        pytest.param("caf%E9", id="a letter in Latin-1"),
        pytest.param("a%C2%85b", id="a next line"),
        pytest.param("%EF%BC%8E%EF%BC%8E", id="above in fullwidth"),
        pytest.param("%E2%80%A5", id="two dots in one character"),
        pytest.param("..%EF%BC%8Fb", id="above and a fullwidth slash"),
        pytest.param("..%EF%BC%BCb", id="above and a fullwidth backslash"),
        pytest.param("%EF%BC%8Fetc", id="a fullwidth slash before"),
    ],
)
def test_a_value_that_two_servers_could_read_as_different_text_is_not_matched(value: str) -> None:
    assert not UriTemplate(PATH).matches(f"docs:///{value}/b")
    assert not UriTemplate(NAME).matches(f"docs:///{value}")


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        pytest.param("wiki://api.internal{+path}", "wiki://api.internal@evil.example/a", id="a user"),
        pytest.param("wiki://api.internal{+path}", "wiki://api.internal:8443/a", id="a port"),
        pytest.param("wiki://{tenant}.internal/a", "wiki://x@evil.internal/a", id="a user before a host"),
        pytest.param("wiki://{tenant}/a", "wiki://evil:8443/a", id="a host and a port"),
        pytest.param("wiki://{tenant}/a", "wiki://[::1]/a", id="an address in brackets"),
        pytest.param("wiki://{tenant}/a", "wiki://x%40evil/a", id="an encoded user"),
        pytest.param("wiki://{tenant}/a", "wiki://evil%3A8443/a", id="an encoded port"),
        pytest.param("wiki://{tenant}/a", "wiki://%5B::1%5D/a", id="an address in encoded brackets"),
        pytest.param("wiki://{tenant}.internal/a", "wiki://evil%2Fx.internal/a", id="an encoded slash"),
        pytest.param("wiki://{tenant}.internal/a", "wiki://evil%3Fx.internal/a", id="an encoded query"),
        pytest.param("wiki://{tenant}.internal/a", "wiki://evil%23x.internal/a", id="an encoded fragment"),
        pytest.param("wiki://{tenant}.internal/a", "wiki://evil%5Cx.internal/a", id="an encoded backslash"),
        pytest.param("docs://{+path}", "docs://user@host/a", id="a user before a path"),
    ],
)
def test_a_value_does_not_move_the_host(template: str, uri: str) -> None:
    assert not UriTemplate(template).matches(uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        pytest.param("docs:///s{?a}", "docs:///s?a=1&a=2", id="a parameter twice"),
        pytest.param("docs:///s{?a,b}", "docs:///s?a=1&b=2&a=3", id="a parameter twice, another between"),
        pytest.param("docs:///s{?a}", "docs:///s?a=1;b=2", id="a semicolon for an ampersand"),
        pytest.param("docs:///s{?a}", "docs:///s?a=1+2", id="a plus that may be a space"),
        pytest.param("docs:///s{?a}", "docs:///s?a=../../etc", id="above"),
        pytest.param("docs:///s{?a}", "docs:///s?a=1&a=../x", id="above in the second of two"),
        pytest.param("docs:///s{?a,b}", "docs:///s?a=1&b=../x", id="above in another parameter"),
        pytest.param("docs:///s{?a}", "docs:///s?a=1%26b=..", id="above behind an encoded ampersand"),
        pytest.param("docs:///s{?a}", "docs:///s?a=/etc/passwd", id="a path from the root"),
        pytest.param("docs:///s{?a}", "docs:///s?a=http://evil.example", id="a URL"),
        pytest.param("docs:///{+p}{?a}", "docs:///x?b=1", id="another parameter behind a path"),
        pytest.param("docs:///{+p}{?a}", "docs:///x?a=1&a=2", id="a parameter twice behind a path"),
        pytest.param("docs:///s?id={id}", "docs:///s?id=7&admin=1", id="another parameter behind a name"),
        pytest.param("docs:///s?id={id}", "docs:///s?id=7;admin=1", id="another behind a semicolon"),
    ],
)
def test_a_query_says_each_thing_once_and_nothing_else(template: str, uri: str) -> None:
    assert not UriTemplate(template).matches(uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        pytest.param("docs:///.{name}", "docs:///..", id="a dot behind a dot"),
        pytest.param("docs:///{name}.", "docs:///..", id="a dot before a dot"),
        pytest.param("docs:///.{+path}", "docs:///../a", id="a dot and a slash behind a dot"),
        pytest.param("docs:///.{name}", "docs:///.%2E", id="an encoded dot behind a dot"),
        pytest.param("docs:///.{name}", "docs:///.%252E", id="a dot that is encoded twice behind a dot"),
        pytest.param("docs:///..{+path}", "docs:///../a", id="a slash behind two dots"),
        pytest.param("docs:///..{name}", "docs:///..%2Fa", id="an encoded slash behind two dots"),
        pytest.param("docs:///..{name}", "docs:///..;a", id="a parameter behind two dots"),
        pytest.param("docs:///..{name}", "docs:///..%3Fa", id="an encoded query behind two dots"),
        pytest.param("docs:///{name}..", "docs:///a%2F..", id="an encoded slash before two dots"),
        pytest.param("docs:/{+path}", "docs://evil/a", id="a slash behind a slash"),
        pytest.param("docs:{+path}", "docs://evil/a", id="two slashes behind the scheme"),
    ],
)
def test_a_value_makes_no_other_place_together_with_the_text_beside_it(template: str, uri: str) -> None:
    assert not UriTemplate(template).matches(uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        pytest.param("docs:///R&D/{+path}", "docs:///R%26D/a", id="encoded in the URI"),
        pytest.param("docs:///R%26D/{+path}", "docs:///R&D/a", id="encoded in the template"),
        pytest.param("docs:///R%26D/{+path}", "docs:///R%26D/a", id="encoded in both"),
        *(
            pytest.param(
                f"docs:///a{character}b/{{+path}}",
                f"docs:///a{quote(character)}b/c",
                id=f"the character {character}",
            )
            for character in "!$&'()*+,;=:@"
        ),
    ],
)
def test_a_character_that_has_two_spellings_in_a_path_is_one_character(template: str, uri: str) -> None:
    """Else what restricts ``docs:///R&D/{+path}`` would be left out for ``docs:///R%26D/plan.md``."""
    assert UriTemplate(template).matches(uri)


def test_a_uri_may_be_as_long_as_its_bound_and_not_one_character_more() -> None:
    longest = "docs:///".ljust(MAX_URI, "a")

    for template in (PATH, NAME, "docs://{/a}"):
        assert UriTemplate(template).matches(longest)
        assert not UriTemplate(template).matches(longest + "a")


@pytest.mark.parametrize("template", [PATH, NAME, "docs://{/name}", "docs://{/path*}"])
def test_a_percent_sign_is_matched_when_it_encodes_nothing_once_it_is_decoded(template: str) -> None:
    for value in ("100%25", "100%25.md", "%25zz", "a%25%20b", "%25%C3%A9"):
        assert UriTemplate(template).matches(f"docs:///{value}")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a%2541", id="a letter"),
        pytest.param("a%2520b", id="a space"),
        pytest.param("100%2525", id="a percent sign"),
        pytest.param("100%252525", id="a percent sign, three times"),
        pytest.param("caf%25C3%25A9", id="a letter beyond ASCII"),
        pytest.param("caf%25c3%25a9", id="a letter beyond ASCII in small letters"),
        pytest.param("a%25FF", id="an octet that UTF-8 does not have"),
        pytest.param("100%25ab", id="what is a percent sign and letters to who decodes once"),
    ],
)
@pytest.mark.parametrize(
    "template", [PATH, NAME, "docs://{/name}", "docs://{/path*}", "docs:///s{?name}", "docs:///s?name={name}"]
)
def test_a_value_that_is_encoded_twice_is_not_matched(template: str, value: str) -> None:
    """A server that decodes once reads another name than one that decodes until nothing changes."""
    expanded = {"{?name}": f"?name={value}", "{/name}": f"/{value}", "{/path*}": f"/{value}"}
    uri = re.sub(r"\{[^}]*\}", lambda expression: expanded.get(expression[0], value), template)

    assert not UriTemplate(template).matches(uri)


@pytest.mark.parametrize(
    ("template", "values", "uri"),
    [
        pytest.param(NAME, {"name": "guide.md"}, "docs:///guide.md", id="a name"),
        pytest.param(NAME, {"name": "a/b?c#d"}, "docs:///a%2Fb%3Fc%23d", id="what ends a segment"),
        pytest.param(NAME, {"name": "R&D: a b"}, "docs:///R%26D%3A%20a%20b", id="what is reserved"),
        pytest.param(NAME, {"name": "caf\u00e9"}, "docs:///caf%C3%A9", id="a letter beyond ASCII"),
        pytest.param(NAME, {"name": "100%"}, "docs:///100%25", id="a percent sign"),
        pytest.param(NAME, {"name": "a-b.c_d~e"}, "docs:///a-b.c_d~e", id="what is never encoded"),
        pytest.param(NAME, {"name": ""}, "docs:///", id="an empty name"),
        pytest.param(NAME, {"name": "a", "other": "b"}, "docs:///a", id="a value that has no place"),
        pytest.param(PATH, {"path": "a/b c.md"}, "docs:///a/b%20c.md", id="a path"),
        pytest.param(PATH, {"path": "a;b=c@d:e!'(),*+"}, "docs:///a;b=c@d:e!'(),*+", id="a path as it is"),
        pytest.param("docs://{/name}", {"name": "a/b"}, "docs:///a%2Fb", id="a segment"),
        pytest.param("docs://{/path*}", {"path": "a/b c"}, "docs:///a/b%20c", id="exploded segments"),
        pytest.param("docs:///{a}/{b}", {"b": "2", "a": "1"}, "docs:///1/2", id="two names"),
        pytest.param("docs:///{a}/{a}", {"a": "1"}, "docs:///1/1", id="one name twice"),
        pytest.param("docs:///{a}{?q}", {"a": "1", "q": "2"}, "docs:///1", id="a name without its query"),
        pytest.param("docs:///{a}{?q}", {"a": "1"}, "docs:///1", id="a query that has no value"),
        pytest.param("docs:///s?id={id}", {"id": "a&b"}, "docs:///s?id=a%26b", id="a query written out"),
        pytest.param("docs:///R%26D/{a}", {"a": "1"}, "docs:///R%26D/1", id="text that is encoded"),
        pytest.param("docs:///fixed", {}, "docs:///fixed", id="no expression"),
        pytest.param(NAME, {}, None, id="a name that has no value"),
        pytest.param(NAME, {"Name": "a"}, None, id="a value for another name"),
        pytest.param("docs:///{a}/{b}", {"a": "1"}, None, id="one of two names"),
        pytest.param("docs:///{a}/{b}{?q}", {"b": "1", "q": "2"}, None, id="the other of two names"),
    ],
)
def test_a_template_makes_a_uri_of_values(template: str, values: dict[str, str], uri: str | None) -> None:
    assert UriTemplate(template).expand(values) == uri


def test_what_is_encoded_in_the_value_of_a_path_stays_as_it_is() -> None:
    """RFC 6570 section 3.2.3: of a server's ``a%20b`` for ``{+path}`` a client makes ``docs:///a%20b``."""
    for template in (PATH, "docs:///{+path}/x"):
        compiled = UriTemplate(template)
        uri = compiled.expand({"path": "a%20b/100%/c%C3%A9"})

        assert uri == template.replace("{+path}", "a%20b/100%25/c%C3%A9")
        assert uri is not None
        assert compiled.matches(uri)


def filled(pattern: str, start: str = "docs:///", end: str = "") -> str:
    """Return a URI of the greatest length that repeats ``pattern``."""
    room = MAX_URI - len(start) - len(end)
    return start + (pattern * (room // len(pattern) + 1))[:room] + end


SHAPES = [
    "docs:///{+a}",
    "docs:///{+a}.md",
    "docs:///{+a}/{b}",
    "docs:///{+a}/{b}/{c}/{d}/{e}",
    "docs:///{+a}/x/{b}/x/{c}",
    "docs:///{+a}x/{b}x/{c}x",
    "docs:///{+a}aaaaaaaaaaaaaaaaaaaaaaaaa/{b}",
    "docs:///{a}/{b}/{+c}/{d}/{e}",
    "docs:///{+a}{/b}{/c}{/d}",
    "docs:///{a}{/b}{/c}{?d}",
    "docs:///{+a}{?b}",
    "docs:///{+a}{?b,c,d}",
    "docs:///x{?a,aa,aaa,aaaa}",
    "docs:///{a}",
    "docs:///{a}a/{b}a/{c}a",
    "docs:///a{a}a",
    "docs:///a?b={a}",
    "docs:///a#{a}",
    "docs://{a}/{+b}",
    "docs:///{+a}" + "/{b}" * 50,
    "docs://{/a*}",
    "docs://{/a*}.md",
    "docs://{/a*}/x/{b}/x/{c}{?d,e}",
    "docs:///{a}{/b*}{/c}{/d}",
    "docs://x{+a}",
]
HOSTILE = [
    filled(pattern, start, end)
    for start in ("docs:///", "docs:///x?")
    for pattern in (
        "a",
        "/",
        "a/",
        "xx/",
        "ax/",
        "a/x/",
        "?a=",
        "?b=",
        "&a=",
        "a=&",
        "aa=a&",
        "%25",
        "%2F",
        ".",
        "../",
        "%20",
        ". ",
        ":",
        "@",
        "%2525",
        "%3B",
    )
    for end in ("", "#", "/", "%00", "%2")
]


@pytest.mark.parametrize("template", SHAPES)
def test_no_uri_takes_long_to_be_matched(template: str) -> None:
    compiled = UriTemplate(template)

    for uri in HOSTILE:
        best = min(seconds(compiled, uri) for _ in range(3))
        assert best < 0.01, f"{uri[:32]}... took {best * 1000:.1f} ms"


def seconds(template: UriTemplate, uri: str) -> float:
    start = perf_counter()
    template.matches(uri)
    return perf_counter() - start


# What a hostile path could be made of, and enough that is harmless for a good part to be matched.
PIECES = [
    *("a", "b.md", "guides", "caf%C3%A9", "/x", "/") * 5,
    *(".", "..", "...", "%2E", "%252E", "%2F", "%252F", "%5C", "%00", "%20", "%25", "%"),
    *(":", "C:", "https:", "%3A", "//", ";", "%3B", "?", "#", "%3F", "%23", "@", "&", "=", "~", "+", "*"),
    *("%C0%AE", "%C0%AF", "%EF%BC%8E", "%EF%BC%8F", "%E2%80%A5", "%FF", "5C", "2E", "\\", "\0", "\u00e9"),
]
DECODINGS = 7


def decodings(text: str) -> list[str]:
    """Return a text as it is, and as it is after each of several decodings."""
    texts = [text]
    for _ in range(DECODINGS):
        texts.append(unquote(texts[-1]))
    return texts


def is_below(base: PurePath, path: PurePath) -> bool:
    return path.is_relative_to(base) and ".." not in path.parts


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join))
@settings(max_examples=300)
def test_what_a_path_matches_stays_below_its_base_however_it_is_decoded_and_joined(path: str) -> None:
    if not UriTemplate(PATH).matches(f"docs:///{path}"):
        return
    for text in decodings(path):
        normalised = posixpath.normpath(posixpath.join("/srv/docs", text))
        assert normalised.startswith("/srv/docs/")
        assert is_below(PurePosixPath("/srv/docs"), PurePosixPath("/srv/docs") / text)
        assert is_below(PureWindowsPath("C:/docs"), PureWindowsPath("C:/docs") / text)
        assert ntpath.normpath(ntpath.join("C:\\docs", text)).startswith("C:\\docs\\")
        for base in ("https://wiki.internal/docs/", "http://wiki.internal/docs/", "file:///srv/docs/"):
            assert urljoin(base, text).startswith(base)
            assert urlsplit(urljoin(base, text)).path.startswith(urlsplit(base).path)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
@settings(max_examples=300)
def test_what_a_name_matches_is_one_segment_of_the_uri_however_often_it_is_decoded(name: str) -> None:
    uri = f"docs:///a/{name}/b"
    if not UriTemplate("docs:///a/{name}/b").matches(uri):
        return
    for text in decodings(uri):
        parts = urlsplit(text)
        segments = parts.path.split("/")
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("docs", "", "", "")
        assert len(segments) == 4
        assert posixpath.normpath(parts.path) == parts.path


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
@settings(max_examples=300)
def test_what_is_matched_is_text_that_nothing_shortens(path: str) -> None:
    if not UriTemplate(PATH).matches(f"docs:///{path}"):
        return
    for earlier, later in pairwise(decodings(path)):
        octets = unquote_to_bytes(earlier)
        assert octets.decode() == later
        assert later.isprintable()
        assert "\\" not in later


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from([*SHAPES, "a:{b}"])
)
@settings(max_examples=300)
def test_any_text_is_matched_or_not_and_raises_nothing(text: str, template: str) -> None:
    compiled = UriTemplate(template)

    for uri in (text, f"docs:///{text}", f"docs:///x?{text}", f"a:{text}"):
        assert compiled.matches(uri) in (True, False)


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from(["{", "}", "+", "?", "/", "a", ",", "docs:"])).map("".join)
)
def test_any_text_is_a_template_or_refused_as_none(text: str) -> None:
    with suppress(ValueError):
        assert text == UriTemplate(text).template
        assert text.partition(":")[0].islower()


# Values as people give them: words, with a little punctuation inside.
PLAIN = st.from_regex(
    r"[A-Za-z0-9\u00e0-\u00ff]([A-Za-z0-9 ._~!$'()*,@\u00e0-\u00ff-]{0,8}[a-z0-9])?%?", fullmatch=True
)


@given(PLAIN, st.lists(PLAIN, min_size=1, max_size=4))
@settings(max_examples=200)
def test_what_rfc_6570_makes_of_plain_values_is_matched(name: str, path: list[str]) -> None:
    reserved = ":/?#[]@!$&'()*+,;="
    simple, rest = quote(name, safe=""), quote("/".join(path).replace("%", "%25"), safe=reserved + "%")

    assert UriTemplate("docs:///{name}").matches(f"docs:///{simple}")
    assert UriTemplate("docs:///x{/name}/y").matches(f"docs:///x/{simple}/y")
    assert UriTemplate("docs:///x{?name,size}").matches(f"docs:///x?name={simple}&size=1")
    assert UriTemplate("docs:///{+path}").matches(f"docs:///{rest}")
    assert UriTemplate("docs:///{name}/{+path}.md").matches(f"docs:///{simple}/{rest}.md")
    assert UriTemplate("docs:///{+path}").matches(
        f"docs:///{'/'.join(quote(part, safe='') for part in path)}"
    )
    assert UriTemplate("docs://{/path*}").matches(f"docs:///{rest}")


@given(PLAIN, st.lists(PLAIN, min_size=1, max_size=4).map("/".join))
@settings(max_examples=200)
def test_what_a_template_makes_of_plain_values_it_matches(name: str, path: str) -> None:
    for template in (
        NAME,
        "docs://{/name}/b",
        PATH,
        "docs://{/path*}",
        "a:///{name}/{+path}.md",
        "a:{/path*}",
    ):
        compiled = UriTemplate(template)
        uri = compiled.expand({"name": name, "path": path})

        assert uri is not None
        assert compiled.matches(uri)


@given(st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=200)
def test_what_a_template_makes_of_any_text_is_the_text_again(name: str, path: str) -> None:
    uri = UriTemplate("docs:///{name}/{+path}").expand({"name": name, "path": path})

    assert uri is not None
    assert uri.isascii()
    assert unquote(uri.split("/")[3]) == name
