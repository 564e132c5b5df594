"""Several hosts over one PostgreSQL, through pgbouncer: each host is a loopback address of its own."""

import asyncio
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.conftest import KEY, environment
from tests.pgbouncer import ADDRESSES, pgbouncer
from tests.processes import Process, call, free_port, rubato, running, serves, target, wait_for
from tests.proxy import through

SERVER_CONNECTIONS = 6  # for an API and two workers together; without a pooler they would open dozens
JOBS = 60


def at(url: str, host: str) -> str:
    """Return the same database by another of the pooler's addresses."""
    return url.replace("@127.0.0.1:", f"@{host}:")


async def sessions_of(url: str) -> tuple[int, int]:
    """Return how many sessions there are, and how many more that listen for wake-ups."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT application_name AS name FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    names = [row["name"] for row in rows]
    listeners = names.count("rubato wake")
    return len(names) - listeners, listeners


@pytest.mark.timeout(600)  # the pooler may have to be installed first
def test_an_api_and_workers_on_several_hosts_share_a_few_connections(empty_database_url: str, tmp_path: Path) -> None:
    with pgbouncer(tmp_path, empty_database_url, connections=SERVER_CONNECTIONS) as port, target() as called:
        pooled = through(empty_database_url, port)
        api_port = free_port()
        env = {**environment(pooled, api_port), "RUBATO_DIRECT_DATABASE_URL": empty_database_url}
        env["POLL_INTERVAL_MS"] = "30000"  # what runs sooner was woken
        with running(rubato("migrate"), tmp_path / "migrate.log", env) as migrating:
            assert migrating.popen.wait(90) == 0, migrating.output()
        started: list[Process] = []

        def start(name: str, *args: str, host: str) -> str:
            own = {**env, "DATABASE_URL": at(pooled, host), "RUBATO_HOST": host}
            where = f"http://{host}:{own['PORT'] if args[0] == 'api' else own['RUBATO_WORKER_PORT']}"
            started.append(stack.enter_context(running(rubato(*args), tmp_path / f"{name}.log", own)))
            return where

        with ExitStack() as stack:
            api = start("api", "api", host=ADDRESSES[0])
            workers = [start(f"worker-{host}", "worker", "--only", "run", host=host) for host in ADDRESSES[1:]]
            for where in (api, *workers):
                wait_for(f"{where} to be ready", serves(f"{where}/readyz"), within_s=60)
            time.sleep(1)  # every worker has looked once, and would now wait half a minute
            for number in range(JOBS):
                body = {"name": f"job {number}", "url": called.url, "splay": False, "baselineIntervalMs": 3_600_000}
                answer = call("POST", f"{api}/api/v1/jobs", body, key=KEY)
                assert answer.status == 201, answer.body
            wait_for("every job's run", lambda: len(called.seen) >= JOBS, within_s=20)
            runs = call("GET", f"{api}/api/v1/runs?limit=200", key=KEY).body["data"]
            assert set(Counter(run["jobId"] for run in runs).values()) == {1}
            sessions, listeners = asyncio.run(sessions_of(empty_database_url))
            assert sessions <= SERVER_CONNECTIONS + 1 + len(started)  # and whoever looked past it at the start
            assert listeners == len(workers)
            for process in started:
                assert process.stop() == 0
            assert len(called.seen) == JOBS
            logged = "".join(process.output() for process in started)
            assert "a turn failed" not in logged, logged[-3000:]
