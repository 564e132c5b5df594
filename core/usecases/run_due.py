"""The run loop: claim what comes, hold it to its slot, mark it, send it, settle it.

A pipeline: claims, marks and settlements are batched, each by the time that the one before it takes; requests are out
in between, without a connection. What this worker has is in one of four places: held (claimed, its slot or a place
still to come), being marked, out (`_flights`), answered and not yet recorded (`core.usecases.recording`).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from core.entities import Job, Run, RunStatus, Source
from core.errors import LeaseLostError, Unavailable
from core.events import ClockChecked, JobsClaimed, LeaseExpired, LoopFailed, RunStarted, StaleWriteRefused
from core.ports.clock import Clock
from core.ports.cron import Cron
from core.ports.dispatcher import Dispatcher
from core.ports.events import Events
from core.ports.ids import Ids
from core.ports.store import Change, Claimed, Claims, Snapshot, Store
from core.ports.targets import TargetRunner
from core.record import record
from core.reschedule import park
from core.usecases.begin import Beginning, begin
from core.usecases.flights import Flight, Hold, marked
from core.usecases.pace import Pace
from core.usecases.places import Places, Queue, modest, with_reserve
from core.usecases.recording import BATCH, RETRY_S, Recorder
from core.usecases.reporting import report
from core.usecases.run_tests import RunTests
from core.usecases.sending import NoTargets, Sender
from core.usecases.stages import Stages

# A mark begins so long before its slot that the request leaves on time: twice what the slowest of the last marks took,
# for it may wait for the one before it. It is people's last word, and so never begins sooner than the second of these.
MARK_AHEAD_S, MARK_AHEAD_MOST_S = 0.004, 0.040
MARK_FADES = 0.95  # of a slow mark's weight, at each that follows
TICK_S = 0.0001  # the shortest wait worth a timer
OVERDUE_S = 2.0  # a claim that found no place for so long is given back, for another worker
LEAST_LEFT = 1 / 3  # of a lease, when a request leaves: it is renewed every quarter of one
# Until a host that has all it may have is tried again: no part of a second, or each try meets the next one's fires.
HELD_BACK = timedelta(milliseconds=730)


@record
class Turn:
    """What one turn did. `is_full`: there was no room. `has_more`: more was due than there was room for.
    `next_in_s`: when something may have to be claimed next; None: nothing is scheduled."""

    claimed: int
    is_full: bool = False
    has_more: bool = False
    next_in_s: float | None = None


@dataclass(slots=True)
class RunDue:
    """Runs what is due, `batch_size` at once (see `core.usecases.places`).

    `ahead`: how long before its slot a job may be claimed. `ramp`: how long admission grows after a start or an outage.
    `isolated` and `isolated_targets`: do in a process of its own what has killed workers before. `on_ready(seconds)`:
    told when a settled job is due again; `on_passed()`: told when one may be planned; `on_room()`: told when there is
    room again after a turn that found none.
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
    buckets: Sequence[int] | None = None
    isolated: Dispatcher | None = None
    targets: TargetRunner = field(default_factory=NoTargets)
    isolated_targets: TargetRunner | None = None
    on_ready: Callable[[float], None] = lambda seconds: None
    on_passed: Callable[[], None] = lambda: None
    on_room: Callable[[], None] = lambda: None
    _pace: Pace = field(init=False)
    _places: Places = field(init=False)
    _sender: Sender = field(init=False)
    _recorder: Recorder = field(init=False)
    _tests: RunTests = field(init=False)
    _stages: Stages = field(init=False)
    _queue: Queue[Hold] = field(default_factory=Queue)
    _held: dict[str, Hold] = field(default_factory=dict)
    _flights: dict[str, Flight] = field(default_factory=dict)
    _mark_s: float = 0.0  # how long marks take
    _is_closed: bool = False
    _is_unsure: bool = False  # a claim got no answer, and may have been carried out all the same
    _was_full: bool = False
    _waits_for_room: bool = False

    def __post_init__(self) -> None:
        self._pace = Pace(self.clock, self.batch_size, self.ahead, self.ramp)
        self._places = Places(self.batch_size, self.host_limit)
        self._sender = Sender(self.dispatcher, self.isolated, self.targets, self.isolated_targets)
        self._stages = Stages(self.events)
        self._recorder = Recorder(
            self.store, self.cron, self.clock, self.ids, self.events, self.worker_id, self._tell_ready, self._forget
        )
        self._tests = RunTests(self.store, self._sender, self.clock, self.events, self.worker_id, self.lease)

    @property
    def in_flight(self) -> int:
        """How many runs are out or not recorded yet."""
        return len(self._flights) + len(self._tests.tasks)

    @property
    def held(self) -> int:
        """How many claims wait for their slot or a place."""
        return len(self._held)

    # claiming

    async def run_once(self) -> Turn:
        """Claim what is due or comes, and start what is due, without waiting for any of it to end."""
        if self._is_closed:
            return Turn(0, is_full=True)
        if self._is_unsure:
            await self._give_back_unknown()
        await self._give_back_overdue()
        await self._tests.claim()
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
                buckets=self.buckets,
                is_fair=self._was_full,
                without=without,
            )
        except Unavailable:
            self._pace.start_again()
            self._is_unsure = True
            raise
        self._take(claims, asked_at)
        self._was_full = len(claims.jobs) >= limit or bool(without)
        self._waits_for_room = bool(without) or self._room()[0] <= 0
        return Turn(
            len(claims.jobs),
            is_full=bool(without),
            has_more=len(claims.jobs) >= limit,
            next_in_s=self._next_in_s(claims.next_ready_at, claims.now),
        )

    def _take(self, claims: Claims, asked_at: float) -> None:
        """Hold what was claimed to its slot: never before the store's clock has reached it."""
        heard_at = claims.heard_at if claims.heard_at is not None else self.clock.monotonic()
        self.events.emit(ClockChecked((self.clock.now() - claims.now).total_seconds()))
        if not claims.jobs:
            return
        self.events.emit(JobsClaimed(len(claims.jobs)))
        good_until = asked_at + self._relied_on_s
        for claim in claims.jobs:
            early_s = (claim.run.scheduled_for - claims.now).total_seconds() if claim.run is not None else 0.0
            self._hold(Hold(claim, heard_at + max(0.0, early_s), good_until, late_s=max(0.0, -early_s)))
        self._stages.kick("start", self._start_waiting)

    def _room(self) -> tuple[int, Sequence[str]]:
        """Return how much may be claimed, and the tenants that must be left out of it."""
        if self._recorder.waiting > 4 * self.batch_size:
            return 0, ()
        admitted, lead = self._pace.admitted(), self._pace.lead()
        held = self._places.taken + len(self._held)
        if held < admitted + lead:
            return admitted + lead - held, ()
        mine = Counter(hold.claim.ref.tenant_id for hold in self._held.values())
        mine.update(flight.job.tenant_id for flight in self._flights.values())
        greedy = [tenant_id for tenant_id, count in mine.items() if count >= modest(admitted)]
        return with_reserve(admitted) + lead - held, greedy

    def _enough_room_below(self) -> int:
        """Return how much this worker may have in hand and still be worth a claim: a few places are not."""
        admitted = self._pace.admitted()
        return admitted + self._pace.lead() - modest(admitted)

    @property
    def _relied_on_s(self) -> float:
        """How long after asking for a lease a worker relies on it: the store's clock began to count no sooner."""
        return self.lease.total_seconds() * 11 / 12

    def _next_in_s(self, ready_at: datetime | None, now: datetime) -> float | None:
        if ready_at is None:
            return None
        wait_s, early_s = (ready_at - now).total_seconds(), self.ahead.total_seconds() / 2
        return wait_s - early_s if wait_s > early_s else max(wait_s, 0.0)

    def _hold(self, hold: Hold) -> None:
        """Keep a claim until its slot."""
        self._held[hold.claim.ref.job_id] = hold
        ahead_s = min(max(MARK_AHEAD_S, 2 * self._mark_s), MARK_AHEAD_MOST_S)
        wait_s = hold.sends_at - self.clock.monotonic() - ahead_s
        if wait_s <= 0:
            self._queue.put(hold.claim.ref.tenant_id, hold)
        else:
            hold.timer = asyncio.get_running_loop().call_later(wait_s, self._ripen, hold)

    def _ripen(self, hold: Hold) -> None:
        hold.timer = None
        if self._is_held(hold):
            self._queue.put(hold.claim.ref.tenant_id, hold)
            self._stages.kick("start", self._start_waiting)

    def _is_held(self, hold: Hold) -> bool:
        return self._held.get(hold.claim.ref.job_id) is hold

    async def _give_back_unknown(self) -> None:
        """Give back what was claimed for this worker by a statement whose answer never came."""
        found = await self.store.held_by(self.worker_id)
        unknown = [
            (ref, token) for ref, token in found if not {ref.job_id} & (self._held.keys() | self._flights.keys())
        ]
        if unknown:
            await self.store.release(self.worker_id, unknown)
        self._is_unsure = False

    async def _give_back_overdue(self) -> None:
        """Give back what has waited for a place too long: another worker may have one."""
        if not self._queue.size:
            return
        overdue = self.clock.monotonic() - OVERDUE_S
        late = []
        for hold in self._queue.clear():
            if not self._is_held(hold):
                continue
            if hold.sends_at < overdue:
                late.append(hold)
            else:
                self._queue.put(hold.claim.ref.tenant_id, hold)
        await self._give_back(late)

    async def _give_back(self, holds: Sequence[Hold], *, hold_back: timedelta = timedelta(0)) -> None:
        if not holds:
            return
        for hold in holds:
            self._drop(hold)
        held = [(hold.claim.ref, hold.claim.token) for hold in holds]
        try:
            await self.store.release(self.worker_id, held, hold_back=hold_back)
        except Unavailable:
            if not self._is_closed:
                self._take_again(holds)
            raise

    def _take_again(self, holds: Sequence[Hold]) -> None:
        """Hold what could not be given back: it is still this worker's, or its mark will find nothing to begin."""
        now = self.clock.monotonic()
        for hold in holds:
            job_id = hold.claim.ref.job_id
            if hold.good_until > now and job_id not in self._held and job_id not in self._flights:
                self._hold(hold)

    def _drop(self, hold: Hold) -> None:
        if hold.timer is not None:
            hold.timer.cancel()
            hold.timer = None
        if self._is_held(hold):
            del self._held[hold.claim.ref.job_id]

    # marking

    async def _start_waiting(self) -> None:
        """Mark and send what has its slot and a place, batch by batch, until one of both is missing."""
        while self._queue.size and not self._is_closed:
            batch, crowded = self._next_batch()
            if not batch and not crowded:
                return
            try:
                await self._give_back_crowded(crowded)
                if batch:
                    await self._mark(batch)
            except Unavailable:
                self._free(batch)
                await self.clock.sleep(RETRY_S)
                self._put_back(batch)
            except BaseException:
                self._free(batch)
                for hold in batch:
                    self._drop(hold)
                raise

    async def _give_back_crowded(self, crowded: Sequence[Hold]) -> None:
        """Give back what waits because its host has all it may have. If that fails, the leases end by themselves."""
        try:
            await self._give_back(crowded, hold_back=HELD_BACK)
        except Unavailable as error:
            self.events.emit(LoopFailed("release", f"{type(error).__name__}: {error}"))
            await self.clock.sleep(RETRY_S)

    def _next_batch(self) -> tuple[list[Hold], list[Hold]]:
        """Return what may be marked now, its places taken; and what must wait because its host has enough."""
        batch: list[Hold] = []
        crowded: list[Hold] = []
        admitted = self._pace.admitted()
        while len(batch) < BATCH and len(crowded) < BATCH:
            hold = self._queue.take(self._places, admitted=admitted)
            if hold is None:
                break
            if not self._is_held(hold):
                continue
            if self._places.is_host_full(hold.claim.job):
                crowded.append(hold)
                continue
            self._places.take(hold.claim.job)
            hold.has_place = True
            batch.append(hold)
        return batch, crowded

    def _free(self, batch: Sequence[Hold]) -> None:
        """Free the places of what was not sent off."""
        for hold in batch:
            if hold.has_place:
                hold.has_place = False
                self._places.free(hold.claim.job)

    def _put_back(self, batch: Sequence[Hold]) -> None:
        """Let a batch wait again whose mark could not be made; what this worker cannot rely on any more goes."""
        now = self.clock.monotonic()
        for hold in batch:
            if not self._is_held(hold):
                continue
            if hold.good_until <= now:
                self._drop(hold)
            else:
                self._queue.put(hold.claim.ref.tenant_id, hold)

    async def _mark(self, batch: Sequence[Hold]) -> None:
        """Commit that these runs begin, and send them. A run is never sent before that is certain."""
        plain = [hold for hold in batch if self._is_plain(hold)]
        begun = await self._start(plain) if plain else {}
        rest = []
        for hold in batch:
            started_at, run = begun.get(hold.claim.ref.job_id), hold.claim.run
            if started_at is None or run is None:
                rest.append(hold)
            else:
                self._send_off(hold, hold.claim.job, marked(run, started_at))
        if rest:
            await self._begin(rest)

    async def _start(self, plain: Sequence[Hold]) -> Mapping[str, datetime]:
        since = self.clock.monotonic()
        begun = await self.store.start(self.worker_id, [hold.claim for hold in plain])
        self._mark_s = max(self.clock.monotonic() - since, self._mark_s * MARK_FADES)
        return begun

    def _is_plain(self, hold: Hold) -> bool:
        """Tell whether there is nothing to decide before sending: a slot on time, without a hint that it consumes."""
        slot = hold.claim.job.schedule.slot
        if hold.claim.run is None or slot is None or slot.source is Source.HINT_NEXT_TIME:
            return False
        held_s = max(0.0, self.clock.monotonic() - hold.sends_at)
        return hold.late_s + held_s < self.misfire_grace.total_seconds()

    async def _begin(self, holds: Sequence[Hold]) -> None:
        """Look at each job under its lock: what was missed, taken over, asked for by hand or changed meanwhile."""
        try:
            answers = await self.store.change_many(
                [(hold.claim.ref, partial(self._begin_one, claim=hold.claim)) for hold in holds], known={}
            )
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one row that cannot be written must not keep the others
            await self._begin_singly(holds, error)
            return
        for hold, answer in zip(holds, answers, strict=True):
            run = None
            if isinstance(answer, Change):
                report(answer, self.events)
                run = next((run for run in answer.runs if run.status is RunStatus.RUNNING), None)
                if run is not None:
                    self._send_off(hold, answer.job, run)
                    continue
                self._tell_ready(answer)
            elif not isinstance(answer, LeaseLostError):
                self.events.emit(LoopFailed("begin", f"{type(answer).__name__}: {answer}"))
            self._drop(hold)
            self._free([hold])

    async def _begin_singly(self, holds: Sequence[Hold], error: Exception) -> None:
        """Begin a batch one by one; what cannot be begun waits for its lease's end, when it is tried again."""
        if len(holds) > 1:
            for hold in holds:
                await self._begin([hold])
            return
        self.events.emit(LoopFailed("begin", f"{type(error).__name__}: {error}"))
        self._drop(holds[0])
        self._free(holds)

    def _begin_one(self, snapshot: Snapshot, *, claim: Claimed) -> Change:
        given = Beginning(claim.token, self.worker_id, self.misfire_grace, claim.lapsed_at, self.lease)
        try:
            return begin(snapshot, given, cron=self.cron, ids=self.ids)
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - one row that cannot be begun must not abort its batch
            return park(snapshot, f"it could not be begun: {error}")

    # sending

    def _send_off(self, hold: Hold, job: Job, run: Run) -> None:
        self._drop(hold)
        hold.has_place = False  # the flight has it now
        if run.attempt > 1:
            self.events.emit(LeaseExpired(job.tenant_id, job.id, run.id))
        former = self._flights.get(job.id)
        if former is not None:  # its lease was lost while this process was held up, and this claim is the next
            self._give_up(former)
        revision = hold.claim.revision if job is hold.claim.job else None
        flight = Flight(job, run, hold.claim.token, hold.good_until, revision)
        self._flights[job.id] = flight
        flight.task = asyncio.get_running_loop().create_task(self._fly(flight, hold.sends_at), name=run.id)
        flight.task.add_done_callback(partial(self._landed, flight, hold.claim.job))

    async def _fly(self, flight: Flight, sends_at: float) -> None:
        """Send one request, at its slot at the earliest."""
        job, run = flight.job, flight.run
        while (early_s := sends_at - self.clock.monotonic()) > 0:
            await self.clock.sleep(max(early_s, TICK_S))  # event loops round: a timer may ring a millisecond early
        if not await self._outlasts(flight):
            return  # this process, or its mark, was held up; another may have sent it by now
        delay_s = ((run.started_at or run.scheduled_for) - run.scheduled_for).total_seconds()
        self.events.emit(RunStarted(job.tenant_id, job.id, run.id, run.trigger, delay_s))
        flight.finished, flight.park_because = await self._sender.exchange(job, run)

    async def _outlasts(self, flight: Flight) -> bool:
        """Tell whether a lease can be relied on for a request. After a mark that hung while the database was away
        little is left of it, and the next renewal may come too late: it is renewed first."""
        now = self.clock.monotonic()
        left_s = flight.good_until - now
        if left_s <= 0 or left_s >= LEAST_LEFT * self.lease.total_seconds():
            return left_s > 0
        try:
            lost = await self.store.renew(self.worker_id, [(flight.ref, flight.token)], lease=self.lease)
        except Unavailable:
            return False
        if not lost:
            flight.good_until = now + self._relied_on_s
        return not lost

    def _landed(self, flight: Flight, placed: Job, task: "asyncio.Task[None]") -> None:
        """Free the place, and leave the answer to be recorded. A flight that was given up has none: its lease ends by
        itself, and the run is taken over."""
        flight.is_out = False
        self._places.free(placed)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.events.emit(LoopFailed("send", f"{type(error).__name__}: {error}"))
        if flight.finished is None:
            self._forget([flight])
        else:
            self._recorder.add(flight)
            self._stages.kick("settle", self._recorder.run)
        if self._queue.size:
            self._stages.kick("start", self._start_waiting)
        if self._waits_for_room and self._places.taken + len(self._held) <= self._enough_room_below():
            self._waits_for_room = False
            self.on_room()

    # settling

    def _forget(self, flights: Sequence[Flight]) -> None:
        """Forget runs that are recorded, or given up."""
        self._pace.count(len(flights))
        for flight in flights:
            if self._flights.get(flight.job.id) is flight:
                del self._flights[flight.job.id]

    def _tell_ready(self, change: Change) -> None:
        ready_at, decision = change.job.schedule.ready_at, change.decision
        if ready_at is not None and decision is not None:
            self.on_ready((ready_at - decision.decided_at).total_seconds())
        plan_at = change.job.schedule.planning.ready_at
        if plan_at is not None and decision is not None and plan_at <= decision.decided_at:
            self.on_passed()

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
                self._lose(flight)
            else:
                flight.good_until = good_until

    def check_leases(self) -> None:
        """Give up what this worker cannot rely on any more, by its own clock: another may have it by now."""
        now = self.clock.monotonic()
        for hold in [hold for hold in self._held.values() if hold.good_until <= now]:
            self._drop(hold)
        for flight in [flight for flight in self._flights.values() if flight.good_until <= now]:
            self._give_up(flight)

    def _lose(self, flight: Flight) -> None:
        """The lease is another's. A run that has been recorded meanwhile has none either, and that is no loss."""
        if self._flights.get(flight.job.id) is flight and flight.finished is None:
            self.events.emit(StaleWriteRefused(flight.job.tenant_id, flight.job.id, "renew"))
            self._give_up(flight)

    def _give_up(self, flight: Flight) -> None:
        """Cancel a request that is out. An answer that is here already is left to the fence."""
        if flight.finished is None and flight.task is not None:
            flight.task.cancel()

    # ending

    async def close(self) -> None:
        """Claim no more, and give back what was not sent."""
        self._is_closed = True
        await self._stages.rest("start")
        self._queue.clear()
        await self._give_back(list(self._held.values()))

    async def abandon(self) -> int:
        """Send nothing more, and cut off what is on its way; return how many runs had to be left uncertain."""
        self._is_closed = True
        self._queue.clear()
        for hold in list(self._held.values()):
            self._drop(hold)
        return await self.drain(0)

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
        uncertain = self.in_flight
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return uncertain if pending else 0

    def _pending(self) -> "set[asyncio.Task[None]]":
        flying = {flight.task for flight in self._flights.values() if flight.task is not None and flight.is_out}
        return flying | {task for task in (*self._tests.tasks, *self._stages.tasks) if not task.done()}
