"""Known bugs, to be planted: each a function that takes a monkeypatch, named after what it breaks.

Most are bugs that systems of this kind have had; some are bugs that this simulation found here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

import core.governor
import core.usecases.begin
import core.usecases.commit_plan
import core.usecases.manage_jobs
import core.usecases.recording
import core.usecases.sending
import core.usecases.settle
import rubato.adapters.memory.store
import worker.loops
import worker.service
from core.entities import Authority, Hint, HintState, Job, Run, RunStatus, Schedule
from core.hints import end
from core.ports.store import Change, Snapshot
from core.reschedule import EndedSlot
from core.usecases.flights import Flight, Hold, marked
from core.usecases.recording import Recorder
from core.usecases.run_due import RunDue
from core.usecases.sending import Sender
from core.usecases.settle import Finished, close
from rubato.adapters.memory.store import MemoryStore

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]


# leases and tokens


def settling_ignores_the_token(patch: Patch) -> None:
    settle = core.usecases.recording.settle

    def careless(snapshot: Snapshot, *, token: int, **words: Any) -> Change:
        return settle(snapshot, token=snapshot.job.schedule.token, **words)

    patch.setattr(core.usecases.recording, "settle", careless)


def claiming_ignores_leases(patch: Patch) -> None:
    def always(self: MemoryStore, job: Job, now: datetime, ahead: timedelta) -> bool:
        slot = job.schedule.slot
        return job.deleted_at is None and slot is not None and slot.at <= now

    patch.setattr(MemoryStore, "_is_claimable", always)


def leases_of_others_end_too_early(patch: Patch) -> None:
    def impatient(self: MemoryStore, job: Job) -> datetime | None:
        lease = job.schedule.lease
        return lease.until - timedelta(seconds=6) if lease is not None else job.schedule.ready_at

    patch.setattr(MemoryStore, "_ready_at", impatient)


def leases_are_not_watched(patch: Patch) -> None:
    patch.setattr(RunDue, "check_leases", lambda self: None)


def giving_back_lowers_the_token(patch: Patch) -> None:
    give_back = rubato.adapters.memory.store.give_back

    def lower(snapshot: Snapshot, **words: Any) -> Change:
        change = give_back(snapshot, **words)
        schedule = replace(change.job.schedule, token=snapshot.job.schedule.token - 1)
        return replace(change, job=replace(change.job, schedule=schedule))

    patch.setattr(rubato.adapters.memory.store, "give_back", lower)


def a_worker_that_stops_keeps_its_claims(patch: Patch) -> None:
    async def nothing(self: RunDue) -> None:
        self._is_closed = True
        await self._stages.rest("start")
        self._queue.clear()
        self._held.clear()

    patch.setattr(RunDue, "close", nothing)


# rows


def giving_back_forgets_the_row(patch: Patch) -> None:
    give_back = rubato.adapters.memory.store.give_back

    def forgetful(snapshot: Snapshot, **words: Any) -> Change:
        return replace(give_back(snapshot, **words), removed_runs=())

    patch.setattr(rubato.adapters.memory.store, "give_back", forgetful)


def giving_back_removes_what_was_sent(patch: Patch) -> None:
    give_back = rubato.adapters.memory.store.give_back

    def thorough(snapshot: Snapshot, **words: Any) -> Change:
        removed = (snapshot.run.id,) if snapshot.run is not None else ()
        return replace(give_back(snapshot, **words), removed_runs=removed)

    patch.setattr(rubato.adapters.memory.store, "give_back", thorough)


def a_late_finisher_overwrites(patch: Patch) -> None:
    async def overwrite(self: Recorder, refused: Sequence[Flight]) -> None:
        for flight in refused:
            finished = flight.finished or Finished(RunStatus.FAILED)
            run = close(flight.run, finished, await self.store.now())
            await self.store.change(flight.ref, lambda seen, run=run: Change(seen.job, "late", runs=(run,)))

    patch.setattr(Recorder, "_keep_refused", overwrite)


def what_was_recorded_counts_as_discarded(patch: Patch) -> None:
    async def never(self: Recorder, flight: Flight) -> bool:
        return False

    patch.setattr(Recorder, "_was_recorded", never)


def slots_that_pass_during_a_run_are_forgotten(patch: Patch) -> None:
    patch.setattr(core.usecases.settle, "_passed", lambda *args: None)


def a_due_slot_is_edited_away(patch: Patch) -> None:
    end_slot = core.usecases.manage_jobs.end_slot

    def silent(snapshot: Snapshot, reason: str, **words: Any) -> EndedSlot:
        ended = end_slot(snapshot, reason, **words)
        lost = tuple(run.id for run in ended.runs if run.status is RunStatus.SKIPPED)
        return replace(ended, runs=(), removed=(*ended.removed, *lost)) if lost else ended

    patch.setattr(core.usecases.manage_jobs, "end_slot", silent)


def skipping_forgets_the_slot(patch: Patch) -> None:
    skip_slot = core.usecases.begin.skip_slot

    def forgetful(snapshot: Snapshot, *args: Any, **words: Any) -> Any:
        row, schedule, hints = skip_slot(snapshot, *args, **words)
        earlier = snapshot.job.schedule.created_at - timedelta(hours=1)
        return row, replace(schedule, last_slot_at=earlier, handled_through=earlier), hints

    patch.setattr(core.usecases.begin, "skip_slot", forgetful)


def runs_are_not_counted(patch: Patch) -> None:
    after_run = core.usecases.settle.after_run

    def uncounted(definition: Any, schedule: Schedule, *args: Any) -> dict[str, Any]:
        return {**after_run(definition, schedule, *args), "counted_runs": schedule.counted_runs}

    patch.setattr(core.usecases.settle, "after_run", uncounted)


# requests


def requests_leave_before_the_mark(patch: Patch) -> None:
    mark = RunDue._mark

    async def hasty(self: RunDue, batch: Sequence[Hold]) -> None:
        for hold in batch:
            if hold.claim.run is not None:
                self._send_off(hold, hold.claim.job, marked(hold.claim.run, hold.claim.run.scheduled_for))
        await mark(self, [hold for hold in batch if hold.claim.run is None])

    patch.setattr(RunDue, "_mark", hasty)


def requests_leave_early(patch: Patch) -> None:
    hold = RunDue._hold

    def early(self: RunDue, held: Hold) -> None:
        held.sends_at -= 0.02
        hold(self, held)

    patch.setattr(RunDue, "_hold", early)


def the_client_retries(patch: Patch) -> None:
    send = Sender.send

    async def twice(self: Sender, job: Job, run: Run) -> Finished:
        finished = await send(self, job, run)
        return finished if finished.status is RunStatus.SUCCEEDED else await send(self, job, run)

    patch.setattr(Sender, "send", twice)


def nothing_is_sent(patch: Patch) -> None:
    async def pretend(self: Sender, job: Job, run: Run) -> Finished:
        return Finished(RunStatus.SUCCEEDED)

    patch.setattr(Sender, "send", pretend)


def the_webhook_id_names_the_attempt(patch: Patch) -> None:
    request = core.usecases.sending._request

    def numbered(job: Job, run: Run) -> Any:
        made = request(job, run)
        return made._replace(webhook_id=f"{made.webhook_id}-{run.attempt}")

    patch.setattr(core.usecases.sending, "_request", numbered)


def an_uncertain_run_is_sent_again_whatever_was_promised(patch: Patch) -> None:
    class Promises:
        AT_MOST_ONCE = None

    patch.setattr(core.usecases.begin, "Delivery", Promises)


def a_pause_leaves_the_claim_alone(patch: Patch) -> None:
    end_slot = core.usecases.manage_jobs.end_slot

    def lenient(snapshot: Snapshot, reason: str, **words: Any) -> EndedSlot:
        claimed = snapshot.run is not None and snapshot.run.status is RunStatus.CLAIMED
        return EndedSlot(snapshot.job.schedule) if claimed else end_slot(snapshot, reason, **words)

    patch.setattr(core.usecases.manage_jobs, "end_slot", lenient)


# decisions


def backoff_counts_too_late(patch: Patch) -> None:
    redecide = core.usecases.settle.redecide

    def late(job: Job, *args: Any, **words: Any) -> Any:
        failures = job.schedule.failures
        before = replace(job, schedule=replace(job.schedule, failures=max(0, failures - 1)))
        decided, decision = redecide(before, *args, **words)
        return replace(decided, schedule=replace(decided.schedule, failures=failures)), decision

    patch.setattr(core.usecases.settle, "redecide", late)


def the_slot_is_not_what_was_decided(patch: Patch) -> None:
    settle = core.usecases.recording.settle

    def later(snapshot: Snapshot, **words: Any) -> Change:
        change = settle(snapshot, **words)
        slot = change.job.schedule.slot
        if slot is None:
            return change
        moved = replace(slot, at=slot.at + timedelta(seconds=1))
        return replace(change, job=replace(change.job, schedule=replace(change.job.schedule, slot=moved)))

    patch.setattr(core.usecases.recording, "settle", later)


def bounds_bind_nobody(patch: Patch) -> None:
    patch.setattr(core.governor._Deliberation, "_clamp", lambda self, at, regular: at)


def everything_is_granted(patch: Patch) -> None:
    everything = Authority(tighten=True, relax=True, pause=True)

    def generous(self: core.governor._Deliberation) -> None:
        self.definition, self.schedule = replace(self.job.definition, authority=everything), self.job.schedule

    patch.setattr(core.governor._Deliberation, "__post_init__", generous)


def a_planner_clears_a_persons_hints(patch: Patch) -> None:
    def everybodys(hints: Sequence[Hint], new: Hint, now: datetime) -> list[Hint]:
        return [end(hint, HintState.SUPERSEDED, now, "mine") for hint in hints if hint.state is HintState.ACTIVE]

    patch.setattr(core.usecases.commit_plan, "supersede", everybodys)


def a_planner_outranks_a_person(patch: Patch) -> None:
    by_kind = {kind: rank for rank, kind in enumerate(core.hints._KINDS)}
    by_author = {author: rank for rank, author in enumerate(reversed(core.hints._AUTHORS))}
    ranks = {(author, kind): (by_author[author], by_kind[kind]) for author, kind in core.hints._RANK}
    patch.setattr("core.hints._RANK", ranks)


# going on


def an_outage_is_sat_out(patch: Patch) -> None:
    patch.setattr(worker.service, "LONGEST_FAILED_WAIT_S", 60.0)


def a_planning_lease_never_ends(patch: Patch) -> None:
    claim_plans = MemoryStore.claim_plans

    async def for_ever(self: MemoryStore, *, lease: timedelta, **words: Any) -> Any:
        return await claim_plans(self, lease=timedelta(hours=1), **words)

    patch.setattr(MemoryStore, "claim_plans", for_ever)


def places_are_never_freed(patch: Patch) -> None:
    forget, count = RunDue._forget, [0]

    def sometimes(self: RunDue, flights: Sequence[Flight]) -> None:
        count[0] += 1
        if count[0] % 20:
            forget(self, flights)

    patch.setattr(RunDue, "_forget", sometimes)


def waiting_takes_no_time(patch: Patch) -> None:
    patch.setattr(worker.loops, "_until_next", lambda done, poll_s: 0.0)


def a_stage_dies(patch: Patch) -> None:
    record, count = Recorder._record, [0]

    async def sometimes(self: Recorder, batch: Sequence[Flight]) -> None:
        count[0] += 1
        if count[0] % 50 == 0:
            raise KeyError("a bug")
        await record(self, batch)

    patch.setattr(Recorder, "_record", sometimes)


MUTANTS: dict[Mutant, str] = {
    settling_ignores_the_token: "a stale token's write never lands",
    claiming_ignores_leases: "two workers never hold one job",
    leases_of_others_end_too_early: "two workers never hold one job",
    leases_are_not_watched: "a lease is given up in time",
    giving_back_lowers_the_token: "tokens rise",
    a_worker_that_stops_keeps_its_claims: "a worker that stops gives back",
    giving_back_forgets_the_row: "no row is left behind",
    giving_back_removes_what_was_sent: "only unsent claims are removed",
    a_late_finisher_overwrites: "what has ended never changes",
    what_was_recorded_counts_as_discarded: "an outcome is no lost attempt",
    slots_that_pass_during_a_run_are_forgotten: "every fire is accounted for",
    a_due_slot_is_edited_away: "no silent miss",
    skipping_forgets_the_slot: "slots rise strictly",
    runs_are_not_counted: "maxRuns is kept",
    requests_leave_before_the_mark: "sent only after the mark",
    requests_leave_early: "never early",
    the_client_retries: "sent twice only after a loss",
    nothing_is_sent: "what has an outcome was sent",
    the_webhook_id_names_the_attempt: "sent only after the mark",
    an_uncertain_run_is_sent_again_whatever_was_promised: "at most once",
    a_pause_leaves_the_claim_alone: "a paused job never begins",
    backoff_counts_too_late: "a decision replays",
    the_slot_is_not_what_was_decided: "the slot is the decision's",
    bounds_bind_nobody: "within bounds",
    everything_is_granted: "within grants",
    a_planner_clears_a_persons_hints: "no planner touches a person's word",
    a_planner_outranks_a_person: "a person's pause holds",
    an_outage_is_sat_out: "what is due runs in time",
    a_planning_lease_never_ends: "what has settled is planned",
    places_are_never_freed: "counts return to zero",
    waiting_takes_no_time: "no worker spins",
    a_stage_dies: "no loop fails by a bug",
}
