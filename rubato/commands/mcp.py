"""`rubato mcp`: serve the MCP tools."""

import asyncio
from typing import Annotated

import typer

from rubato.adapters.logs import configure_logs
from rubato.commands.connection import address, failures, required_key
from rubato.commands.output import say
from rubato.settings import load


def mcp(
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http: the port to listen on.")] = 3003,
) -> None:
    """Serve the MCP tools to an assistant, over standard input and output."""
    from rubato.mcp import server

    with failures():
        settings = load().settings
        found = address(settings)
        configure_logs(json=settings.log_format == "json", level="warning")
        if http:
            say(f"MCP at http://{host}:{port}{server.PATH} for {found.url}; each request brings its own key.")
            asyncio.run(server.serve_http(found.url, host=host, port=port))
            return
        asyncio.run(server.serve_stdio(found.url, required_key(found)))
