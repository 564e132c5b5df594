"""A run's trace: claim -> dispatch -> settle, told when the run has ended.

The run loop is a pipeline in which claims, marks and settlements are batches; what they share is noted as they pass and
the spans are made from the notes, with the times they had.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from core.entities import Run, RunStatus
from core.ports.clock import Clock
from core.ports.dispatcher import HttpRequest, HttpResult
from rubato.adapters.tracing.identity import context_of, identity, trace_id_of

REMEMBERED = 20_000  # claims whose run has not ended; several times what a worker may have in its hands
ENDED = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.UNKNOWN, RunStatus.CANCELED)
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it went. Instants in nanoseconds since the epoch."""

    begun_ns: int
    ended_ns: int
    method: str
    host: str
    status_code: int | None
    error_code: str | None


class RunTraces:
    """Notes what happens to runs, and makes their spans."""

    def __init__(self, provider: TracerProvider, clock: Clock, *, worker_id: str, ratio: float) -> None:
        self._tracer = provider.get_tracer("rubato.runs")
        self._sampler = TraceIdRatioBased(ratio)
        self._clock, self._worker_id = clock, worker_id
        self._claims: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._exchanges: OrderedDict[str, Exchange] = OrderedDict()

    def now_ns(self) -> int:
        """Return the instant."""
        return int(self._clock.now().timestamp() * _NS)

    def is_traced(self, run_id: str) -> bool:
        """Tell whether this run is one of those that are traced; every process says the same."""
        return trace_id_of(run_id) & 0xFFFF_FFFF_FFFF_FFFF < self._sampler.bound

    def claimed(self, job_id: str, begun_ns: int, ended_ns: int) -> None:
        """Note when a job was claimed."""
        _keep(self._claims, job_id, (begun_ns, ended_ns))

    def exchanged(self, request: HttpRequest, host: str, begun_ns: int, result: HttpResult | None) -> None:
        """Note how a request went; None: it raised, or was given up."""
        status, error = (result.status_code, result.error_code) if result is not None else (None, "given_up")
        exchange = Exchange(begun_ns, self.now_ns(), request.method, host, status, error)
        _keep(self._exchanges, request.run_id, exchange)

    def settled(self, run: Run, begun_ns: int, next_source: str | None) -> None:
        """Make the spans of a run that has ended. A run that this process did not send is another's to tell of."""
        exchange = self._exchanges.pop(run.id, None)
        claim = self._claims.pop(run.job_id, None)
        if exchange is None or run.status not in ENDED:
            return
        whole = context_of(run.id, run.attempt)
        attributes: dict[str, Any] = {
            "rubato.tenant_id": run.tenant_id,
            "rubato.job_id": run.job_id,
            "rubato.run_id": run.id,
            "rubato.attempt": run.attempt,
            "rubato.trigger": run.trigger.value,
            "rubato.outcome": run.status.value,
            "rubato.scheduled_for": run.scheduled_for.isoformat(),
            "rubato.worker_id": self._worker_id,
        }
        with identity(whole):
            root = self._tracer.start_span(
                "run", Context(), start_time=claim[0] if claim else exchange.begun_ns, attributes=attributes
            )
        within = set_span_in_context(root)
        if claim is not None:
            self._tracer.start_span("claim", within, start_time=claim[0]).end(claim[1])
        self._dispatch(run, exchange, within)
        told = {"rubato.next_source": next_source} if next_source else None
        ended_ns = self.now_ns()
        self._tracer.start_span("settle", within, start_time=begun_ns, attributes=told).end(ended_ns)
        if run.status is not RunStatus.SUCCEEDED:
            root.set_status(Status(StatusCode.ERROR, run.status.value))
        root.end(ended_ns)

    def _dispatch(self, run: Run, exchange: Exchange, within: Context) -> None:
        attributes: dict[str, Any] = {"http.request.method": exchange.method, "server.address": exchange.host}
        if exchange.status_code is not None:
            attributes["http.response.status_code"] = exchange.status_code
        if exchange.error_code is not None:
            attributes["error.type"] = exchange.error_code
        with identity(context_of(run.id, run.attempt, "dispatch")):
            span = self._tracer.start_span(
                "dispatch", within, kind=SpanKind.CLIENT, start_time=exchange.begun_ns, attributes=attributes
            )
        if exchange.error_code is not None or (exchange.status_code or 0) >= 400:
            span.set_status(Status(StatusCode.ERROR))
        span.end(exchange.ended_ns)


def _keep(notes: "OrderedDict[str, Any]", key: str, note: Any) -> None:
    """Keep a note, and forget the oldest one there is no room for: its run went another way."""
    notes[key] = note
    if len(notes) > REMEMBERED:
        notes.popitem(last=False)
