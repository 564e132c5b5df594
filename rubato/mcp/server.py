"""The MCP server's two faces: stdio for one user's assistant, streamable HTTP for many.

Over stdio it speaks with the key it was started with. Over HTTP it has none of its own: each request brings its
caller's key, which goes to the REST API as it came, so that a tenant sees through an assistant what it sees without
one. A request without a key is answered 401 before any protocol is spoken.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.types import ASGIApp, Receive, Scope, Send

from rubato.client import AsyncClient
from rubato.mcp.tools import INSTRUCTIONS, Connect, install

PATH = "/mcp"


async def serve_stdio(url: str, api_key: str) -> None:
    """Serve one assistant over standard input and output until it leaves."""
    async with AsyncClient(url, api_key) as client:

        @asynccontextmanager
        async def connect(ctx: Context[Any, Any]) -> AsyncIterator[AsyncClient]:
            yield client

        await build(connect).run_stdio_async()


async def serve_http(url: str, *, host: str, port: int) -> None:
    """Serve assistants at http://host:port/mcp until a signal."""
    config = uvicorn.Config(http_app(url, host=host), host=host, port=port, log_config=None, access_log=False)
    await _Server(config).serve()


def http_app(url: str, *, host: str = "127.0.0.1") -> ASGIApp:
    """Return the ASGI application. On loopback it also refuses foreign Host and Origin headers (DNS rebinding)."""

    @asynccontextmanager
    async def connect(ctx: Context[Any, Any]) -> AsyncIterator[AsyncClient]:
        request = ctx.request_context.request
        async with AsyncClient(url, _presented(request.headers) if request is not None else None) as client:
            yield client

    app = build(connect).streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, host=host
    )
    return KeyGate(app)


def build(connect: Connect) -> MCPServer[Any]:
    """Return the server with its tools."""
    server: MCPServer[Any] = MCPServer(
        "rubato", title="Rubato", instructions=INSTRUCTIONS, version=_version(), log_level="WARNING"
    )
    install(server, connect)
    return server


class _Server(uvicorn.Server):
    """uvicorn that ends well on a signal, instead of raising it again when it has stopped."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._end)
        yield

    def _end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


class KeyGate:
    """Answers 401 to a request that brings no key. Whether the key is any good, the REST API says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if _presented(headers) is None:
                await _refuse(send)
                return
        await self.app(scope, receive, send)


def _presented(headers: Any) -> str | None:
    """Return the caller's key: `x-api-key`, or `Authorization: Bearer KEY`."""
    key = str(headers.get("x-api-key", "")).strip()
    scheme, _, value = str(headers.get("authorization", "")).partition(" ")
    return key or (value.strip() if scheme.lower() == "bearer" else "") or None


async def _refuse(send: Send) -> None:
    detail = "Send an API key of the service in the x-api-key header, or as Authorization: Bearer KEY."
    problem = {"type": "urn:rubato:problem:unauthenticated", "status": 401, "code": "unauthenticated", "detail": detail}
    headers = [(b"content-type", b"application/problem+json"), (b"www-authenticate", b'Bearer realm="rubato"')]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({**problem, "title": "Sign in first"}).encode()})


def _version() -> str:
    try:
        return version("rubato-scheduler")
    except PackageNotFoundError:
        return "0"
