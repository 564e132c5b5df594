"""Putting cases to a planner, several at once and more than once, and comparing two reports.

A transcript is the conversation that a session keeps. A report of a model's cases can be played again from it without
network: the recorded answers go through the same agent, tools and judges.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_ai import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from rich.table import Table

from core.errors import ConfigurationError
from core.ports.planner import Planner
from evals.cases.case import Case
from evals.cases.judge import acts_of, faults
from planner.llm import LlmPlanner

ENDED = "The recording ends here."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one case, tried once."""

    case: str
    attempt: int
    acts: tuple[str, ...]
    faults: tuple[str, ...]
    tokens: int
    transcript: str | None = None

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing is wrong with it."""
        return not self.faults


async def try_cases(
    cases: Sequence[Case],
    planner_for: Callable[[Case, int], Planner],
    *,
    repeat: int = 1,
    concurrency: int = 4,
    done: Callable[[], None] = lambda: None,
) -> list[Verdict]:
    """Put every case to a planner `repeat` times, `concurrency` at once; verdicts in the order of cases."""
    places = asyncio.Semaphore(concurrency)

    async def one(case: Case, attempt: int) -> Verdict:
        async with places:
            plan = await planner_for(case, attempt).plan(case.context())
        done()
        return Verdict(
            case.name, attempt, tuple(acts_of(plan)), tuple(faults(case, plan)), plan.usage.tokens, plan.messages
        )

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(case, attempt)) for case in cases for attempt in range(repeat)]
    return [task.result() for task in tasks]


def replaying(report: Path) -> Callable[[Case, int], Planner]:
    """Return planners that answer as a report's transcripts do."""
    recorded = {(each.case, each.attempt): each.transcript for each in read_verdicts(report)}

    def planner_for(case: Case, attempt: int) -> Planner:
        transcript = recorded.get((case.name, attempt))
        if transcript is None:
            raise ConfigurationError(f"{report}: no transcript of case {case.name}, attempt {attempt}.")
        return LlmPlanner(_recorded(transcript), fall_back=False)

    return planner_for


def _recorded(transcript: str) -> FunctionModel:
    messages = ModelMessagesTypeAdapter.validate_json(transcript)
    answers = [message for message in messages if isinstance(message, ModelResponse)]

    def answer(asked: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        given = sum(isinstance(message, ModelResponse) for message in asked)
        return answers[given] if given < len(answers) else ModelResponse([TextPart(ENDED)])

    return FunctionModel(answer, model_name="recorded")


def write_verdicts(path: Path, verdicts: Sequence[Verdict], *, planner: str) -> None:
    """Write a report that can be compared and replayed."""
    document = {"planner": planner, "verdicts": [asdict(each) for each in verdicts]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_verdicts(path: Path) -> list[Verdict]:
    """Read a report. Raises ConfigurationError."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return [
            Verdict(**{**each, "acts": tuple(each["acts"]), "faults": tuple(each["faults"])})
            for each in document["verdicts"]
        ]
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}, line {error.lineno}: {error.msg}") from error
    except (OSError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: not a report of cases ({error}).") from error


def shown(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> Table:
    """Return a table of what was unsound, and how many were sound."""
    why = {case.name: case.entry.why for case in cases}
    sound = sum(each.is_sound for each in verdicts)
    tokens = sum(each.tokens for each in verdicts)
    title = f"{sound} of {len(verdicts)} decisions sound, {tokens} tokens"
    table = Table("case", "did", "what is wrong", "why it matters", title=title, title_justify="left")
    for each in verdicts:
        if not each.is_sound:
            table.add_row(each.case, ", ".join(each.acts), "; ".join(each.faults), why.get(each.case, ""))
    return table


def compared(before: Sequence[Verdict], after: Sequence[Verdict]) -> Table:
    """Return a table of the cases that two reports judge differently, soundness as a share of attempts."""
    one, other = _shares(before), _shares(after)
    table = Table("case", "before", "after", title="Cases that differ", title_justify="left")
    for name in sorted(one.keys() | other.keys()):
        was, now = one.get(name), other.get(name)
        if was != now:
            table.add_row(name, "-" if was is None else f"{was:.0%}", "-" if now is None else f"{now:.0%}")
    total = (f"{sum(shares.values()) / len(shares):.0%}" if shares else "-" for shares in (one, other))
    table.add_row("all", *total, style="bold")
    return table


def _shares(verdicts: Sequence[Verdict]) -> dict[str, float]:
    found: dict[str, list[bool]] = {}
    for each in verdicts:
        found.setdefault(each.case, []).append(each.is_sound)
    return {name: sum(sound) / len(sound) for name, sound in found.items()}
