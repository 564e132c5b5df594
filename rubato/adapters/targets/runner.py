"""The targets port in this process: each call on a thread, ended by its deadline."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from core.ports.clock import Clock
from core.ports.dispatcher import MAXIMUM_TIMEOUT, MINIMUM_TIMEOUT, HttpResult
from core.ports.targets import TargetCall
from rubato.adapters.targets.calls import HandlerThread, Outcome
from rubato.adapters.targets.context import Context
from rubato.adapters.targets.registry import Registry, Target

MOST_THREADS = 1000  # a worker has at most a quarter more runs out than BATCH_SIZE; beyond them are handlers that hang


class LocalTargets:
    """Calls handlers, each job's one at a time.

    A plain function cannot be ended from outside. One that has not returned by its deadline is told so, its run fails,
    and its job's next runs fail too until it has returned: two calls of one job never overlap in a worker.
    """

    def __init__(self, registry: Registry, clock: Clock, *, most_threads: int = MOST_THREADS) -> None:
        self._registry, self._clock, self._most_threads = registry, clock, most_threads
        self._threads: dict[HandlerThread, str] = {}

    async def call(self, call: TargetCall) -> HttpResult:
        """Call a target once and report."""
        begun = self._clock.monotonic()
        found = self._registry.get(call.target)
        if found is None:
            known = ", ".join(self._registry.names()) or "none"
            return _failed(f"This worker has no target {call.target}; known: {known}", "unknown_target")
        try:
            payload = found.read(call.payload)
        except ValidationError as error:
            return _failed(f"The payload does not fit {call.target}: {_brief(error)}", "invalid_payload")
        if any(job_id == call.job_id and thread.is_given_up for thread, job_id in self._threads.items()):
            return _failed("The call before, which timed out, has not stopped yet", "still_running")
        if len(self._threads) >= self._most_threads:
            return _failed(f"{len(self._threads)} calls are out in this worker and do not end", "too_many_calls")
        outcome = await self._outcome(call, found, payload)
        return HttpResult(
            status_code=None,
            duration_ms=round((self._clock.monotonic() - begun) * 1000),
            body=outcome.body,
            body_bytes=outcome.body_bytes,
            truncated=outcome.truncated,
            content_type="application/json" if outcome.body is not None else None,
            error=outcome.error,
            error_code="target_failed" if outcome.error is not None else None,
        )

    async def close(self) -> None:
        """Ask every handler that is still out to stop; safe to call twice."""
        for thread in list(self._threads):
            thread.cancel()

    async def _outcome(self, call: TargetCall, found: "Target[..., Any]", payload: Any) -> Outcome:
        timeout = min(max(call.timeout, MINIMUM_TIMEOUT), MAXIMUM_TIMEOUT)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()

        def ended(thread: HandlerThread, outcome: Outcome) -> None:
            self._threads.pop(thread, None)
            if not answer.done():
                answer.set_result(outcome)

        def on_end(outcome: Outcome) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the handler did
                loop.call_soon_threadsafe(ended, thread, outcome)

        thread = HandlerThread(found.handler, payload, self._context(call, timeout), on_end)
        self._threads[thread] = call.job_id
        thread.start()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await answer
        except TimeoutError:
            return Outcome(error=f"Target timed out after {timeout // timedelta(milliseconds=1)}ms")
        finally:
            if thread in self._threads:
                thread.cancel()

    def _context(self, call: TargetCall, timeout: timedelta) -> Context:
        logger = structlog.get_logger(f"rubato.target.{call.target}").bind(
            target=call.target, job_id=call.job_id, run_id=call.run_id, attempt=call.attempt
        )
        return Context(
            target=call.target,
            tenant_id=call.tenant_id,
            job_id=call.job_id,
            job_key=call.job_key,
            run_id=call.run_id,
            call_id=call.call_id,
            slot=call.slot,
            trigger=call.trigger,
            attempt=call.attempt,
            deadline=self._clock.now() + timeout,
            logger=logger,
        )


def _failed(error: str, code: str) -> HttpResult:
    return HttpResult(status_code=None, duration_ms=0, error=error, error_code=code)


def _brief(error: ValidationError) -> str:
    issues = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}" for each in issues)[:300]
