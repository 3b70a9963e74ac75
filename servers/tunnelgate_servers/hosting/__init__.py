"""What the sample servers have in common, and what a server of your own starts from.

::

    tools = Toolset([Tool(search, "Search", scopes=["wiki:read"], annotations=READING)])
    server = mcp_server(Introduction("wiki", "Wiki", "Search a wiki.", "Use search."), tools)
    app = mcp_application(server, check=None, is_ready=lambda: None)
"""

from tunnelgate_servers.hosting.application import (
    LOOPBACK_HOSTS,
    Health,
    Introduction,
    mcp_application,
    mcp_server,
)
from tunnelgate_servers.hosting.bearer import CallerRequired, OwnCheck, own_check
from tunnelgate_servers.hosting.callers import caller_of
from tunnelgate_servers.hosting.databases import (
    disposing,
    open_reader,
    open_writer,
    read_url,
    reading,
    writing,
)
from tunnelgate_servers.hosting.errors import OptionsError, RequestError, ServerError, UnavailableError
from tunnelgate_servers.hosting.migrating import migrate, open_newest, require_newest
from tunnelgate_servers.hosting.paging import cursor_after, keys_before
from tunnelgate_servers.hosting.texts import Cursor, Line, OptionalDate, OptionalLine, Paragraphs
from tunnelgate_servers.hosting.times import UtcDateTime, utc_now
from tunnelgate_servers.hosting.tools import READING, Tool, Toolset

__all__ = [
    "LOOPBACK_HOSTS",
    "READING",
    "CallerRequired",
    "Cursor",
    "Health",
    "Introduction",
    "Line",
    "OptionalDate",
    "OptionalLine",
    "OptionsError",
    "OwnCheck",
    "Paragraphs",
    "RequestError",
    "ServerError",
    "Tool",
    "Toolset",
    "UnavailableError",
    "UtcDateTime",
    "caller_of",
    "cursor_after",
    "disposing",
    "keys_before",
    "mcp_application",
    "mcp_server",
    "migrate",
    "open_newest",
    "open_reader",
    "open_writer",
    "own_check",
    "read_url",
    "reading",
    "require_newest",
    "utc_now",
    "writing",
]
