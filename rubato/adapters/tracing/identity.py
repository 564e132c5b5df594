"""Ids of traces and spans, derived from the run: every process that knows the run knows them, and nothing is stored.

So a worker that takes a run over goes on in the same trace, a target gets its `traceparent` before any span exists, and
a session in another process links to the run that woke it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import SpanContext, TraceFlags

_given: ContextVar[tuple[int, int] | None] = ContextVar("given span identity", default=None)


def trace_id_of(run_id: str) -> int:
    """Return a run's trace id."""
    return _number(f"trace {run_id}", 16)


def span_id_of(run_id: str, attempt: int, part: str = "run") -> int:
    """Return the id of a part of one attempt; `run` is the whole."""
    return _number(f"{part} {run_id} {attempt}", 8)


def context_of(run_id: str, attempt: int, part: str = "run") -> SpanContext:
    """Return where that span stands, for a link or a header."""
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id_of(run_id), span_id_of(run_id, attempt, part), is_remote=True, trace_flags=sampled)


def traceparent(context: SpanContext) -> str:
    """Return the header of W3C Trace Context."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class DerivedIds(IdGenerator):
    """Gives the next span the identity it was asked to have, and all others random ones."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        """Return a trace id."""
        given = _given.get()
        return given[0] if given else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """Return a span id."""
        given = _given.get()
        return given[1] if given else self._random.generate_span_id()


@contextmanager
def identity(context: SpanContext) -> Iterator[None]:
    """Let the one span that is started within have this identity."""
    token = _given.set((context.trace_id, context.span_id))
    try:
        yield
    finally:
        _given.reset(token)


def _number(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest(), "big") or 1
