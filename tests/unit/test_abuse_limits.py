"""What a planner may not do however often it tries: swing, pause for ever, race through a day's allowance."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from core.entities import Author, Hint, HintKind, HintState, IntervalBaseline, Limits
from core.gate import LONGEST_ANALYSIS
from core.sessions import PlanningContext, Verdict
from tests.unit.contexts import NOW, context, run
from tests.unit.loop import TENANT, definition
from tools.concluding import LONGEST_REASONING, conclude
from tools.proposing import LONGEST_REASON, MOST_TURNS, pause_until, propose_interval
from tools.workbench import Answer, Workbench

DAY = timedelta(days=1)


def tempo(seconds: float, minutes_ago: float, state: HintState = HintState.SUPERSEDED) -> Hint:
    born = NOW - timedelta(minutes=minutes_ago)
    return Hint(
        f"hint_{minutes_ago}",
        TENANT,
        "job_1",
        HintKind.INTERVAL,
        Author.PLANNER,
        born,
        NOW + timedelta(minutes=5),
        timedelta(seconds=seconds),
        state=state,
    )


def asked(seconds: float, past: Sequence[Hint], every_s: float = 60) -> Answer:
    made = definition(baseline=IntervalBaseline(timedelta(seconds=every_s)))
    bench = Workbench(replace(context([run(0)], made=made), past_hints=past))
    return propose_interval(bench, "c1", interval_ms=int(seconds * 1000), ttl_ms=600_000, reason="because")


def swinging(turns: int, minutes_apart: float = 1) -> list[Hint]:
    """Return tempos that turned so often, newest first."""
    return [tempo(20 if n % 2 else 300, 1 + n * minutes_apart) for n in range(turns + 2)]


def test_a_tempo_that_was_turned_too_often_is_not_turned_again() -> None:
    answer = asked(20, swinging(MOST_TURNS))
    assert answer.verdict is Verdict.REJECTED
    assert "turned" in answer.message


def test_it_may_stay_as_it_is_and_be_turned_again_later() -> None:
    assert asked(300, swinging(MOST_TURNS)).verdict is Verdict.ACCEPTED
    assert asked(20, swinging(MOST_TURNS, minutes_apart=30)).verdict is Verdict.ACCEPTED


def test_what_rises_and_rises_is_no_swing_and_a_rejected_hint_no_turn() -> None:
    assert asked(20, [tempo(300 - n, 20 - n) for n in range(10)]).verdict is Verdict.ACCEPTED
    rejected = [replace(each, state=HintState.REJECTED) for each in swinging(MOST_TURNS)]
    assert asked(20, rejected).verdict is Verdict.ACCEPTED


def test_a_slow_job_is_damped_over_a_longer_while() -> None:
    hourly = swinging(MOST_TURNS, minutes_apart=50)
    assert asked(20, hourly, every_s=3600).verdict is Verdict.REJECTED
    assert asked(20, hourly, every_s=60).verdict is Verdict.ACCEPTED


def paused(given: PlanningContext, hours: float) -> Answer:
    return pause_until(Workbench(given), "c1", until=(NOW + timedelta(hours=hours)).isoformat(), reason="because")


def pause(days_ago: float, hours: float) -> Hint:
    born = NOW - timedelta(days=days_ago)
    until = born + timedelta(hours=hours)
    return Hint(
        f"pause_{days_ago}",
        TENANT,
        "job_1",
        HintKind.PAUSE,
        Author.PLANNER,
        born,
        until,
        until=until,
        state=HintState.EXPIRED,
        ended_at=until,
    )


def test_pauses_of_a_week_fit_into_its_allowance() -> None:
    spent = [pause(days, 20) for days in (2, 4)]  # 40 of 42 hours
    given = replace(context([run(0)]), past_hints=spent)
    assert paused(given, 2).verdict is Verdict.ACCEPTED
    answer = paused(given, 3)
    assert answer.verdict is Verdict.REJECTED
    assert "leaves 2 h" in answer.message


def test_a_pause_that_replaces_the_planners_own_counts_once() -> None:
    mine = replace(pause(0, 20), state=HintState.ACTIVE, ended_at=None)
    given = replace(context([run(0)], hints=[mine]), past_hints=[pause(3, 20)])
    assert paused(given, 20).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(("used", "verdict"), [(99, Verdict.ACCEPTED), (100, Verdict.REJECTED)])
def test_a_days_accelerated_runs_are_counted(used: int, verdict: Verdict) -> None:
    given = context([run(0)])
    schedule = replace(given.job.schedule, accelerated_on=NOW.date(), accelerated_runs=used)
    given = replace(given, job=replace(given.job, schedule=schedule), limits=Limits(accelerated_runs_per_day=100))
    faster = propose_interval(Workbench(given), "c1", interval_ms=20_000, ttl_ms=600_000, reason="because")
    slower = propose_interval(Workbench(given), "c2", interval_ms=120_000, ttl_ms=600_000, reason="because")
    assert (faster.verdict, slower.verdict) == (verdict, Verdict.ACCEPTED)


@pytest.mark.parametrize(
    ("wish_ms", "held", "verdict"),
    [
        (0, timedelta(minutes=1), Verdict.CLAMPED),
        (3_600_000, timedelta(hours=1), Verdict.ACCEPTED),
        (2_592_000_000, LONGEST_ANALYSIS, Verdict.CLAMPED),
    ],
)
def test_the_next_analysis_is_held_within_limits(wish_ms: int, held: timedelta, verdict: Verdict) -> None:
    bench = Workbench(context([run(0)]))
    answer = conclude(bench, reasoning="so", confidence=0.5, next_analysis_in_ms=wish_ms)
    assert bench.conclusion is not None
    assert (answer.verdict, bench.conclusion.next_analysis_in) == (verdict, held)


def test_words_are_cut_and_nothing_invisible_is_kept() -> None:
    bench = Workbench(context([run(0)]))
    conclude(bench, reasoning="a\u200b\u202e\n" + "x" * 5000, confidence=1, next_analysis_in_ms=60_000)
    propose_interval(bench, "c1", interval_ms=20_000, ttl_ms=60_000, reason="b\x00" + "y" * 5000)
    assert bench.conclusion is not None
    assert bench.conclusion.reasoning == ("a " + "x" * 5000)[:LONGEST_REASONING]
    assert bench.staged[0].reason == ("b" + "y" * 5000)[:LONGEST_REASON]
