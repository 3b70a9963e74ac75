"""Tickets as MCP resources. search_tickets finds them, so that there is a template and no list."""

import logging
from typing import Any, Final

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR

from tunnelgate_servers.hosting import RequestError, UnavailableError
from tunnelgate_servers.tickets_draft.results import Item
from tunnelgate_servers.tickets_draft.tickets import Tickets

URI_TEMPLATE: Final = "tickets:///{id}"
"""The template of a ticket's URI."""

_logger = logging.getLogger("tunnelgate_servers")


class TicketResources:
    """The tickets of one database as resources."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the template."""
        template = server.resource(
            URI_TEMPLATE,
            name="ticket",
            title="A ticket",
            description="A ticket as JSON, with the fields of read_ticket; search_tickets names the ids.",
            mime_type="application/json",
        )
        template(self.read)

    def read(self, id: str) -> str:  # noqa: A002 - as the template names it
        """Return a ticket as JSON; raises `ResourceNotFoundError` for an unknown one."""
        try:
            return Item.of_ticket(self._tickets.read(id)).model_dump_json()
        except RequestError as error:
            raise ResourceNotFoundError(
                "There is no ticket with this URI; search_tickets finds them."
            ) from error
        except UnavailableError as error:
            _logger.exception("A ticket could not be read as a resource")
            raise MCPError(INTERNAL_ERROR, str(error)) from error
