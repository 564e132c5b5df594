"""What ties a trace together: ids that every process derives alike, one decision on sampling, and a header."""

import re

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from core.entities import RunStatus
from core.ports.dispatcher import HttpRequest, HttpResult
from core.record import evolve
from rubato.adapters.tracing.identity import context_of, trace_id_of, traceparent
from rubato.adapters.tracing.setup import Tracing, tracing
from tests.unit.contexts import run
from tests.unit.fakes import FakeClock


class Recording:
    """A dispatcher that keeps what it was given and answers 200, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[HttpRequest] = []
        self._error = error

    async def send(self, request: HttpRequest) -> HttpResult:
        self.sent.append(request)
        if self._error is not None:
            raise self._error
        return HttpResult(status_code=200, duration_ms=5)

    async def close(self) -> None:
        """Nothing is open."""


def traced(ratio: float = 1.0) -> tuple[Tracing, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return tracing(SimpleSpanProcessor(exporter), FakeClock(), role="worker", process="w1", ratio=ratio), exporter


def request(run_id: str, **headers: str) -> HttpRequest:
    return HttpRequest(url="https://shop.example/queue", headers=headers, run_id=run_id, attempt=2)


def test_every_process_derives_the_same_ids_and_every_part_its_own() -> None:
    assert trace_id_of("run_a") == trace_id_of("run_a") != trace_id_of("run_b")
    parts = {context_of("run_a", attempt, part).span_id for attempt in (1, 2) for part in ("run", "dispatch")}
    assert len(parts) == 4
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", traceparent(context_of("run_a", 1)))


async def test_a_target_is_told_its_place_unless_the_job_tells_one_itself() -> None:
    made, _ = traced()
    inner = Recording()
    await made.dispatcher(inner).send(request("run_a"))
    await made.dispatcher(inner).send(request("run_b", TraceParent="of the user"))
    assert inner.sent[0].traceparent == traceparent(context_of("run_a", 2, "dispatch"))
    assert inner.sent[1].traceparent is None


async def test_a_share_of_runs_is_traced_and_every_process_agrees_which() -> None:
    made, _ = traced(0.25)
    again, _ = traced(0.25)
    names = [f"run_{number}" for number in range(2000)]
    chosen = [name for name in names if made.trace_of(name) is not None]
    assert 400 < len(chosen) < 600
    assert chosen == [name for name in names if again.trace_of(name) is not None]
    inner = Recording()
    await made.dispatcher(inner).send(request(next(name for name in names if name not in chosen)))
    assert inner.sent[0].traceparent is None


async def test_a_request_that_raised_stands_in_the_trace_as_an_error() -> None:
    made, exporter = traced()
    failed = evolve(run(0), status=RunStatus.FAILED)
    with pytest.raises(OSError, match="no way out"):
        await made.dispatcher(Recording(OSError("no way out"))).send(request(failed.id))
    made.runs.settled(failed, made.runs.now_ns(), "baseline")
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {"run", "dispatch", "settle"}
    assert dict(spans["dispatch"].attributes or {})["error.type"] == "given_up"
    assert not spans["run"].status.is_ok


async def test_a_run_that_another_worker_sent_is_not_told_of_here() -> None:
    made, exporter = traced()
    made.runs.claimed(run(0).job_id, 1, 2)
    made.runs.settled(run(0), made.runs.now_ns(), "baseline")
    assert exporter.get_finished_spans() == ()
