"""What holds for every job, hint and moment that the store can hold."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.entities import (
    Author,
    CronBaseline,
    Decision,
    Hint,
    HintKind,
    IntervalBaseline,
    Job,
    JobStatus,
    Limits,
    OnceBaseline,
    PlannerMode,
    SlotKind,
    Source,
)
from core.governor import decide, effective_bounds
from core.grid import fire_at_or_after, later, next_fire
from core.hints import is_active, pause_end
from core.ports.store import Snapshot
from core.reschedule import PARKED_FOR, redecide
from core.usecases.explain import forecast
from rubato.adapters.cron import CroniterCron
from tests.unit.governed import CRON, hints, jobs, limits, near, some_hints

HINTED = (Source.HINT_INTERVAL, Source.HINT_NEXT_TIME)


def at(moment: datetime, job: Job, given_hints: list[Hint], bounds: Limits) -> Decision:
    return decide(job, given_hints, bounds, now=moment, cron=CRON)


@given(jobs(), some_hints, limits, near)
def test_it_never_raises_and_names_what_it_considered(
    job: Job, some: list[Hint], bounds: Limits, now: datetime
) -> None:
    decision = at(now, job, some, bounds)
    assert decision.reason
    assert decision.decided_at == now
    if decision.slot is not None:
        assert decision.slot.at >= now
        assert any(candidate.at is not None for candidate in decision.candidates)


@given(jobs(), some_hints, limits, near)
def test_slots_rise_strictly(job: Job, some: list[Hint], bounds: Limits, now: datetime) -> None:
    assume(job.schedule.last_slot_at is None or job.schedule.last_slot_at <= now)
    slot = at(now, job, some, bounds).slot
    if slot is not None and job.schedule.last_slot_at is not None:
        assert slot.at > job.schedule.last_slot_at


@given(jobs(), some_hints, limits, near)
def test_a_hinted_instant_is_within_its_clamp_or_what_it_would_be_without_it_or_now(
    job: Job, some: list[Hint], bounds: Limits, now: datetime
) -> None:
    decision = at(now, job, some, bounds)
    if decision.source not in HINTED or decision.slot is None or decision.slot.at == now:
        return
    winner = next(hint for hint in some if hint.id == decision.slot.hint_id)
    others = [hint for hint in some if hint is not winner]
    without = [at(now, job, others, bounds).next_run_at]
    if winner.expires_at is not None:
        without.append(at(winner.expires_at, job, others, bounds).next_run_at)
    effective = effective_bounds(job.definition, bounds)
    regular = next_fire(job.definition, job.schedule, not_before=now, cron=CRON)
    assert regular is not None
    start = job.schedule.last_start_at
    lower = later(start, effective.floor) if start is not None else decision.slot.at
    upper = decision.slot.at
    if effective.maximum is not None:
        upper = max(later(start or job.schedule.created_at, effective.maximum), regular, lower)
    within = lower <= decision.slot.at <= upper
    assert within or decision.slot.at == regular or decision.slot.at in without


@given(jobs(), st.lists(hints(authors=[Author.RULE, Author.PLANNER]), max_size=5), limits, near)
def test_planners_and_rules_move_a_job_only_within_grants_floors_and_budgets(
    job: Job, some: list[Hint], bounds: Limits, now: datetime
) -> None:
    decision, alone = at(now, job, some, bounds), at(now, job, [], bounds)
    if decision.slot is None or alone.slot is None:
        assert (decision.slot is None) == (alone.slot is None)
        return
    grants, regular = job.definition.authority, next_fire(job.definition, job.schedule, not_before=now, cron=CRON)
    assert regular is not None or decision.slot == alone.slot
    if job.definition.planner is not PlannerMode.ON:
        assert decision.slot == alone.slot
    elif regular is not None and decision.source in HINTED:
        if decision.slot.at < regular:
            assert grants.tighten
            assert decision.slot.accelerated
            used = job.schedule.accelerated_runs
            same_day = job.schedule.accelerated_on == decision.slot.at.date()
            assert not same_day or used < bounds.accelerated_runs_per_day
        start = job.schedule.last_start_at
        if start is not None and decision.slot.at not in (regular, now):
            assert decision.slot.at >= later(start, effective_bounds(job.definition, bounds).floor)
    elif decision.source is Source.PAUSED_PLANNER or decision.source is Source.PAUSED_RULE:
        assert grants.pause
        assert decision.slot.kind is SlotKind.PROBE
        assert decision.slot.at <= now + timedelta(days=7 * bounds.pause_share) + timedelta(days=2)
    elif decision.slot.at > alone.slot.at:
        assert grants.relax or grants.pause


@given(jobs(), st.lists(hints(authors=[Author.RULE, Author.PLANNER]), max_size=4), near)
def test_nothing_overrules_a_persons_pause(job: Job, some: list[Hint], now: datetime) -> None:
    pause = Hint(
        id="hint_pause",
        tenant_id=job.tenant_id,
        job_id=job.id,
        kind=HintKind.PAUSE,
        author=Author.USER,
        created_at=now,
        expires_at=None,
    )
    decision = at(now, job, [*some, pause], Limits())
    assert (decision.source, decision.slot) == (Source.PAUSED_USER, None)


@given(jobs(), some_hints, limits, near, st.randoms(use_true_random=False))
def test_it_is_deterministic_and_the_order_of_writing_does_not_matter(
    job: Job, some: list[Hint], bounds: Limits, now: datetime, random: object
) -> None:
    decision = at(now, job, some, bounds)
    assert decision == at(now, job, list(some), bounds)
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis hands a random.Random
    assert decision == at(now, job, shuffled, bounds)


@given(jobs(), some_hints, limits, near, st.integers(0, 7_200_000))
def test_asking_later_never_gives_an_earlier_instant(
    job: Job, some: list[Hint], bounds: Limits, now: datetime, milliseconds: int
) -> None:
    then = now + milliseconds * timedelta(milliseconds=1)
    edges = [edge for hint in some for edge in (hint.expires_at, hint.at, hint.until, pause_end(hint)) if edge]
    assume(not any(now < edge <= then for edge in edges))
    assume(all(is_active(hint, now) or not is_active(hint, then) for hint in some))
    assume(bounds.pause_share in (0.0, 1.0))  # in between, the rolling week is a boundary of its own
    first, second = at(now, job, some, bounds), at(then, job, some, bounds)
    days = {now.date(), then.date(), *(d.next_run_at.date() for d in (first, second) if d.next_run_at)}
    assume(len(days) == 1 or (bounds.accelerated_runs_per_day == 2880 and job.schedule.accelerated_runs < 2880))
    if first.next_run_at is not None and second.next_run_at is not None and first.next_run_at >= then:
        assert second.next_run_at >= first.next_run_at


@given(jobs(), near)
def test_with_the_planner_off_and_no_hints_slots_are_fires_of_the_grid(job: Job, now: datetime) -> None:
    job = replace(job, schedule=replace(job.schedule, retry_at=None))
    slot = at(now, job, [], Limits()).slot
    if slot is None:
        return
    if isinstance(job.definition.baseline, OnceBaseline):
        assert slot.at >= job.definition.baseline.run_at
        return
    if job.schedule.last_slot_at is not None and slot.at <= job.schedule.last_slot_at + timedelta(microseconds=1):
        return  # a row whose last slot lies ahead of now: slots rise all the same
    assert fire_at_or_after(job.definition, job.schedule, slot.at, cron=CRON) == slot.at


@given(jobs(), st.lists(hints(), max_size=3, unique_by=lambda hint: hint.id), near)
def test_the_forecast_rises_and_begins_with_the_decision(job: Job, some: list[Hint], now: datetime) -> None:
    assume(job.schedule.last_slot_at is None or job.schedule.last_slot_at <= now)
    decided_now = at(now, job, some, Limits())
    job = replace(job, schedule=replace(job.schedule, slot=decided_now.slot))
    told = forecast(Snapshot(job, tuple(some), Limits(), now), until=now + timedelta(hours=3), limit=30, cron=CRON)
    instants = [item.at for item in told.items]
    assert instants == sorted(set(instants))
    if decided_now.slot is not None and decided_now.slot.at <= now + timedelta(hours=3):
        assert instants[0] == decided_now.slot.at


@given(jobs(), some_hints, near)
def test_a_failing_governor_parks_that_one_job_and_says_why(job: Job, some: list[Hint], now: datetime) -> None:
    broken = replace(job, definition=replace(job.definition, baseline=CronBaseline("nonsense"), max_runs=None))
    broken = replace(broken, schedule=replace(broken.schedule, status=JobStatus.ACTIVE))
    parked, decision = redecide(broken, [], Limits(), now=now, cron=CRON)
    assert (parked.schedule.status, decision.source) == (JobStatus.PARKED, Source.PARKED)
    assert parked.schedule.parked_until == now + PARKED_FOR
    assert "nonsense" in (parked.schedule.parked_reason or "")


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("expression", ["30 1 * * *", "*/15 * * * *", "0 0 1 * *", "15 30 2 * * *"])
@given(data=st.data())
def test_with_the_real_calendar_cron_slots_rise_and_repeat(zone: str, expression: str, data: st.DataObject) -> None:
    cron = CroniterCron()
    job = data.draw(jobs())
    assume(isinstance(job.definition.baseline, CronBaseline | IntervalBaseline))
    job = replace(job, definition=replace(job.definition, baseline=CronBaseline(expression, zone)))
    now = data.draw(near)
    decision = decide(job, [], Limits(), now=now, cron=cron)
    assert decision == decide(job, [], Limits(), now=now, cron=cron)
    if decision.slot is not None:
        assert decision.slot.at >= now
