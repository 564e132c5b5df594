"""A real PostgreSQL for tests: RUBATO_TEST_DATABASE_URL, or the embedded one; a fresh, migrated database a test."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from rubato.adapters.postgres.embedded import EmbeddedPostgres
from rubato.adapters.postgres.engine import Engine, connect
from rubato.adapters.postgres.migrate import migrate

_TEMPLATE = f"rubato_template_{os.getpid()}"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Serve PostgreSQL for the session; without fsync, since nothing here outlives the tests."""
    given = os.environ.get("RUBATO_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="rubato-test-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg", settings={"fsync": "off", "synchronous_commit": "off"})
        try:
            yield server.start()
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """Migrate one database that the others are copies of."""

    async def make() -> None:
        await _execute(postgres_url, f"CREATE DATABASE {_TEMPLATE}")
        engine = connect(database(postgres_url, _TEMPLATE), application="tests")
        await migrate(engine)
        await engine.dispose()

    asyncio.run(make())
    yield _TEMPLATE
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {_TEMPLATE} WITH (FORCE)"))


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """Return the address of a database without tables."""
    yield from fresh(postgres_url, "template1")


@pytest.fixture
def database_url(postgres_url: str, template: str) -> Iterator[str]:
    """Return the address of a fresh, migrated database."""
    yield from fresh(postgres_url, template)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    """Connect to a fresh, migrated database."""
    made = connect(database_url, application="tests")
    yield made
    await made.dispose()


def database(url: str, name: str) -> str:
    """Return the address of another database on the same server."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", parts.query, ""))


def fresh(url: str, template: str) -> Iterator[str]:
    name = f"rubato_test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield database(url, name)
    asyncio.run(_execute(url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_numbers = _count()
