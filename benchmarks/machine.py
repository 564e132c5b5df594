"""The PostgreSQL that everything measured here shares: embedded, durable as by default, one database a measurement."""

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from benchmarks.process import cpu_s
from rubato.adapters.postgres.embedded import EmbeddedPostgres
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.migrate import migrate

Answer = TypeVar("Answer")

TEMPLATE = "rubato_template"
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


@dataclass
class Machine:
    """The server. Its clock is the one that measurements go by."""

    url: str
    pid: int

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the server has used."""
        return cpu_s(self.pid)

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Yield the address of a fresh database; it is dropped with the block."""
        name = f"bench_{next(self._numbers)}"
        self.execute(self.url, f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield _in(self.url, name)
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Drop a database. By force only where a client is left: force may not end an autovacuum, a plain drop does."""
        try:
            self.execute(self.url, f"DROP DATABASE {name}")
        except asyncpg.ObjectInUseError:
            self.execute(self.url, f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, url: str, *statements: str) -> None:
        """Carry out statements."""

        async def each(connection: "asyncpg.Connection") -> None:
            for statement in statements:
                await connection.execute(statement)

        self.ask(url, each)

    def fetch(self, url: str, statement: str, *values: object) -> list[Any]:
        """Return rows."""

        async def rows(connection: "asyncpg.Connection") -> list[Any]:
            return list(await connection.fetch(statement, *values))

        found: list[Any] = self.ask(url, rows)
        return found

    def now(self) -> datetime:
        """Return the server's clock."""
        now: datetime = self.fetch(self.url, "SELECT clock_timestamp()")[0][0]
        return now

    def ask(self, url: str, work: Any) -> Any:
        """Run `work(connection)` on a connection of its own."""

        async def whole() -> Any:
            connection = await asyncpg.connect(url)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return _run(whole())


@contextmanager
def machine() -> Iterator[Machine]:
    """Start the server, with a migrated template in it."""
    with tempfile.TemporaryDirectory(prefix="rubato-bench-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg", settings=SETTINGS)
        try:
            url = server.start()
            made = Machine(url, server.pid or 0)
            made.execute(url, f"CREATE DATABASE {TEMPLATE}")
            _run(_migrate(_in(url, TEMPLATE)))
            yield made
        finally:
            server.stop()


async def _migrate(url: str) -> None:
    engine = connect(url, application="benchmarks")
    await migrate(engine)
    await engine.dispose()


def _run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(work)


def _in(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))
