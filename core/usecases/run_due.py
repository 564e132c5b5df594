"""The run loop: claim what comes, hold it to its slot, mark it, send it, settle it.

A pipeline: claims, marks and settlements are batched, each by the time that the one before it takes; requests are out
in between, without a connection. What this worker holds is in one of four places: `_held` (claimed, its slot or a place
still to come), marking, `_flights` (sent), `_settling` (answered, not yet recorded).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from core.entities import Attempt, Job, Run, RunStatus, Source, Trigger
from core.errors import LeaseLostError, RubatoError, Unavailable
from core.events import (
    ClockChecked,
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
from core.usecases.begin import PLAIN_ATTEMPTS, Beginning, begin
from core.usecases.places import Places, Queue, modest, with_reserve
from core.usecases.settle import Finished, close, finish, settle

EXCERPT_CHARS = 4096  # what a run row keeps of a response
RETRY_S = 0.5  # between attempts to mark or record while the store is away
BATCH = 200  # settled or marked in one transaction; more brings nothing
MARK_AHEAD_S = 0.004  # a mark is sent this long before its slot, so that the request leaves on time
LEAD_S = 0.1  # claimed beyond the places that are free: what gets one within this time at the present rate
LONGEST_LEAD = 10  # times `batch_size`
OVERDUE_S = 2.0  # a claim that found no place for so long is given back, for another worker
HELD_BACK = timedelta(seconds=1)  # until a host that has all it may have is tried again
TESTS_EVERY_S = 0.2  # how often test runs are looked for while everything is busy


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did. `is_full`: there was no room. `has_more`: more was due than there was room for.
    `next_in_s`: when something may have to be claimed next; None: nothing is scheduled."""

    claimed: int
    is_full: bool = False
    has_more: bool = False
    next_in_s: float | None = None


@dataclass(slots=True, eq=False)
class _Hold:
    """A claim that was not sent yet. Instants by the monotonic clock. `sends_at`: its slot, by the store's clock."""

    claim: Claimed
    sends_at: float
    good_until: float
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class _Flight:
    """A run that was marked, until it is recorded. `good_until`: how long its lease may be relied on."""

    job: Job
    run: Run
    token: int
    good_until: float
    task: "asyncio.Task[None] | None" = None
    finished: Finished | None = None
    park_because: str | None = None

    @property
    def ref(self) -> JobRef:
        return JobRef(self.job.tenant_id, self.job.id)


@dataclass(slots=True)
class RunDue:
    """Runs what is due, `batch_size` at once (see `core.usecases.places`).

    `ahead`: how long before its slot a job may be claimed. `ramp`: how long admission grows after a start or an outage.
    `isolated`: sends in a process of its own what has killed workers before. `on_ready(seconds)`: told when a settled
    job is due again; `on_room()`: told when there is room again after a turn that found none.
    """

    store: Store
    dispatcher: Dispatcher
    cron: Cron
    clock: Clock
    ids: Ids
    events: Events
    worker_id: str
    batch_size: int = 200
    host_limit: int = 1_000_000
    lease: timedelta = timedelta(seconds=60)
    misfire_grace: timedelta = timedelta(seconds=60)
    ahead: timedelta = timedelta(0)
    ramp: timedelta = timedelta(0)
    isolated: Dispatcher | None = None
    on_ready: Callable[[float], None] = lambda seconds: None
    on_room: Callable[[], None] = lambda: None
    _places: Places = field(init=False)
    _queue: Queue[_Hold] = field(default_factory=Queue)
    _held: dict[str, _Hold] = field(default_factory=dict)
    _flights: dict[str, _Flight] = field(default_factory=dict)
    _settling: list[_Flight] = field(default_factory=list)
    _tasks: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)
    _tests: "set[asyncio.Task[None]]" = field(default_factory=set)
    _is_closed: bool = False
    _was_full: bool = False
    _waits_for_room: bool = False
    _ramp_began: float | None = None
    _looked_for_tests: float | None = None
    _rate: float = 0.0  # recorded a second, lately
    _counted: int = 0
    _counted_from: float | None = None

    def __post_init__(self) -> None:
        self._places = Places(self.batch_size, self.host_limit)

    @property
    def in_flight(self) -> int:
        """How many runs are out or not recorded yet."""
        return len(self._flights) + len(self._tests)

    @property
    def held(self) -> int:
        """How many claims wait for their slot or a place."""
        return len(self._held)

    # claiming

    async def run_once(self) -> Turn:
        """Claim what is due or comes, and start what is due, without waiting for any of it to end."""
        if self._is_closed:
            return Turn(0, is_full=True)
        await self._give_back_overdue()
        await self._claim_tests()
        limit, without = self._room()
        if limit <= 0:
            self._waits_for_room = True
            return Turn(0, is_full=True)
        asked_at = self.clock.monotonic()
        try:
            claims = await self.store.claim(
                self.worker_id,
                limit=limit,
                lease=self.lease,
                ahead=self.ahead,
                is_fair=self._was_full,
                without=without,
            )
        except Unavailable:
            self._ramp_began = None
            raise
        answered_at = self.clock.monotonic()
        self.events.emit(ClockChecked((self.clock.now() - claims.now).total_seconds()))
        if claims.jobs:
            self.events.emit(JobsClaimed(len(claims.jobs)))
        for claim in claims.jobs:
            slot_at = claim.run.scheduled_for if claim.run is not None else claims.now
            wait_s = (slot_at - claims.now).total_seconds()
            self._hold(_Hold(claim, answered_at + max(0.0, wait_s), asked_at + self._relied_on_s))
        self._was_full = len(claims.jobs) >= limit or bool(without)
        self._waits_for_room = bool(without) or self._room()[0] <= 0
        self._kick("start", self._start_waiting)
        return Turn(
            len(claims.jobs),
            is_full=bool(without),
            has_more=len(claims.jobs) >= limit,
            next_in_s=self._next_in_s(claims.next_ready_at, claims.now),
        )

    def _room(self) -> tuple[int, Sequence[str]]:
        """Return how much may be claimed, and the tenants that must be left out of it."""
        if len(self._settling) > 4 * self.batch_size:
            return 0, ()
        admitted = self._admitted()
        lead = min(LONGEST_LEAD * self.batch_size, int(self._rate * (self.ahead.total_seconds() + LEAD_S)))
        held = self._places.taken + len(self._held) + len(self._tests)
        if held < admitted + lead:
            return admitted + lead - held, ()
        mine = Counter(hold.claim.ref.tenant_id for hold in self._held.values())
        mine.update(flight.job.tenant_id for flight in self._flights.values())
        greedy = [tenant_id for tenant_id, count in mine.items() if count >= modest(admitted)]
        return with_reserve(admitted) + lead - held, greedy

    def _admitted(self) -> int:
        """Return how many may be out at present: a quarter at a start or after an outage, growing to all."""
        now, ramp_s = self.clock.monotonic(), self.ramp.total_seconds()
        if self._ramp_began is None:
            self._ramp_began = now
        if ramp_s <= 0:
            return self.batch_size
        share = 0.25 + (now - self._ramp_began) / ramp_s
        return self.batch_size if share >= 1 else max(1, int(self.batch_size * share))

    @property
    def _relied_on_s(self) -> float:
        """How long after asking for a lease a worker relies on it: the store's clock began to count no sooner."""
        return self.lease.total_seconds() * 11 / 12

    def _next_in_s(self, ready_at: datetime | None, now: datetime) -> float | None:
        if ready_at is None:
            return None
        wait_s, early_s = (ready_at - now).total_seconds(), self.ahead.total_seconds() / 2
        return wait_s - early_s if wait_s > early_s else max(wait_s, 0.0)

    def _hold(self, hold: _Hold) -> None:
        """Keep a claim until its slot."""
        self._held[hold.claim.ref.job_id] = hold
        wait_s = hold.sends_at - self.clock.monotonic() - MARK_AHEAD_S
        if wait_s <= 0:
            self._queue.put(hold.claim.ref.tenant_id, hold)
        else:
            hold.timer = asyncio.get_running_loop().call_later(wait_s, self._ripen, hold)

    def _ripen(self, hold: _Hold) -> None:
        hold.timer = None
        if self._held.get(hold.claim.ref.job_id) is hold:
            self._queue.put(hold.claim.ref.tenant_id, hold)
            self._kick("start", self._start_waiting)

    async def _give_back_overdue(self) -> None:
        """Give back what has waited for a place too long: another worker may have one."""
        if not self._queue.size:
            return
        overdue = self.clock.monotonic() - OVERDUE_S
        holds = [hold for hold in self._queue.clear() if self._held.get(hold.claim.ref.job_id) is hold]
        late = [hold for hold in holds if hold.sends_at < overdue]
        for hold in holds:
            if hold.sends_at >= overdue:
                self._queue.put(hold.claim.ref.tenant_id, hold)
        await self._give_back(late)

    async def _give_back(self, holds: Sequence[_Hold], *, hold_back: timedelta = timedelta(0)) -> None:
        for hold in holds:
            self._drop(hold)
        if holds:
            held = [(hold.claim.ref, hold.claim.token) for hold in holds]
            await self.store.release(self.worker_id, held, hold_back=hold_back)

    def _drop(self, hold: _Hold) -> None:
        if hold.timer is not None:
            hold.timer.cancel()
            hold.timer = None
        if self._held.get(hold.claim.ref.job_id) is hold:
            del self._held[hold.claim.ref.job_id]

    # marking

    async def _start_waiting(self) -> None:
        """Mark and send what has its slot and a place, batch by batch, until one of both is missing."""
        while self._queue.size and not self._is_closed:
            batch, crowded = self._next_batch()
            if crowded:
                await self._give_back(crowded, hold_back=HELD_BACK)
            if not batch:
                return
            try:
                await self._mark(batch)
            except Unavailable:
                for hold in batch:
                    self._places.free(hold.claim.job)
                await self.clock.sleep(RETRY_S)
                self._put_back(batch)
            except BaseException:
                for hold in batch:
                    self._drop(hold)
                    self._places.free(hold.claim.job)
                raise

    def _next_batch(self) -> tuple[list[_Hold], list[_Hold]]:
        """Return what may be marked now, its places taken; and what must wait because its host has enough."""
        batch: list[_Hold] = []
        crowded: list[_Hold] = []
        admitted = self._admitted()
        while len(batch) < BATCH and len(crowded) < BATCH:
            hold = self._queue.take(self._places, admitted=admitted)
            if hold is None:
                break
            if self._held.get(hold.claim.ref.job_id) is not hold:
                continue
            if self._places.is_host_full(hold.claim.job):
                crowded.append(hold)
                continue
            self._places.take(hold.claim.job)
            batch.append(hold)
        return batch, crowded

    def _put_back(self, batch: Sequence[_Hold]) -> None:
        """Let a batch wait again whose mark could not be made; what this worker cannot rely on any more goes."""
        now = self.clock.monotonic()
        for hold in batch:
            if self._held.get(hold.claim.ref.job_id) is not hold:
                continue
            if hold.good_until <= now:
                self._drop(hold)
            else:
                self._queue.put(hold.claim.ref.tenant_id, hold)

    async def _mark(self, batch: Sequence[_Hold]) -> None:
        """Commit that these runs begin, and send them. A run is never sent before that is certain."""
        plain = [hold for hold in batch if self._is_plain(hold)]
        begun = await self.store.start(self.worker_id, [hold.claim for hold in plain]) if plain else {}
        rest = []
        for hold in batch:
            started_at = begun.get(hold.claim.ref.job_id)
            if started_at is None or hold.claim.run is None:
                rest.append(hold)
                continue
            run = _begun(hold.claim.run, started_at)
            self._send_off(hold, hold.claim.job, run)
        if rest:
            await self._begin(rest)

    def _is_plain(self, hold: _Hold) -> bool:
        """Tell whether there is nothing to decide before sending: a slot that came, on time, without a hint of its own."""
        claim, slot = hold.claim, hold.claim.job.schedule.slot
        if claim.run is None or slot is None or slot.source is Source.HINT_NEXT_TIME:
            return False
        late_s = self.clock.monotonic() - hold.sends_at
        return claim.job.schedule.slot is not None and late_s + self._late_at_claim_s(claim) < self._grace_s

    @property
    def _grace_s(self) -> float:
        return self.misfire_grace.total_seconds()

    def _late_at_claim_s(self, claim: Claimed) -> float:
        """Return how late the slot was when it was claimed."""
        return (claim.run.created_at - claim.run.scheduled_for).total_seconds() if claim.run is not None else 0.0

    async def _begin(self, holds: Sequence[_Hold]) -> None:
        answers = await self.store.change_many(
            [(hold.claim.ref, partial(self._begin_one, claim=hold.claim)) for hold in holds], runs={}
        )
        for hold, answer in zip(holds, answers, strict=True):
            run = None
            if isinstance(answer, Change):
                self._report(answer)
                run = next((run for run in answer.runs if run.status is RunStatus.RUNNING), None)
                if run is not None:
                    self._send_off(hold, answer.job, run)
                    continue
                self._tell_ready(answer)
            elif not isinstance(answer, LeaseLostError):
                self.events.emit(LoopFailed("begin", f"{type(answer).__name__}: {answer}"))
            self._drop(hold)
            self._places.free(hold.claim.job)

    def _begin_one(self, snapshot: Snapshot, *, claim: Claimed) -> Change:
        heartbeat = claim.lapsed_at - self.lease if claim.lapsed_at is not None else None
        given = Beginning(claim.token, self.worker_id, self.misfire_grace, heartbeat)
        try:
            return begin(snapshot, given, cron=self.cron, ids=self.ids)
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - one row that cannot be begun must not abort its batch
            return park(snapshot, f"it could not be begun: {error}")

    # sending

    def _send_off(self, hold: _Hold, job: Job, run: Run) -> None:
        self._drop(hold)
        if run.attempt > 1:
            self.events.emit(LeaseExpired(job.tenant_id, job.id, run.id))
        flight = _Flight(job, run, hold.claim.token, hold.good_until)
        self._flights[job.id] = flight
        flight.task = _task(self._fly(flight, hold), run.id)

    async def _fly(self, flight: _Flight, hold: _Hold) -> None:
        """Send one request, at its slot at the earliest, and leave the answer to be recorded."""
        job, run = flight.job, flight.run
        try:
            early_s = hold.sends_at - self.clock.monotonic()
            if early_s > 0:
                await self.clock.sleep(early_s)
            delay_s = ((run.started_at or run.scheduled_for) - run.scheduled_for).total_seconds()
            self.events.emit(RunStarted(job.tenant_id, job.id, run.id, run.trigger, delay_s))
            flight.finished, flight.park_because = await self._exchange(job, run)
        finally:
            self._places.free(hold.claim.job)
            if flight.finished is None and self._flights.get(job.id) is flight:
                del self._flights[job.id]  # given up: the lease ends by itself and the run is taken over
        self._settling.append(flight)
        self._kick("settle", self._settle_answered)
        if self._queue.size:
            self._kick("start", self._start_waiting)
        if self._waits_for_room and self._room()[0] >= modest(self._admitted()):
            self._waits_for_room = False
            self.on_room()

    async def _exchange(self, job: Job, run: Run) -> tuple[Finished, str | None]:
        """Return how the run ended, and why its job must be parked, if it must."""
        if run.attempt <= PLAIN_ATTEMPTS or self.isolated is None:
            return await self._send(self.dispatcher, job, run), None
        try:
            finished = await self._send(self.isolated, job, run)
        except Exception as error:  # noqa: BLE001 - whatever killed the process, this job is set aside
            reason = f"its run failed in a process of its own: {error}"
            return Finished(RunStatus.FAILED, error_message=f"Given up: {reason}"[:500]), reason
        return finished, None

    async def _send(self, dispatcher: Dispatcher, job: Job, run: Run) -> Finished:
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
            tenant_id=job.tenant_id,
            keep_body=job.definition.store_responses or job.definition.success.json_pointer is not None,
        )
        try:
            result = await dispatcher.send(request)
        except Exception as error:
            if dispatcher is self.isolated:
                raise
            return Finished(RunStatus.FAILED, error_message=f"The request could not be sent: {type(error).__name__}")
        try:
            return finish(job.definition, result, excerpt_chars=EXCERPT_CHARS)
        except Exception as error:  # noqa: BLE001 - a response of any shape ends its run with a reason
            return Finished(RunStatus.FAILED, error_message=f"The answer could not be read: {type(error).__name__}")

    # settling

    async def _settle_answered(self) -> None:
        """Record answers, batch by batch. While the store is away they are kept, until the fence refuses them."""
        while self._settling:
            batch = self._settling[:BATCH]
            try:
                await self._record(batch)
            except Unavailable:
                await self.clock.sleep(RETRY_S)
                continue
            except Exception as error:  # noqa: BLE001 - one answer that cannot be stored must not keep the others
                self.events.emit(LoopFailed("settle", f"{type(error).__name__}: {error}"))
                if not await self._record_singly(batch):
                    continue
            del self._settling[: len(batch)]
            for flight in batch:
                if self._flights.get(flight.job.id) is flight:
                    del self._flights[flight.job.id]

    async def _record(self, batch: Sequence[_Flight]) -> None:
        answers = await self.store.change_many(
            [(flight.ref, partial(self._settle_one, flight=flight)) for flight in batch],
            runs={flight.run.id: flight.run for flight in batch},
        )
        self._count(len(batch))
        refused = []
        for flight, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Change):
                self._report(answer)
                self._tell_ready(answer)
            else:
                refused.append(flight)
        if refused:
            await self._keep_refused(refused)

    def _settle_one(self, snapshot: Snapshot, *, flight: _Flight) -> Change:
        finished = flight.finished or Finished(RunStatus.FAILED, error_message="The run ended without an answer")
        settled = partial(settle, snapshot, token=flight.token, cron=self.cron, ids=self.ids)
        try:
            return settled(finished=finished, park_because=flight.park_because)
        except RubatoError:
            raise
        except Exception as error:  # noqa: BLE001 - one row that cannot be settled must not abort its batch
            return settled(finished=finished, park_because=f"it could not be settled: {error}")

    async def _record_singly(self, batch: Sequence[_Flight]) -> bool:
        """Record a batch one by one; what cannot be stored as it is, is stored without its answer. False: not now."""
        for flight in batch:
            try:
                await self._record([flight])
            except Unavailable:
                return False
            except Exception as error:  # noqa: BLE001 - see above
                reason = f"The answer could not be stored: {type(error).__name__}"
                flight.finished = Finished(RunStatus.FAILED, error_message=reason)
                try:
                    await self._record([flight])
                except Unavailable:
                    return False
                except Exception as last:  # noqa: BLE001 - its lease ends, and it is taken over
                    self.events.emit(LoopFailed("settle", f"{type(last).__name__}: {last}"))
        return True

    async def _keep_refused(self, refused: Sequence[_Flight]) -> None:
        """Keep what came under a lease that had gone, as attempts that were discarded."""
        now = await self.store.now()
        for flight in refused:
            self.events.emit(StaleWriteRefused(flight.job.tenant_id, flight.job.id, "settle"))
        await self.store.add_attempts([_discarded(flight, self.worker_id, now) for flight in refused])

    def _tell_ready(self, change: Change) -> None:
        ready_at, decision = change.job.schedule.ready_at, change.decision
        if ready_at is not None and decision is not None:
            self.on_ready((ready_at - decision.decided_at).total_seconds())

    def _count(self, settled: int) -> None:
        """Keep the rate: it says how much more than the free places is worth claiming."""
        now = self.clock.monotonic()
        self._counted += settled
        if self._counted_from is None:
            self._counted_from = now
        elapsed = now - self._counted_from
        if elapsed >= 0.2:
            self._rate = 0.5 * self._rate + 0.5 * self._counted / elapsed
            self._counted, self._counted_from = 0, now

    # leases

    async def renew_once(self) -> None:
        """Renew every lease; a run whose lease is gone is given up, its request cancelled."""
        holds, flights = list(self._held.values()), list(self._flights.values())
        held = [(hold.claim.ref, hold.claim.token) for hold in holds]
        held += [(flight.ref, flight.token) for flight in flights]
        if not held:
            return
        good_until = self.clock.monotonic() + self._relied_on_s
        lost = {ref.job_id for ref in await self.store.renew(self.worker_id, held, lease=self.lease)}
        for hold in holds:
            if hold.claim.ref.job_id in lost:
                self._drop(hold)
            else:
                hold.good_until = good_until
        for flight in flights:
            if flight.job.id in lost:
                self.events.emit(StaleWriteRefused(flight.job.tenant_id, flight.job.id, "renew"))
                self._give_up(flight)
            else:
                flight.good_until = good_until

    def check_leases(self) -> None:
        """Give up what this worker cannot rely on any more, by its own clock: another may have it by now."""
        now = self.clock.monotonic()
        for hold in [hold for hold in self._held.values() if hold.good_until <= now]:
            self._drop(hold)
        for flight in [flight for flight in self._flights.values() if flight.good_until <= now]:
            self._give_up(flight)

    def _give_up(self, flight: _Flight) -> None:
        """Cancel a request that is out. An answer that is here already is left to the fence."""
        if flight.finished is None and flight.task is not None:
            flight.task.cancel()

    # ending

    async def close(self) -> None:
        """Claim no more, and give back what was not sent."""
        self._is_closed = True
        marking = self._tasks.get("start")
        if marking is not None:
            await asyncio.wait([marking])
        self._queue.clear()
        await self._give_back(list(self._held.values()))

    async def drain(self, timeout_s: float) -> int:
        """Wait for what is on its way; return how many runs had to be left uncertain."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while pending := self._pending():
            left_s = deadline - loop.time()
            if left_s <= 0:
                break
            await asyncio.wait(pending, timeout=left_s)
        pending = self._pending()
        uncertain = len(self._flights) + len(self._tests)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return uncertain if pending else 0

    def _pending(self) -> "set[asyncio.Task[None]]":
        flying = {flight.task for flight in self._flights.values() if flight.task is not None}
        return {task for task in (*flying, *self._tests, *self._tasks.values()) if not task.done()}

    def _kick(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See that this stage of the pipeline is at work."""
        if name in self._tasks:
            self._again.add(name)  # it may have looked for the last time
            return
        task = self._tasks[name] = _task(work(), name)
        task.add_done_callback(partial(self._rested, name, work))

    def _rested(self, name: str, work: Callable[[], Coroutine[Any, Any, None]], task: "asyncio.Task[None]") -> None:
        self._tasks.pop(name, None)
        wanted = name in self._again
        self._again.discard(name)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.events.emit(LoopFailed(name, f"{type(error).__name__}: {error}"))
        if wanted:
            self._kick(name, work)

    # test runs

    async def _claim_tests(self) -> None:
        now = self.clock.monotonic()
        if self._was_full and self._looked_for_tests is not None and now - self._looked_for_tests < TESTS_EVERY_S:
            return
        self._looked_for_tests = now
        room = self.batch_size - len(self._tests)
        for claim in await self.store.claim_tests(self.worker_id, limit=room, lease=self.lease) if room > 0 else ():
            task = _task(self._execute_test(claim), claim.run.id)
            self._tests.add(task)
            task.add_done_callback(self._test_ended)

    def _test_ended(self, task: "asyncio.Task[None]") -> None:
        self._tests.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.events.emit(LoopFailed(f"test {task.get_name()}", f"{type(error).__name__}: {error}"))

    async def _execute_test(self, claim: TestClaim) -> None:
        finished = await self._send(self.dispatcher, claim.job, claim.run)
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


def _begun(run: Run, started_at: datetime) -> Run:
    """Return a claimed run as the store marked it."""
    return Run(
        id=run.id,
        tenant_id=run.tenant_id,
        job_id=run.job_id,
        scheduled_for=run.scheduled_for,
        status=RunStatus.RUNNING,
        trigger=run.trigger,
        created_at=run.created_at,
        kind=run.kind,
        job_version=run.job_version,
        worker_id=run.worker_id,
        started_at=started_at,
    )


def _discarded(flight: _Flight, worker_id: str, now: datetime) -> Attempt:
    run, finished = flight.run, flight.finished
    return Attempt(
        run_id=run.id,
        tenant_id=run.tenant_id,
        job_id=run.job_id,
        scheduled_for=run.scheduled_for,
        worker_id=worker_id,
        attempt=run.attempt,
        status="discarded",
        ended_at=now,
        started_at=run.started_at,
        status_code=finished.status_code if finished else None,
        duration_ms=finished.duration_ms if finished else None,
        error_message=finished.error_message if finished else None,
    )


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
