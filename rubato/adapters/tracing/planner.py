"""The planner of a process that traces: a span a session, linked to the run that it looks at."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Status, StatusCode
from structlog.contextvars import bound_contextvars

from core.ports.planner import Planner
from core.sessions import Outcome, Plan, PlanningContext
from rubato.adapters.tracing.identity import context_of


class TracedPlanner:
    """Plans through another planner, whose model requests become spans within the session's."""

    def __init__(self, inner: Planner, provider: TracerProvider) -> None:
        self._inner, self._tracer = inner, provider.get_tracer("rubato.planner")

    @property
    def worst_case_tokens(self) -> int:
        """Return what the other says."""
        return self._inner.worst_case_tokens

    async def plan(self, context: PlanningContext) -> Plan:
        """Plan within a span."""
        newest = next((run for run in context.runs if run.started_at is not None), None)  # it stands first
        attributes = {"rubato.tenant_id": context.job.tenant_id, "rubato.job_id": context.job.id}
        links = []
        if newest is not None:
            attributes["rubato.run_id"] = newest.id
            links.append(Link(context_of(newest.id, newest.attempt)))
        with self._tracer.start_as_current_span("planner session", links=links, attributes=attributes) as span:
            with bound_contextvars(trace_id=f"{span.get_span_context().trace_id:032x}"):
                plan = await self._inner.plan(context)
            span.set_attribute("rubato.outcome", plan.outcome.value)
            span.set_attribute("gen_ai.request.model", plan.model)
            span.set_attribute("gen_ai.usage.input_tokens", plan.usage.input_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", plan.usage.output_tokens)
            span.set_attribute("rubato.proposals", len(plan.proposals))
            if plan.outcome is not Outcome.COMPLETED:
                span.set_status(Status(StatusCode.ERROR, plan.outcome.value))
            return plan
