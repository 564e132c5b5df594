"""The governor's rules, one by one; docs/governor.md has them in words."""

from dataclasses import replace

import pytest

from core.entities import (
    Author,
    Authority,
    Bounds,
    CronBaseline,
    HintKind,
    HintState,
    JobStatus,
    Limits,
    OnceBaseline,
    PlannerMode,
    SlotKind,
    Source,
)
from core.hints import end
from tests.unit.fakes import START
from tests.unit.governed import at, decided, hint, job, s
from tests.unit.loop import ALL, definition

INTERVAL, NEXT, PAUSE = HintKind.INTERVAL, HintKind.NEXT_TIME, HintKind.PAUSE
USER, RULE, PLANNER = Author.USER, Author.RULE, Author.PLANNER


# the baseline


def test_an_interval_fires_on_its_grid_from_its_epoch_on() -> None:
    assert decided(job(), now=0).next_run_at == START
    assert decided(job(handled_through=START), now=1).next_run_at == at(60)
    assert decided(job(handled_through=START), now=61).next_run_at == at(120)


def test_the_grid_is_not_moved_by_late_hinted_or_manual_runs() -> None:
    late = job(handled_through=START, last_start_at=at(47), last_slot_at=START)
    assert decided(late, now=50).next_run_at == at(60)


def test_a_fire_at_this_very_moment_counts() -> None:
    assert decided(job(handled_through=START), now=60).next_run_at == at(60)


@pytest.mark.parametrize("mark", ["handled_through", "edited_at", "resumed_at"])
def test_fires_up_to_what_was_handled_edited_or_resumed_are_past(mark: str) -> None:
    assert decided(job(**{mark: at(60)}), now=10).next_run_at == at(120)


def test_cron_and_once_have_their_instants() -> None:
    cron = definition(baseline=CronBaseline("every 300"))
    assert decided(job(cron), now=1).next_run_at == at(300)
    once = definition(baseline=OnceBaseline(at(90)))
    assert decided(job(once), now=1).next_run_at == at(90)
    assert decided(job(once), now=100).next_run_at == at(100)
    assert decided(job(once, handled_through=at(90)), now=100).source is Source.RETIRED


def test_nothing_lies_outside_the_window() -> None:
    windowed = definition(start_at=at(100), end_at=at(200))
    assert decided(job(windowed), now=0).next_run_at == at(120)
    assert decided(job(windowed, handled_through=at(180)), now=190).source is Source.RETIRED
    outside = hint(NEXT, to=50)
    decision = decided(job(windowed), outside, now=0)
    assert decision.next_run_at == at(120)
    assert "outside" in decision.candidates[0].note


def test_max_runs_retires() -> None:
    assert decided(job(definition(max_runs=2), counted_runs=1), now=0).next_run_at == START
    assert decided(job(definition(max_runs=2), counted_runs=2), now=0).source is Source.RETIRED


@pytest.mark.parametrize(("failures", "expected"), [(1, 120), (2, 240), (3, 480), (4, 600), (40, 600)])
def test_backoff_doubles_up_to_the_maximum_on_the_grid(failures: int, expected: float) -> None:
    decision = decided(job(handled_through=START, failures=failures), now=5)
    assert (decision.source, decision.next_run_at) == (Source.BACKOFF, at(expected))
    assert decision.slot is not None
    assert decision.slot.kind is SlotKind.BASELINE


def test_backoff_without_a_maximum_ends_at_thirty_two_intervals() -> None:
    unbounded = definition(bounds=Bounds())
    assert decided(job(unbounded, handled_through=START, failures=9), now=5).next_run_at == at(32 * 60)


def test_a_backoff_that_is_over_is_the_baseline() -> None:
    assert decided(job(handled_through=START, failures=1), now=500).source is Source.BASELINE_INTERVAL


def test_cron_and_once_do_not_back_off_but_may_retry_once() -> None:
    cron = definition(baseline=CronBaseline("every 300"))
    assert decided(job(cron, handled_through=START, failures=3), now=5).next_run_at == at(300)
    retry = decided(job(cron, handled_through=START, failures=1, retry_at=at(30)), now=5)
    assert (retry.source, retry.next_run_at) == (Source.RETRY, at(30))
    assert retry.slot is not None
    assert retry.slot.kind is SlotKind.RETRY
    assert decided(job(cron, handled_through=START, retry_at=at(300)), now=5).source is Source.BASELINE_CRON
    assert decided(job(cron, handled_through=START, retry_at=at(30)), now=31).source is Source.BASELINE_CRON
    once = definition(baseline=OnceBaseline(START))
    assert decided(job(once, handled_through=START, retry_at=at(30)), now=5).next_run_at == at(30)


# hints


def test_an_interval_hint_counts_from_the_last_start() -> None:
    decision = decided(job(handled_through=START, last_start_at=at(3)), hint(interval=20), now=5)
    assert (decision.source, decision.next_run_at, decision.hint_id) == (
        Source.HINT_INTERVAL,
        at(23),
        "hint_planner_interval_0",
    )


def test_an_interval_hint_before_the_first_run_counts_from_creation_without_a_lower_clamp() -> None:
    waiting = job(grid_epoch=at(50))
    assert decided(waiting, hint(interval=2), now=1).next_run_at == at(2)


def test_a_next_time_is_that_instant_sooner_or_later() -> None:
    given = job(handled_through=START, last_start_at=START)
    assert decided(given, hint(NEXT, to=25), now=5).next_run_at == at(25)
    assert decided(given, hint(NEXT, to=95), now=5).next_run_at == at(95)


def test_a_next_time_that_has_passed_is_ignored_never_now() -> None:
    decision = decided(job(handled_through=START, last_start_at=START), hint(NEXT, to=25), now=30)
    assert decision.next_run_at == at(60)
    assert "passed" in decision.candidates[0].note


def test_hints_past_their_expiry_or_no_longer_active_do_not_count() -> None:
    given = job(handled_through=START, last_start_at=START)
    assert decided(given, hint(interval=20, expires=10), now=10).source is Source.BASELINE_INTERVAL
    cleared = end(hint(interval=20), HintState.CLEARED, at(1), "x")
    assert decided(given, cleared, now=2).source is Source.BASELINE_INTERVAL


@pytest.mark.parametrize("mode", [PlannerMode.OFF, PlannerMode.SHADOW])
def test_planner_and_rule_hints_count_only_while_the_planner_is_on(mode: PlannerMode) -> None:
    given = job(definition(planner=mode), handled_through=START, last_start_at=START)
    for author in (RULE, PLANNER):
        assert decided(given, hint(author=author, interval=20), now=5).source is Source.BASELINE_INTERVAL
    assert decided(given, hint(author=USER, interval=20), now=5).source is Source.HINT_INTERVAL


def test_the_author_ranks_first_then_the_kind_then_the_newer() -> None:
    given = job(handled_through=START, last_start_at=START)
    planners_pause, rules_interval = hint(PAUSE, to=500), hint(author=RULE, interval=30)
    assert decided(given, planners_pause, rules_interval, now=5).hint_id == rules_interval.id
    users = hint(author=USER, interval=40)
    assert decided(given, planners_pause, rules_interval, users, now=5).hint_id == users.id
    next_time = hint(NEXT, to=20)
    assert decided(given, hint(interval=30), next_time, now=5).hint_id == next_time.id
    newer = hint(interval=35, created=2)
    assert decided(given, hint(interval=30, created=1), newer, now=5).hint_id == newer.id


def test_a_dropped_candidate_yields_to_the_next_in_precedence() -> None:
    given = job(definition(authority=Authority(tighten=True)), handled_through=START, last_start_at=START)
    decision = decided(given, hint(NEXT, to=95), hint(interval=20), now=5)
    assert (decision.source, decision.next_run_at) == (Source.HINT_INTERVAL, at(20))
    assert [candidate.source for candidate in decision.candidates] == [
        Source.HINT_NEXT_TIME,
        Source.HINT_INTERVAL,
        Source.BASELINE_INTERVAL,
    ]


def test_a_slow_tempo_does_not_outlive_its_hint() -> None:
    given = job(handled_through=START, last_start_at=START)
    decision = decided(given, hint(interval=600, expires=150), now=5)
    assert (decision.source, decision.next_run_at) == (Source.BASELINE_INTERVAL, at(180))
    assert "expires" in decision.candidates[0].note
    assert decided(given, hint(interval=150, expires=150), now=5).next_run_at == at(150)


# clamps, grants, grid


def test_a_hint_is_held_between_floor_and_maximum_from_the_last_start() -> None:
    given = job(handled_through=START, last_start_at=START)
    fast = decided(given, hint(interval=1), now=5)
    assert fast.next_run_at == at(10)
    assert [(clamp.bound, clamp.proposed, clamp.applied) for clamp in fast.clamps] == [("min_interval", at(1), at(10))]
    slow = decided(given, hint(interval=900, expires=2000), now=5)
    assert (slow.next_run_at, slow.clamps[0].bound) == (at(600), "max_interval")


@pytest.mark.parametrize(
    ("limits", "bound", "seconds"),
    [
        (Limits(operator_minimum=s(40)), "operator_minimum", 40),
        (Limits(tenant_minimum=s(30)), "tenant_minimum", 30),
        (Limits(operator_minimum=s(10), tenant_minimum=s(10)), "min_interval", 10),
    ],
)
def test_the_highest_floor_holds_and_names_itself(limits: Limits, bound: str, seconds: float) -> None:
    decision = decided(job(handled_through=START, last_start_at=START), hint(interval=1), now=5, limits=limits)
    assert (decision.next_run_at, decision.clamps[0].bound) == (at(seconds), bound)


def test_where_floor_and_maximum_cross_the_floor_wins() -> None:
    given = job(definition(bounds=Bounds(None, s(60))), handled_through=START, last_start_at=START)
    limits = Limits(tenant_minimum=s(90))
    assert decided(given, hint(author=USER, interval=1), now=5, limits=limits).next_run_at == at(90)


def test_the_maximum_never_holds_before_the_baseline_itself() -> None:
    lagging = job(handled_through=at(1140), last_start_at=START)
    decision = decided(lagging, hint(NEXT, to=1300), now=1150)
    assert decision.next_run_at == at(1200)


def test_bounds_bind_a_persons_hints_too() -> None:
    given = job(handled_through=START, last_start_at=START)
    assert decided(given, hint(author=USER, interval=1, expires=None), now=5).next_run_at == at(10)


@pytest.mark.parametrize(
    ("authority", "interval", "granted"),
    [
        (Authority(tighten=True), 20, True),
        (Authority(tighten=True), 90, False),
        (Authority(relax=True), 90, True),
        (Authority(relax=True), 20, False),
        (Authority(), 60, True),
    ],
)
def test_sooner_needs_tighten_and_later_needs_relax(authority: Authority, interval: float, granted: bool) -> None:
    given = job(definition(authority=authority), handled_through=START, last_start_at=START)
    decision = decided(given, hint(interval=interval), now=5)
    assert (decision.source is Source.HINT_INTERVAL) is granted
    assert decided(given, hint(author=USER, interval=interval), now=5).source is Source.HINT_INTERVAL


def test_an_overdue_tempo_is_due_now() -> None:
    decision = decided(job(handled_through=START, last_start_at=START), hint(interval=20), now=45)
    assert (decision.next_run_at, decision.clamps[0].bound) == (at(45), "now")


def test_without_relax_an_instant_too_close_to_the_grid_meets_it() -> None:
    given = job(definition(authority=Authority(tighten=True)), handled_through=START, last_start_at=START)
    decision = decided(given, hint(interval=55), now=5)
    assert (decision.next_run_at, decision.clamps[0].bound) == (at(60), "grid")
    assert decision.slot is not None
    assert (decision.slot.kind, decision.slot.handles_through) == (SlotKind.BASELINE, at(60))
    assert decided(given, hint(interval=50), now=5).next_run_at == at(50)


def test_with_relax_a_hinted_run_stands_for_the_fires_before_its_floor() -> None:
    given = job(handled_through=START, last_start_at=START)
    decision = decided(given, hint(interval=175), now=5)
    assert decision.next_run_at == at(175)
    assert decision.handles is not None
    assert (decision.handles.first, decision.handles.last, decision.handles.count) == (at(60), at(180), 3)
    assert decision.slot is not None
    assert decision.slot.handles_through == at(180)
    near_fire = decided(given, hint(interval=55), now=5)
    assert near_fire.slot is not None
    assert (near_fire.next_run_at, near_fire.slot.handles_through) == (at(55), at(60))
    early = decided(given, hint(interval=20), now=5)
    assert early.handles is None


def test_counting_cron_fires_that_a_hint_stands_for_stops_at_a_thousand() -> None:
    dense = definition(baseline=CronBaseline("every 1"), bounds=Bounds(), authority=ALL)
    decision = decided(job(dense, handled_through=START, last_start_at=START), hint(interval=3000), now=1)
    assert decision.handles is not None
    assert (decision.handles.count, decision.handles.more, decision.handles.last) == (1000, True, None)


# budgets


def test_accelerated_runs_have_an_allowance_a_utc_day() -> None:
    used_up = job(handled_through=START, last_start_at=START, accelerated_on=START.date(), accelerated_runs=5)
    limits = Limits(accelerated_runs_per_day=5)
    assert decided(used_up, hint(interval=20), now=5, limits=limits).source is Source.BASELINE_INTERVAL
    assert decided(used_up, hint(author=USER, interval=20), now=5, limits=limits).source is Source.HINT_INTERVAL
    assert decided(used_up, hint(interval=90), now=5, limits=limits).source is Source.HINT_INTERVAL
    yesterday = replace(used_up, schedule=replace(used_up.schedule, accelerated_on=at(-86400).date()))
    assert decided(yesterday, hint(interval=20), now=5, limits=limits).source is Source.HINT_INTERVAL


def test_planners_pause_a_quarter_of_a_week_at_the_most() -> None:
    given = job(handled_through=START, last_start_at=START)
    hour = 3600
    long = hint(PAUSE, to=20 * hour, expires=20 * hour)
    spent = end(
        hint(PAUSE, RULE, to=-1 * hour, created=-24 * hour, expires=-1 * hour, identity="hint_old"),
        HintState.EXPIRED,
        at(-1 * hour),
        "over",
    )
    assert decided(given, long, spent, now=5).source is Source.BASELINE_INTERVAL
    assert decided(given, long, now=5).source is Source.PAUSED_PLANNER
    fitting = hint(PAUSE, to=18 * hour, expires=18 * hour)
    assert decided(given, fitting, spent, now=5).source is Source.PAUSED_PLANNER


# pauses, suspension, parking


def test_a_persons_pause_hides_the_schedule_until_its_end_or_for_ever() -> None:
    given = job(handled_through=START, last_start_at=START)
    endless = decided(given, hint(PAUSE, USER, expires=None, reason="deploying"), now=5)
    assert (endless.source, endless.slot, endless.paused_until) == (Source.PAUSED_USER, None, None)
    assert "deploying" in endless.reason
    timed = decided(given, hint(PAUSE, USER, to=130, expires=130), now=5)
    assert (timed.source, timed.next_run_at, timed.paused_until) == (Source.PAUSED_USER, at(180), at(130))
    meeting = decided(given, hint(PAUSE, USER, to=120, expires=120), now=5)
    assert meeting.next_run_at == at(120)


def test_a_planners_pause_ends_with_a_probe_needs_its_grant_and_skips_the_clamps() -> None:
    given = job(handled_through=START, last_start_at=START)
    decision = decided(given, hint(PAUSE, to=3000), now=5)
    assert (decision.source, decision.next_run_at, decision.clamps) == (Source.PAUSED_PLANNER, at(3000), ())
    assert decision.slot is not None
    assert decision.slot.kind is SlotKind.PROBE
    without = job(definition(authority=Authority(tighten=True, relax=True)), handled_through=START)
    assert decided(without, hint(PAUSE, to=3000), now=5).source is Source.BASELINE_INTERVAL


@pytest.mark.parametrize("until", [30, 60])
def test_a_planners_pause_that_ends_by_the_next_fire_has_no_effect(until: float) -> None:
    decision = decided(job(handled_through=START, last_start_at=START), hint(PAUSE, to=until), now=5)
    assert (decision.source, decision.next_run_at) == (Source.BASELINE_INTERVAL, at(60))


def test_a_persons_word_outranks_the_planners_pause_and_the_other_way_never() -> None:
    given = job(handled_through=START, last_start_at=START)
    assert decided(given, hint(PAUSE, to=3000), hint(author=USER, interval=20), now=5).source is Source.HINT_INTERVAL
    paused = decided(given, hint(PAUSE, USER, expires=None), hint(interval=20), hint(NEXT, to=30), now=5)
    assert paused.source is Source.PAUSED_USER


def test_suspension_parking_and_retirement_rank_above_all() -> None:
    suspended = decided(job(), hint(author=USER, interval=20), now=5, limits=Limits(suspended="unpaid"))
    assert (suspended.source, suspended.slot) == (Source.SUSPENDED, None)
    parked = decided(job(parked_until=at(100), parked_reason="broken"), now=5)
    assert (parked.source, parked.slot) == (Source.PARKED, None)
    assert "broken" in parked.reason
    assert decided(job(status=JobStatus.RETIRED), now=5).source is Source.RETIRED


def test_once_jobs_take_no_interval_and_grant_nothing_by_themselves() -> None:
    once = definition(baseline=OnceBaseline(at(500)), authority=Authority())
    assert decided(job(once), hint(author=USER, interval=20), now=5).source is Source.BASELINE_ONCE
    assert decided(job(once), hint(NEXT, to=100), now=5).source is Source.BASELINE_ONCE
    moved = decided(job(once), hint(NEXT, USER, to=100), now=5)
    assert (moved.source, moved.next_run_at) == (Source.HINT_NEXT_TIME, at(100))
    assert moved.slot is not None
    assert moved.slot.handles_through is not None
    assert moved.slot.handles_through >= at(500)
