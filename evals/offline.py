"""The offline planner without its agent: the same advice through the same tools, at a twentieth of the time.

A test plays both and compares what they propose.
"""

from dataclasses import dataclass

from core.sessions import Outcome, Plan, PlanningContext
from planner.offline import OFFLINE, advise
from planner.recollection import notes_call, rhythm_of
from tools.catalogue import PROPOSING
from tools.workbench import Workbench


@dataclass(frozen=True)
class DirectOfflinePlanner:
    """The planner port on the offline policy."""

    @property
    def worst_case_tokens(self) -> int:
        """None."""
        return 0

    async def plan(self, context: PlanningContext) -> Plan:
        """Take the advice, call its tool, keep the notes."""
        bench, advice = Workbench(context), advise(context)
        if advice.tool is not None:
            arguments = advice.arguments or {}
            bench.record("call", advice.tool, arguments, PROPOSING[advice.tool](bench, "call", **arguments))
        rhythm = rhythm_of(context)
        calls = (*bench.calls, notes_call(rhythm)) if rhythm is not None else tuple(bench.calls)
        return Plan(Outcome.COMPLETED, "offline", OFFLINE, "", tuple(bench.staged), calls, reasoning=advice.words)
