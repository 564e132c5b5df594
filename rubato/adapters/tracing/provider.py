"""Where spans go: to a collector over OTLP, in the background, and never in anybody's way."""

from importlib.metadata import PackageNotFoundError, version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from rubato.adapters.tracing.identity import DerivedIds

EXPORT_S = 10  # one export, and the last one at a process's end


def otlp_processor(endpoint: str) -> SpanProcessor:
    """Return what sends to a collector; `endpoint` is its base address, such as http://127.0.0.1:4318.

    Headers (for a hosted collector's key) come from OTEL_EXPORTER_OTLP_HEADERS, which the exporter reads.
    """
    return BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S))


def tracer_provider(processor: SpanProcessor, *, role: str, ratio: float) -> TracerProvider:
    """Return a provider of its own, not the global one. `ratio`: of runs that are traced, the same ones everywhere."""
    try:
        release = version("rubato-scheduler")
    except PackageNotFoundError:
        release = "0"
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": "rubato", "service.version": release, "rubato.role": role}),
        id_generator=DerivedIds(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    return provider
