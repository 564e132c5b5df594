"""One run's request: built, sent, judged. Whatever happens, the run has an end with a reason."""

from core.entities import Job, Run, RunStatus, Trigger
from core.ids import webhook_id
from core.ports.dispatcher import Dispatcher, HttpRequest, HttpResult
from core.record import record
from core.usecases.begin import PLAIN_ATTEMPTS
from core.usecases.settle import Finished, finish

EXCERPT_CHARS = 4096  # what a run row keeps of a response


@record
class Sender:
    """Sends through `dispatcher`; through `isolated`, in a process of its own, what may have killed workers before."""

    dispatcher: Dispatcher
    isolated: Dispatcher | None = None

    async def exchange(self, job: Job, run: Run) -> tuple[Finished, str | None]:
        """Return how the run ended, and why its job must be parked, if it must."""
        if run.attempt <= PLAIN_ATTEMPTS or self.isolated is None:
            return await self.send(job, run), None
        try:
            result = await self.isolated.send(_request(job, run))
        except Exception as error:  # noqa: BLE001 - whatever killed the process, this job is set aside
            reason = f"its run failed in a process of its own: {error}"
            return Finished(RunStatus.FAILED, error_message=f"Given up: {reason}"[:500]), reason
        return _finish(job, result), None

    async def send(self, job: Job, run: Run) -> Finished:
        """Send from this process. Nothing that a target or a client does escapes."""
        try:
            result = await self.dispatcher.send(_request(job, run))
        except Exception as error:  # noqa: BLE001 - a target that makes the client fail ends its run with a reason
            return Finished(RunStatus.FAILED, error_message=f"The request could not be sent: {type(error).__name__}")
        try:
            return _finish(job, result)
        except Exception as error:  # noqa: BLE001 - a response of any shape ends its run with a reason
            return Finished(RunStatus.FAILED, error_message=f"The answer could not be read: {type(error).__name__}")


def _finish(job: Job, result: HttpResult) -> Finished:
    return finish(job.definition, result, excerpt_chars=EXCERPT_CHARS, for_rules=job.schedule.rules_seq > 0)


def _request(job: Job, run: Run) -> HttpRequest:
    action = job.definition.action
    by_hand = run.id if run.trigger is Trigger.MANUAL else ""
    return HttpRequest(
        url=action.url,
        tenant_id=job.tenant_id,
        method=action.method,
        headers=action.headers,
        body_json=action.body_json,
        timeout=action.timeout,
        webhook_id=webhook_id(run.job_id, run.scheduled_for, run.trigger, by_hand),
        keep_body=job.definition.store_responses
        or job.definition.success.json_pointer is not None
        or job.schedule.rules_seq > 0,
        sealed_headers=action.sealed_headers,
        sealed_body=action.sealed_body,
    )
