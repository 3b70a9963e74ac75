"""What identifiers that go into challenges and are compared octet by octet must look like.

Each function raises :class:`ValueError` with the end of a sentence that begins with the value.

Specification: RFC 6749 section 3.3 for scopes, RFC 8707 section 2 for resources.
"""

import re
from urllib.parse import urlsplit

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_NOT_A_URL = "is not a URL such as https://login.example.com/"
_QUOTABLE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # what may stand in a quoted header parameter


def check_scope(value: str) -> None:
    """Check one OAuth scope."""
    if _SCOPE.fullmatch(value) is None:
        raise ValueError("is not one scope: no white space, quotes or backslashes")


def check_url(value: str, *, with_query: bool = False) -> None:
    """Check an absolute URL without fragment or user, and without query unless it may have one."""
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_url = is_url and not parts.netloc.endswith(":")
    except ValueError:
        raise ValueError(_NOT_A_URL) from None
    if not is_url or _QUOTABLE.fullmatch(value) is None:
        raise ValueError(_NOT_A_URL)
    if ("?" in value and not with_query) or "#" in value or "@" in parts.netloc:
        raise ValueError("has a query, a fragment or a user, which an identifier does not have")
