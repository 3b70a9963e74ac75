"""The `.mcp.json` of clients such as Claude Code, which fill in variables of the environment.

A client that gets no header finds out by itself whom to log in with. The tools are the gate's affair:
these clients see what the route lists.
"""

from collections.abc import Sequence

from tunnelgate_app.client_settings.reaching import Fragment, JsonObject, Reached


def mcp_json(routes: Sequence[Reached]) -> Fragment:
    """Return the file, in which a variable stands for each token."""
    servers: JsonObject = {
        each.name: {
            "type": "http",
            "url": each.url,
            "headers": {"Authorization": f"Bearer {each.placeholder}"},
        }
        for each in routes
    }
    return Fragment({"mcpServers": servers})
