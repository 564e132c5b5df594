"""Marking claimed runs as running: only what is as it was claimed, and never sooner than its slot."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.entities import JobStatus, RunStatus
from core.errors import LeaseLostError
from core.ports.store import Claimed, JobRef, Known
from core.usecases.flights import marked
from tests.contract.conftest import AHEAD, House


async def status(house: House, claim: Claimed) -> RunStatus:
    """Return the state of the claim's run."""
    return (await house.store.run(house.tenant, claim.run_id)).status


async def test_a_run_begins_when_it_is_marked(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    begun = await house.store.start("w1", [claim])
    assert set(begun) == {job.id}
    run = await house.store.run(house.tenant, claim.run_id)
    assert (run.status, run.started_at, run.worker_id) == (RunStatus.RUNNING, begun[job.id], "w1")
    assert (await house.store.snapshot(house.tenant, job.id)).last_start_at == begun[job.id]
    assert claim.run is not None
    assert begun[job.id] >= claim.run.scheduled_for


async def test_a_run_marked_ahead_begins_at_its_slot(house: House) -> None:
    await house.coming()
    (claim,) = await house.claim(ahead=AHEAD)
    assert list((await house.store.start("w1", [claim])).values()) == [claim.slot_at]
    assert (await house.store.run(house.tenant, claim.run_id)).started_at == claim.slot_at


async def test_marking_again_is_safe_while_nothing_was_sent(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    for _ in range(2):
        assert set(await house.store.start("w1", [claim])) == {job.id}
    run = await house.store.run(house.tenant, claim.run_id)
    assert (run.status, run.attempt) == (RunStatus.RUNNING, 1)
    await house.store.change(claim.ref, house.settling(claim.token))
    assert await house.store.start("w1", [claim]) == {}
    assert await status(house, claim) is RunStatus.SUCCEEDED


async def test_of_a_batch_only_what_is_unchanged_is_marked(house: House) -> None:
    jobs = [await house.job() for _ in range(4)]
    claims = {claim.ref.job_id: claim for claim in await house.claim()}
    same, edited, deleted, given_back = (claims[job.id] for job in jobs)
    await house.jobs.edit(house.tenant, edited.ref.job_id, lambda old: replace(old, name="another"))
    await house.jobs.delete(house.tenant, deleted.ref.job_id)
    await house.store.release("w1", [(given_back.ref, given_back.token)])
    assert set(await house.store.start("w1", list(claims.values()))) == {same.ref.job_id}
    assert await status(house, same) is RunStatus.RUNNING
    assert await status(house, edited) is RunStatus.CLAIMED
    assert await status(house, deleted) is RunStatus.SKIPPED


async def test_a_claim_that_another_worker_has_by_now_is_not_marked(house: House) -> None:
    await house.job()
    (first,) = await house.claim()
    assert await house.store.start("w2", [first]) == {}
    await house.expire_leases()
    (second,) = await house.claim("w2")
    assert second.run is None  # there is more to it than a slot that comes
    assert await house.store.start("w1", [first]) == {}
    assert await house.store.start("w2", [second]) == {}
    assert await status(house, first) is RunStatus.CLAIMED


async def test_a_suspended_tenants_claims_are_not_marked(house: House) -> None:
    await house.job()
    (claim,) = await house.claim()
    await house.suspend()
    assert await house.store.start("w1", [claim]) == {}
    assert await status(house, claim) is RunStatus.CLAIMED


async def test_a_due_slot_whose_job_was_edited_still_runs_as_the_new_version(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    await house.jobs.edit(house.tenant, job.id, lambda old: replace(old, name="another"))
    change = await house.store.change(claim.ref, house.beginning(claim.token))
    assert [(run.id, run.status, run.job_version) for run in change.runs] == [(claim.run_id, RunStatus.RUNNING, 2)]


async def known_to(house: House, claims: Sequence[Claimed]) -> dict[JobRef, Known]:
    """Mark claims, and return what their worker knows of them."""
    begun = await house.store.start("w1", claims)
    return {
        claim.ref: Known(claim.job, claim.revision, marked(claim.run, begun[claim.ref.job_id]))
        for claim in claims
        if claim.run is not None
    }


async def test_what_the_worker_knows_need_not_be_read_again(house: House) -> None:
    jobs = [await house.job() for _ in range(2)]
    claims = await house.claim()
    known = await known_to(house, claims)
    work = [(claim.ref, house.settling(claim.token)) for claim in claims]
    await house.store.change_many(work, known=known)
    for job in jobs:
        (run,) = (await house.store.last_runs(house.tenant, [job.id])).values()
        assert (run.status, run.started_at) == (
            RunStatus.SUCCEEDED,
            known[JobRef(house.tenant, job.id)].run.started_at,
        )
        after = (await house.store.job(house.tenant, job.id)).schedule
        assert (after.lease, after.last_start_at, after.planning.seq) == (None, run.started_at, 1)


async def test_what_others_wrote_during_a_run_is_seen_when_it_settles(house: House) -> None:
    paused, asked, kept = [await house.job() for _ in range(3)]
    claims = await house.claim()
    known = await known_to(house, claims)
    await house.jobs.pause(house.tenant, paused.id, reason="deploying")
    await house.jobs.edit(house.tenant, asked.id, lambda old: replace(old, name="another"))
    await house.store.renew("w1", [(claim.ref, claim.token) for claim in claims], lease=AHEAD)
    await house.store.change_many([(claim.ref, house.settling(claim.token)) for claim in claims], known=known)
    states = [(await house.store.job(house.tenant, job.id)).schedule.status for job in (paused, asked, kept)]
    assert states == [JobStatus.PAUSED, JobStatus.ACTIVE, JobStatus.ACTIVE]
    assert (await house.store.job(house.tenant, asked.id)).definition.name == "another"


async def test_what_the_worker_knows_does_not_replace_the_lease(house: House) -> None:
    await house.job()
    (first,) = await house.claim()
    known = await known_to(house, [first])
    await house.expire_leases()
    await house.claim("w2")
    (answer,) = await house.store.change_many([(first.ref, house.settling(first.token))], known=known)
    assert isinstance(answer, LeaseLostError)
    assert await status(house, first) is RunStatus.RUNNING


@pytest.mark.parametrize("count", [0, 1])
async def test_nothing_to_do_is_nothing_done(house: House, count: int) -> None:
    await house.job()
    claims = (await house.claim())[:count]
    assert len(await house.store.start("w1", claims)) == count
    assert await house.store.change_many([], known={}) == []
    assert await house.store.renew("w1", [], lease=AHEAD) == []
    await house.store.release("w1", [])
