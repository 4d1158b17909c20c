"""What is served: a page to review a job's answers on, and tools for agents over MCP."""
