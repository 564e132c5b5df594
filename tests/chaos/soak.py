"""A steady load for a long time: does a worker grow, do connections pile up, do dead rows?"""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import psutil

from core.entities import Definition
from tests.chaos.analysis import Judgement, judge
from tests.chaos.director import Record, gather, quiet
from tests.chaos.load import interval_job, register
from tests.chaos.report import table
from tests.chaos.workers import ledger_target, workers

WARM_SHARE = 0.5  # of the time; growth is judged after it
NOISE_SHARE = 0.03  # of the level: less than that is no growth
NOISE_MIB = 4.0
GROWTH = 1.5  # of the peak from one half to the next: dead rows rise and fall with the rounds of autovacuum
DEAD_NOISE = 1000
SIZE_NOISE_MIB = 2.0
HOT = ("schedules", "runs", "attempts", "decisions")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Sizes in MiB; `size_mib` of a table with its indexes and partitions."""

    at_s: float
    rss_mib: float
    connections: int
    open_files: int
    live: dict[str, int]
    dead: dict[str, int]
    size_mib: dict[str, float]


@dataclass(frozen=True, slots=True)
class Soaked:
    """Samples, and the ledger's judgement of the same time."""

    samples: list[Sample]
    told: Judgement
    surprises: list[str]

    @property
    def settled(self) -> list[Sample]:
        """The samples after warming up."""
        return self.samples[int(len(self.samples) * WARM_SHARE) :]

    def verdicts(self) -> dict[str, tuple[bool, str]]:
        """Say of each figure whether it is flat, and why."""
        settled = self.settled
        level = sum(sample.rss_mib for sample in settled) / len(settled)
        span_s = settled[-1].at_s - settled[0].at_s
        growth = slope([(sample.at_s, sample.rss_mib) for sample in settled]) * span_s
        allowed = max(NOISE_MIB, NOISE_SHARE * level)
        connections = [sample.connections for sample in settled]
        files = [sample.open_files for sample in settled]
        warming = self.samples[: len(self.samples) - len(settled)] or settled
        dead, dead_before = (max(each.dead["schedules"] for each in half) for half in (settled, warming))
        size, size_before = (max(each.size_mib["schedules"] for each in half) for half in (settled, warming))
        early = settled[: max(1, len(settled) // 3)]
        return {
            "RSS is flat": (
                growth <= allowed,
                f"{growth:+.1f} MiB over {span_s:.0f} s at {level:.0f}, allowed {allowed:.1f}",
            ),
            "connections are flat": (
                max(connections) <= max(sample.connections for sample in early) + 2,
                f"{min(connections)} to {max(connections)}",
            ),
            "descriptors are flat": (
                files[-1] <= max(sample.open_files for sample in early) * 1.2 + 5,
                f"{min(files)} to {max(files)}",
            ),
            "dead rows are bounded": (
                dead <= GROWTH * dead_before + DEAD_NOISE and size <= GROWTH * size_before + SIZE_NOISE_MIB,
                f"schedules: at most {dead_before} in the first half and {dead} in the second; {size:.1f} MiB",
            ),
            "the ledger is right": (not self.told.findings and not self.surprises, f"{self.told.sent} requests"),
        }


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line that fits best; of one point, 0."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


async def run_soak(url: str, folder: Path, *, minutes: float, jobs: int, every_s: float, seed: int) -> Soaked:
    """Load one worker steadily, and look at it twelve times a minute at most."""
    chance, ledger = random.Random(seed), folder / "ledger.jsonl"
    connection = await asyncpg.connect(url)
    try:
        async with ledger_target(ledger, chance, fast=True) as port, workers(url, folder, chance) as fleet:

            def define(now: datetime) -> list[Definition]:
                every = timedelta(seconds=every_s)
                first = now + timedelta(seconds=3)
                address = f"http://127.0.0.1:{port}/"
                return [interval_job(address, every, first + every * k / jobs) for k in range(jobs)]

            watched = await register(url, define)
            launch = await fleet.start(env={"LOCK_TTL_MS": "60000", "RUBATO_PLANNER": "off"})
            process, loop = psutil.Process(launch.pid), asyncio.get_running_loop()
            begun, pause_s = loop.time(), max(1.0, min(5.0, minutes))
            samples = []
            while loop.time() - begun < minutes * 60:
                await asyncio.sleep(pause_s)
                samples.append(await _sample(connection, process, loop.time() - begun))
            until, _ = await quiet(connection)
            await fleet.end(launch)
            pids, surprises = fleet.pids, list(fleet.surprises)
        evidence = await gather(connection, ledger, watched, until, [], pids, Record())
    finally:
        await connection.close()
    return Soaked(samples, judge(evidence), surprises)


def soak_report(soaked: Soaked) -> str:
    """Render some of the samples, and the verdicts."""
    step = max(1, len(soaked.samples) // 12)
    lines = ["   at s  RSS MiB  connections  files  dead schedules  dead runs  schedules MiB  runs MiB"]
    lines += [
        f"  {sample.at_s:5.0f}  {sample.rss_mib:7.1f}  {sample.connections:11}  {sample.open_files:5}  "
        f"{sample.dead['schedules']:14}  {sample.dead['runs']:9}  {sample.size_mib['schedules']:13.1f}  "
        f"{sample.size_mib['runs']:8.1f}"
        for sample in soaked.samples[::step]
    ]
    told = soaked.told
    rows: list[tuple[str, object, str]] = [
        (what, "yes" if good else "NO", detail) for what, (good, detail) in soaked.verdicts().items()
    ]
    rows += [
        ("lost", len(told.lost), "bar: 0"),
        ("doubled", told.doubled, "bar: 0"),
        ("early", len(told.early), "bar: 0"),
    ]
    rows += [("skipped", told.skipped, "slots that passed during a run"), ("failed", told.failed, "")]
    found = [f"  {name}: {items[:3]}" for name, items in told.findings.items()] + soaked.surprises
    return "\n".join([*lines, "", table(rows), *found])


async def _sample(connection: asyncpg.Connection, process: psutil.Process, at_s: float) -> Sample:
    rows = await connection.fetch(
        "SELECT coalesce(p.relname, t.relname) AS name, sum(s.n_live_tup) AS live, sum(s.n_dead_tup) AS dead, "
        "sum(pg_total_relation_size(t.oid)) / 1048576.0 AS mib "
        "FROM pg_stat_user_tables s JOIN pg_class t ON t.oid = s.relid "
        "LEFT JOIN pg_inherits i ON i.inhrelid = t.oid LEFT JOIN pg_class p ON p.oid = i.inhparent GROUP BY 1"
    )
    found = {row["name"]: row for row in rows}
    connections = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rubato%'"
    )
    return Sample(
        at_s=at_s,
        rss_mib=process.memory_info().rss / 1048576,
        connections=connections,
        open_files=process.num_fds(),
        live={name: int(found[name]["live"]) for name in HOT},
        dead={name: int(found[name]["dead"]) for name in HOT},
        size_mib={name: float(found[name]["mib"]) for name in HOT},
    )
