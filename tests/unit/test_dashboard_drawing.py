"""The drawings: where instants and intervals lie, which shapes tell runs apart, how forms write durations."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dashboard.drawing import band, definitions, strip, timeline, windows
from api.dashboard.drawing.axes import TimeAxis, interval_axis
from api.dashboard.drawing.timeline import Seen
from api.dashboard.drawing.words import pretty
from core.entities import (
    Author,
    Bounds,
    Clamp,
    Decision,
    Hint,
    HintKind,
    Job,
    Limits,
    Run,
    RunStatus,
    Schedule,
    Slot,
    SlotKind,
    Source,
    Trigger,
)
from core.ports.glances import Mark
from core.record import evolve
from core.usecases.explain import ForecastItem
from core.wording import duration, read_duration
from tests.unit.fakes import START
from tests.unit.loop import definition

S = timedelta(seconds=1)
LIMITS = Limits()


def job_at(slot: timedelta, source: Source = Source.HINT_INTERVAL, **fields: object) -> Job:
    """Return a job that started at START and has its slot so much later."""
    due = Slot(START + slot, source, SlotKind.HINTED)
    schedule = Schedule(created_at=START, grid_epoch=START, last_start_at=START, slot=due)
    return Job("ten", "job_1", definition(60, **fields), schedule, START)


def run_at(seconds: float, status: RunStatus = RunStatus.SUCCEEDED, **fields: object) -> Run:
    at = START + seconds * S
    made = Run(f"run_{seconds}", "ten", "job_1", at, status, Trigger.SCHEDULED, at, started_at=at)
    return evolve(made, **fields)


def hint_at(seconds: float, lasts: float, identity: str = "hint_1") -> Hint:
    at = START + seconds * S
    kind, author = HintKind.INTERVAL, Author.PLANNER
    return Hint(identity, "ten", "job_1", kind, author, at, at + lasts * S, interval=20 * S)


def seen(**fields: object) -> Seen:
    made = {"job": job_at(20 * S), "limits": LIMITS, "now": START + 100 * S, "runs": (), "hints": (), "forecast": ()}
    return Seen(**{**made, "every": 60 * S, **fields})  # type: ignore[arg-type]  # fields by name


def drawn(**fields: object) -> timeline.Timeline:
    return timeline.lay_out(seen(**fields), START, START + 200 * S, str(fields.pop("chosen", "")) or None)


@pytest.mark.parametrize(
    ("slot", "tone"), [(10 * S, "faster"), (58 * S, "baseline"), (62 * S, "baseline"), (600 * S, "slower")]
)
def test_a_tempo_is_told_against_its_baseline(slot: timedelta, tone: str) -> None:
    shown = band.draw(job_at(slot), LIMITS, 60 * S)
    assert shown is not None
    assert shown.tone == tone


def test_a_band_lies_on_a_log_scale() -> None:
    shown = band.draw(job_at(100 * S, bounds=Bounds(10 * S, 1000 * S)), LIMITS, 60 * S)
    assert shown is not None
    assert shown.now_x == pytest.approx((band.LEFT + band.RIGHT) / 2, abs=0.1)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 10**9))
def test_no_tempo_leaves_the_drawing(slot_ms: int, low_ms: int, more_ms: int) -> None:
    ms = timedelta(milliseconds=1)
    bounds = Bounds(low_ms * ms, (low_ms + more_ms) * ms)
    shown = band.draw(job_at(slot_ms * ms, bounds=bounds), LIMITS, 60 * S)
    assert shown is not None
    assert shown.now_x is not None
    assert band.LEFT <= shown.now_x <= band.RIGHT


def mark(status: RunStatus, index: int = 0) -> Mark:
    return Mark(f"run_{index}", START + index * S, status, Trigger.SCHEDULED, None, 3, None, "")


def test_each_status_has_a_shape_of_its_own_kind() -> None:
    shown = strip.lay_out([mark(status, index) for index, status in enumerate(RunStatus)])
    assert shown.succeeded.count("M") == 1
    assert {each.shape for each in shown.columns} == {"bad", "skip", "odd", "live"}
    assert len(shown.columns) == len(RunStatus) - 1


def test_a_strip_ends_with_the_newest_run_and_holds_sixty() -> None:
    shown = strip.lay_out([mark(RunStatus.FAILED, index) for index in range(70)])
    assert [each.x for each in shown.columns] == [index * strip.STEP for index in range(strip.COLUMNS)]
    assert "12:01:09 UTC failed" in shown.columns[-1].title
    one = strip.lay_out([mark(RunStatus.FAILED)])
    assert one.columns[0].x == (strip.COLUMNS - 1) * strip.STEP


def test_instants_lie_in_order_and_within_the_axis() -> None:
    axis = TimeAxis(START, START + 100 * S, 0, 100)
    assert [axis.x(START + at * S) for at in (-5, 0, 50, 100, 105)] == [0, 0, 50, 100, 100]


@pytest.mark.parametrize("span", [10 * S, 900 * S, timedelta(hours=8), timedelta(days=8)])
def test_an_axis_has_a_few_round_ticks(span: timedelta) -> None:
    ticks = TimeAxis(START, START + span, 0, 1000).ticks()
    assert 2 <= len(ticks) <= 10
    assert [tick.place for tick in ticks] == sorted(tick.place for tick in ticks)


def test_longer_intervals_lie_higher() -> None:
    axis = interval_axis([2 * S, 60 * S], bottom=100, top=0)
    places = [axis.y(length * S) for length in (2, 10, 60)]
    assert places == sorted(places, reverse=True)
    assert all(0 <= tick.place <= 100 for tick in axis.ticks())


def test_the_interval_is_a_step_line_up_to_now_and_dashed_beyond() -> None:
    runs = [run_at(0), run_at(10), run_at(70)]
    coming = [ForecastItem(START + at * S, Source.BASELINE_INTERVAL, None) for at in (130, 190)]
    shown = drawn(runs=runs, forecast=coming)
    assert shown.past.count("V") == 1  # from 10 s to 60 s, once
    assert shown.past.endswith(f"H{shown.now_x}")
    assert shown.coming.startswith("M")
    assert len(shown.expected) == 2


def test_runs_that_lie_on_each_other_are_drawn_once_but_a_failure_always() -> None:
    runs = [run_at(0), run_at(0.1), run_at(0.2, RunStatus.FAILED, error_message="HTTP 500"), run_at(0.3)]
    assert [each.shape for each in drawn(runs=runs).runs] == ["ok", "bad", "ok"]
    assert "HTTP 500" in drawn(runs=runs).runs[1].title


@pytest.mark.parametrize(("bound", "is_lower"), [("min_interval", True), ("max_interval", False)])
def test_a_clamp_stands_at_the_edge_of_the_band_that_held(bound: str, *, is_lower: bool) -> None:
    clamp = Clamp(bound, START, START + 10 * S)
    decision = Decision(START + 5 * S, Source.HINT_INTERVAL, None, "because", clamps=(clamp,))
    shown = drawn(runs=[run_at(5, decision=decision)])
    (found,) = shown.clamps
    assert found.is_lower is is_lower
    assert found.y == (shown.band_bottom if is_lower else shown.band_top)


def test_hints_that_overlap_lie_in_lanes_and_none_covers_another() -> None:
    shown = drawn(hints=[hint_at(0, 100, "a"), hint_at(50, 100, "b"), hint_at(120, 20, "c")])
    assert [bar.id for bar in shown.bars] == ["a", "b", "c"]
    first, second, third = shown.bars
    assert first.y == third.y < second.y


def test_hints_without_room_are_counted_and_the_chosen_one_is_drawn() -> None:
    hints = [hint_at(number, 100, f"hint_{number}") for number in range(timeline.MOST_LANES + 2)]
    shown = timeline.lay_out(seen(hints=hints), START, START + 200 * S, hints[-1].id)
    assert shown.hidden_hints == 1
    assert [bar.id for bar in shown.bars if bar.is_chosen] == [hints[-1].id]


def test_proposed_and_applied_are_marked_where_they_lie() -> None:
    hint = evolve(hint_at(0, 100), proposed=START + 10 * S, applied=START + 20 * S)
    (bar,) = drawn(hints=[hint]).bars
    assert bar.proposed_x is not None
    assert bar.applied_x is not None
    assert bar.proposed_x < bar.applied_x


def test_a_job_that_never_ran_is_drawn_too() -> None:
    shown = drawn()
    assert (shown.past, shown.runs, shown.bars) == ("", (), ())


def test_a_timeline_reaches_as_far_back_as_thirty_runs() -> None:
    assert windows.fitting([], START) == "15m"
    assert windows.fitting([run_at(-60 * each) for each in range(30)], START) == "1h"
    assert windows.fitting([run_at(-86_400 * each) for each in range(30)], START) == "7d"


def test_a_day_is_followed_by_the_whole_forecast() -> None:
    begin, end = windows.window("24h", START)
    assert (START - begin, end - START) == (timedelta(hours=24), timedelta(hours=24))
    assert windows.window("1h", START)[1] == START + timedelta(minutes=24)


@given(st.timedeltas(timedelta(milliseconds=1), timedelta(days=3000)))
def test_a_form_reads_a_duration_as_it_writes_it(value: timedelta) -> None:
    value -= timedelta(microseconds=value.microseconds % 1000)
    assert read_duration(definitions.exact(value)) == value


@pytest.mark.parametrize("text", ["1 min 30 s", "250 ms", "2 d 4 h", "90s", "1h30m"])
def test_durations_are_read_as_pages_say_them(text: str) -> None:
    found = read_duration(text)
    assert found is not None
    assert read_duration(duration(found)) == found


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5", "1h and 5m", "9" * 40 + "d", "999999999999999d", "٣s"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert read_duration(text) is None


def test_numbers_of_a_list_stand_in_a_line() -> None:
    assert pretty({"merits": [1.5, -2, 3e-9], "words": ["a"]}) == (
        '{\n  "merits": [ 1.5, -2, 3e-09 ],\n  "words": [\n    "a"\n  ]\n}'
    )
