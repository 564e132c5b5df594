"""Sockets and the HTTP servers on them. Only the wiring imports this."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
import uvicorn

from core.errors import ConfigurationError, Unavailable
from rubato.settings import Settings

DEFAULT_WORKER_PORT = 3001
log = structlog.get_logger("rubato")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the supervisor decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def serving(app: Any, socket_: socket.socket) -> AsyncIterator[None]:
    """Serve an ASGI application on a bound socket for the length of the block."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5, lifespan="off")
    server = _Server(config)
    task = asyncio.get_running_loop().create_task(server.serve(sockets=[socket_]), name="http server")
    try:
        while not server.started:
            if task.done():
                task.result()
                raise Unavailable("The HTTP server ended while it was starting; its log says why.")
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task
        socket_.close()


def bind(host: str, port: int, variable: str) -> socket.socket:
    """Return a socket bound there. Raises ConfigurationError for no address of ours, Unavailable for a taken port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigurationError(f"RUBATO_HOST is {host}, which is no address of this machine ({error}).") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"Port {port} on {host} cannot be taken: {error.strerror}. Stop what listens there, or set {variable} to "
            "another."
        ) from error
    bound.setblocking(False)
    return bound


def worker_socket(settings: Settings) -> socket.socket:
    """Bind the worker's port; several workers share a host, so the default gives way to a free one."""
    if settings.worker_port is not None:
        return bind(settings.host, settings.worker_port, "RUBATO_WORKER_PORT")
    try:
        return bind(settings.host, DEFAULT_WORKER_PORT, "RUBATO_WORKER_PORT")
    except Unavailable:
        taken = bind(settings.host, 0, "RUBATO_WORKER_PORT")
        log.info("the default worker port is taken; took a free one", default=DEFAULT_WORKER_PORT, port=port_of(taken))
        return taken


def port_of(bound: socket.socket) -> int:
    """Return the port that a socket got."""
    return int(bound.getsockname()[1])
