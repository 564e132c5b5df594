"""The run loop's one turn: claim what is due, mark it, send it, settle it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from core.entities import Job, Run, RunStatus, Trigger
from core.errors import LeaseLostError, RubatoError, Unavailable
from core.events import (
    JobParked,
    JobsClaimed,
    LeaseExpired,
    LoopFailed,
    RunSettled,
    RunsSkipped,
    RunStarted,
    StaleWriteRefused,
)
from core.ids import webhook_id
from core.ports.clock import Clock
from core.ports.cron import Cron
from core.ports.dispatcher import Dispatcher, HttpRequest
from core.ports.events import Events
from core.ports.ids import Ids
from core.ports.store import Change, Claimed, JobRef, Snapshot, Store, TestClaim
from core.reschedule import park
from core.usecases.begin import begin
from core.usecases.settle import Finished, close, finish, settle

EXCERPT_CHARS = 4096  # what a run row keeps of a response
RETRY_SETTLE_S = 0.5  # between attempts to record an answer while the store is away


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did. `next_ready_at`: when something may be due next, by the store's clock `now`."""

    claimed: int
    now: datetime
    next_ready_at: datetime | None


@dataclass(slots=True)
class _InFlight:
    ref: JobRef
    token: int
    task: "asyncio.Task[None]"


@dataclass(slots=True)
class RunDue:
    """Runs what is due, at most `batch_size` at once. No connection is held while a request is out."""

    store: Store
    dispatcher: Dispatcher
    cron: Cron
    clock: Clock
    ids: Ids
    events: Events
    worker_id: str
    batch_size: int = 200
    lease: timedelta = timedelta(seconds=60)
    misfire_grace: timedelta = timedelta(seconds=60)
    on_ready: Callable[[datetime | None], None] = lambda at: (
        None
    )  # told after each settled run when the job is due next
    _flights: "dict[str, _InFlight]" = field(default_factory=dict)
    _tests: "set[asyncio.Task[None]]" = field(default_factory=set)

    @property
    def in_flight(self) -> int:
        """How many runs are out."""
        return len(self._flights) + len(self._tests)

    async def run_once(self) -> Turn:
        """Claim and start what is due, without waiting for it to end."""
        room = self.batch_size - self.in_flight
        if room <= 0:
            now = await self.store.now()
            return Turn(0, now, None)
        for test in await self.store.claim_tests(self.worker_id, limit=room, lease=self.lease):
            self._spawn_test(test)
        claims = await self.store.claim(self.worker_id, limit=room, lease=self.lease)
        if claims.jobs:
            self.events.emit(JobsClaimed(len(claims.jobs)))
            await self._begin(claims.jobs)
        return Turn(len(claims.jobs), claims.now, claims.next_ready_at)

    async def renew_once(self) -> None:
        """Renew every lease; a run whose lease is gone is given up, its request cancelled."""
        held = [(flight.ref, flight.token) for flight in self._flights.values()]
        if not held:
            return
        for ref in await self.store.renew(self.worker_id, held, lease=self.lease):
            flight = self._flights.get(ref.job_id)
            if flight is not None:
                self.events.emit(StaleWriteRefused(ref.tenant_id, ref.job_id, "renew"))
                flight.task.cancel()

    async def drain(self, timeout_s: float) -> int:
        """Wait for what is in flight; return how many runs had to be left uncertain."""
        tasks = {flight.task for flight in self._flights.values()} | self._tests
        if not tasks:
            return 0
        _, left = await asyncio.wait(tasks, timeout=timeout_s)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    async def _begin(self, claimed: tuple[Claimed, ...]) -> None:
        work = [(claim.ref, partial(self._begin_one, token=claim.token)) for claim in claimed]
        answers = await self.store.change_many(work)
        for claim, answer in zip(claimed, answers, strict=True):
            if isinstance(answer, LeaseLostError):
                continue
            if isinstance(answer, RubatoError):
                raise answer
            self._report(answer)
            run = next((run for run in answer.runs if run.status is RunStatus.RUNNING), None)
            if run is not None:
                self._spawn(answer.job, run, claim.token)

    def _begin_one(self, snapshot: Snapshot, *, token: int) -> Change:
        try:
            return begin(
                snapshot,
                token=token,
                worker_id=self.worker_id,
                grace=self.misfire_grace,
                cron=self.cron,
                ids=self.ids,
            )
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - one row that cannot be begun must not abort its batch
            return park(snapshot, f"it could not be begun: {error}")

    def _spawn(self, job: Job, run: Run, token: int) -> None:
        ref = JobRef(job.tenant_id, job.id)
        delay_s = ((run.started_at or run.scheduled_for) - run.scheduled_for).total_seconds()
        self.events.emit(RunStarted(job.tenant_id, job.id, run.id, run.trigger, delay_s))
        if run.attempt > 1:
            self.events.emit(LeaseExpired(job.tenant_id, job.id, run.id))
        task = _task(self._execute(ref, job, run, token), f"run {run.id}")
        self._flights[job.id] = _InFlight(ref, token, task)
        task.add_done_callback(partial(self._landed, job.id))

    def _landed(self, job_id: str, task: "asyncio.Task[None]") -> None:
        flight = self._flights.get(job_id)
        if flight is not None and flight.task is task:
            del self._flights[job_id]
        self._tell_failure(task)

    def _tell_failure(self, task: "asyncio.Task[None]") -> None:
        """Say what a task died of; its lease ends by itself, and the run is taken over."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.events.emit(LoopFailed(task.get_name(), f"{type(error).__name__}: {error}"))

    async def _execute(self, ref: JobRef, job: Job, run: Run, token: int) -> None:
        finished = await self._send(job, run)
        transition = partial(settle, token=token, finished=finished, cron=self.cron, ids=self.ids)
        while True:
            try:
                change = await self.store.change(ref, transition)
            except LeaseLostError:
                self.events.emit(StaleWriteRefused(ref.tenant_id, ref.job_id, "settle"))
                return
            except Unavailable:  # the answer is kept until it is recorded or the fence refuses it
                await self.clock.sleep(RETRY_SETTLE_S)
            else:
                self._report(change)
                self.on_ready(change.job.schedule.ready_at)
                return

    async def _send(self, job: Job, run: Run) -> Finished:
        action = job.definition.action
        request = HttpRequest(
            url=action.url,
            method=action.method,
            headers=action.headers,
            body_json=action.body_json,
            timeout=action.timeout,
            webhook_id=webhook_id(
                run.job_id, run.scheduled_for, run.trigger, run.id if run.trigger is Trigger.MANUAL else ""
            ),
            keep_body=job.definition.store_responses or job.definition.success.json_pointer is not None,
        )
        try:
            result = await self.dispatcher.send(request)
        except Exception as error:  # noqa: BLE001 - whatever a target or client does, the run ends with a reason
            return Finished(RunStatus.FAILED, error_message=f"The request could not be sent: {type(error).__name__}")
        return finish(job.definition, result, excerpt_chars=EXCERPT_CHARS)

    def _spawn_test(self, claim: TestClaim) -> None:
        task = _task(self._execute_test(claim), f"test {claim.run.id}")
        self._tests.add(task)
        task.add_done_callback(self._tests.discard)
        task.add_done_callback(self._tell_failure)

    async def _execute_test(self, claim: TestClaim) -> None:
        finished = await self._send(claim.job, claim.run)
        run = close(claim.run, finished, await self.store.now())
        try:
            await self.store.settle_test(claim, run)
        except LeaseLostError:
            self.events.emit(StaleWriteRefused(run.tenant_id, run.job_id, "test"))
        else:
            self.events.emit(_settled(run, "none", ()))

    def _report(self, change: Change) -> None:
        decision = change.decision
        clamps = tuple((clamp.bound, decision.source.value) for clamp in decision.clamps) if decision else ()
        for run in change.runs:
            if run.status is RunStatus.SKIPPED:
                count = run.skipped_count or 1
                self.events.emit(RunsSkipped(run.tenant_id, run.job_id, run.skip_reason or "", count))
            elif run.status not in (RunStatus.CLAIMED, RunStatus.RUNNING):
                self.events.emit(_settled(run, decision.source if decision else "none", clamps))
        if change.job.schedule.parked_reason is not None:
            job = change.job
            self.events.emit(JobParked(job.tenant_id, job.id, job.schedule.parked_reason or ""))


def _settled(run: Run, next_source: str, clamps: tuple[tuple[str, str], ...]) -> RunSettled:
    return RunSettled(
        run.tenant_id,
        run.job_id,
        run.id,
        outcome=run.status,
        trigger=run.trigger,
        duration_s=(run.duration_ms or 0) / 1000,
        next_source=next_source,
        clamps=clamps,
        error=run.error_message,
    )


def _task(work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(work, name=name)
