"""One job under attack, a sibling that may lie, and another tenant's job that must not notice."""

import contextlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from core.entities import (
    Author,
    Authority,
    Baseline,
    Bounds,
    CronBaseline,
    Definition,
    Hint,
    HttpAction,
    IntervalBaseline,
    Job,
    Limits,
    OnceBaseline,
    PlannerMode,
)
from core.errors import RubatoError
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.store import RunFilter
from tests.hostile import invariants
from tests.hostile.obedient import OWN_WORDS, ObedientPlanner
from tests.hostile.payloads import Payload
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop

FOREIGN = "tenant_b"
CANARIES = ("zq-foreign-answer", "zq-foreign-name", "zq-own-header", "zq-own-path")
ROUNDS = 1  # beyond the first session; enough for a reason to come back
BOUNDS = Bounds(timedelta(seconds=10), timedelta(seconds=600))
GRANTS = [Authority(*(bool(bits & 1 << n) for n in range(3))) for bits in range(7, -1, -1)]
BASELINES: list[Baseline] = [
    IntervalBaseline(timedelta(minutes=1)),
    IntervalBaseline(timedelta(minutes=1)),
    CronBaseline("every 60"),
    OnceBaseline(START + timedelta(minutes=3)),
]


@dataclass
class Tally:
    """What a run of the suite did."""

    payloads: int = 0
    sessions: int = 0
    calls: int = 0
    accepted: int = 0
    hints: int = 0
    rules: int = 0
    checks: int = 0


@dataclass
class World:
    """A loop of its own for one payload."""

    payload: Payload
    number: int = 0
    limits: Limits = field(default_factory=lambda: Limits(accelerated_runs_per_day=50))
    planner: Any = None
    grants: Authority | None = None
    baseline: Baseline | None = None
    bounds: Bounds = BOUNDS
    tally: Tally = field(default_factory=Tally)

    async def open(self) -> "World":
        self.loop = Loop(limits=self.limits, planner=self.planner or ObedientPlanner(self.payload))
        self.loop.store.add_tenant(FOREIGN)
        self.loop.dispatcher.plan = self._answer
        self.job = await self.loop.register(self._definition())
        await self.loop.register(_quiet("sibling", "http://target.test/sibling"))
        foreign, _ = await self.loop.jobs.register(FOREIGN, _quiet(CANARIES[1], "http://target.test/foreign"))
        await self.loop.run_turn()
        await self.loop.plans.run_once()
        self.foreign = await self.loop.store.job(FOREIGN, foreign.id)
        self.tally.payloads += 1
        return self

    def _definition(self) -> Definition:
        headers = {"authorization": f"Bearer {CANARIES[2]}"}
        return Definition(
            name="watched",
            description="Watch the queue.",
            group="shared",
            action=HttpAction(f"http://target.test/{CANARIES[3]}", headers=headers),
            baseline=self.baseline or BASELINES[self.number % len(BASELINES)],
            bounds=self.bounds,
            authority=self.grants or GRANTS[self.number % len(GRANTS)],
            splay=False,
        )

    def _answer(self, request: HttpRequest) -> HttpResult:
        url, payload = request.url or "", self.payload
        if url.endswith("/foreign"):
            return HttpResult(200, 1, body=CANARIES[0], body_bytes=20)
        if url.endswith("/sibling"):
            body = payload.sibling or '{"status":"ok"}'
            return HttpResult(200, 1, body=body, body_bytes=len(body))
        sent = sum(CANARIES[3] in (each.url or "") for each in self.loop.dispatcher.sent)
        body = payload.body(sent - 1)[:256_000]
        return HttpResult(payload.status, 1, body=body, body_bytes=len(body), retry_after=payload.retry_after)

    async def round(self) -> None:
        """Let the next slot come, or half an hour pass; run, plan, and check everything."""
        slot, clock = (await self.loop.job(self.job)).schedule.slot, self.loop.clock
        clock.at = slot.at if slot is not None and slot.at > clock.at else clock.at + timedelta(minutes=30)
        await self.loop.run_turn()
        await self.check()
        if not await self.loop.plans.run_once():
            with contextlib.suppress(RubatoError):  # nothing to plan, and a person asks all the same
                await self.loop.plans.plan_now(TENANT, self.job.id)
        await self.check()

    async def hints(self) -> list[Hint]:
        return list((await self.loop.store.hints(TENANT, job_id=self.job.id, limit=10_000)).items)

    async def check(self) -> None:
        """Demand every invariant of what is stored now."""
        store, job = self.loop.store, await self.loop.job(self.job)
        self.tally.checks += 1
        invariants.check_decision(job, await store.latest_decision(TENANT, job.id), self.limits, self.loop.cron)
        invariants.check_hints(job, await self.hints(), self.limits)
        invariants.check_rules(job, await store.rules(TENANT, job.id), self.limits)
        invariants.check_sessions((await store.sessions(TENANT, job_id=job.id, limit=1000)).items, job)
        await self._check_the_wall()

    async def _check_the_wall(self) -> None:
        store, foreign = self.loop.store, self.foreign
        hints = (await store.hints(FOREIGN, limit=10)).items
        rules = await store.rules(FOREIGN, foreign.id)
        invariants.demand(not hints and not rules, "something was written at another tenant's job")
        now = await store.job(FOREIGN, foreign.id)
        same = (now.definition, now.schedule.paused_until, now.schedule.grid_epoch)
        was = (foreign.definition, foreign.schedule.paused_until, foreign.schedule.grid_epoch)
        invariants.demand(same == was, "another tenant's job was changed")

    async def close(self) -> None:
        """Demand what holds of the sessions as a whole, and count."""
        sessions = (await self.loop.store.sessions(TENANT, job_id=self.job.id, limit=1000)).items
        for number, session in enumerate(reversed(sessions)):
            invariants.check_plan(session.plan, CANARIES)
            if number:
                invariants.check_memory(session.plan, OWN_WORDS)
            self.tally.calls += len(session.plan.calls)
            self.tally.accepted += sum(call.verdict in ("accepted", "clamped") for call in session.plan.calls)
        self.tally.sessions += len(sessions)
        self.tally.hints += sum(hint.author is not Author.USER for hint in await self.hints())
        self.tally.rules += len(await self.loop.store.rules(TENANT, self.job.id))

    async def runs_on(self, day: datetime) -> int:
        """Return how many runs began on a day."""
        where = RunFilter(job_id=self.job.id, since=day, until=day + timedelta(days=1))
        return len((await self.loop.store.runs(TENANT, where, limit=100_000)).items)

    async def present(self) -> Job:
        return await self.loop.job(self.job)


def _quiet(name: str, url: str) -> Definition:
    """A job beside the attacked one: slow, and steered by nobody."""
    return Definition(
        name=name,
        description=f"{name}: {CANARIES[0]}" if name == CANARIES[1] else None,
        group="shared",
        action=HttpAction(url),
        baseline=IntervalBaseline(timedelta(days=30)),
        planner=PlannerMode.OFF,
        splay=False,
    )


async def attack(payload: Payload, number: int, tally: Tally, *, rounds: int = ROUNDS, **options: Any) -> World:
    """Let one payload loose and check everything after each step."""
    world = await World(payload, number, tally=tally, **options).open()
    await world.check()
    for _ in range(rounds):
        await world.round()
    await world.close()
    return world
