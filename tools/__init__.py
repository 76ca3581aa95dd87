"""The typed tools, their results, the MCP server and the command line."""
