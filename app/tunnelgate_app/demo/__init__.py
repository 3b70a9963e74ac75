"""The demo: a configuration made of defaults, with everything that it needs on this machine.

What it makes stands in one folder, can be looked at and changed, and is served by
`tunnelgate serve --config` just as well. Its data is in `tunnelgate_app.demo.data`, which needs what the
sample servers need.
"""

from tunnelgate_app.demo.configuration import ACCOUNTS, DATA, TERMINAL, TERMINAL_REDIRECT
from tunnelgate_app.demo.introduction import introduction
from tunnelgate_app.demo.preparing import CLIENT_ID, PROGRAM, default_documents, prepare
from tunnelgate_app.demo.program import python_client
from tunnelgate_app.demo.routes import (
    BLOCKED_HOST,
    DESK_ROUTE,
    ISSUER_ROUTE,
    ROUTES,
    TUNNEL_DOMAIN,
    USERS,
    DemoRoute,
    hostname_of,
    url_of,
)
from tunnelgate_app.demo.state import HOST, DemoError, DemoState, default_state_folder

__all__ = [
    "ACCOUNTS",
    "BLOCKED_HOST",
    "CLIENT_ID",
    "DATA",
    "DESK_ROUTE",
    "HOST",
    "ISSUER_ROUTE",
    "PROGRAM",
    "ROUTES",
    "TERMINAL",
    "TERMINAL_REDIRECT",
    "TUNNEL_DOMAIN",
    "USERS",
    "DemoError",
    "DemoRoute",
    "DemoState",
    "default_documents",
    "default_state_folder",
    "hostname_of",
    "introduction",
    "prepare",
    "python_client",
    "url_of",
]
