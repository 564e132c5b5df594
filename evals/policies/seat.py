"""A policy behind the planner port: it acts through the same tools as a model, and the governor judges it alike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from core.sessions import Outcome, Plan, PlanningContext, Verdict
from evals.looks import look_of
from evals.policies.policy import Policy
from tools.proposing import LONGEST_TTL_MS, propose_interval
from tools.workbench import Workbench

NEXT_RUN = timedelta(seconds=1)  # a policy wants to see every run, whatever the gate says


@dataclass
class PolicyPlanner:
    """Asks a policy of its own for each job, after every run, for the interval until the next."""

    name: str
    make: Callable[[], Policy]
    _policies: dict[str, Policy] = field(default_factory=dict)

    @property
    def worst_case_tokens(self) -> int:
        """None."""
        return 0

    async def plan(self, context: PlanningContext) -> Plan:
        """Show the policy the newest run, and propose what it says for as long as a hint may live."""
        bench = Workbench(context)
        newest, before = context.runs[0], context.runs[1] if len(context.runs) > 1 else None
        policy = self._policies.get(context.job.id)
        if policy is None:
            policy = self._policies[context.job.id] = self.make()
        interval_ms = max(1, round(policy.next_interval(look_of(newest, before)) * 1000))
        arguments = {"interval_ms": interval_ms, "ttl_ms": LONGEST_TTL_MS, "reason": self.name}
        answer = propose_interval(bench, "call", interval_ms=interval_ms, ttl_ms=LONGEST_TTL_MS, reason=self.name)
        bench.record("call", "propose_interval", arguments, answer)
        if answer.verdict is Verdict.REJECTED:
            return Plan(Outcome.FAILED, self.name, "none", "", calls=tuple(bench.calls), error=answer.message)
        return Plan(
            outcome=Outcome.COMPLETED,
            planner=self.name,
            model="none",
            input_summary="",
            proposals=tuple(bench.staged),
            calls=tuple(bench.calls),
            next_analysis_in=NEXT_RUN,
        )
