"""Everything due in one second: how late it starts, and that none of it is lost."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg

from core.entities import Definition, HttpAction, OnceBaseline
from tests.chaos.analysis import percentile
from tests.chaos.evidence import by_webhook, read_ledger, read_rows
from tests.chaos.load import register
from tests.chaos.report import table
from tests.chaos.workers import ledger_target, workers

STARTS_IN_S = 5.0  # after registration: the worker is up by then
ENDS_WITHIN_S = 120.0
_WAITING = "SELECT count(*) FROM schedules WHERE status <> 'retired'"


@dataclass(frozen=True, slots=True)
class Herd:
    """What came of it. Lateness in seconds, from a job's instant to its request's arrival at the target."""

    jobs: int
    lateness_s: list[float]
    succeeded: int
    doubled: int
    early: int
    lost: int

    @property
    def is_whole(self) -> bool:
        """Tell whether each job ran once, and none before its instant."""
        return self.lost == self.doubled == self.early == 0 and self.succeeded == self.jobs


async def run_herd(url: str, folder: Path, *, jobs: int, seed: int) -> Herd:
    """Let so many once jobs fall due within one second, with one worker there."""
    chance, ledger = random.Random(seed), folder / "ledger.jsonl"
    connection = await asyncpg.connect(url)
    try:
        async with ledger_target(ledger, chance, fast=True) as port, workers(url, folder, chance) as fleet:

            def define(now: datetime) -> list[Definition]:
                first = now + timedelta(seconds=STARTS_IN_S + jobs / 500)
                action = HttpAction(f"http://127.0.0.1:{port}/", timeout=timedelta(seconds=20))
                instants = (first + timedelta(seconds=chance.random()) for _ in range(jobs))
                return [
                    Definition(name="herd", action=action, baseline=OnceBaseline(at), splay=False) for at in instants
                ]

            await register(url, define)
            launch = await fleet.start("--only", "run", env={"RUBATO_HOST_IN_FLIGHT": "200"})
            with suppress(TimeoutError):  # what has not run by then is lost
                async with asyncio.timeout(ENDS_WITHIN_S + jobs / 100):
                    while await connection.fetchval(_WAITING):  # noqa: ASYNC110 - another process works on it
                        await asyncio.sleep(0.2)
            await fleet.end(launch)
        rows = {row.webhook_id: row for row in await read_rows(connection)}
    finally:
        await connection.close()
    arrivals = by_webhook(read_ledger(ledger))
    late = [(requests[0].arrived_at - rows[slot].scheduled_for).total_seconds() for slot, requests in arrivals.items()]
    return Herd(
        jobs=jobs,
        lateness_s=late,
        succeeded=sum(row.status == "succeeded" for row in rows.values()),
        doubled=sum(len(requests) - 1 for requests in arrivals.values()),
        early=sum(seconds < 0 for seconds in late),
        lost=jobs - len(arrivals),
    )


def herd_report(herd: Herd) -> str:
    """Render it."""
    late = herd.lateness_s
    drain_s = max(late, default=0.0) + 1
    return table(
        [
            ("jobs due in one second", herd.jobs, ""),
            ("requests lost", herd.lost, "bar: 0"),
            ("doubled", herd.doubled, "bar: 0"),
            ("before their instant", herd.early, "bar: 0"),
            ("runs that succeeded", herd.succeeded, ""),
            ("lateness p50", f"{percentile(late, 0.5):.3f} s", "at the target"),
            ("lateness p99", f"{percentile(late, 0.99):.3f} s", ""),
            ("latest", f"{max(late, default=0.0):.3f} s", f"about {herd.jobs / drain_s:.0f} requests a second"),
        ]
    )
