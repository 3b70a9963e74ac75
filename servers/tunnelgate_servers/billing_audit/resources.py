"""The accounts as MCP resources: a template that reads a summary of one as JSON."""

import logging
from typing import Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from sqlalchemy import Engine

from tunnelgate_servers.billing_audit.answers import JSON
from tunnelgate_servers.billing_audit.ledger import Ledger
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.hosting import RequestError, UnavailableError, caller_of, reading

URI_TEMPLATE: Final = "billing:///accounts/{id}"
"""The template of an account's URI."""

_logger = logging.getLogger("tunnelgate_servers")


class AccountResources:
    """The resources of one ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the template."""
        template = server.resource(
            URI_TEMPLATE,
            name="account",
            title="An account",
            description="What is owed on an account, and since when it is used; list_accounts names the ids.",
            mime_type=JSON,
        )
        template(self.read)

    def read(self, id: str, context: Context[Any, Any]) -> str:  # noqa: A002 - as the template says it
        """Return the summary of an account as JSON; raises `ResourceError` where it cannot be read."""
        try:
            with reading(self._engine) as connection:
                summary = Ledger(connection, Rows.of(caller_of(context))).summary(id)
        except RequestError as error:
            raise ResourceNotFoundError(str(error)) from error
        except UnavailableError as error:
            _logger.exception("A resource cannot be read")
            raise ResourceError(str(error)) from error
        return summary.model_dump_json()
