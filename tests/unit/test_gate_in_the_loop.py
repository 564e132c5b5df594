"""The gate where it stands: what settles raises the planning sequence, or does not."""

import json
from datetime import timedelta

from core.entities import PlannerMode
from core.events import RunSettled
from core.gate import ANALYSIS_EVERY, FIRST_RUNS
from core.ports.dispatcher import HttpResult
from core.ports.quota import Denial
from core.sessions import Outcome, Plan, PlanningContext
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition


async def live(loop: Loop, job_s: float, days: float = 1.0) -> int:
    """Live through that many days of a job at that tempo, both loops; return how many runs there were."""
    job = await loop.register(definition(job_s))
    end = loop.clock.at + timedelta(days=days)
    count = 0
    while (await loop.until_slot(job)).schedule.slot and loop.clock.at < end:
        await loop.turn()
        count += 1
    return count


async def test_a_steady_endpoint_is_planned_for_a_day_at_its_first_runs_and_its_scheduled_analyses_only() -> None:
    loop = Loop()
    runs = await live(loop, 60)
    analyses = timedelta(days=1) // ANALYSIS_EVERY
    assert runs == 1440
    assert len(loop.planner.contexts) <= FIRST_RUNS + analyses
    verdicts = [event.gate for event in loop.events.of(RunSettled) if isinstance(event, RunSettled)]
    assert len(verdicts) == runs
    assert verdicts.count("steady") >= runs - FIRST_RUNS - analyses


async def test_a_noisy_steady_endpoint_costs_little_more() -> None:
    loop = Loop()
    loop.dispatcher.plan = lambda request: HttpResult(
        200,
        20 + loop.clock.at.second % 7,
        body=json.dumps(
            {
                "ok": True,
                "at": loop.clock.at.isoformat(),
                "seen": loop.clock.at.timestamp() * 7919 % 9973,
                "load": 50 + loop.clock.at.minute % 5,
            }
        ),
    )
    assert await live(loop, 60) == 1440
    assert len(loop.planner.contexts) <= FIRST_RUNS + timedelta(days=1) // ANALYSIS_EVERY + 8


async def test_a_change_is_planned_at_once_and_its_verdict_stands_with_the_run() -> None:
    loop = Loop()
    job = await loop.register()
    for _ in range(6):
        await loop.until_slot(job)
        await loop.turn()
    before = len(loop.planner.contexts)
    loop.dispatcher.plan = lambda request: HttpResult(200, 5, body='{"status":"degraded"}')
    await loop.until_slot(job)
    await loop.turn()
    assert len(loop.planner.contexts) == before + 1
    assert [run.gate for run in await loop.runs(job)][-2:] == ["steady", "response_changed: status"]


async def test_a_job_without_a_planner_is_not_judged() -> None:
    loop = Loop()
    job = await loop.register(definition(planner=PlannerMode.OFF))
    await loop.turn()
    assert [run.gate for run in await loop.runs(job)] == [None]
    assert (await loop.job(job)).schedule.planning.gate == b""


async def test_what_the_quota_denied_is_looked_at_when_the_window_opens_again() -> None:
    loop = Loop()
    job = await loop.register()
    loop.quota.denial = Denial("tokens_per_day", "used up", START + timedelta(minutes=30))
    for _ in range(6):
        await loop.until_slot(job)
        await loop.turn()
    assert loop.planner.contexts == []
    loop.quota.denial = None
    while loop.clock.at < START + timedelta(minutes=32):
        await loop.until_slot(job)
        await loop.turn()
    assert len(loop.planner.contexts) == 1


async def test_a_server_that_asks_to_be_left_alone_is_asked_again_later_about_the_same() -> None:
    loop = Loop()
    job = await loop.register(definition(300))
    answers = [Plan(Outcome.FAILED, "llm", "m", "", error="429", retry_in=timedelta(seconds=90))]
    plan = loop.planner.plan

    async def busy(seen: PlanningContext) -> Plan:
        return answers.pop() if answers else await plan(seen)

    loop.planner.plan = busy  # type: ignore[method-assign]
    await loop.turn()
    planning = (await loop.job(job)).schedule.planning
    assert (planning.ready_at, planning.seq, planning.done_seq) == (loop.clock.at + timedelta(seconds=90), 1, 0)
    loop.clock.advance(60)
    assert await loop.plans.run_once() == 0
    loop.clock.advance(31)
    assert await loop.plans.run_once() == 1
    assert len(loop.planner.contexts) == 1
    outcomes = [session.plan.outcome for session in (await loop.store.sessions(TENANT, limit=9)).items]
    assert outcomes == [Outcome.COMPLETED, Outcome.FAILED]


async def test_a_failed_session_is_made_up_for_in_minutes() -> None:
    loop = Loop()
    job = await loop.register()
    for _ in range(6):
        await loop.until_slot(job)
        await loop.turn()
    answers = [Plan(Outcome.FAILED, "llm", "m", "", error="500")]
    plan, before = loop.planner.plan, len(loop.planner.contexts)

    async def failing(seen: PlanningContext) -> Plan:
        return answers.pop() if answers else await plan(seen)

    loop.planner.plan = failing  # type: ignore[method-assign]
    loop.dispatcher.plan = lambda request: HttpResult(200, 5, body='{"status":"degraded"}')
    for _ in range(7):
        await loop.until_slot(job)
        await loop.turn()
    assert len(loop.planner.contexts) == before + 1
