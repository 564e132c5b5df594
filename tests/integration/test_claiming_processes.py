"""Several processes, one table of due jobs."""

import json
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.usecases.manage_jobs import ManageJobs
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.store import PostgresStore
from tests.processes import ROOT, clean_environment
from tests.unit.fakes import FakeCron
from tests.unit.loop import definition

PROCESSES, JOBS, ROUNDS = 3, 100, 5


def claim_round(url: str) -> list[list[str]]:
    """Let the processes claim at the same moment; return what each got."""
    command = [sys.executable, str(Path(__file__).with_name("claimer.py")), url]
    claimers = [
        subprocess.Popen(
            [*command, f"w{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=clean_environment(),
        )
        for number in range(PROCESSES)
    ]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "ready\n"
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    answers = [claimer.communicate(timeout=60)[0] for claimer in claimers]
    return [json.loads(answer) for answer in answers]


async def test_processes_claim_disjoint_jobs_and_together_all_in_every_round(
    database_url: str, engine: AsyncEngine
) -> None:
    store = PostgresStore(engine, SystemIds())
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a')"))
    manage = ManageJobs(store, FakeCron(), SystemIds())
    jobs = {(await manage.register("ten_a", definition()))[0].id for _ in range(JOBS)}
    for _ in range(ROUNDS):
        answers = claim_round(database_url)
        together = [job for answer in answers for job in answer]
        assert len(together) == len(set(together)) == JOBS
        assert set(together) == jobs
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE schedules SET ready_at = now() - interval '1 s'"))
