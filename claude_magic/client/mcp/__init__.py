"""Local MCP servers: started as processes, or reached on this machine; their tools, and calls of them.

By the client of `mcp`, which is optional, and the conversions of the SDK (`anthropic.lib.tools.mcp`).
"""
