"""A scenario: jobs, workers, people and faults, all drawn from one seed, played to its end and judged."""

import asyncio
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import structlog

from core.entities import Job, Limits
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from tests.simulation.accounts import (
    WITHIN,
    check_end,
    check_fires,
    check_ledger,
    check_liveness,
    check_rows,
    check_tests,
)
from tests.simulation.faults import FarStore, Faults, Rates, StoreClock
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.journal import JournaledStore
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.people import TENANTS, People, PoisonedCron, any_definition, pick, plain, poisonous
from tests.simulation.target import Target
from tests.simulation.workers import Traits, Worker
from tests.unit.fakes import SequentialIds

AFTER_S = 2.0  # played on beyond the bar of recovery
DRAIN_S = 26.0  # what a supervisor may take to stop


@dataclass
class Outcome:
    """What came of a seed. `trace`: (seconds, words) of everything that happened."""

    seed: int
    violations: list[Violation]
    counts: Counter[str]
    virtual_s: float
    trace: list[tuple[Any, ...]]

    @property
    def digest(self) -> str:
        """Return the fingerprint of the whole trace."""
        return hashlib.blake2b(repr(self.trace).encode(), digest_size=16).hexdigest()


@dataclass
class World:
    """Everything of one scenario."""

    seed: int
    trace: list[tuple[Any, ...]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    booted: int = 0
    is_over: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        rng = self.rng = Random(self.seed)
        self.loop = VirtualLoop(rng, shuffles=rng.random() < 0.7, salt=self.seed * 1_000_003)
        self.loop.set_exception_handler(self._unhandled)
        self.clock, self.ids, self.cron = StoreClock(self.loop), SequentialIds(), PoisonedCron(self.loop.time)
        self.store = JournaledStore(self.clock, self.ids)
        self.seen = Invariants(self.store, self.clock, self.cron, self.note)
        crash = pick(rng, (0.0, 0.0015, 0.004))
        self.faults = Faults(
            self.loop,
            rng,
            Rates(crash=crash, lost_request=0.004, lost_answer=0.006, spike=pick(rng, (0.0, 0.01, 0.03))),
            self.note,
            self.seen.observe,
            self._died,
        )
        self.target = Target(self.loop, rng, self.faults, self.seen.on_request, hangs=pick(rng, (0.1, 0.15, 0.2, 0.5)))
        self.faults_s = 10 + 18 * rng.random()
        self.traits = Traits(
            batch_size=pick(rng, (1, 2, 3, 20, 50, 100, 200, 200, 200, 200)),
            host_limit=pick(rng, (1, 2, 1_000_000, 1_000_000)),
            ahead=pick(rng, (timedelta(0), timedelta(milliseconds=500))),
            ramp=pick(rng, (timedelta(0), timedelta(seconds=1))),
            grace=pick(rng, (timedelta(seconds=4), timedelta(seconds=15), timedelta(seconds=60))),
            plans=rng.random() < 0.8,
        )

    def note(self, *words: Any) -> None:
        """Write a line of the trace."""
        self.trace.append((self.loop.time(), *words))

    def play(self) -> Outcome:
        """Play the scenario to its end."""
        loop = self.loop
        try:
            loop.run_until_complete(self._play())
        except AssertionError as error:
            self.seen.violated("time goes on", str(error))
        finally:
            self._bury()
            loop.close()
        counts = self.seen.counts + self.counts
        counts["crashes"] += self.faults.crashes
        return Outcome(self.seed, self.seen.violations, counts, loop.time(), self.trace)

    async def _play(self) -> None:
        rng, loop = self.rng, self.loop
        plains, steered = await self._register()
        for _ in range(pick(rng, (2, 2, 2, 3))):
            self._boot()
        far = FarStore(self.store, self.faults, None)
        people = People(
            rng,
            far,
            ManageJobs(far, self.cron, self.ids),
            ManageHints(far, self.cron, self.ids),
            steered,
            self.faults_s,
            self.note,
            self._suspend,
            self._wake,
        )
        acting = loop.create_task(people.act())
        troubles = loop.create_task(self._troubles())
        await asyncio.wait([acting, troubles])
        for done in (acting, troubles):
            done.result()
        self.counts["deeds"] = people.count
        await self._calm()
        stopped_at = self.clock.now()
        await asyncio.sleep(WITHIN.total_seconds())
        check_liveness(self.seen, stopped_at, plans=self.traits.plans)
        check_tests(self.seen, stopped_at)
        await asyncio.sleep(AFTER_S)
        check_liveness(self.seen, self.clock.now() - WITHIN, plans=self.traits.plans)
        await self._stop_all()
        self._judge(plains)

    async def _register(self) -> tuple[list[Job], list[Job]]:
        rng = self.rng
        for tenant in TENANTS:
            share = pick(rng, (0.25, 0.00005))
            self.store.add_tenant(tenant, Limits(accelerated_runs_per_day=pick(rng, (4, 2880)), pause_share=share))
        jobs = ManageJobs(self.store, self.cron, self.ids)
        plains = [(await jobs.register(TENANTS[number % 2], plain(rng, number)))[0] for number in range(2)]
        steered = [
            (await jobs.register(pick(rng, TENANTS), any_definition(rng, number, 0.0)))[0]
            for number in range(2, 4 + int(rng.random() * 5))
        ]
        if rng.random() < 0.3:
            await jobs.register(pick(rng, TENANTS), poisonous(rng))
            self.cron.poisoned_from_s = rng.random() * self.faults_s
        return plains, steered

    # workers

    def _boot(self) -> None:
        self.booted += 1
        name = f"w{self.booted}"
        self.note("boot", name)
        worker = Worker(
            name,
            self.loop,
            self.rng,
            store=self.store,
            faults=self.faults,
            target=self.target,
            shared=self,
            traits=self.traits,
            complaints=self.complaints,
        )
        worker.mind.is_calm = self.target.is_kind
        self.workers.append(worker)

    def _died(self, process: Process) -> None:
        self.workers = [worker for worker in self.workers if worker.process is not process]
        if self.is_over:
            return
        if self.target.is_kind:
            self._boot()
        else:
            self.loop.call_later(0.2 + 5 * self.rng.random(), self._boot)

    def _wake(self) -> None:
        """A notification: it may come late, or never."""
        for worker in self.workers:
            if self.rng.random() < 0.8:
                self.loop.call_later(self.rng.random() * 0.05, worker.runner.wake)

    def _suspend(self, tenant: str, reason: str | None) -> None:
        self.note("suspend", tenant, reason)
        self.store.add_tenant(tenant, replace(self.store._tenants[tenant], suspended=reason))

    # faults

    async def _troubles(self) -> None:
        """One trouble after another, until faults stop."""
        loop, rng = self.loop, self.rng
        while True:
            await asyncio.sleep(0.5 + rng.random() * 9)
            if loop.time() >= self.faults_s:
                break
            await getattr(self, pick(rng, _TROUBLES))()
        if rng.random() < 0.2:  # all that comes back, comes back after a long time
            seconds = 10 + 30 * rng.random()
            self.note("outage", seconds)
            self.faults.outage_until = loop.time() + seconds
            await asyncio.sleep(seconds)

    def _victim(self) -> Worker | None:
        return pick(self.rng, self.workers) if self.workers else None

    async def _kill(self) -> None:
        worker = self._victim()
        if worker is not None:
            self.faults.crash(worker.process, "killed")

    async def _freeze(self) -> None:
        worker, rng = self._victim(), self.rng
        if worker is not None and not worker.process.is_frozen:
            seconds = rng.random() * (25 if rng.random() < 0.6 else 3)
            self.counts["freezes"] += 1
            self.note("freeze", worker.process.name, seconds)
            worker.process.freeze()
            self.loop.call_later(seconds, self._thaw, worker.process)

    def _thaw(self, process: Process) -> None:
        if process.is_frozen:
            self.note("thaw", process.name)
            process.thaw()

    async def _outage(self) -> None:
        seconds = self.rng.random() * (40 if self.rng.random() < 0.5 else 6)
        self.counts["outages"] += 1
        self.note("outage", seconds)
        self.faults.outage_until = self.loop.time() + seconds

    async def _cut(self) -> None:
        """One worker loses the store; it goes on with what it has out."""
        worker, rng = self._victim(), self.rng
        if worker is not None:
            seconds = rng.random() * (30 if rng.random() < 0.75 else 5)
            self.counts["cuts"] += 1
            self.note("cut", worker.process.name, seconds)
            self.faults.cut_until[worker.process] = self.loop.time() + seconds

    async def _terminate(self) -> None:
        """SIGTERM, at times a second one; the process is replaced when it has ended."""
        worker, rng = self._victim(), self.rng
        if worker is None or worker.ending is not None:
            return
        self.note("terminate", worker.process.name)
        self.counts["stops"] += 1
        forced = asyncio.Event()
        ending = worker.stop(forced)
        if rng.random() < 0.3:
            self.loop.call_later(rng.random() * 5, forced.set)
        ending.add_done_callback(lambda _: self._ended(worker))

    def _ended(self, worker: Worker) -> None:
        ending = worker.ending
        if ending is not None and not ending.cancelled() and ending.exception() is not None:
            self.seen.violated("a worker stops when told", f"{worker.process.name}: {ending.exception()!r}")
        if worker.process.is_alive:
            self.note("ended", worker.process.name)
            worker.process.kill()
            self._died(worker.process)

    async def _calm(self) -> None:
        """Faults stop: the store is reached, nobody is frozen, targets are quick, planners sane, nobody is missing."""
        self.note("calm")
        self.faults.outage_until = 0.0
        self.faults.cut_until.clear()
        self.faults.rates = Rates()
        self.target.become_kind()
        for tenant in TENANTS:
            self._suspend(tenant, None)
        for worker in self.workers:
            worker.mind.is_calm = True
            self._thaw(worker.process)
        if not self.workers:
            self._boot()

    async def _stop_all(self) -> None:
        """Stop every worker in good order, and look whether it counted right."""
        self.note("stop", [worker.process.name for worker in self.workers])
        self.is_over = True
        workers = list(self.workers)
        for worker in workers:
            if worker.ending is None:
                worker.stop()
        for worker in workers:
            ending = worker.ending
            assert ending is not None
            await asyncio.wait([ending], timeout=DRAIN_S)
            if not ending.done():
                self.seen.violated("a worker stops when told", worker.process.name)
            elif not ending.cancelled() and ending.exception() is not None:
                self.seen.violated("a worker stops when told", f"{worker.process.name}: {ending.exception()!r}")
            elif worker.process.is_alive and (left := worker.leftovers()):
                self.seen.violated("counts return to zero", f"{worker.process.name}: {left}")

    def _judge(self, plains: list[Job]) -> None:
        for complaint in self.complaints:
            self.seen.violated("no loop fails by a bug", complaint)
        check_ledger(self.seen)
        check_rows(self.seen)
        for job in plains:
            check_fires(self.seen, job)
        check_end(self.seen)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.complaints.append(f"unhandled: {context.get('message')} {type(error).__name__}: {error}")

    def _bury(self) -> None:
        """End every task that is left, so that none is destroyed pending."""
        with _ignored():
            for _ in range(5):
                left = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
                if not left:
                    return
                for task in sorted(left, key=hash):
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(left, timeout=60))


@contextmanager
def _ignored() -> Iterator[None]:
    """Nothing that happens while a scenario is cleared away matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_TROUBLES = ("_kill", "_kill", "_freeze", "_freeze", "_freeze", "_outage", "_outage", "_cut", "_cut", "_terminate")


def play(seed: int) -> Outcome:
    """Play one seed."""
    with structlog.testing.capture_logs():
        return World(seed).play()
