"""Cases: each readable, each able to fail, the offline planner sound on all; transcripts play again without network."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_ai.models.function import FunctionModel
from rich.console import Console

from core.entities import HintKind
from core.errors import ConfigurationError
from core.sessions import Outcome, Plan, PlanningContext, Proposal
from evals.cases import command
from evals.cases.case import NOW, Case, Entry, read_cases
from evals.cases.judge import faults
from evals.cases.trial import compared, read_verdicts, replaying, shown, try_cases, write_verdicts
from evals.offline import DirectOfflinePlanner
from planner.llm import LlmPlanner
from planner.offline import offline_model

CASES = read_cases()


class Pausing:
    """Pauses whatever it sees for three hours."""

    worst_case_tokens = 0

    async def plan(self, context: PlanningContext) -> Plan:
        pause = Proposal(HintKind.PAUSE, "tired", "c", until=NOW + timedelta(hours=3))
        return Plan(Outcome.COMPLETED, "pausing", "m", "", (pause,))


def test_there_are_sixty_cases_with_a_reason_each_and_a_good_part_is_answered_by_doing_nothing() -> None:
    assert len(CASES) >= 60
    assert all(len(case.entry.why) > 10 for case in CASES)
    assert sum(case.entry.expect.acts == ("none",) for case in CASES) >= 10


async def test_the_offline_planner_is_sound_on_every_case() -> None:
    verdicts = await try_cases(CASES, lambda case, attempt: DirectOfflinePlanner())
    assert {each.case: each.faults for each in verdicts if not each.is_sound} == {}


async def test_a_planner_that_pauses_everything_is_unsound_on_every_case() -> None:
    verdicts = await try_cases(CASES, lambda case, attempt: Pausing())
    assert [each.case for each in verdicts if each.is_sound] == []
    assert "where" in verdicts[0].faults[0]


def test_a_session_that_failed_is_unsound_whatever_was_expected() -> None:
    (fault,) = faults(CASES[0], Plan(Outcome.TIMED_OUT, "llm", "m", "", error="no answer"))
    assert "timed_out" in fault


async def test_what_a_model_answered_plays_again_from_its_report_with_the_same_verdicts(tmp_path: Path) -> None:
    cases = [case for case in CASES if case.name in ("failing", "retry-after-seconds", "steady-ok")]

    def modelled(case: Case, attempt: int) -> LlmPlanner:
        inner = offline_model(case.context())
        assert inner.function is not None
        return LlmPlanner(FunctionModel(inner.function, model_name="scripted"), fall_back=False)

    first = await try_cases(cases, modelled, repeat=2, concurrency=2)
    assert len(first) == 6
    assert all(each.is_sound for each in first)
    report = tmp_path / "report.json"
    write_verdicts(report, first, planner="scripted")
    again = await try_cases(cases, replaying(report), repeat=2)
    assert [(each.case, each.acts, each.faults) for each in again] == [
        (each.case, each.acts, each.faults) for each in first
    ]
    with pytest.raises(ConfigurationError, match=r"no transcript of case .*, attempt 2"):
        replaying(report)(cases[0], 2)


async def test_a_comparison_shows_the_cases_that_two_reports_judge_differently() -> None:
    cases = CASES[:5]
    sound = await try_cases(cases, lambda case, attempt: DirectOfflinePlanner())
    unsound = await try_cases(cases, lambda case, attempt: Pausing())
    assert compared(sound, unsound).row_count == 6
    assert compared(sound, sound).row_count == 1
    assert shown(cases, unsound).row_count == 5


def test_the_command_says_what_a_model_needs() -> None:
    with pytest.raises(ConfigurationError, match="openai:NAME"):
        asyncio.run(command.run(command.Options(model="gpt"), Console(quiet=True)))
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        asyncio.run(command.run(command.Options(model="openai:m"), Console(quiet=True)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "line 1"),
        ("- a", "a mapping"),
        ("a: {why: w}", r"a\.expect"),
        ("a: {why: w, expect: {acts: [dance]}}", r"a\.expect\.acts"),
        ("a: {why: w, wit: 1, expect: {acts: [none]}}", r"a\.wit"),
    ],
)
def test_a_wrong_file_of_cases_is_told_where_and_why(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        read_cases(file)


def test_a_report_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text('{"verdicts": [{}]}')
    with pytest.raises(ConfigurationError, match="not a report"):
        read_verdicts(file)
    file.write_text("{\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        read_verdicts(file)


def test_an_instant_in_a_body_counts_from_now() -> None:
    answer = {"body": "until {+90} or {+-30}, {n}", "times": 2}
    case = Case("x", Entry.model_validate({"why": "w", "answers": [answer], "expect": {"acts": ["none"]}}))
    newest, before = case.context().runs
    assert newest.response_excerpt == "until 2026-01-05T12:01:30Z or 2026-01-05T11:59:30Z, 0"
    assert before.response_excerpt is not None
    assert before.response_excerpt.endswith(", 1")
