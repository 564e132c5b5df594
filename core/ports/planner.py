"""The planner port."""

from typing import Protocol

from core.sessions import Plan, PlanningContext


class Planner(Protocol):
    """Looks at one job and stages proposals. It writes nothing and raises nothing for a model's faults."""

    @property
    def worst_case_tokens(self) -> int:
        """Tokens that one session can use at the most; the quota guard reserves that many. 0: costs nothing."""
        ...

    async def plan(self, context: PlanningContext) -> Plan:
        """Return within the planner's own deadline, whatever the model does."""
        ...
