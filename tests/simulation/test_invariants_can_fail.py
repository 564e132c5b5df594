"""Each invariant is worth having only if it can fail: known bugs, planted one by one, must all be found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

import core.usecases.begin
import core.usecases.manage_jobs
import core.usecases.recording
import core.usecases.settle
import rubato.adapters.memory.store
from core.entities import Job, RunStatus
from core.ports.store import Change, Snapshot
from core.reschedule import EndedSlot
from core.usecases.flights import Hold, marked
from core.usecases.run_due import RunDue
from rubato.adapters.memory.store import MemoryStore
from tests.simulation.world import play

WITHIN_SEEDS = 60

Patch = Callable[[pytest.MonkeyPatch], None]


def settle_ignores_the_token(patch: pytest.MonkeyPatch) -> None:
    settle = core.usecases.recording.settle

    def careless(snapshot: Snapshot, *, token: int, **words: Any) -> Change:
        return settle(snapshot, token=snapshot.job.schedule.token, **words)

    patch.setattr(core.usecases.recording, "settle", careless)


def claim_ignores_leases(patch: pytest.MonkeyPatch) -> None:
    def always(self: MemoryStore, job: Job, now: datetime, ahead: timedelta) -> bool:
        slot = job.schedule.slot
        return job.deleted_at is None and slot is not None and slot.at <= now

    patch.setattr(MemoryStore, "_is_claimable", always)


def leases_end_too_early_for_others(patch: pytest.MonkeyPatch) -> None:
    def impatient(self: MemoryStore, job: Job) -> datetime | None:
        lease = job.schedule.lease
        return lease.until - timedelta(seconds=6) if lease is not None else job.schedule.ready_at

    patch.setattr(MemoryStore, "_ready_at", impatient)


def release_forgets_the_row(patch: pytest.MonkeyPatch) -> None:
    give_back = rubato.adapters.memory.store.give_back

    def forgetful(snapshot: Snapshot, **words: Any) -> Change:
        return replace(give_back(snapshot, **words), removed_runs=())

    patch.setattr(rubato.adapters.memory.store, "give_back", forgetful)


def backoff_counts_too_late(patch: pytest.MonkeyPatch) -> None:
    redecide = core.usecases.settle.redecide

    def late(job: Job, *args: Any, **words: Any) -> Any:
        schedule = job.schedule
        before = replace(job, schedule=replace(schedule, failures=max(0, schedule.failures - 1)))
        decided, decision = redecide(before, *args, **words)
        return replace(decided, schedule=replace(decided.schedule, failures=schedule.failures)), decision

    patch.setattr(core.usecases.settle, "redecide", late)


def requests_leave_before_the_mark(patch: pytest.MonkeyPatch) -> None:
    mark = RunDue._mark

    async def hasty(self: RunDue, batch: Sequence[Hold]) -> None:
        for hold in [hold for hold in batch if hold.claim.run is not None]:
            assert hold.claim.run is not None
            self._send_off(hold, hold.claim.job, marked(hold.claim.run, hold.claim.run.scheduled_for))
        await mark(self, [hold for hold in batch if hold.claim.run is None])

    patch.setattr(RunDue, "_mark", hasty)


def requests_leave_early(patch: pytest.MonkeyPatch) -> None:
    hold = RunDue._hold

    def early(self: RunDue, held: Hold) -> None:
        held.sends_at -= 0.02
        hold(self, held)

    patch.setattr(RunDue, "_hold", early)


def slots_that_pass_during_a_run_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core.usecases.settle, "_passed", lambda *args: None)


def leases_are_not_watched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunDue, "check_leases", lambda self: None)


def the_slot_is_not_what_was_decided(patch: pytest.MonkeyPatch) -> None:
    settle = core.usecases.recording.settle

    def twice(snapshot: Snapshot, **words: Any) -> Change:
        change = settle(snapshot, **words)
        slot = change.job.schedule.slot
        if slot is None:
            return change
        later = replace(slot, at=slot.at + timedelta(seconds=1))
        return replace(change, job=replace(change.job, schedule=replace(change.job.schedule, slot=later)))

    patch.setattr(core.usecases.recording, "settle", twice)


def an_uncertain_run_is_sent_again_whatever_was_promised(patch: pytest.MonkeyPatch) -> None:
    class Promises:
        AT_MOST_ONCE = None

    patch.setattr(core.usecases.begin, "Delivery", Promises)


def a_pause_leaves_the_claim_alone(patch: pytest.MonkeyPatch) -> None:
    end_slot = core.usecases.manage_jobs.end_slot

    def lenient(snapshot: Snapshot, reason: str, **words: Any) -> EndedSlot:
        claimed = snapshot.run is not None and snapshot.run.status is RunStatus.CLAIMED
        return EndedSlot(snapshot.job.schedule) if claimed else end_slot(snapshot, reason, **words)

    patch.setattr(core.usecases.manage_jobs, "end_slot", lenient)


def a_place_is_never_freed(patch: pytest.MonkeyPatch) -> None:
    free = RunDue._forget
    kept: list[int] = []

    def sometimes(self: RunDue, flights: Any) -> None:
        kept.append(1)
        if len(kept) % 20:
            free(self, flights)

    patch.setattr(RunDue, "_forget", sometimes)


MUTANTS: dict[Patch, set[str]] = {
    settle_ignores_the_token: {"a stale token's write never lands"},
    claim_ignores_leases: {"two workers never hold one job"},
    leases_end_too_early_for_others: {"two workers never hold one job"},
    release_forgets_the_row: {"no row is left behind"},
    backoff_counts_too_late: {"a decision replays"},
    requests_leave_before_the_mark: {"sent only after the mark"},
    requests_leave_early: {"never early"},
    slots_that_pass_during_a_run_are_forgotten: {"every fire is accounted for"},
    leases_are_not_watched: {"a lease is given up in time"},
    the_slot_is_not_what_was_decided: {"the slot is the decision's"},
    an_uncertain_run_is_sent_again_whatever_was_promised: {"at most once"},
    a_pause_leaves_the_claim_alone: {"a paused job never begins"},
    a_place_is_never_freed: {"counts return to zero"},
}


def found(names: set[str]) -> Iterator[int]:
    """Yield the seeds that find one of these violations."""
    for seed in range(WITHIN_SEEDS):
        if names & {violation.name for violation in play(seed).violations}:
            yield seed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_planted_bug_is_found(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert next(found(MUTANTS[mutant]), None) is not None, f"{WITHIN_SEEDS} seeds did not notice"


def test_without_a_planted_bug_the_same_seeds_find_nothing() -> None:
    assert list(found({violation for names in MUTANTS.values() for violation in names})) == []
