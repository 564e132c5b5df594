"""Test runs: a person's "send it once", which leaves the schedule alone."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from core.entities import RunStatus
from core.errors import LeaseLostError, Unavailable
from core.events import LoopFailed, StaleWriteRefused
from core.ports.clock import Clock
from core.ports.events import Events
from core.ports.store import Store, TestClaim
from core.usecases.begin import LAST_ATTEMPT
from core.usecases.recording import RETRY_S
from core.usecases.reporting import settled
from core.usecases.sending import Sender
from core.usecases.settle import Finished, close

LOOK_EVERY_S = 0.2  # while the run loop turns faster than that
AT_ONCE = 20  # in one worker; they are asked for one by one


@dataclass(slots=True)
class RunTests:
    """Claims test runs and sends each in a task of its own."""

    store: Store
    sender: Sender
    clock: Clock
    events: Events
    worker_id: str
    lease: timedelta
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    _looked_at: float | None = None

    async def claim(self) -> None:
        """Start the test runs that wait, unless that was looked at a moment ago."""
        now, room = self.clock.monotonic(), AT_ONCE - len(self.tasks)
        if room <= 0 or (self._looked_at is not None and now - self._looked_at < LOOK_EVERY_S):
            return
        self._looked_at = now
        for claim in await self.store.claim_tests(self.worker_id, limit=room, lease=self.lease):
            task = asyncio.get_running_loop().create_task(self._execute(claim), name=claim.run.id)
            self.tasks.add(task)
            task.add_done_callback(self._ended)

    async def _execute(self, claim: TestClaim) -> None:
        if claim.run.attempt >= LAST_ATTEMPT:
            message = f"Given up: it was sent {claim.run.attempt - 1} times and no worker lived to record it"
            finished = Finished(RunStatus.FAILED, error_message=message)
        else:
            finished, _ = await self.sender.exchange(claim.job, claim.run)
        while True:  # until the store is back, and takes it or refuses it
            try:
                await self._record(claim, finished)
            except Unavailable:
                await self.clock.sleep(RETRY_S)
            else:
                return

    async def _record(self, claim: TestClaim, finished: Finished) -> None:
        run = close(claim.run, finished, await self.store.now())
        try:
            await self.store.settle_test(claim, run)
        except LeaseLostError:
            self.events.emit(StaleWriteRefused(run.tenant_id, run.job_id, "test"))
        else:
            self.events.emit(settled(run, "none"))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.events.emit(LoopFailed(f"test {task.get_name()}", f"{type(error).__name__}: {error}"))
