"""The MCP server: twelve tools over the REST API, for assistants. It holds no data and decides nothing.

`tools` is the curated list; `server` serves it over stdio with the user's own key, or over streamable HTTP with each
caller's. docs/mcp.md is the user's page. Imports the client and nothing else of Rubato.
"""
