"""Cursors: opaque texts that say after which path a list goes on.

They name a position and not a number, so that a page stays right when the index is rebuilt between two pages.
"""

import base64

from tunnelgate_servers.docs_readonly.errors import RequestError


def cursor_after(path: str) -> str:
    """Return the cursor of the page that follows a path."""
    return base64.urlsafe_b64encode(path.encode()).decode()


def path_before(cursor: str) -> str:
    """Return the path that a page follows; empty, which is before every path, for an empty cursor.

    Raises `RequestError` when this server cannot have given the cursor.
    """
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise RequestError("This cursor is not one of this server; list again without a cursor.") from error
