"""Cursors: opaque texts that say after which place a list goes on.

They hold the keys of the last entry and not its number, so that a page stays right when something is added
between two pages. Nothing in them is trusted: they lead to a comparison, and every other rule still holds.
"""

import base64
from typing import Any, Final

import orjson

from tunnelgate.reading.strict_json import is_array
from tunnelgate_servers.hosting.errors import RequestError

_MAX_NUMBER: Final = 2**63 - 1  # what a database has for an integer


def cursor_after(*keys: str | int) -> str:
    """Return the cursor of the page that follows the entry with these keys."""
    return base64.urlsafe_b64encode(orjson.dumps(keys)).decode()


def keys_before(cursor: str, *kinds: type[str] | type[int]) -> tuple[Any, ...] | None:
    """Return the keys that a page follows, of these types, or `None` where there is no cursor.

    Raises `RequestError` when this server cannot have given the cursor.
    """
    if not cursor:
        return None
    try:
        found: Any = orjson.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except ValueError:
        found = None
    if is_array(found) and [type(key) for key in found] == list(kinds) and all(map(_can_be_stored, found)):
        return tuple(found)
    raise RequestError("This cursor is not one of this server; list again without a cursor.")


def _can_be_stored(key: str | int) -> bool:
    return "\0" not in key if isinstance(key, str) else key <= _MAX_NUMBER
