"""A folder of Markdown documents as an MCP server: full-text search, reading and listing.

app = create_app(folder="docs", index=".state/docs.sqlite3", extra_files=["README.md"])
"""

from tunnelgate_servers.docs_readonly.app import LOOPBACK_HOSTS, create_app
from tunnelgate_servers.docs_readonly.errors import DocsError, DocumentsMissingError, OptionsError

__all__ = ["LOOPBACK_HOSTS", "DocsError", "DocumentsMissingError", "OptionsError", "create_app"]
