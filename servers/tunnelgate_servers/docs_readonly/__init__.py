"""A knowledge base as an MCP server: full-text search, reading and listing.

index_documents("sqlite:///docs.sqlite", "documents")
app = create_app(database="sqlite:///docs.sqlite")
"""

from tunnelgate_servers.docs_readonly.app import create_app
from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError
from tunnelgate_servers.docs_readonly.indexing import index_documents
from tunnelgate_servers.docs_readonly.results import IndexReport, SkippedFile

__all__ = ["DocumentsMissingError", "IndexReport", "SkippedFile", "create_app", "index_documents"]
