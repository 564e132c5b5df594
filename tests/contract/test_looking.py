"""What pages read of many jobs at once, and what has changed since they looked."""

from datetime import timedelta

import pytest

from core.entities import HintKind, RunStatus
from core.ports.feed import Feed
from core.ports.glances import Glances
from core.ports.store import Attention, Change, JobFilter, JobRef, Snapshot
from core.record import evolve
from core.usecases.manage_hints import HintDraft, ManageHints
from rubato.adapters.memory.feed import MemoryFeed
from rubato.adapters.memory.glances import MemoryGlances
from rubato.adapters.memory.store import MemoryStore
from rubato.adapters.postgres.feed import PostgresFeed, _is_known
from rubato.adapters.postgres.glances import PostgresGlances
from tests.contract.conftest import House
from tests.unit.loop import definition


@pytest.fixture
def glances(house: House) -> Glances:
    if isinstance(house.store, MemoryStore):
        return MemoryGlances(house.store)
    assert house.engine is not None
    return PostgresGlances(house.engine)


@pytest.fixture
def feed(house: House) -> Feed:
    if isinstance(house.store, MemoryStore):
        return MemoryFeed(house.store)
    assert house.engine is not None
    return PostgresFeed(house.engine)


async def failed_once(house: House) -> str:
    """Register a job whose first run fails."""
    job = await house.job(definition(name="Broken"))
    (claim,) = await house.claim()
    await house.store.change(claim.ref, house.beginning(claim.token))
    await house.store.change(claim.ref, house.settling(claim.token, RunStatus.FAILED))
    return job.id


async def test_a_summary_counts_jobs_failures_and_groups(house: House, glances: Glances) -> None:
    broken = await failed_once(house)
    for _ in range(2):
        await house.coming(group="nightly")
    summary = await glances.summary(house.tenant)
    assert (summary.jobs, summary.failing, summary.late, summary.steered) == (3, 1, 0, 0)
    assert summary.groups == {"nightly": 2}
    found = await house.store.jobs(house.tenant, JobFilter(attention=Attention.FAILING), limit=9)
    assert [job.id for job in found.items] == [broken]


async def test_what_is_due_for_long_is_late(house: House, glances: Glances) -> None:
    late = await house.job()
    await house.job()

    def postponed(seen: Snapshot) -> Change:
        slot = seen.job.schedule.slot
        assert slot is not None
        past = evolve(slot, at=seen.now - timedelta(seconds=11))
        return Change(evolve(seen.job, schedule=evolve(seen.job.schedule, slot=past)), "edit")

    await house.store.change(JobRef(house.tenant, late.id), postponed)
    assert (await glances.summary(house.tenant)).late == 1
    found = await house.store.jobs(house.tenant, JobFilter(attention=Attention.LATE), limit=9)
    assert [job.id for job in found.items] == [late.id]


async def test_nobodys_hint_but_a_planners_steers(house: House, glances: Glances) -> None:
    job = await house.coming()
    hints = ManageHints(house.store, house.cron, house.ids)
    await hints.write(house.tenant, job.id, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=20)))
    assert (await glances.summary(house.tenant)).steered == 0
    found = await house.store.jobs(house.tenant, JobFilter(attention=Attention.STEERED), limit=9)
    assert found.items == []


@pytest.mark.parametrize(
    ("words", "matches"), [("queue", True), ("QUEUE", True), ("k-1", True), ("%", False), ("", True)]
)
async def test_jobs_are_found_by_a_part_of_their_name_or_key(house: House, words: str, *, matches: bool) -> None:
    job = await house.coming(name="Order Queue", key="k-1")
    found = await house.store.jobs(house.tenant, JobFilter(search=words), limit=9)
    assert [each.id for each in found.items] == ([job.id] if matches else [])


async def test_a_glimpse_has_the_newest_runs_and_the_active_hints(house: House, glances: Glances) -> None:
    broken = await failed_once(house)
    quiet = await house.coming()
    for _ in range(3):
        await house.jobs.run_now(house.tenant, broken)
        await house.run_once()
    hints = ManageHints(house.store, house.cron, house.ids)
    hint = await hints.write(house.tenant, broken, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=20)))
    seen = await glances.glimpses(house.tenant, [broken, quiet.id], runs=3)
    assert [mark.status for mark in seen[broken].marks] == [RunStatus.SUCCEEDED] * 3
    assert [mark.at for mark in seen[broken].marks] == sorted(mark.at for mark in seen[broken].marks)
    assert [each.id for each in seen[broken].hints] == [hint.id]
    assert (seen[quiet.id].marks, seen[quiet.id].hints) == ((), ())


async def test_a_feed_begins_with_nothing_and_tells_what_changes(house: House, feed: Feed) -> None:
    job, other = await house.coming(), await house.coming()
    begun = await feed.since(house.tenant, None)
    assert begun.job_ids == ()
    assert (await feed.since(house.tenant, begun.position)).job_ids == ()
    await house.jobs.pause(house.tenant, job.id)
    told = await feed.since(house.tenant, begun.position)
    assert told.job_ids == (job.id,)
    assert (await feed.since(house.tenant, told.position)).job_ids == ()
    await house.jobs.run_now(house.tenant, other.id)
    assert set((await feed.since(house.tenant, begun.position)).job_ids or ()) == {job.id, other.id}


async def test_a_run_that_begins_and_one_that_ends_are_told(house: House, feed: Feed) -> None:
    job = await house.job()
    begun = await feed.since(house.tenant, None)
    (claim,) = await house.claim()
    claimed = await feed.since(house.tenant, begun.position)
    assert claimed.job_ids == (job.id,)
    await house.store.change(claim.ref, house.beginning(claim.token))
    await house.store.change(claim.ref, house.settling(claim.token))
    assert (await feed.since(house.tenant, claimed.position)).job_ids == (job.id,)


@pytest.mark.parametrize("position", ["nonsense", "1:2", "9:3:", "3:3:3", "999999999999:999999999999:", ":::", "-1:2:"])
async def test_an_unknown_position_begins_anew_and_says_that_anything_may_have_changed(
    house: House, feed: Feed, position: str
) -> None:
    assert (await feed.since(house.tenant, position)).job_ids is None


@pytest.mark.parametrize("position", ["3:3:", "3:9:3,5", "3:9:4"])
def test_snapshots_are_known(position: str) -> None:
    assert _is_known(position, 10)
