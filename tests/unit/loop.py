"""The whole loop on fakes and the memory store: a house for use-case tests."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from core.entities import (
    Authority,
    Bounds,
    Definition,
    HintKind,
    HttpAction,
    IntervalBaseline,
    Job,
    Limits,
    Run,
)
from core.ports.dispatcher import Dispatcher
from core.ports.store import JobRef, RunFilter
from core.sessions import Proposal
from core.usecases.explain import Explain
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from core.usecases.switch_planner import SwitchPlanner
from rubato.adapters.memory.flags import MemoryFlags
from rubato.adapters.memory.store import MemoryStore
from tests.unit.fakes import EventLog, FakeClock, FakeCron, FakeDispatcher, FakeQuota, ScriptedPlanner, SequentialIds

TENANT = "tenant_a"
ALL = Authority(tighten=True, relax=True, pause=True)


def definition(every_s: float = 60, **fields: object) -> Definition:
    """Return an interval job that may be steered in every way and starts at once."""
    made: dict[str, object] = {
        "name": "watched",
        "action": HttpAction("http://target.test/"),
        "baseline": IntervalBaseline(timedelta(seconds=every_s)),
        "bounds": Bounds(timedelta(seconds=10), timedelta(seconds=600)),
        "authority": ALL,
        "splay": False,
    }
    return Definition(**{**made, **fields})  # type: ignore[arg-type]  # fields by name


def interval_proposal(seconds: float, *, ttl_s: float = 600, reason: str = "because") -> Proposal:
    """Return a staged interval hint."""
    return Proposal(
        HintKind.INTERVAL, reason, "call_1", interval=timedelta(seconds=seconds), ttl=timedelta(seconds=ttl_s)
    )


def instead(loop: "Loop", method: str, call: Callable[..., Awaitable[object]]) -> None:
    """Let `call(as_it_is, *args, **kwargs)` stand for a method of the store, which it may await."""
    former: type[MemoryStore] = type(loop.store)
    inner = getattr(former, method)

    class Apart(former):  # type: ignore[misc, valid-type]  # the class it has by now
        __slots__ = ()

    async def called(self: MemoryStore, *args: object, **kwargs: object) -> object:
        return await call(partial(inner, self), *args, **kwargs)

    setattr(Apart, method, called)
    loop.store.__class__ = Apart  # type: ignore[assignment]  # the same store, one method apart


def failing(loop: "Loop", method: str, errors: list[Exception], *, after: bool = False) -> list[Exception]:
    """Let a method of the store raise these, one a call, before it does anything or after it has done it all; return
    those that are left."""
    left = list(errors)

    async def sometimes(as_it_is: Callable[..., Awaitable[object]], *args: object, **kwargs: object) -> object:
        error = left.pop(0) if left else None
        if error is not None and not after:
            raise error
        answer = await as_it_is(*args, **kwargs)
        if error is not None:
            raise error
        return answer

    instead(loop, method, sometimes)
    return left


async def cramped(loop: "Loop") -> None:
    """Let the worker, with room for one request, have one out and hold claims of three others."""
    for _ in range(4):
        await loop.register(definition(every_s=600))
    worker = loop.worker
    worker.batch_size = 1
    worker.__post_init__()
    worker._pace._rate = 1000.0
    await loop.send()
    assert worker.held == 3


@dataclass
class Loop:
    """Everything wired to fakes. `turn()` is one turn of both loops, with every request answered."""

    clock: FakeClock = field(default_factory=FakeClock)
    ids: SequentialIds = field(default_factory=SequentialIds)
    cron: FakeCron = field(default_factory=FakeCron)
    planner: ScriptedPlanner = field(default_factory=ScriptedPlanner)
    quota: FakeQuota = field(default_factory=FakeQuota)
    events: EventLog = field(default_factory=EventLog)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock, self.ids)
        self.store.add_tenant(TENANT, self.limits)
        self.flags = MemoryFlags(self.store)
        self.switches = SwitchPlanner(self.store, self.flags, self.cron)
        self.dispatcher = FakeDispatcher(clock=self.clock)
        self.jobs = ManageJobs(self.store, self.cron, self.ids)
        self.hints = ManageHints(self.store, self.cron, self.ids)
        self.explain = Explain(self.store, self.cron)
        self.plans = PlanDue(self.store, self.planner, self.quota, self.cron, self.clock, self.ids, self.events)
        self.worker = self.new_worker("worker_1")

    def new_worker(self, worker_id: str, dispatcher: Dispatcher | None = None) -> RunDue:
        """Return another worker on the same store."""
        return RunDue(
            self.store, dispatcher or self.dispatcher, self.cron, self.clock, self.ids, self.events, worker_id=worker_id
        )

    async def register(self, made: Definition | None = None) -> Job:
        """Register a job."""
        job, _ = await self.jobs.register(TENANT, made or definition())
        return job

    async def job(self, job: Job) -> Job:
        """Read a job again."""
        return await self.store.job(TENANT, job.id)

    async def runs(self, job: Job) -> Sequence[Run]:
        """Return a job's runs, oldest slot first."""
        page = await self.store.runs(TENANT, RunFilter(job_id=job.id), limit=10_000)
        return list(reversed(page.items))

    async def run_turn(self) -> int:
        """Run what is due to its end; return how much was claimed."""
        turn = await self.worker.run_once()
        assert await self.worker.drain(5) == 0
        return turn.claimed

    async def send(self, worker: RunDue | None = None) -> int:
        """Let a worker send what is due, to a target that does not answer yet; return how much was claimed."""
        worker = worker or self.worker
        self.dispatcher.answers.clear()
        turn = await worker.run_once()
        await worker._stages.rest("start")
        await asyncio.sleep(0)  # the requests leave
        return turn.claimed

    async def answer(self, worker: RunDue | None = None) -> None:
        """Let the target answer what was sent, and the worker record it."""
        self.dispatcher.answers.set()
        assert await (worker or self.worker).drain(5) == 0

    async def die(self, worker: RunDue | None = None) -> None:
        """Let a worker vanish with what it has out."""
        await (worker or self.worker).drain(0)
        self.dispatcher.answers.set()

    async def turn(self) -> None:
        """Run what is due, then plan what has settled."""
        await self.run_turn()
        await self.plans.run_once()

    async def until_slot(self, job: Job) -> Job:
        """Move the clock to the job's next slot."""
        slot = (await self.job(job)).schedule.slot
        assert slot is not None
        self.clock.at = max(self.clock.at, slot.at)
        return await self.job(job)

    def ref(self, job: Job) -> JobRef:
        """Return a job's address."""
        return JobRef(TENANT, job.id)
