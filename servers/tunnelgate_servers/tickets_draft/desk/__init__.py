"""The desk: the pages on which a person reads a draft and makes it a ticket.

It is an application of its own, with a hostname and an audience of its own and without MCP, because what it
does is another risk than drafting: an agent holds tokens for the server of the drafts, and none for this.
"""

from tunnelgate_servers.tickets_draft.desk.app import create_desk

__all__ = ["create_desk"]
