"""The dispatcher of a worker that traces: targets are told of the trace, and the exchange is noted."""

from urllib.parse import urlsplit

from core.ports.dispatcher import Dispatcher, HttpRequest, HttpResult
from rubato.adapters.tracing.identity import context_of, traceparent
from rubato.adapters.tracing.runs import RunTraces


class TracedDispatcher:
    """Sends through another dispatcher. A job that sends a `traceparent` of its own keeps it."""

    def __init__(self, inner: Dispatcher, traces: RunTraces) -> None:
        self._inner, self._traces = inner, traces

    async def send(self, request: HttpRequest) -> HttpResult:
        """Send it with its place in the trace."""
        if not request.run_id or not self._traces.is_traced(request.run_id):
            return await self._inner.send(request)
        if not any(name.lower() == "traceparent" for name in request.headers):
            place = context_of(request.run_id, request.attempt, "dispatch")
            request = request._replace(traceparent=traceparent(place))
        begun_ns = self._traces.now_ns()
        result: HttpResult | None = None
        try:
            result = await self._inner.send(request)
        finally:
            self._traces.exchanged(request, urlsplit(request.url or "").hostname or "", begun_ns, result)
        return result

    async def close(self) -> None:
        """Close the other."""
        await self._inner.close()
