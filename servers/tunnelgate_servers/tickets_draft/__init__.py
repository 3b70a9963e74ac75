"""Tickets as an MCP server, which drafts them, and the desk, where a person submits what was drafted.

app = create_app(database="sqlite:///tickets.sqlite", desk_url="https://desk.example.com")
"""

from tunnelgate_servers.tickets_draft.app import create_app
from tunnelgate_servers.tickets_draft.desk import create_desk
from tunnelgate_servers.tickets_draft.drafts import Drafts
from tunnelgate_servers.tickets_draft.records import Draft, Ticket

__all__ = ["Draft", "Drafts", "Ticket", "create_app", "create_desk"]
