"""Breaks workers at random instants, and gathers what is left: the run of `make chaos` and of its quick version."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from tests.chaos.evidence import (
    Evidence,
    Fault,
    Held,
    Row,
    Watched,
    read_attempts,
    read_held,
    read_ledger,
    read_rows,
    row_from,
)
from tests.chaos.load import LAST_S, mixed, register
from tests.chaos.workers import LEASE_S, POLL_S, Launch, Workers, ledger_target, workers

STARTS_IN_S = 3.0  # until the first fire, so that workers are there
BEYOND_LEASE_S = (1.0, 4.0)  # a stopped worker stays stopped for the lease and so much more
SNAPSHOT_S = 2.0
GROWN_S = 4.0  # a worker that is still starting has nothing to end well
QUIET_WITHIN_S = LEASE_S + POLL_S + LAST_S + 30.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How big a run is. `seconds`: how long faults go on; they are spread over it at random."""

    seconds: float
    workers: int
    jobs: int
    kills: int
    stops: int
    terms: int
    seed: int = 1


@dataclass(slots=True)
class Outcome:
    """A run's evidence, and what else is worth telling. `quiet_s`: from the last due slot to everything handled."""

    evidence: Evidence
    faults: Counter[str]
    quiet_s: float | None
    took_s: float
    logged: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    oldest_transaction: tuple[float, str] = (0.0, "")


@dataclass
class Record:
    """Ended runs as they were first seen. `changed`: those that were different later, or gone.

    `oldest_s`: the longest that a transaction was seen open, and what it was.
    """

    seen: dict[str, Row] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    oldest_s: float = 0.0
    oldest: str = ""
    _newest: datetime | None = None

    async def look(self, connection: asyncpg.Connection) -> None:
        """Keep what ended since the last look."""
        since = (self._newest or datetime(2000, 1, 1, tzinfo=UTC)) - timedelta(seconds=10)
        found = await connection.fetch("SELECT * FROM runs WHERE finished_at > $1 AND trigger <> 'test'", since)
        for row in map(row_from, found):
            self._newest = max(self._newest or since, row.finished_at or since)
            self.compare(row)

    def compare(self, row: Row) -> None:
        """Hold a row against what was seen of it."""
        kept = self.seen.setdefault(row.run_id, row)
        if kept != row:
            self.changed.append(f"{row.run_id}: was {kept}, is {row}")

    def compare_all(self, rows: list[Row]) -> None:
        """Hold everything seen against the rows at the end."""
        left = {row.run_id: row for row in rows}
        for run_id, kept in self.seen.items():
            if run_id not in left:
                self.changed.append(f"{run_id}: was {kept.status}, is gone")
            else:
                self.compare(left[run_id])


class Director:
    """One run: what is broken, when, and what was held then."""

    def __init__(self, scale: Scale, fleet: Workers, connection: asyncpg.Connection, chance: random.Random) -> None:
        self._scale, self._fleet, self._connection, self._chance = scale, fleet, connection, chance
        self._lock = asyncio.Lock()  # of the connection
        self._aside: set[asyncio.Task[None]] = set()
        self.faults: list[Fault] = []
        self.counts: Counter[str] = Counter()

    async def break_things(self) -> None:
        """Break workers until the plan is done, at instants drawn at random; then let every stopped one go on."""
        scale, loop = self._scale, asyncio.get_running_loop()
        begun = loop.time()
        plan = ["kill"] * scale.kills + ["stop"] * scale.stops + ["term"] * scale.terms
        self._chance.shuffle(plan)
        instants = sorted(self._chance.uniform(0, scale.seconds) for _ in plan)
        for kind, at_s in zip(plan, instants, strict=True):
            await asyncio.sleep(max(0.0, begun + at_s - loop.time()))
            await self._break_one(kind)
        while self._aside:
            await asyncio.gather(*self._aside)

    async def _break_one(self, kind: str) -> None:
        while not (choice := self._choice(kind)):  # noqa: ASYNC110 - a child's end is reported in its own time
            await asyncio.sleep(0.05)
        work = {"kill": self._kill, "stop": self._stop, "term": self._term}[kind]
        await work(choice)
        self.counts[kind] += 1

    def _choice(self, kind: str) -> Launch | None:
        up = self._fleet.up()
        if kind == "term":
            up = [launch for launch in up if launch.age_s > GROWN_S]
        if kind != "kill" and len(self._fleet.up()) <= self._scale.workers // 2:
            return None  # too few would be left to notice
        return self._chance.choice(up) if up else None

    async def _kill(self, launch: Launch) -> None:
        at = await self._fleet.signal(launch, signal.SIGKILL)
        await launch.ended.wait()
        await self._fleet.again(launch)
        self.faults.append(Fault("kill", at, at, launch.number, await self._held(launch)))

    async def _stop(self, launch: Launch) -> None:
        launch.state = "stopped"
        at = await self._fleet.signal(launch, signal.SIGSTOP)
        fault = Fault("stop", at, at, launch.number, await self._held(launch))
        place = len(self.faults)
        self.faults.append(fault)

        async def go_on() -> None:
            await asyncio.sleep(LEASE_S + self._chance.uniform(*BEYOND_LEASE_S))
            until = await self._fleet.signal(launch, signal.SIGCONT)
            self.faults[place] = replace(fault, until=until)
            launch.state = "up"

        self._set_aside(go_on)

    async def _term(self, launch: Launch) -> None:
        launch.state = "ending"

        async def end() -> None:
            await self._fleet.end(launch)
            await self._fleet.again(launch)

        self._set_aside(end)

    def _set_aside(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        task = asyncio.get_running_loop().create_task(run())
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _held(self, launch: Launch) -> tuple[Held, ...]:
        async with self._lock:
            return await read_held(self._connection, launch.pid)


async def run_chaos(url: str, folder: Path, scale: Scale, *, say: Callable[[str], None] = lambda line: None) -> Outcome:
    """Carry out a whole run against an empty, migrated database, and return its evidence."""
    chance = random.Random(scale.seed)
    begun, ledger = time.monotonic(), folder / "ledger.jsonl"
    observer = await asyncpg.connect(url)
    connection = await asyncpg.connect(url)
    record = Record()
    try:
        async with ledger_target(ledger, chance) as port, workers(url, folder, chance) as fleet:
            address = f"http://127.0.0.1:{port}/"
            jobs = await register(url, mixed(address, scale.jobs, chance, starts_in_s=STARTS_IN_S))
            for number in range(scale.workers):
                await fleet.start(env={"RUBATO_PLANNER": "offline"} if number % 4 == 0 else {"RUBATO_PLANNER": "off"})
            say(f"{scale.jobs} jobs, {scale.workers} workers, seed {scale.seed}")
            watching = asyncio.get_running_loop().create_task(_watch(observer, record))
            try:
                await asyncio.sleep(STARTS_IN_S)
                director = Director(scale, fleet, connection, chance)
                await director.break_things()
                say(f"faults are over: {dict(director.counts)}")
                until, quiet_s = await quiet(connection)
                await fleet.end_all()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            logged, surprises, pids = fleet.logged(), fleet.surprises, fleet.pids
        evidence = await gather(connection, ledger, jobs, until, director.faults, pids, record)
    finally:
        await connection.close()
        await observer.close()
    took_s, oldest = time.monotonic() - begun, (record.oldest_s, record.oldest)
    return Outcome(evidence, director.counts, quiet_s, took_s, logged, list(surprises), oldest)


async def gather(
    connection: asyncpg.Connection,
    ledger: Path,
    jobs: list[Watched],
    until: datetime,
    faults: list[Fault],
    pids: dict[int, int],
    record: Record,
) -> Evidence:
    """Read ledger and rows, once nothing writes any more."""
    rows = await read_rows(connection)
    record.compare_all(rows)
    attempts = await read_attempts(connection)
    return Evidence(jobs, until, read_ledger(ledger), rows, attempts, faults, pids, record.changed)


async def quiet(connection: asyncpg.Connection) -> tuple[datetime, float | None]:
    """Choose an instant that has just passed; wait until every slot up to it is handled. None: it was not in time."""
    until: datetime = await connection.fetchval("SELECT clock_timestamp()")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < QUIET_WITHIN_S:
        left = await connection.fetchval(
            "SELECT (SELECT count(*) FROM schedules WHERE slot_at <= $1) "
            "+ (SELECT count(*) FROM runs WHERE scheduled_for <= $1 AND status IN ('claimed', 'running'))",
            until,
        )
        if not left:
            return until, loop.time() - begun
        await asyncio.sleep(0.1)
    return until, None


_OLDEST = """
    SELECT application_name, state, wait_event, pg_blocking_pids(pid) <> '{}' AS is_blocked,
           extract(epoch FROM clock_timestamp() - xact_start) AS age_s, left(regexp_replace(query, '\\s+', ' ', 'g'), 60) AS query
    FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    ORDER BY xact_start LIMIT 1
    """


async def _watch(connection: asyncpg.Connection, record: Record) -> None:
    while True:
        await record.look(connection)
        oldest = await connection.fetchrow(_OLDEST)
        if oldest is not None and oldest["age_s"] > record.oldest_s:
            record.oldest_s, record.oldest = float(oldest["age_s"]), str(dict(oldest))
        await asyncio.sleep(SNAPSHOT_S)
