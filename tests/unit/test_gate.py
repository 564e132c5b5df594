"""What wakes the planner, and what does not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import Author, Hint, HintKind, RunStatus, Slot, SlotKind, Source
from core.gate import FIRST_RUNS, Answer, GateVerdict, Judgement, judge_run
from tests.unit.fakes import START

BASELINE = Slot(START, Source.BASELINE_INTERVAL, SlotKind.BASELINE)


@dataclass
class Watched:
    """A job's gate, run after run; the first runs are behind it."""

    state: bytes = b""
    now: datetime = START
    analysis_at: datetime | None = None
    hints: Sequence[Hint] = ()
    judged: list[Judgement] = field(default_factory=list)

    def run(
        self,
        body: object = None,
        *,
        code: int = 200,
        took_ms: int = 20,
        slot: Slot | None = BASELINE,
        version: int = 1,
        covered: bool = False,
    ) -> GateVerdict:
        status = RunStatus.SUCCEEDED if code < 400 else RunStatus.FAILED
        text = body if isinstance(body, str) else json.dumps(body if body is not None else {"status": "ok"})
        self.now += timedelta(minutes=1)
        done = judge_run(
            self.state,
            Answer(status, code, took_ms, text, slot),
            job_version=version,
            hints=self.hints,
            next_analysis_at=self.analysis_at,
            now=self.now,
            covered=covered,
        )
        self.state = done.state
        self.judged.append(done)
        return done.verdict

    def known(self, body: object = None) -> "Watched":
        for _ in range(FIRST_RUNS):
            assert self.run(body) is GateVerdict.FIRST_RUNS
        return self


def test_the_first_runs_of_a_job_and_of_an_edited_one_pass() -> None:
    watched = Watched().known()
    assert watched.run() is GateVerdict.STEADY
    assert [watched.run(version=2) for _ in range(FIRST_RUNS + 1)] == [
        *[GateVerdict.FIRST_RUNS] * FIRST_RUNS,
        GateVerdict.STEADY,
    ]


def test_the_same_answer_is_steady_and_leaves_the_state_as_it_is() -> None:
    watched = Watched().known()
    before = watched.state
    assert {watched.run() for _ in range(50)} == {GateVerdict.STEADY}
    assert watched.state == before


def test_a_change_of_status_passes_both_ways() -> None:
    watched = Watched().known()
    assert watched.run(code=503) is GateVerdict.STATUS_CHANGED
    assert watched.run(code=503) is GateVerdict.STEADY
    assert watched.run() is GateVerdict.STATUS_CHANGED


def test_a_failure_streak_passes_at_three_and_at_each_doubling() -> None:
    watched = Watched().known()
    verdicts = [watched.run(code=500) for _ in range(30)]
    assert [at for at, verdict in enumerate(verdicts, 1) if verdict is GateVerdict.FAILING] == [3, 6, 12, 24]


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ({"status": "idle"}, {"status": "busy"}, "status"),
        ({"queue": {"depth": 10}}, {"queue": {"depth": 13}}, "queue/depth"),
        ({"depth": 0}, {"depth": 1}, "depth"),
        ({"error_rate": 0.01}, {"error_rate": 0.2}, "error_rate"),
        ({"ready": True}, {"ready": False}, "ready"),
        ({"items": [1, 2]}, {"items": [1, 2, 3]}, "items/items, items/length"),
        ({"a": 1}, {"a": 1, "b": 2}, "its fields"),
        ({"a": 1, "b": 2}, {"a": 1}, "its fields"),
        ("all is well", "the queue is full", "line 1"),
        ('{"state":"ok","rest":"cut he', '{"state":"bad","rest":"cut he', "state 1"),
    ],
)
def test_a_change_in_the_answer_passes_and_is_named(before: object, after: object, named: str) -> None:
    watched = Watched().known(before)
    assert watched.run(before) is GateVerdict.STEADY
    assert watched.run(after) is GateVerdict.RESPONSE_CHANGED
    assert watched.judged[-1].why == named
    assert watched.run(after) is GateVerdict.STEADY


@pytest.mark.parametrize(
    "answers",
    [
        [{"load": 50 + number % 3} for number in range(12)],
        [{"ok": True, "checked_at": f"2026-01-05T12:00:{number:02}Z"} for number in range(12)],
        [{"ok": True, "request_id": f"r{number}"} for number in range(12)],
        [{"rows": [{"id": 1, "ts": number}]} for number in range(12)],
        [{"tags": ["a", "b"] if number % 2 else ["b", "a"]} for number in range(12)],
        [f"up since 2026-01-05 12:00:{number:02}" for number in range(12)],
        [{"epoch": 1_700_000_000 + number * 60} for number in range(12)],
    ],
)
def test_noise_that_is_known_as_such_never_passes(answers: list[object]) -> None:
    watched = Watched().known(answers[0])
    assert {watched.run(answer) for answer in answers} == {GateVerdict.STEADY}


@pytest.mark.parametrize(
    "answer",
    [
        lambda number: {"token": f"x{number * 7919}", "state": "ok"},
        lambda number: {"dice": [5, 900, 40, 7000, 2][number % 5], "state": "ok"},
        lambda number: {"state": "ok", f"key{number}": 1},
        lambda number: "one line " + str(number * 7919),
    ],
)
def test_a_field_that_moves_at_every_run_is_learned_to_be_noise(answer: object) -> None:
    watched = Watched().known(answer(0))  # type: ignore[operator]
    verdicts = [watched.run(answer(number)) for number in range(1, 41)]  # type: ignore[operator]
    assert verdicts.count(GateVerdict.RESPONSE_CHANGED) <= 6
    assert set(verdicts[10:]) == {GateVerdict.STEADY}


def test_beside_noise_a_real_change_still_passes() -> None:
    watched = Watched().known({"token": "a", "state": "ok"})
    for number in range(20):
        watched.run({"token": f"x{number}", "state": "ok"})
    assert watched.run({"token": "y", "state": "degraded"}) is GateVerdict.RESPONSE_CHANGED
    assert watched.judged[-1].why == "state"


def test_what_is_known_of_healthy_answers_outlasts_failures() -> None:
    watched = Watched().known({"token": "a", "state": "ok"})
    for number in range(20):
        watched.run({"token": f"x{number}", "state": "ok"})
    for number in range(4):
        for failed in (500, None):
            watched.run("oops" if failed else {"token": f"y{number}{failed}", "state": "ok"}, code=failed or 200)
        assert watched.run({"token": f"z{number}", "state": "ok"}) is GateVerdict.STEADY
    watched.run("oops", code=500)
    watched.run({"token": "b", "state": "ok"})
    assert watched.run({"token": "c", "state": "bad"}) is GateVerdict.RESPONSE_CHANGED
    assert watched.judged[-1].why == "state"


def test_a_failure_that_says_something_else_passes() -> None:
    watched = Watched().known()
    watched.run("overloaded", code=503)
    assert watched.run("overloaded", code=503) is GateVerdict.STEADY
    assert watched.run("maintenance until 12:00", code=503) is not GateVerdict.STEADY
    assert watched.run("maintenance until 13:00", code=503) is GateVerdict.RESPONSE_CHANGED
    assert watched.judged[-1].why == "the error"


def test_a_number_that_rises_for_long_is_no_noise() -> None:
    watched = Watched().known({"depth": 3})
    verdicts = [watched.run({"depth": 3 * 2**number}) for number in range(1, 13)]
    assert set(verdicts) == {GateVerdict.RESPONSE_CHANGED}


def test_noise_that_stands_still_passes_once() -> None:
    watched = Watched().known({"state": "a"})
    for number in range(30):
        watched.run({"state": f"s{number}"})
    verdicts = [watched.run({"state": "stuck"}) for _ in range(20)]
    assert verdicts.count(GateVerdict.SETTLED) == 1
    assert watched.run({"state": "moves again"}) is GateVerdict.RESPONSE_CHANGED


def test_latency_passes_when_it_is_four_times_what_it_was_and_not_for_milliseconds() -> None:
    watched = Watched().known()
    assert watched.run(took_ms=45) is GateVerdict.STEADY
    assert watched.run(took_ms=900) is GateVerdict.LATENCY_CHANGED
    assert watched.run(took_ms=1200) is GateVerdict.STEADY


def test_what_a_rule_covers_wakes_nobody_but_a_failure_does() -> None:
    watched = Watched().known({"depth": 1})
    assert watched.run({"depth": 900}, covered=True) is GateVerdict.COVERED
    assert watched.run({"depth": 900}, code=500, covered=True) is GateVerdict.STATUS_CHANGED


def test_the_run_that_a_hint_asked_for_passes() -> None:
    watched = Watched().known()
    probe = Slot(START, Source.PAUSED_PLANNER, SlotKind.PROBE)
    asked = Slot(START, Source.HINT_NEXT_TIME, SlotKind.HINTED)
    assert [watched.run(slot=slot) for slot in (probe, asked, BASELINE)] == [
        GateVerdict.HINT_RAN,
        GateVerdict.HINT_RAN,
        GateVerdict.STEADY,
    ]


@pytest.mark.parametrize(("every", "at"), [(timedelta(minutes=1), 15), (timedelta(minutes=8), 12)])
def test_a_hint_about_to_expire_passes_once(every: timedelta, at: int) -> None:
    watched = Watched().known()
    born = watched.now
    watched.hints = [
        Hint("hint_1", "t", "j", HintKind.INTERVAL, Author.PLANNER, born, born + timedelta(minutes=20), every)
    ]
    verdicts = [watched.run() for _ in range(20)]
    assert verdicts.count(GateVerdict.HINT_ENDING) == 1
    assert verdicts.index(GateVerdict.HINT_ENDING) == at


def test_a_persons_hint_about_to_expire_wakes_nobody() -> None:
    watched = Watched().known()
    born = watched.now
    watched.hints = [
        Hint("hint_1", "t", "j", HintKind.INTERVAL, Author.USER, born, born + timedelta(minutes=20), timedelta(1))
    ]
    assert {watched.run() for _ in range(20)} == {GateVerdict.STEADY}


def test_an_analysis_that_is_due_passes() -> None:
    watched = Watched().known()
    watched.analysis_at = watched.now + timedelta(minutes=3)
    assert [watched.run() for _ in range(3)] == [GateVerdict.STEADY, GateVerdict.STEADY, GateVerdict.ANALYSIS_DUE]


def test_a_manual_run_is_judged_like_any_other() -> None:
    watched = Watched().known()
    assert watched.run({"status": "new"}, slot=None) is GateVerdict.RESPONSE_CHANGED


def test_a_state_of_another_release_begins_anew() -> None:
    watched = Watched(state=b"\xff" * 40).known()
    assert watched.run() is GateVerdict.STEADY


MANY = settings(max_examples=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@MANY
@given(st.lists(st.text(max_size=400) | JSON.map(json.dumps), max_size=8), st.binary(max_size=40))
def test_whatever_a_target_answers_the_gate_answers_and_its_state_stays_small(bodies: list[str], junk: bytes) -> None:
    watched = Watched(state=junk)
    for body in [*bodies, *bodies]:
        watched.run(body)
        assert len(watched.state) <= 320
        assert len(watched.judged[-1].note) <= 250


@MANY
@given(JSON.map(json.dumps))
def test_the_same_answer_twice_is_never_a_change(body: str) -> None:
    watched = Watched().known(body)
    assert watched.run(body) is GateVerdict.STEADY


@pytest.mark.parametrize(
    "body",
    [
        '{"a":' * 800,
        '{"a":' * 800 + "1" + "}" * 800,
        "[" * 2000 + "]" * 2000,
        '"' * 4096,
        '{"' + "\\" * 4000,
        '{"k":"' + "x" * 4000,
        '{"n":1e999,"m":-1e999,"h":' + "9" * 4000 + "}",
        '{"s":"\\ud800"}',
        '{"\\u0000status":1,"status":2,"latency":3}',
        "\0" * 100,
        json.dumps({f"k{number}": number for number in range(300)}),
    ],
)
def test_bodies_made_to_break_it_do_not(body: str) -> None:
    watched = Watched().known(body)
    assert watched.run(body) is GateVerdict.STEADY
    assert len(watched.state) <= 320
