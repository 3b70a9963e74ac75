"""Deployment facts as an MCP server: which release runs where, what came before, and what changed.

app = create_app(releases="gitops/releases")
"""

from tunnelgate_servers.deploy_status.app import create_app

__all__ = ["create_app"]
