"""What a gate in a process of its own has mounted."""

from tests.support.raw import McpApp


def create_app() -> McpApp:
    """Return a server with the safe tool."""
    return McpApp()
