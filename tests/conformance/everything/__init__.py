"""An MCP server with every fixture that the official conformance suite asks for, in both eras."""
