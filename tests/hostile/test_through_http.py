"""The same attacks on the real parts: PostgreSQL, the quota guard, the run loop, and a model behind HTTP that reads its
orders out of the prompt and obeys them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic_ai.models import override_allow_model_requests
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.entities import Bounds, Definition, HttpAction, IntervalBaseline, Job, Limits, PlannerMode
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.store import JobFilter
from core.usecases.manage_jobs import ManageJobs
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from planner.llm import TOKENS, LlmPlanner
from planner.models import openai_model
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.telemetry import Telemetry
from tests.hostile import invariants
from tests.hostile.obedient import OWN_WORDS, ReadingModel
from tests.hostile.payloads import FAMILIES, Payload, payloads
from tests.hostile.world import CANARIES, GRANTS
from tests.loopback_model import LoopbackModel, loopback_model
from tests.unit.fakes import FakeDispatcher

PICKED = (8,)  # of each family: more show the same, and take long
DAYS_TOKENS, HOURS_SESSIONS = 3_000_000, 3


@dataclass
class House:
    """Real parts around a scripted target."""

    store: PostgresStore
    quota: PostgresQuota
    jobs: ManageJobs
    worker: RunDue
    plans: PlanDue
    answers: dict[str, HttpResult]

    async def job(self, tenant: str, path: str, answer: HttpResult, **fields: Any) -> Job:
        self.answers[f"/{path}"] = answer
        action = HttpAction(f"http://target.test/{CANARIES[3]}/{path}", headers={"authorization": CANARIES[2]})
        made = {"baseline": IntervalBaseline(timedelta(hours=1)), "splay": False, "action": action, "name": path}
        job, _ = await self.jobs.register(tenant, Definition(**{**made, **fields}))
        return job

    async def round(self) -> int:
        """Run what is due, then plan until nothing is left; return how many sessions there were."""
        while (await self.worker.run_once()).claimed:
            assert await self.worker.drain(20) == 0
        sessions = 0
        while count := await self.plans.run_once():
            sessions += count
        return sessions

    async def all_jobs(self, tenant: str) -> list[Job]:
        found: list[Job] = []
        after: tuple[str, ...] | None = None
        while True:
            page = await self.store.jobs(tenant, JobFilter(), limit=200, after=after)
            found += page.items
            after = page.next_cursor
            if after is None:
                return found


@dataclass
class Attack:
    """A house, and the model that it asks."""

    house: House
    server: LoopbackModel
    model: ReadingModel


@pytest.fixture
async def attack(engine: AsyncEngine) -> AsyncIterator[Attack]:
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO tenants (id, name, tokens_per_day, sessions_per_job_hour) VALUES "
                f"('ten_a', 'a', {DAYS_TOKENS}, {HOURS_SESSIONS}), ('ten_b', 'b', 1, 1)"
            )
        )
    clock, ids, cron = SystemClock(), SystemIds(), CroniterCron()
    store, quota, events = PostgresStore(engine, ids), PostgresQuota(engine, ids), Telemetry(clock)
    answers: dict[str, HttpResult] = {}

    def answer(request: HttpRequest) -> HttpResult:
        return answers["/" + (request.url or "").rpartition("/")[2]]

    worker = RunDue(store, FakeDispatcher(answer), cron, clock, ids, events, worker_id="w1")
    model = ReadingModel()
    with loopback_model([], reply=model.answer) as server, override_allow_model_requests(True):
        planner = LlmPlanner(openai_model("hostile", api_key="none", base_url=server.url), fall_back=False)
        plans = PlanDue(store, planner, quota, cron, clock, ids, events)
        yield Attack(House(store, quota, ManageJobs(store, cron, ids), worker, plans, answers), server, model)
        await planner.close()


def result(payload: Payload, run: int) -> HttpResult:
    body = payload.body(run)[:256_000]
    return HttpResult(payload.status, 1, body=body, body_bytes=len(body), retry_after=payload.retry_after)


async def let_loose(attack: Attack) -> dict[str, tuple[Payload, Job]]:
    """Register a job for each picked payload, beside a lying sibling and another tenant's job."""
    house, jobs = attack.house, {}
    for family in FAMILIES:
        for number in PICKED:
            payload, path = payloads(family)[number], f"{family}-{number}"
            made: dict[str, Any] = {"group": path, "authority": GRANTS[number % len(GRANTS)]}
            made["bounds"] = Bounds(timedelta(seconds=10), timedelta(hours=8))
            jobs[path] = (payload, await house.job("ten_a", path, result(payload, 0), **made))
            if payload.sibling is not None:
                lie = HttpResult(200, 1, body=payload.sibling, body_bytes=len(payload.sibling))
                await house.job("ten_a", f"{path}-beside", lie, group=path, planner=PlannerMode.OFF)
                secret = HttpResult(200, 1, body=CANARIES[0], body_bytes=9)
                foreign = {"name": CANARIES[1], "group": path, "planner": PlannerMode.OFF}
                await house.job("ten_b", f"{path}-foreign", secret, **foreign)
    return jobs


async def test_what_a_model_reads_and_obeys_breaks_nothing(attack: Attack) -> None:
    house = attack.house
    jobs = await let_loose(attack)
    walled = [job.schedule.grid_epoch for job in await house.all_jobs("ten_b")]
    sessions = await house.round()
    for path, (payload, job) in jobs.items():
        house.answers[f"/{path}"] = result(payload, 1)
        if (await house.store.job("ten_a", job.id)).schedule.paused_until is None:
            await house.jobs.run_now("ten_a", job.id)
    sessions += await house.round()
    for _, job in jobs.values():
        await check(house, await house.store.job("ten_a", job.id))
    assert [job.schedule.grid_epoch for job in await house.all_jobs("ten_b")] == walled
    assert (await house.store.hints("ten_b", limit=5)).items == []
    check_requests(attack.server)
    await check_quota(house)
    assert attack.model.obeyed >= len(jobs) / 2  # the rest is cut off or taken out before a model sees it
    told = f"{len(jobs)} payloads, {sessions} sessions, {len(attack.server.requests)} model requests"
    print(f"\nhostile suite, over HTTP and PostgreSQL: {told}, {attack.model.obeyed} orders obeyed, 0 breaks")  # noqa: T201


async def check(house: House, job: Job) -> None:
    limits = Limits()
    invariants.check_decision(job, await house.store.latest_decision("ten_a", job.id), limits, house.jobs.cron)
    invariants.check_hints(job, (await house.store.hints("ten_a", job_id=job.id, limit=500)).items, limits)
    invariants.check_rules(job, await house.store.rules("ten_a", job.id), limits)
    sessions = (await house.store.sessions("ten_a", job_id=job.id, limit=100)).items
    invariants.check_sessions(sessions, job)
    asked = [session for session in sessions if session.plan.usage.requests]
    assert len(asked) <= HOURS_SESSIONS
    for number, session in enumerate(reversed(asked)):
        invariants.check_plan(session.plan, CANARIES)
        if number:
            invariants.check_memory(session.plan, OWN_WORDS)


def check_requests(server: LoopbackModel) -> None:
    """What really left for the model: no secret, no foreign word, no earlier reason, and never much."""
    for request in server.requests:
        sent = json.dumps(request, ensure_ascii=False)
        for secret in CANARIES:
            invariants.demand(secret not in sent, f"{secret} was sent to the model")
        (prompt,) = [message for message in request["body"]["messages"] if message["role"] == "user"][:1]
        invariants.demand(OWN_WORDS not in str(prompt), "an earlier reason was sent to the model")
        invariants.demand(len(sent) < 80_000, f"a request of {len(sent)} characters")


async def check_quota(house: House) -> None:
    for window in await house.quota.windows("ten_a"):
        invariants.demand(window.used + window.reserved <= window.limit, f"{window.name} is overspent")


async def test_a_storm_of_sessions_spends_no_more_than_the_tenant_has(attack: Attack, engine: AsyncEngine) -> None:
    house = attack.house
    allowed = 3
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE tenants SET tokens_per_day = {TOKENS * allowed} WHERE id = 'ten_a'"))
    for number, payload in enumerate(payloads("token_burn")):
        await house.job("ten_a", f"burn-{number}", result(payload, 0))
    await house.round()
    await check_quota(house)
    denied = [session for session in (await house.store.sessions("ten_a", limit=200)).items if session.plan.error]
    assert any("tokens_per_day" in (session.plan.error or "") for session in denied)
