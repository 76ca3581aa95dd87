"""MCP: tools, tasks, resources and prompts as the protocol has them."""
