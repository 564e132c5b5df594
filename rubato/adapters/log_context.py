"""Ids on lines that others write: whatever a model's library logs during a session says whose session it was."""

from structlog.contextvars import bound_contextvars

from core.ports.planner import Planner
from core.sessions import Plan, PlanningContext


class LoggedPlanner:
    """Plans through another planner, with the ids of the job and of the run it looks at on every line meanwhile."""

    def __init__(self, inner: Planner) -> None:
        self._inner = inner

    @property
    def worst_case_tokens(self) -> int:
        """Return what the other says."""
        return self._inner.worst_case_tokens

    async def plan(self, context: PlanningContext) -> Plan:
        """Plan with the ids bound."""
        ids = {"tenant_id": context.job.tenant_id, "job_id": context.job.id}
        started = [run.id for run in context.runs if run.started_at is not None]
        if started:
            ids["run_id"] = started[0]  # the newest: it stands first
        with bound_contextvars(**ids):
            return await self._inner.plan(context)
