"""What an agent of Managed Agents has for some routes.

Tokens are in a vault and not in the agent. What no server says is harmless is asked about first.

Specification: https://platform.claude.com/docs/en/managed-agents/mcp-connector and
https://platform.claude.com/docs/en/managed-agents/permission-policies
"""

from collections.abc import Collection, Mapping, Sequence

from tunnelgate_app.asking.answers import Listing
from tunnelgate_app.client_settings.reaching import (
    ConnectorError,
    Fragment,
    JsonObject,
    Reached,
    check_for_api,
)

BETA = "managed-agents-2026-04-01"
_MAX_SERVERS = 20
_MAX_URL = 2048
_MAX_TOOL = 128
_ALLOW = {"type": "always_allow"}
_ASK = {"type": "always_ask"}


def managed_agents(routes: Sequence[Reached], harmless: Mapping[str, Collection[str]]) -> Fragment:
    """Return the servers and their toolsets, in which nothing is enabled but what is listed.

    ``harmless`` are the tools that need nobody's word, by the names of routes; people are asked about
    all others. Raises :class:`~tunnelgate_app.client_settings.reaching.ConnectorError`.
    """
    if len(routes) > _MAX_SERVERS:
        raise ConnectorError(f"an agent has at most {_MAX_SERVERS} servers, and these are {len(routes)}")
    servers: list[JsonObject] = []
    toolsets: list[JsonObject] = []
    for each in routes:
        _check(each)
        servers.append({"type": "url", "name": each.name, "url": each.url})
        toolsets.append(
            {
                "type": "mcp_toolset",
                "mcp_server_name": each.name,
                "default_config": {"enabled": False, "permission_policy": _ASK},
                "configs": [
                    {
                        "name": tool,
                        "enabled": True,
                        "permission_policy": _ALLOW if tool in harmless.get(each.name, ()) else _ASK,
                    }
                    for tool in each.tools
                ],
            }
        )
    return Fragment({"mcp_servers": servers, "tools": toolsets}, BETA)


def harmless_of(listing: Listing) -> frozenset[str]:
    """Return the tools that a server marks as read-only wherever it lists them, and as nothing worse."""
    doubtful = {each.name for each in listing.tools if not each.read_only or each.destructive}
    return frozenset(each.name for each in listing.tools if each.name not in doubtful)


def _check(reached: Reached) -> None:
    check_for_api(reached)
    if len(reached.url) > _MAX_URL:
        raise ConnectorError(f"the URL of the route {reached.name} is longer than {_MAX_URL} characters")
    too_long = [tool for tool in reached.tools if len(tool) > _MAX_TOOL]
    if too_long:
        raise ConnectorError(
            f"the route {reached.name} lists {too_long[0]!r}, and agents take names of at most "
            f"{_MAX_TOOL} characters"
        )
