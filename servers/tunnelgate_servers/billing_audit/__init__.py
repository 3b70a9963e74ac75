"""The history of customers' accounts as an MCP server: a double-entry ledger that it can only read.

app = create_app(database="sqlite:///billing.sqlite")
"""

from tunnelgate_servers.billing_audit.app import PACKAGE, create_app

__all__ = ["PACKAGE", "create_app"]
