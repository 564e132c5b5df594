"""One run's request or call: built, sent, judged. Whatever happens, the run has an end with a reason."""

from collections.abc import Awaitable
from dataclasses import field

from core.entities import HttpAction, Job, Run, RunStatus, TargetAction, Trigger
from core.ids import webhook_id
from core.ports.dispatcher import Dispatcher, HttpRequest, HttpResult
from core.ports.targets import TargetCall, TargetRunner
from core.record import record
from core.usecases.begin import PLAIN_ATTEMPTS
from core.usecases.settle import Finished, finish

EXCERPT_CHARS = 4096  # what a run row keeps of a response


class NoTargets:
    """The targets port of a worker that has none."""

    async def call(self, call: TargetCall) -> HttpResult:
        """Answer that there is no such target."""
        error = f"This worker has no target {call.target}"
        return HttpResult(status_code=None, duration_ms=0, error=error, error_code="unknown_target")


@record
class Sender:
    """Sends through `dispatcher` or calls through `targets`, as the job's action says; through `isolated` or
    `isolated_targets`, in a process of its own, what may have killed workers before."""

    dispatcher: Dispatcher
    isolated: Dispatcher | None = None
    targets: TargetRunner = field(default_factory=NoTargets)
    isolated_targets: TargetRunner | None = None

    async def exchange(self, job: Job, run: Run) -> tuple[Finished, str | None]:
        """Return how the run ended, and why its job must be parked, if it must."""
        apart = self._apart(job, run) if run.attempt > PLAIN_ATTEMPTS else None
        if apart is None:
            return await self.send(job, run), None
        try:
            result = await apart
        except Exception as error:  # noqa: BLE001 - whatever killed the process, this job is set aside
            reason = f"its run failed in a process of its own: {error}"
            return Finished(RunStatus.FAILED, error_message=f"Given up: {reason}"[:500]), reason
        return _finish(job, result), None

    async def send(self, job: Job, run: Run) -> Finished:
        """Send from this process. Nothing that a target or a client does escapes."""
        try:
            result = await self._here(job, run)
        except Exception as error:  # noqa: BLE001 - a target that makes the client fail ends its run with a reason
            return Finished(RunStatus.FAILED, error_message=f"The request could not be sent: {type(error).__name__}")
        try:
            return _finish(job, result)
        except Exception as error:  # noqa: BLE001 - a response of any shape ends its run with a reason
            return Finished(RunStatus.FAILED, error_message=f"The answer could not be read: {type(error).__name__}")

    def _here(self, job: Job, run: Run) -> Awaitable[HttpResult]:
        action = job.definition.action
        if isinstance(action, HttpAction):
            return self.dispatcher.send(_request(job, run, action))
        return self.targets.call(_call(job, run, action))

    def _apart(self, job: Job, run: Run) -> Awaitable[HttpResult] | None:
        action = job.definition.action
        if isinstance(action, HttpAction):
            return self.isolated.send(_request(job, run, action)) if self.isolated is not None else None
        return self.isolated_targets.call(_call(job, run, action)) if self.isolated_targets is not None else None


def _finish(job: Job, result: HttpResult) -> Finished:
    return finish(job.definition, result, excerpt_chars=EXCERPT_CHARS, for_rules=job.schedule.rules_seq > 0)


def _request(job: Job, run: Run, action: HttpAction) -> HttpRequest:
    return HttpRequest(
        url=action.url,
        tenant_id=job.tenant_id,
        method=action.method,
        headers=action.headers,
        body_json=action.body_json,
        timeout=action.timeout,
        webhook_id=_slot_id(run),
        keep_body=job.definition.store_responses
        or job.definition.success.json_pointer is not None
        or job.schedule.rules_seq > 0,
        sealed_headers=action.sealed_headers,
        sealed_body=action.sealed_body,
    )


def _call(job: Job, run: Run, action: TargetAction) -> TargetCall:
    return TargetCall(
        target=action.target,
        payload=action.payload,
        timeout=action.timeout,
        tenant_id=job.tenant_id,
        job_id=job.id,
        job_key=job.definition.key,
        run_id=run.id,
        call_id=_slot_id(run),
        slot=run.scheduled_for,
        trigger=run.trigger,
        attempt=run.attempt,
    )


def _slot_id(run: Run) -> str:
    by_hand = run.id if run.trigger is Trigger.MANUAL else ""
    return webhook_id(run.job_id, run.scheduled_for, run.trigger, by_hand)
