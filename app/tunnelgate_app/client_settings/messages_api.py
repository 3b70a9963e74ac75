"""What a request to the Messages API has for some routes.

Specification: https://platform.claude.com/docs/en/agents-and-tools/mcp-connector
"""

from collections.abc import Sequence

from tunnelgate_app.client_settings.reaching import Fragment, JsonObject, Reached, check_for_api

BETA = "mcp-client-2025-11-20"


def messages_api(routes: Sequence[Reached]) -> Fragment:
    """Return the servers and their toolsets, in which nothing is enabled but what is listed.

    Raises :class:`~tunnelgate_app.client_settings.reaching.ConnectorError`.
    """
    servers: list[JsonObject] = []
    toolsets: list[JsonObject] = []
    for each in routes:
        check_for_api(each)
        servers.append(
            {
                "type": "url",
                "name": each.name,
                "url": each.url,
                "authorization_token": each.placeholder,
            }
        )
        toolsets.append(
            {
                "type": "mcp_toolset",
                "mcp_server_name": each.name,
                "default_config": {"enabled": False},
                "configs": {tool: {"enabled": True} for tool in each.tools},
            }
        )
    return Fragment({"mcp_servers": servers, "tools": toolsets}, BETA)
