"""What is served: tools for agents over MCP."""
