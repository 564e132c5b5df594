"""A database whose clock stands where it is put, and the service on top of it.

PostgreSQL looks for functions along the search path. With `public` before `pg_catalog`, the functions that this file
puts there answer `now()` and its kin, for every statement of ours and every default of a column; so history is played
through the use cases themselves, as fast as the database allows, and all that is shown afterwards is the same each time.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg

from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.migrate import migrate
from tests.fake_github import FakeGitHub, fake_github
from tests.postgres import database
from tests.processes import Process, free_port, rubato, running, serves, wait_for

KEY = "cron_browser_0123456789abcdef0123456789"
PEPPER = "b" * 64
START_S = 60.0
_CLOCK = """
CREATE TABLE public.stage_clock (at timestamptz NOT NULL);
GRANT SELECT ON public.stage_clock TO PUBLIC;
CREATE FUNCTION public.now() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT at FROM public.stage_clock';
CREATE FUNCTION public.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
    AS 'SELECT at FROM public.stage_clock';
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS 'SELECT at FROM public.stage_clock';
"""


@dataclass(slots=True)
class Stage:
    """A migrated database and the hand on its clock."""

    url: str
    at: datetime
    connection: asyncpg.Connection

    async def put(self, at: datetime) -> None:
        """Move the clock."""
        self.at = at
        await self.connection.execute("UPDATE public.stage_clock SET at = $1", at)

    async def pass_(self, span: timedelta) -> None:
        """Let time go by."""
        await self.put(self.at + span)


@asynccontextmanager
async def staged(server_url: str, at: datetime) -> AsyncIterator[Stage]:
    """Make a database whose clock stands at an instant; drop it afterwards."""
    name = f"rubato_stage_{os.getpid()}"
    host = await asyncpg.connect(server_url)
    try:
        await host.execute(f"CREATE DATABASE {name}")
        await host.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
        url = database(server_url, name)
        hand = await asyncpg.connect(url)
        await hand.execute(_CLOCK)
        await hand.execute("INSERT INTO public.stage_clock VALUES ($1)", at)
        engine = connect(url, application="stage")
        await migrate(engine)
        await engine.dispose()
        yield Stage(url, at, hand)
        await hand.close()
        await host.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await host.close()


@dataclass(slots=True)
class Service:
    """A running `rubato api`, where people sign in at `github`."""

    url: str
    process: Process
    github: FakeGitHub
    heard: int = 0

    def wait(self) -> None:
        """Wait until it is up; what it needs to start can be done meanwhile."""

        def is_up() -> bool:
            assert self.process.popen.poll() is None, self.process.output()
            return serves(f"{self.url}/readyz")()

        wait_for("the service", is_up, within_s=START_S)

    def new_faults(self) -> list[str]:
        """Return what it has logged of failures since it was asked last."""
        lines = self.process.output().splitlines()
        new, self.heard = lines[self.heard :], len(lines)
        return [line for line in new if "[error" in line or "Traceback" in line]


@contextmanager
def service(url: str, folder: Path) -> Iterator[Service]:
    """Start serving a staged database, until the block ends."""
    port = free_port()
    with fake_github() as github:
        env = {
            "DATABASE_URL": url,
            "PORT": str(port),
            "RUBATO_SECRET": PEPPER,
            "RUBATO_DATA_DIR": str(folder / "data"),
            "RUBATO_LOG_FORMAT": "human",
            "RUBATO_PLANNER": "offline",
            "GITHUB_CLIENT_ID": "client",
            "GITHUB_CLIENT_SECRET": "hunter2",
            "RUBATO_GITHUB_ALLOW": "*",
            "RUBATO_GITHUB_URL": github.url,
        }
        with running(rubato("api"), folder / "service.log", env, folder) as process:
            yield Service(f"http://127.0.0.1:{port}", process, github)
