"""The offline planner without its agent: the same advice through the same tools, at a twentieth of the time.

A test plays both and compares what they propose.
"""

from dataclasses import dataclass
from typing import Any

from core.sessions import Outcome, Plan, PlanningContext
from planner.offline import OFFLINE, advise, next_look
from planner.recollection import notes_call, rhythm_of
from tools.catalogue import CATALOGUE
from tools.workbench import Answer, Workbench


@dataclass(frozen=True)
class DirectOfflinePlanner:
    """The planner port on the offline policy."""

    @property
    def worst_case_tokens(self) -> int:
        """None."""
        return 0

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
            reasoning=advice.words,
            next_analysis_in=next_look(context, rhythm),
        )


def _call(tool: str, bench: Workbench, arguments: dict[str, Any]) -> Answer:
    propose: Any = CATALOGUE[tool]
    answer: Answer = propose(bench, "call", **arguments)
    return answer
