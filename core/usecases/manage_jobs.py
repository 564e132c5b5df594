"""Registering, editing, pausing, resuming, deleting and running jobs by hand."""

import zlib
from collections.abc import Callable
from datetime import datetime, timedelta

from core.entities import (
    Author,
    Decision,
    Definition,
    Hint,
    HintKind,
    HintState,
    IntervalBaseline,
    Job,
    JobStatus,
    ManualRequest,
    OnceBaseline,
    PlannerMode,
    Run,
    RunStatus,
    Schedule,
    Slot,
    SlotKind,
    Source,
    Trigger,
)
from core.errors import Conflict, InvalidInput, Issue, LimitReached, NotFound
from core.grid import later
from core.hints import end, is_active, supersede
from core.history import changed_fields, entry
from core.ids import hint_id, job_id
from core.ports.cron import Cron
from core.ports.ids import Ids
from core.ports.store import Change, Changes, JobFilter, JobRef, Snapshot, Store, Transition
from core.record import evolve, record
from core.registration import check
from core.reschedule import (
    EndedSlot,
    end_slot,
    new_run,
    redecide,
    revoke_ahead,
    settle_hints,
    skip_slot,
    slot_is_fixed,
    steer,
)
from core.usecases.settle import OVERLAP, Finished, settle
from core.wording import instant

DELETED = "deleted"
RUNS_SPENT = "The tenant's runs of this UTC day are used up."  # as the reason of a suspension
_TICK = timedelta(microseconds=1)
_LOOKS = 4


@record
class ManageJobs:
    """What a user does to jobs. Every write is one transaction that ends with a decision."""

    store: Changes
    cron: Cron
    ids: Ids

    async def register(self, tenant_id: str, definition: Definition, *, by: str | None = None) -> tuple[Job, Decision]:
        """Store a new job and schedule it. Raises InvalidInput, Conflict("key_taken")."""
        limits = await self.store.limits(tenant_id)
        now = await self.store.now()
        check(definition, limits, self.cron, now=now)
        identity = job_id(now, self.ids.entropy())
        schedule = Schedule(created_at=now, grid_epoch=first_epoch(definition, identity, now))
        job = Job(tenant_id, identity, evolve(definition, version=1), schedule, updated_at=now)
        job, decision = redecide(job, (), limits, now=now, cron=self.cron)
        await self.store.add_job(job, decision, entry(job, "registration", by=by, at=now, ids=self.ids))
        return job, decision

    async def edit(
        self, tenant_id: str, job_id: str, patch: Callable[[Definition], Definition], *, by: str | None = None
    ) -> Job:
        """Store a new version of the definition; one that changes nothing is no edit. Raises InvalidInput."""

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            old = snapshot.job.definition
            new = evolve(patch(old), version=old.version)
            return Change(snapshot.job, "edit") if new == old else self._next_version(snapshot, new, by)

        return (await self.store.change(JobRef(tenant_id, job_id), transition)).job

    async def new_version(
        self,
        tenant_id: str,
        job_id: str,
        patch: Callable[[Definition], Definition],
        *,
        of: int | None,
        by: str | None = None,
    ) -> Job:
        """Store a new version even when nothing differs. `of`: the version it follows; None: whichever is the latest.

        Raises InvalidInput, Conflict("not_latest") when another version has followed that one.
        """

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            old = snapshot.job.definition
            if of is not None and of != old.version:
                detail = f"Version {of} is not the latest, which is {old.version}; make the new version from that one."
                raise Conflict("not_latest", detail)
            return self._next_version(snapshot, patch(old), by)

        return (await self.store.change(JobRef(tenant_id, job_id), transition)).job

    def _next_version(self, snapshot: Snapshot, new: Definition, by: str | None) -> Change:
        old, now = snapshot.job.definition, snapshot.now
        new = evolve(new, version=old.version + 1)
        check(new, snapshot.limits, self.cron, now=now, previous=old)
        change = self._edited(snapshot, new)
        changed = changed_fields(old, new)
        return evolve(change, entry=entry(change.job, "edit", by=by, at=now, ids=self.ids, changed=changed))

    def _edited(self, snapshot: Snapshot, new: Definition) -> Change:
        job = evolve(snapshot.job, definition=new, updated_at=snapshot.now)
        if new.planner is PlannerMode.OFF:
            planning = evolve(job.schedule.planning, ready_at=None)
            job = evolve(job, schedule=evolve(job.schedule, planning=planning))
            snapshot = evolve(snapshot, job=evolve(snapshot.job, schedule=job.schedule))
        if _schedule_fields(new) == _schedule_fields(snapshot.job.definition):
            return steer(evolve(snapshot, job=job), (), cause="edit", cron=self.cron)
        now = snapshot.now
        ended = end_slot(snapshot, "edited", cron=self.cron, ids=self.ids)
        schedule = evolve(
            ended.schedule,
            edited_at=now,
            retry_at=None,
            grid_epoch=_edited_epoch(new, now),
            handled_through=None if isinstance(new.baseline, OnceBaseline) else ended.schedule.handled_through,
            status=JobStatus.ACTIVE if ended.schedule.status is JobStatus.RETIRED else ended.schedule.status,
        )
        hints, writes = settle_hints(snapshot.hints, ended.hints, now)
        job = evolve(job, schedule=schedule)
        if schedule.slot is not None and slot_is_fixed(snapshot):  # its run is under way and decides when it settles
            return Change(job, "edit", runs=ended.runs, hints=writes)
        job, decision = redecide(job, hints, snapshot.limits, now=now, cron=self.cron)
        return Change(job, "edit", runs=ended.runs, removed_runs=ended.removed, hints=writes, decision=decision)

    async def delete(self, tenant_id: str, job_id: str, *, by: str | None = None) -> None:
        """Delete softly: never claimed again, its runs stay readable."""

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            ended = self._with_slot_beside_manual(snapshot, end_slot(snapshot, DELETED, cron=self.cron, ids=self.ids))
            now = snapshot.now
            schedule = evolve(ended.schedule, slot=None, manual=None, parked_until=None)
            cleared = [
                end(hint, HintState.CLEARED, now, "the job was deleted")
                for hint in snapshot.hints
                if hint.state is HintState.ACTIVE and hint.id not in {ended_hint.id for ended_hint in ended.hints}
            ]
            planning = evolve(schedule.planning, ready_at=None, token=schedule.planning.token + 1)
            job = evolve(snapshot.job, schedule=evolve(schedule, planning=planning), deleted_at=now, updated_at=now)
            return Change(
                job,
                "delete",
                runs=ended.runs,
                removed_runs=ended.removed,
                hints=(*ended.hints, *cleared),
                entry=entry(job, "delete", by=by, at=now, ids=self.ids),
            )

        await self.store.change(JobRef(tenant_id, job_id), transition)

    def _with_slot_beside_manual(self, snapshot: Snapshot, ended: EndedSlot) -> EndedSlot:
        """A slot that waits beside a run that was asked for by hand will not be seen by that run's end any more."""
        slot, run = ended.schedule.slot, snapshot.run
        by_hand = run is not None and run.status is RunStatus.RUNNING and run.trigger is Trigger.MANUAL
        if not by_hand or slot is None or slot.at > snapshot.now:
            return ended
        row, schedule, hints = skip_slot(snapshot, slot, DELETED, cron=self.cron, ids=self.ids)
        return evolve(ended, schedule=schedule, runs=(*ended.runs, row), hints=(*ended.hints, *hints))

    async def pause(
        self,
        tenant_id: str,
        job_id: str,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> Job:
        """Pause until an instant, or until resumed. A due slot is recorded as skipped; nothing is replayed later."""
        transition = self.pausing(until=until, reason=reason, by=by)
        return (await self.store.change(JobRef(tenant_id, job_id), transition)).job

    def pausing(self, *, until: datetime | None, reason: str | None, by: str | None = None) -> Transition:
        """Return the transition that pauses a job."""

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            now = snapshot.now
            if snapshot.job.schedule.status is JobStatus.RETIRED:
                raise Conflict("job_not_active", "The job is retired; give it a new schedule instead.")
            if until is not None and until <= now:
                detail = f"until lies in the past; it is {instant(now)} now. Give a later instant, or none."
                raise InvalidInput([Issue("/until", "in_the_past", detail)])
            pause = Hint(
                id=hint_id(now, self.ids.entropy()),
                tenant_id=snapshot.job.tenant_id,
                job_id=snapshot.job.id,
                kind=HintKind.PAUSE,
                author=Author.USER,
                created_at=now,
                expires_at=until,
                until=until,
                reason=reason,
                proposed=until,
                applied=until,
            )
            change = impose_pause(snapshot, pause, cron=self.cron, ids=self.ids)
            return evolve(change, entry=entry(change.job, "pause", by=by, at=now, ids=self.ids, reason=reason))

        return transition

    async def resume(self, tenant_id: str, job_id: str, *, by: str | None = None) -> Job:
        """End every pause of the job, a planner's too, and the hour of one that was set aside: a worker looks at it
        again at once. Nothing missed is replayed. Neither: nothing changes."""
        return (await self.store.change(JobRef(tenant_id, job_id), self.resuming(by=by))).job

    def resuming(self, *, by: str | None = None) -> Transition:
        """Return the transition that resumes a job."""

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            now = snapshot.now
            pauses = [
                end(hint, HintState.CLEARED, now, "resumed by a person")
                for hint in snapshot.hints
                if hint.kind is HintKind.PAUSE and is_active(hint, now)
            ]
            change = Change(snapshot.job, "resume")
            if pauses:
                change = lift_pauses(snapshot, pauses, cron=self.cron, ids=self.ids)
            schedule = change.job.schedule
            if schedule.parked_until is not None and schedule.parked_until > now:
                change = evolve(change, job=evolve(change.job, schedule=evolve(schedule, parked_until=now)))
            elif not pauses:
                return change
            return evolve(change, entry=entry(change.job, "resume", by=by, at=now, ids=self.ids))

        return transition

    async def run_now(self, tenant_id: str, job_id: str, *, by: str | None = None) -> Run:
        """Ask for a run at once: a claimed one, or a skipped one when a run is active.

        Raises Conflict("job_not_active") while the job is paused, parked or retired.
        """
        return (await self.store.change(JobRef(tenant_id, job_id), self.running(by=by))).runs[0]

    def running(self, *, by: str | None = None) -> Transition:
        """Return the transition that asks for a run at once; its first run is the one asked for."""

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            job, now = snapshot.job, snapshot.now
            if snapshot.limits.suspended == RUNS_SPENT:
                raise LimitReached("runs_limit_reached", RUNS_SPENT, retry_after_s=_until_midnight(now))
            status = visible_status(job, now)
            if status is not JobStatus.ACTIVE:
                raise Conflict("job_not_active", f"The job is {status}; it runs by hand only while it is active.")
            slot = Slot(now, Source.BASELINE_ONCE, SlotKind.HINTED)
            run = new_run(job, slot, Trigger.MANUAL, now=now, ids=self.ids)
            asked = entry(job, "run_now", by=by, at=now, ids=self.ids)
            schedule, removed = revoke_ahead(job.schedule, snapshot.run, now)
            if schedule.lease is not None or schedule.manual is not None:
                run = evolve(run, status=RunStatus.SKIPPED, skip_reason=OVERLAP, skipped_count=1, finished_at=now)
                return Change(job, "run_now", runs=(run,), entry=asked)
            schedule = evolve(schedule, manual=ManualRequest(run.id, now))
            job = evolve(job, schedule=schedule)
            return Change(job, "run_now", runs=(run,), removed_runs=removed, entry=asked)

        return transition

    async def test(self, tenant_id: str, job_id: str) -> Run:
        """Ask for a dispatch that leaves the schedule alone. Returns its claimed run."""
        job = await self.store.job(tenant_id, job_id)
        now = await self.store.now()
        slot = Slot(now, Source.BASELINE_ONCE, SlotKind.HINTED)
        run = new_run(job, slot, Trigger.TEST, now=now, ids=self.ids)
        await self.store.add_test_run(run)
        return run

    async def cancel(self, tenant_id: str, run_id: str) -> Run:
        """Cancel a run that has not ended; its slot counts as handled. Raises Conflict("run_finished")."""
        run = await self.store.run(tenant_id, run_id)

        def transition(snapshot: Snapshot) -> Change:
            canceled = Finished(RunStatus.CANCELED, error_message="Canceled by a person")
            manual = snapshot.manual_run
            if manual is not None and manual.id == run_id and snapshot.job.schedule.lease is None:
                row = evolve(
                    manual, status=RunStatus.CANCELED, error_message="Canceled by a person", finished_at=snapshot.now
                )
                schedule = evolve(snapshot.job.schedule, manual=None)
                return Change(evolve(snapshot.job, schedule=schedule), "cancel", runs=(row,))
            if snapshot.run is None or snapshot.run.id != run_id:
                raise Conflict("run_finished", "The run has ended already, or is not one that can be canceled.")
            token = snapshot.job.schedule.token
            change = settle(snapshot, token=token, finished=canceled, cron=self.cron, ids=self.ids, cause="cancel")
            schedule = evolve(change.job.schedule, token=token + 1)
            return evolve(change, job=evolve(change.job, schedule=schedule))

        if run.status not in (RunStatus.CLAIMED, RunStatus.RUNNING) or run.trigger is Trigger.TEST:
            raise Conflict("run_finished", "The run has ended already, or is not one that can be canceled.")
        change = await self.store.change(JobRef(tenant_id, run.job_id), transition)
        return next(row for row in change.runs if row.id == run_id)


async def put_job(
    store: Store,
    jobs: ManageJobs,
    tenant_id: str,
    key: str,
    make: Callable[[Definition | None], Definition],
    *,
    by: str | None = None,
) -> tuple[Job, bool]:
    """Make the job with this key be as `make` says, which is given what there is; return it, and whether it is new.

    Somebody else may register or delete it between look and leap: then the look is repeated. Raises InvalidInput,
    VersionMismatch.
    """
    for _ in range(_LOOKS):
        found = (await store.jobs(tenant_id, JobFilter(key=key), limit=1)).items
        try:
            if found:
                return await jobs.edit(tenant_id, found[0].id, make, by=by), False
            return (await jobs.register(tenant_id, make(None), by=by))[0], True
        except NotFound:
            continue
        except Conflict as error:
            if error.code != "key_taken":
                raise
    raise Conflict("key_contended", f"Others register and delete the job {key} at this moment; try again.")


def _until_midnight(now: datetime) -> int:
    return 1 + int(
        (timedelta(days=1) - timedelta(hours=now.hour, minutes=now.minute, seconds=now.second)).total_seconds()
    )


def as_it_is(snapshot: Snapshot) -> Change:
    """A transition that changes nothing. Raises NotFound for a deleted job."""
    alive(snapshot)
    return Change(snapshot.job, "edit")


def impose_pause(snapshot: Snapshot, pause: Hint, *, cron: Cron, ids: Ids) -> Change:
    """Return the change that pauses by a person's hint. A slot that is due ends as `skipped`."""
    now = snapshot.now
    ended = end_slot(snapshot, "paused", cron=cron, ids=ids)
    replaced = supersede(snapshot.hints, pause, now)
    hints, writes = settle_hints(snapshot.hints, (*ended.hints, *replaced, pause), now)
    job = evolve(snapshot.job, schedule=ended.schedule)
    if ended.schedule.slot is not None and slot_is_fixed(snapshot):  # a run is under way; it settles paused
        schedule = evolve(
            ended.schedule,
            status=JobStatus.PAUSED,
            paused_until=pause.until,
            pause_reason=pause.reason,
            paused_by=pause.author,
        )
        return Change(evolve(job, schedule=schedule), "pause", runs=ended.runs, hints=writes)
    job, decision = redecide(job, hints, snapshot.limits, now=now, cron=cron)
    return Change(job, "pause", runs=ended.runs, removed_runs=ended.removed, hints=writes, decision=decision)


def lift_pauses(snapshot: Snapshot, lifted: list[Hint], *, cron: Cron, ids: Ids) -> Change:
    """Return the change that resumes: from here on, without a backlog."""
    now = snapshot.now
    ended = end_slot(snapshot, "resumed", cron=cron, ids=ids)
    hints, writes = settle_hints(snapshot.hints, (*ended.hints, *lifted), now)
    job = evolve(snapshot.job, schedule=evolve(ended.schedule, resumed_at=now))
    if ended.schedule.slot is not None and slot_is_fixed(snapshot):
        schedule = evolve(job.schedule, status=JobStatus.ACTIVE, paused_until=None, pause_reason=None, paused_by=None)
        return Change(evolve(job, schedule=schedule), "resume", runs=ended.runs, hints=writes)
    job, decision = redecide(job, hints, snapshot.limits, now=now, cron=cron)
    return Change(job, "resume", runs=ended.runs, removed_runs=ended.removed, hints=writes, decision=decision)


def alive(snapshot: Snapshot) -> None:
    """Raise NotFound for a deleted job."""
    if snapshot.job.deleted_at is not None:
        raise NotFound(f"There is no job {snapshot.job.id}.")


def visible_status(job: Job, now: datetime) -> JobStatus:
    """Return the status as it is at `now`: a timed pause, or an hour of parking, that is over counts as active."""
    schedule = job.schedule
    if schedule.status is JobStatus.PAUSED and schedule.paused_until is not None and schedule.paused_until <= now:
        return JobStatus.ACTIVE
    if schedule.status is JobStatus.PARKED and schedule.parked_until is not None and schedule.parked_until <= now:
        return JobStatus.ACTIVE
    return schedule.status


def first_epoch(definition: Definition, job_id: str, now: datetime) -> datetime:
    """Return the origin of a new job's grid: `startAt`; or now, spread over one interval by a hash of the id.

    Jobs registered together would otherwise fire together for ever (docs/adr/0002).
    """
    if definition.start_at is not None:
        return definition.start_at
    if not definition.splay or not isinstance(definition.baseline, IntervalBaseline):
        return now
    share = zlib.crc32(f"splay:{job_id}".encode()) / 2**32
    return now + definition.baseline.every * share // _TICK * _TICK


def _edited_epoch(definition: Definition, now: datetime) -> datetime:
    if definition.start_at is not None:
        return definition.start_at
    if isinstance(definition.baseline, IntervalBaseline):
        return later(now, definition.baseline.every)
    return now


def _schedule_fields(definition: Definition) -> tuple[object, ...]:
    return (definition.baseline, definition.start_at, definition.end_at, definition.max_runs)
