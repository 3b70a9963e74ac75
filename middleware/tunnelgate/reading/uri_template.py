"""Matches URIs against the templates that MCP servers list, so that a match has one meaning.

What a template allows is narrower than what a server may understand by it: a value that a server
could take for another place (``..``, an empty segment, a scheme or a drive, what ends a path, a
segment or a host) is never matched, however often it is encoded, and neither is a URI that could be
written more plainly.

Specification: RFC 6570 (``{a}``, ``{+a}``, ``{/a}``, ``{/a*}`` and ``{?a,b}``), RFC 3986 section 6.2.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, unquote_to_bytes

from tunnelgate.reading.methods import MAX_URI

_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_VARIABLES = re.compile(r"(?P<operator>[+/?]?)(?P<names>[A-Za-z0-9_]+(?:,[A-Za-z0-9_]+)*)(?P<rest>\*?)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
_AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*")
_BEHIND_A_HOST = re.compile(r"[a-z]+://[^/?#]+[/?#]")
_LITERAL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_ENCODED = re.compile(r"%(?:(?P<octet>[0-9A-F]{2})|.?)", re.DOTALL)
_ENCODED_AGAIN = re.compile(r"%25(?=[0-9A-Fa-f]{2})")
_EITHER_WAY = re.compile(r"%(21|24|2[6-9A-C]|3[ABD]|40)")  # of !$&'()*+,:;=@ a path has both spellings
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_NETWORK_SCHEMES = ("ftp:", "http:", "https:", "ws:", "wss:")
_RESERVED = ":/?#[]@!$&'()*+,;="
_SEGMENT = "[^/?#]+"
_SEGMENTS = "[^?#]+"
_QUERY_VALUE = "[^/?#&;+]+"  # some servers take ";" for "&", and all take "+" for a space
_QUERY = r"(?:\?([^#;+]*))?"
_NOT_SUPPORTED = "has an expression that is none of {a}, {+a}, {/a}, {/a*} and {?a,b}"

# A segment of nothing but dots is above or nowhere, and Windows overlooks dots and spaces at an end.
_NO_PLACE = re.compile(r"[. ](?:$|[/&;=])|(?:^|/)(?:$|[/;])|\\|::|:\$")
_NO_VALUE = re.compile(r"[?#;]|^(?:[A-Za-z][A-Za-z0-9+.-]*|.):")
_NO_HOST = re.compile(rf"{_NO_VALUE.pattern}|^[^/]*[@:\[\]]")


class UriTemplate:
    """One template, compiled.

    Raises :class:`ValueError` with the end of a sentence for one that is not supported. So that
    matching takes time in proportion to the URI, a segment has at most one expression, a template
    at most one of ``{+a}`` and ``{/a*}``, and ``{?a}`` stands at its end.
    """

    def __init__(self, template: str) -> None:
        if _SCHEME.match(template) is None:
            raise ValueError("does not begin with a scheme such as docs:")
        self.template = template
        self._refused: list[re.Pattern[str]] = []  # what the value of each expression must not have
        self._names = frozenset[str]()
        self._pattern = re.compile(self._compile(spelled_plainly(template)))
        found = _EXPRESSION.finditer(template)
        self.variables = frozenset(name for each in found for name in _variables(each)["names"].split(","))

    def matches(self, uri: str) -> bool:
        """Return whether ``uri`` is one of this template and can be understood in one way only."""
        if len(uri) > MAX_URI:
            return False
        match = self._pattern.fullmatch(spelled_plainly(uri))
        if match is None or _URI.fullmatch(uri) is None or not _is_normal(uri):
            return False
        values = list(match.groups())
        query = values.pop() if self._names else None
        return all(map(_is_plain, values, self._refused)) and (query is None or self._has_query(query))

    def covers(self, uri: str) -> bool:
        """Return whether ``uri`` has the form of this template, whatever its values are."""
        if len(uri) > MAX_URI or _URI.fullmatch(uri) is None:
            return False
        return self._pattern.fullmatch(spelled_plainly(uri)) is not None

    def expand(self, values: Mapping[str, str]) -> str | None:
        """Return the URI of this template with these values, or ``None`` where one is lacking."""
        without_query = self.template.partition("{?")[0]
        names = {_variables(found)["names"] for found in _EXPRESSION.finditer(without_query)}
        if not names <= values.keys():
            return None
        return _EXPRESSION.sub(partial(_expanded, values), without_query)

    def _compile(self, template: str) -> str:
        pattern: list[str] = []
        literal_from = 0
        has_rest = False
        in_segment = False
        for expression in _EXPRESSION.finditer(template):
            before, literal = template[: expression.start()], template[literal_from : expression.start()]
            literal_from = expression.end()
            pattern.append(_escaped(literal))
            variables = _variables(expression)
            operator, is_rest = variables["operator"], variables["operator"] == "+" or variables["rest"]
            if operator == "?":
                self._names = _query_names(variables["names"], before, template[literal_from:])
                pattern.append(_QUERY)
                break
            in_segment = in_segment and "/" not in literal and operator != "/"
            if in_segment or "," in variables["names"]:
                raise ValueError("has two expressions in one segment")
            if has_rest and is_rest:
                raise ValueError("has {+a} or {/a*} twice")
            has_rest = has_rest or bool(is_rest)
            in_segment = True
            one = _QUERY_VALUE if "?" in before else _SEGMENT
            pattern.append(f"{operator.strip('+')}({_SEGMENTS if is_rest else one})")
            self._refused.append(_refused_behind(before + operator.strip("+")))
        pattern.append(_escaped(template[literal_from:]))
        return "".join(pattern)

    def _has_query(self, query: str) -> bool:
        """Return whether ``query`` has each name at most once, with a value that is empty or plain."""
        pairs = [pair.partition("=") for pair in query.split("&")]
        said = {name for name, sign, _ in pairs if sign and name in self._names}
        return len(said) == len(pairs) and all(
            not value or _is_plain(value, _NO_VALUE) for _, _, value in pairs
        )


def _variables(expression: re.Match[str]) -> re.Match[str]:
    variables = _VARIABLES.fullmatch(expression[1])
    if variables is None or (variables["rest"] and variables["operator"] != "/"):
        raise ValueError(_NOT_SUPPORTED)
    return variables


def _query_names(names: str, before: str, behind: str) -> frozenset[str]:
    if behind:
        raise ValueError("has something behind {?a}")
    if "?" in before or "#" in before:
        raise ValueError("has {?a} behind a query or a fragment")
    return frozenset(names.split(","))


def _refused_behind(before: str) -> re.Pattern[str]:
    """Return what the value of an expression must not have that stands behind this."""
    # Browsers find the host of these behind any number of slashes, and of none.
    if before.startswith(_NETWORK_SCHEMES) and _BEHIND_A_HOST.match(before) is None:
        raise ValueError("has an expression where the host stands")
    return _NO_HOST if _AUTHORITY.fullmatch(before) else _NO_VALUE


def _expanded(values: Mapping[str, str], expression: re.Match[str]) -> str:
    variables = _variables(expression)
    is_rest = variables["operator"] == "+" or variables["rest"]
    encoded = quote(values[variables["names"]], safe=_RESERVED if is_rest else "")
    if variables["operator"] == "+":
        encoded = _ENCODED_AGAIN.sub("%", encoded)  # RFC 6570 section 3.2.3
    return f"{variables['operator'].strip('+')}{encoded}"


def is_template(text: str) -> bool:
    """Return whether ``text`` is a template and not the URI of one resource."""
    return "{" in text or "}" in text


def spelled_plainly(uri: str) -> str:
    """Return ``uri`` with the plainer of the two spellings of its path."""
    if "%" not in uri:
        return uri
    scheme, colon, rest = uri.partition(":")
    path, mark, query = rest.partition("?")
    return scheme + colon + _EITHER_WAY.sub(lambda encoded: chr(int(encoded[1], 16)), path) + mark + query


def _escaped(literal: str) -> str:
    if _LITERAL.fullmatch(literal) is None:
        raise ValueError(_NOT_SUPPORTED if is_template(literal) else "has a character that no URI has")
    if not _is_normal(literal):
        raise ValueError("has an encoded character that a URI has in another form")
    return re.escape(literal)


def _is_normal(uri: str) -> bool:
    """Return whether nothing in ``uri`` is encoded that need not be, and everything in capitals."""
    if "%" not in uri:
        return True
    for encoded in _ENCODED.finditer(uri):
        octet = encoded["octet"]
        if octet is None or int(octet, 16) in _UNRESERVED:
            return False
    return True


def _is_plain(value: str, refused: re.Pattern[str]) -> bool:
    """Return whether no server can take ``value`` for another place."""
    decoded = unquote_to_bytes(value)
    if unquote_to_bytes(decoded) != decoded:
        return False  # encoded twice: what it says depends on how often a server decodes
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return False  # an overlong dot, for one
    if not text.isprintable() or text.count("/") != value.count("/") or refused.search(text) is not None:
        return False
    return not any(_NO_PLACE.search(form) for form in (text, unicodedata.normalize("NFKC", text)))
