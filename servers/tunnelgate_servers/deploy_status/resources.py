"""What each environment has of each service as MCP resources: a template to read them, and a list in pages.

The SDK knows lists of resources only as fixed and unpaged. So `resources/list` is completed in a middleware
of the SDK, inside the answer that the SDK has made.
"""

import logging
from typing import Any, Final, cast

from anyio import to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer, ResourceSecurity
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, Resource

from tunnelgate_servers.deploy_status.catalogue import Records
from tunnelgate_servers.deploy_status.current import CurrentReleases
from tunnelgate_servers.hosting import RequestError, UnavailableError, cursor_after, keys_before

URI_TEMPLATE: Final = "deploy:///{environment}/{service}"
"""The template of the URIs."""

PAGE: Final = 100
"""How many resources a page of the list has."""

_MIME_TYPE = "application/json"
_logger = logging.getLogger("tunnelgate_servers.deploy_status")


class DeployResources:
    """The resources over one source of records."""

    def __init__(self, records: Records, current: CurrentReleases) -> None:
        self._records = records
        self._current = current

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register the template and the paged list."""
        template = server.resource(
            URI_TEMPLATE,
            name="release",
            title="The current release",
            description="What an environment has of a service, as current_release says it.",
            mime_type=_MIME_TYPE,
            # Names are looked up among those of the records and open no file.
            security=ResourceSecurity(exempt_params={"environment", "service"}),
        )
        template(self.read)
        server.middleware.append(self.list_pages)

    def read(self, environment: str, service: str) -> str:
        """Return what an environment has of a service as JSON."""
        try:
            return self._current.of(service, environment).model_dump_json()
        except RequestError as error:
            raise ResourceNotFoundError(f"Unknown resource: {uri(environment, service)}") from error
        except UnavailableError as error:
            _logger.exception("A resource cannot be read")
            raise ResourceError(str(error)) from error

    async def list_pages(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Put one page of resources into the SDK's answer to `resources/list`."""
        answer = await call_next(ctx)
        if ctx.method != "resources/list":
            return answer
        listed = await to_thread.run_sync(self._page, (ctx.params or {}).get("cursor") or "")
        return {**cast("dict[str, Any]", answer), **listed}

    def _page(self, cursor: str) -> dict[str, Any]:
        try:
            keys = keys_before(cursor, str, str)
            all_keys = self._records.current().histories
        except RequestError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error
        except UnavailableError as error:
            _logger.exception("The list of resources cannot be read")
            raise MCPError(INTERNAL_ERROR, str(error)) from error
        rest = [each for each in all_keys if keys is None or each > keys]
        listed = {"resources": [_resource(environment, service) for service, environment in rest[:PAGE]]}
        return {**listed, "nextCursor": cursor_after(*rest[PAGE - 1])} if len(rest) > PAGE else listed


def uri(environment: str, service: str) -> str:
    """Return the URI of a resource; names need no percent-encoding."""
    return URI_TEMPLATE.format(environment=environment, service=service)


def _resource(environment: str, service: str) -> dict[str, Any]:
    resource = Resource(
        uri=uri(environment, service),
        name=f"{environment}/{service}",
        title=f"{service} in {environment}",
        mime_type=_MIME_TYPE,
    )
    return resource.model_dump(by_alias=True, mode="json", exclude_none=True)
