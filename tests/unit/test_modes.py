"""On, on paper only, off: for everybody, a tenant, a job."""

from datetime import timedelta

import pytest

from core.entities import (
    Author,
    Hint,
    HintKind,
    HintState,
    Job,
    JobStatus,
    Limits,
    PlannerMode,
    RunStatus,
    Source,
    Trigger,
)
from core.errors import Conflict, InvalidInput, NotFound
from core.gate import GateVerdict
from core.hints import counting
from core.modes import CRON, EVERYBODY, INTERVAL, mode_of
from core.ports.dispatcher import HttpResult
from core.sessions import Proposal
from core.usecases.run_due import SWITCHED_OFF
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition, interval_proposal

ON, SHADOW, OFF = PlannerMode.ON, PlannerMode.SHADOW, PlannerMode.OFF


@pytest.mark.parametrize("job", [ON, SHADOW, OFF])
@pytest.mark.parametrize("limit", [ON, SHADOW, OFF])
def test_the_lowest_mode_is_in_force(job: PlannerMode, limit: PlannerMode) -> None:
    rising = [OFF, SHADOW, ON]
    given = mode_of(definition(planner=job), Limits(planner=limit))
    assert given is rising[min(rising.index(job), rising.index(limit))]


async def test_the_kill_switch_ends_a_planners_pause_at_once() -> None:
    loop = Loop()
    job = await loop.register()
    until = START + timedelta(hours=5)
    loop.planner.script.append([Proposal(HintKind.PAUSE, "maintenance", "call_1", until=until)])
    await loop.turn()
    assert (await loop.job(job)).schedule.status is JobStatus.PAUSED
    _, count = await loop.switches.turn(EVERYBODY, "off", by="operator")
    assert count == 1
    schedule = (await loop.job(job)).schedule
    assert (schedule.status, schedule.slot is not None) == (JobStatus.ACTIVE, True)
    assert schedule.slot is not None
    assert schedule.slot.at == START + timedelta(seconds=60)


async def test_while_planning_is_off_nothing_is_judged_planned_or_charged_and_runs_go_on() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.switches.turn(TENANT, "off", by="usr")
    for _ in range(3):
        await loop.plans.run_once()
        await loop.until_slot(job)
        await loop.run_turn()
    assert (loop.planner.contexts, loop.quota.settled) == ([], [])
    assert [run.gate is None for run in await loop.runs(job)] == [False, True, True, True]
    with pytest.raises(Conflict, match="switched off"):
        await loop.plans.plan_now(TENANT, job.id)


async def turns(loop: Loop, job: Job, count: int) -> None:
    for _ in range(count):
        await loop.until_slot(job)
        await loop.turn()


async def test_when_planning_is_switched_on_again_what_changed_meanwhile_is_looked_at() -> None:
    loop = Loop()
    job = await loop.register()
    await turns(loop, job, 6)
    await loop.switches.turn(TENANT, "off", by="usr")
    loop.dispatcher.plan = lambda request: HttpResult(200, 5, body='{"status":"degraded"}')
    before = len(loop.planner.contexts)
    await turns(loop, job, 3)
    assert len(loop.planner.contexts) == before
    await loop.switches.turn(TENANT, "on", by="usr")
    await turns(loop, job, 2)
    assert len(loop.planner.contexts) == before + 1
    assert [run.gate for run in await loop.runs(job)][-2:] == ["response_changed: status", "steady"]


async def test_a_session_that_waited_when_planning_was_switched_off_is_made_up_for() -> None:
    loop = Loop()
    job = await loop.register()
    await turns(loop, job, 6)
    loop.dispatcher.plan = lambda request: HttpResult(200, 5, body='{"status":"degraded"}')
    await loop.until_slot(job)
    await loop.run_turn()
    await loop.switches.turn(TENANT, "off", by="usr")
    before = len(loop.planner.contexts)
    await loop.plans.run_once()
    await loop.switches.turn(TENANT, "on", by="usr")
    await turns(loop, job, 1)
    assert len(loop.planner.contexts) == before + 1
    assert [run.gate for run in await loop.runs(job)][-1] == "analysis_due"


async def test_a_session_under_way_when_the_switch_is_turned_writes_nothing_that_counts() -> None:
    loop = Loop()
    job = await loop.register()
    plan = loop.planner.plan

    async def meanwhile(seen):  # type: ignore[no-untyped-def]  # as the fake's
        await loop.switches.turn(TENANT, "off", by="usr")
        return await plan(seen)

    loop.planner.plan = meanwhile  # type: ignore[method-assign]
    loop.planner.script.append([interval_proposal(20)])
    await loop.turn()
    (hint,) = (await loop.store.hints(TENANT, job_id=job.id, limit=9)).items
    assert hint.state is HintState.REJECTED
    assert (await loop.explain.explanation(TENANT, job.id)).decision.source is Source.BASELINE_INTERVAL


async def test_a_shadow_explains_what_would_have_happened_and_moves_nothing() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.switches.turn(TENANT, "shadow", by="usr")
    loop.planner.script.append([interval_proposal(20)])
    await loop.turn()
    (session,) = (await loop.store.sessions(TENANT, limit=9)).items
    assert session.mode is SHADOW
    told = await loop.explain.explanation(TENANT, job.id)
    assert (told.mode, told.decision.source) == (SHADOW, Source.BASELINE_INTERVAL)
    assert told.shadow is not None
    assert (told.shadow.source, told.shadow.next_run_at) == (Source.HINT_INTERVAL, START + timedelta(seconds=20))
    assert [hint.interval for hint in told.shadow_hints] == [timedelta(seconds=20)]
    loop.clock.advance(3600)
    assert (await loop.explain.explanation(TENANT, job.id)).shadow_hints == ()


async def test_a_session_says_what_woke_it() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.turn()
    await loop.plans.plan_now(TENANT, job.id)
    newest, first = (await loop.store.sessions(TENANT, limit=9)).items
    assert (newest.woken_by, first.woken_by) == (GateVerdict.ASKED, GateVerdict.FIRST_RUNS)


@pytest.mark.parametrize(("value", "reason"), [("maybe", None), ("off", "x" * 301)])
async def test_a_switch_takes_three_positions_and_a_short_reason(value: str, reason: str | None) -> None:
    with pytest.raises(InvalidInput):
        await Loop().switches.turn(TENANT, value, by="usr", reason=reason)


async def test_a_kind_of_baseline_that_is_off_does_not_run_until_it_is_on_again() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.switches.turn(TENANT, "off", by="usr", name=INTERVAL)
    await loop.run_turn()
    assert await loop.runs(job) == []
    await loop.switches.turn(TENANT, "on", by="usr", name=INTERVAL)
    loop.clock.advance(SWITCHED_OFF.total_seconds())
    await loop.run_turn()
    assert [run.status for run in await loop.runs(job)] == [RunStatus.SUCCEEDED]


async def test_the_switch_of_one_kind_leaves_the_other_and_what_is_asked_for_by_hand() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.switches.turn(EVERYBODY, "off", by="operator", name=CRON)
    await loop.run_turn()
    await loop.switches.turn(EVERYBODY, "off", by="operator", name=INTERVAL)
    await loop.jobs.run_now(TENANT, job.id)
    await loop.run_turn()
    assert [run.trigger for run in await loop.runs(job)] == [Trigger.SCHEDULED, Trigger.MANUAL]


def test_what_a_rule_wrote_counts_only_while_rules_are_on() -> None:
    day = timedelta(days=1)
    by_rule, by_person = (
        Hint(f"hint_{by}", TENANT, "job_a", HintKind.INTERVAL, by, START, START + day, interval=day)
        for by in (Author.RULE, Author.USER)
    )
    hints = [by_rule, by_person]
    assert counting(definition(), hints, Limits(rules=False), START) == [by_person]
    assert set(counting(definition(), hints, Limits(), START)) == set(hints)


async def test_a_switch_that_is_none_is_refused() -> None:
    with pytest.raises(NotFound):
        await Loop().switches.turn(EVERYBODY, "off", by="operator", name="gravity")
