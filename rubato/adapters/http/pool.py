"""Connections that wait for their next request: apart by tenant and origin, few, and not for long."""

import asyncio
import time

from rubato.adapters.http.connection import Connection
from rubato.adapters.http.dial import Origin

MOST_IDLE = 512  # sockets, all tenants together; the one that has waited longest goes first
SWEEP_S = 0.5


class Pool:
    """Idle connections. A tenant's are never given to another tenant."""

    def __init__(self, most_idle: int = MOST_IDLE) -> None:
        self._most_idle = most_idle
        self._idle: dict[Connection, Origin] = {}  # oldest first
        self._by_origin: dict[Origin, list[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, origin: Origin) -> Connection | None:
        """Return a connection on which nothing has happened since its last answer; None: dial one."""
        waiting = self._by_origin.get(origin)
        while waiting:
            connection = waiting.pop()
            if not waiting:
                del self._by_origin[origin]
            del self._idle[connection]
            if connection.idle_until > time.monotonic() and connection.is_quiet():
                return connection
            connection.abort()
        return None

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection if its exchange left it clean, else close it."""
        if self._is_closed or not connection.may_be_kept():
            connection.abort()
            return
        self._idle[connection] = origin
        self._by_origin.setdefault(origin, []).append(connection)
        if len(self._idle) > self._most_idle:
            self._drop(next(iter(self._idle)))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        """Close all of them, and from now on whatever comes back."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._idle):
            self._drop(connection)

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in [each for each in self._idle if each.idle_until <= now or not each.is_open]:
            self._drop(connection)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep) if self._idle else None

    def _drop(self, connection: Connection) -> None:
        origin = self._idle.pop(connection)
        waiting = self._by_origin[origin]
        waiting.remove(connection)
        if not waiting:
            del self._by_origin[origin]
        connection.abort()
