"""What a worker makes of a bad network: lines to its database and to its targets that are slow, cut, silent or gone.

Every scenario has a database, a ledger-keeping target and one or two real workers of its own, and all of them run at
the same time, once; each test then looks at one. RUBATO_TEST_LONG=1 makes the outages 30 s instead of 8.
"""

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from core.entities import Definition
from rubato.adapters.postgres.embedded import EmbeddedPostgres
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.migrate import migrate
from tests.chaos.analysis import Judgement, judge
from tests.chaos.director import Record, gather, quiet
from tests.chaos.evidence import Evidence, Fault, read_ledger
from tests.chaos.load import interval_job, register
from tests.chaos.workers import Launch, Workers, ledger_target, workers
from tests.postgres import database
from tests.proxy import Proxy, proxy_to, through

LONG = bool(os.environ.get("RUBATO_TEST_LONG"))
OUTAGE_S = 30.0 if LONG else 8.0
BEFORE_S, AFTER_S = 3.0, 3.0  # of undisturbed load around a fault
JOBS = 24
REQUEST_LIMIT = timedelta(seconds=4)
RESUMES_WITHIN_S = 60.0  # a hang, not a bar; the figure itself is printed

pytestmark = pytest.mark.timeout(400)


@dataclass
class Scene:
    """A database, a target, workers, and proxies before both. The observer's own lines pass by them."""

    direct_url: str
    database: Proxy
    target: Proxy
    ledger: Path
    connection: asyncpg.Connection
    launches: list[Launch]
    faults: list[Fault] = field(default_factory=list)
    healed_at: datetime | None = None
    resumed_s: float | None = None

    async def now(self) -> datetime:
        at: datetime = await self.connection.fetchval("SELECT clock_timestamp()")
        return at

    async def cut(self, seconds: float, begin: Callable[[], object], heal: Callable[[], object]) -> None:
        """Break something for a while."""
        at = await self.now()
        begin()
        await asyncio.sleep(seconds)
        heal()
        self.healed_at = await self.now()
        self.faults.append(Fault("cut", at, self.healed_at))

    async def resumed(self) -> None:
        """Wait until the target is asked again after healing."""
        assert self.healed_at is not None
        deadline = asyncio.get_running_loop().time() + RESUMES_WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            fresh = [each.arrived_at for each in read_ledger(self.ledger) if each.arrived_at > self.healed_at]
            if fresh:
                self.resumed_s = (min(fresh) - self.healed_at).total_seconds()
                return
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Seen:
    """What came of a scenario."""

    told: Judgement
    evidence: Evidence
    resumed_s: float | None
    quiet_s: float | None
    surprises: list[str]


Breaking = Callable[[Scene], Coroutine[Any, Any, None]]


async def slow_and_cut_database(scene: Scene) -> None:
    """Fifty milliseconds each way, then lines that break at random instants, in the middle of what they carry."""
    chance = random.Random(1)
    scene.database.delay_s = 0.05
    await asyncio.sleep(3)
    begun = await scene.now()
    for _ in range(6):
        await asyncio.sleep(chance.uniform(0.2, 1.2))
        scene.database.reset()
    await scene.cut(0, lambda: None, scene.database.heal)
    scene.faults[:] = [Fault("cut", begun, scene.faults[0].until)]


async def silent_database(scene: Scene) -> None:
    """Lines that are accepted, and open for ever, and carry nothing."""
    await scene.cut(OUTAGE_S, scene.database.go_half_open, scene.database.heal)


async def database_in_a_black_hole(scene: Scene) -> None:
    """Nothing arrives, either way, until it all does."""
    await scene.cut(OUTAGE_S, scene.database.black_hole, scene.database.heal)


async def bad_lines_to_the_target(scene: Scene) -> None:
    """All of it, one after another, between worker and target."""
    chance = random.Random(2)
    scene.target.delay_s = 0.1
    await asyncio.sleep(2)
    for _ in range(5):
        await asyncio.sleep(chance.uniform(0.2, 0.8))
        scene.target.reset()
    scene.target.heal()
    await scene.cut(OUTAGE_S / 2, scene.target.go_half_open, scene.target.heal)
    await asyncio.sleep(1)
    await scene.cut(OUTAGE_S / 2, scene.target.black_hole, scene.target.heal)
    scene.faults.clear()  # none of it excuses a second request for a slot


SCENARIOS: dict[str, tuple[Breaking, int]] = {
    "slow and cut database": (slow_and_cut_database, 0),
    "silent database": (silent_database, 1),
    "database in a black hole": (database_in_a_black_hole, 0),
    "bad lines to the target": (bad_lines_to_the_target, 0),
}


@asynccontextmanager
async def scenery(
    direct_url: str, folder: Path, fleet: Workers, *, bystanders: int
) -> AsyncIterator[tuple[Scene, Any]]:
    """Set a scene: jobs registered, one worker behind the proxies, others beside them."""
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(direct_url)
        ledger = folder / "ledger.jsonl"
        port = await stack.enter_async_context(ledger_target(ledger, random.Random(3)))
        to_target = await stack.enter_async_context(proxy_to(port))
        to_database = await stack.enter_async_context(proxy_to(urlsplit(direct_url).port or 5432))
        address = f"http://127.0.0.1:{to_target.own_port}/"

        def define(now: datetime) -> list[Definition]:
            second = timedelta(seconds=1)
            return [
                interval_job(address, (1 + k % 2) * second, now + 2 * second + k * second / JOBS, limit=REQUEST_LIMIT)
                for k in range(JOBS)
            ]

        jobs = await register(direct_url, define)
        urls = [through(direct_url, to_database.own_port), *[direct_url] * bystanders]
        launches = [await fleet.start(env={"DATABASE_URL": url}) for url in urls]
        scene = Scene(direct_url, to_database, to_target, ledger, connection, launches)
        try:
            yield scene, jobs
        finally:
            await scene.connection.close()


async def play(direct_url: str, folder: Path, fleet: Workers, breaking: Breaking, *, bystanders: int) -> Seen:
    """Play a scenario to its end."""
    folder.mkdir()  # noqa: ASYNC240 - a test's folder
    async with scenery(direct_url, folder, fleet, bystanders=bystanders) as (scene, jobs):
        while not read_ledger(scene.ledger):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.1)
        await asyncio.sleep(BEFORE_S)
        await breaking(scene)
        await scene.resumed()
        await asyncio.sleep(AFTER_S)
        until, quiet_s = await quiet(scene.connection)
        await asyncio.gather(*(fleet.end(launch) for launch in scene.launches))
        evidence = await gather(scene.connection, scene.ledger, jobs, until, scene.faults, fleet.pids, Record())
        logged = "".join(f"\n    {count:4} {what}" for what, count in fleet.logged(scene.launches).most_common(8))
    told = judge(evidence)
    print(  # noqa: T201 - the figures; shown with -s, or when a test fails
        f"\n  {folder.name}: asked again {scene.resumed_s} s after healing, all handled {quiet_s} s later; "
        f"{told.sent} requests, {told.committed} committed, {told.failed} failed, {told.skipped} skipped, "
        f"doubled {told.doubled} (bound {told.open_at_faults}), lost {len(told.lost)}, "
        f"discarded {told.discarded} ({told.discarded_though_recorded} of them recorded){logged}"
    )
    return Seen(told, evidence, scene.resumed_s, quiet_s, list(fleet.surprises))


@pytest.fixture(scope="module")
def seen(postgres_url: str, template: str) -> Iterator[dict[str, Seen]]:
    """Play every scenario at once."""

    async def play_all(folder: Path) -> dict[str, Seen]:
        names = {name: f"rubato_faults_{os.getpid()}_{place}" for place, name in enumerate(SCENARIOS)}
        main = await asyncpg.connect(postgres_url)
        try:
            for name in names.values():
                await main.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            async with workers(postgres_url, folder, random.Random(4)) as fleet:
                plays = [
                    play(
                        database(postgres_url, names[name]),
                        folder / name.replace(" ", "-"),
                        fleet,
                        breaking,
                        bystanders=count,
                    )
                    for name, (breaking, count) in SCENARIOS.items()
                ]
                return dict(zip(SCENARIOS, await asyncio.gather(*plays), strict=True))
        finally:
            for name in names.values():
                await main.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await main.close()

    with tempfile.TemporaryDirectory(prefix="rubato-faults-") as folder:
        yield asyncio.run(play_all(Path(folder)))


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_and_work_resumes(seen: dict[str, Seen], name: str) -> None:
    found = seen[name]
    assert found.told.findings == {}
    assert found.surprises == []
    assert found.resumed_s is not None
    assert found.quiet_s is not None
    assert found.told.committed > 0


def test_answers_that_came_while_the_database_was_away_are_recorded_after(seen: dict[str, Seen]) -> None:
    found = seen["database in a black hole"]
    (fault,) = found.evidence.faults
    recorded = {row.token for row in found.evidence.rows if row.token is not None}
    kept = [
        request
        for request in found.evidence.requests
        if request.arrived_at < fault.at
        and request.answered_at is not None
        and fault.at < request.answered_at < fault.until
        and request.token in recorded
    ]
    assert kept
    assert found.told.doubled == 0


def test_what_the_target_did_ends_as_a_failed_run_and_is_never_sent_twice(seen: dict[str, Seen]) -> None:
    found = seen["bad lines to the target"]
    assert found.told.failed > 0
    assert found.told.doubled == 0


async def test_a_database_stopped_at_once_and_started_again_loses_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # noqa: ASYNC240 - the server's account must pass
    server = EmbeddedPostgres(tmp_path / "pg", settings={"fsync": "off"})
    try:
        url = await asyncio.to_thread(server.start)
        engine = connect(url, application="tests")
        await migrate(engine)
        await engine.dispose()
        async with workers(url, tmp_path, random.Random(5)) as fleet:
            found = await play(url, tmp_path / "stopped-at-once", fleet, _stop_at_once(server), bystanders=1)
    finally:
        await asyncio.to_thread(server.stop)
    assert found.told.findings == {}
    assert found.surprises == []
    assert found.resumed_s is not None
    assert found.quiet_s is not None


def _stop_at_once(server: EmbeddedPostgres) -> Breaking:
    """Return what stops a server as `pg_ctl stop -m immediate` does, and starts it again after two seconds."""

    async def breaking(scene: Scene) -> None:
        at = await scene.now()
        await scene.connection.close()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGQUIT)
        await asyncio.sleep(2)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        scene.connection = await asyncpg.connect(scene.direct_url)
        scene.healed_at = await scene.now()
        scene.faults.append(Fault("cut", at, scene.healed_at))

    return breaking
