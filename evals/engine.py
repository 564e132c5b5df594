"""Playing jobs through a world: the real run and plan loops, governor and tools on the memory store.

Only the HTTP world, the clock and the planner are swapped. The clock jumps from slot to slot; a session costs no
virtual time. An error that a loop would swallow ends the play: it would spoil a figure.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.entities import Authority, Bounds, Definition, HttpAction, IntervalBaseline, PlannerMode
from core.errors import RubatoError
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.planner import Planner
from core.usecases.manage_jobs import ManageJobs
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from evals.virtual import Allowance, CountingIds, Listener, VirtualClock, instant_at, second_of
from evals.worlds.world import Target, Terms
from rubato.adapters.cron import CroniterCron
from rubato.adapters.memory.store import MemoryStore

TENANT = "ten_eval"
KEPT_RUNS = 60  # a job; sessions see 50, and windows of the past that hold no more than these
ALL = Authority(tighten=True, relax=True, pause=True)
_CRON = CroniterCron()


class EngineError(RubatoError):
    """A use case reported an error while a world was played: the figures would not be worth anything."""


@dataclass(frozen=True, slots=True)
class Play:
    """What became of one job: when it ran (seconds), what planning it cost."""

    runs: tuple[float, ...]
    sessions: int = 0
    tokens: int = 0
    hints: int = 0


@dataclass
class _Targets:
    """The dispatcher port on a world's targets; it notes who was asked and when."""

    clock: VirtualClock
    targets: Sequence[Target]
    asked: list[list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self.asked = [[] for _ in self.targets]

    async def send(self, request: HttpRequest) -> HttpResult:
        """Answer at once."""
        index = int((request.url or "").rpartition("/")[2])
        second = self.clock.monotonic()
        self.asked[index].append(second)
        return self.targets[index].answer(second)

    async def close(self) -> None:
        """Close nothing."""


def definition(
    terms: Terms, index: int = 0, *, planner: PlannerMode = PlannerMode.ON, group: str | None = None
) -> Definition:
    """Return a world's job as it is registered: an interval that may be steered in every way, beginning at once."""
    return Definition(
        name=f"job {index}",
        description=terms.description,
        group=group,
        action=HttpAction(f"http://world.test/{index}"),
        baseline=IntervalBaseline(terms.every),
        bounds=Bounds(terms.least, terms.most),
        authority=ALL,
        planner=planner,
        splay=False,
    )


def play(
    targets: Sequence[Target],
    terms: Terms,
    planner: Planner | None,
    horizon_s: float,
    *,
    tokens_per_day: int | None = None,
) -> list[Play]:
    """Live through a world; return one play a job. `planner` None: the baseline alone."""
    return asyncio.run(_live(targets, terms, planner, horizon_s, tokens_per_day))


async def _live(
    targets: Sequence[Target], terms: Terms, planner: Planner | None, horizon_s: float, tokens_per_day: int | None
) -> list[Play]:
    clock, ids, ears = VirtualClock(), CountingIds(), Listener()
    store = MemoryStore(clock, ids, keep_runs=KEPT_RUNS)
    store.add_tenant(TENANT)
    asked, allowance = _Targets(clock, targets), Allowance(clock, tokens_per_day)
    worker = RunDue(store, asked, _CRON, clock, ids, ears, worker_id="eval")
    plans = PlanDue(store, planner, allowance, _CRON, clock, ids, ears) if planner is not None else None
    mode = PlannerMode.ON if planner is not None else PlannerMode.OFF
    jobs = ManageJobs(store, _CRON, ids)
    group = "world" if len(targets) > 1 else None
    made = [
        (await jobs.register(TENANT, definition(terms, index, planner=mode, group=group)))[0].id
        for index in range(len(targets))
    ]
    end = instant_at(horizon_s)
    while True:
        ready = [(await store.job(TENANT, job_id)).schedule.ready_at for job_id in made]
        due_at = min((at for at in ready if at is not None), default=None)
        if due_at is None or due_at >= end:
            break
        clock.at = max(clock.at, due_at)
        await worker.run_once()
        await worker.drain(60)
        if plans is not None:
            await plans.run_once()
        if ears.errors:
            raise EngineError(f"At second {second_of(clock.at):.0f}: {ears.errors[0]}")
    share = len(targets)
    return [
        Play(
            tuple(runs),
            ears.counts["SessionEnded"] // share,
            allowance.spent // share,
            ears.counts["HintWritten"] // share,
        )
        for runs in asked.asked
    ]
