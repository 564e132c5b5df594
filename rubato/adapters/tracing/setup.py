"""What a process that traces is made of."""

from dataclasses import dataclass

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from core.ports.clock import Clock
from core.ports.dispatcher import Dispatcher
from core.ports.planner import Planner
from rubato.adapters.tracing.dispatcher import TracedDispatcher
from rubato.adapters.tracing.identity import trace_id_of
from rubato.adapters.tracing.planner import TracedPlanner
from rubato.adapters.tracing.provider import tracer_provider
from rubato.adapters.tracing.runs import RunTraces


@dataclass(frozen=True, slots=True)
class Tracing:
    """The provider of spans, and what is put around the parts of a worker."""

    provider: TracerProvider
    runs: RunTraces

    def dispatcher(self, inner: Dispatcher) -> TracedDispatcher:
        """Return a dispatcher that tells targets and notes exchanges."""
        return TracedDispatcher(inner, self.runs)

    def planner(self, inner: Planner) -> TracedPlanner:
        """Return a planner whose sessions are spans."""
        return TracedPlanner(inner, self.provider)

    def trace_of(self, run_id: str) -> str | None:
        """Return a run's trace as log lines name it; None when it is not traced."""
        return f"{trace_id_of(run_id):032x}" if self.runs.is_traced(run_id) else None

    def close(self) -> None:
        """Send what is left. Blocks, for as long as one export may take."""
        self.provider.shutdown()


def tracing(processor: SpanProcessor, clock: Clock, *, role: str, process: str, ratio: float) -> Tracing:
    """Build it; `process` names this process among all."""
    provider = tracer_provider(processor, role=role, ratio=ratio)
    return Tracing(provider, RunTraces(provider, clock, worker_id=process, ratio=ratio))
