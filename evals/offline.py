"""The offline planner without its agent: the same advice through the same tools, at a twentieth of the time.

A test plays both and compares what they propose.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core.sessions import Outcome, Plan, PlanningContext, Usage
from planner.offline import OFFLINE, SOON, advise, next_look
from planner.recollection import notes_call, rhythm_of
from planner.rhythm import Rhythm
from tools.catalogue import CATALOGUE
from tools.workbench import Answer, Workbench


@dataclass(frozen=True)
class DirectOfflinePlanner:
    """The planner port on the offline policy. It is free and looks as often as it likes; with `tokens` a session it
    costs what a model would, and is woken by the gate alone (`every_run`: after each run)."""

    tokens: int = 0
    every_run: bool = False

    @property
    def worst_case_tokens(self) -> int:
        """What a session costs."""
        return self.tokens

    async def plan(self, context: PlanningContext) -> Plan:
        """Take the advice, call its tool, keep the notes."""
        bench, rhythm = Workbench(context), rhythm_of(context)
        advice = advise(context, rhythm)
        if advice.tool is not None:
            arguments = advice.arguments or {}
            bench.record("call", advice.tool, arguments, _call(advice.tool, bench, arguments))
        calls = (*bench.calls, notes_call(rhythm)) if rhythm is not None else tuple(bench.calls)
        return Plan(
            outcome=Outcome.COMPLETED,
            planner="offline",
            model=OFFLINE,
            input_summary="",
            proposals=tuple(bench.staged),
            calls=calls,
            usage=Usage(1, self.tokens, 0) if self.tokens else Usage(),
            reasoning=advice.words,
            next_analysis_in=self._next_look(context, rhythm),
        )

    def _next_look(self, context: PlanningContext, rhythm: Rhythm | None) -> timedelta | None:
        if self.every_run:
            return SOON
        return None if self.tokens else next_look(context, rhythm)


def _call(tool: str, bench: Workbench, arguments: dict[str, Any]) -> Answer:
    propose: Any = CATALOGUE[tool]
    answer: Answer = propose(bench, "call", **arguments)
    return answer
