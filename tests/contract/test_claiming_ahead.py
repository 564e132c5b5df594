"""Claims made before their slot: whose slot they keep, and who may take them back until the mark."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from core.entities import HintKind, Job, JobStatus, RunStatus, Trigger
from core.errors import LeaseLostError, NotFound
from core.ports.store import Change, JobRef, RunFilter, Snapshot
from core.usecases.manage_hints import HintDraft, ManageHints
from tests.contract.conftest import AHEAD, House
from tests.unit.loop import definition

Act = Callable[[House, Job], Awaitable[object]]


async def test_a_slot_within_the_look_ahead_is_claimed_and_stays_where_it_is(house: House) -> None:
    job = await house.coming()
    assert await house.claim() == ()
    (claim,) = await house.claim(ahead=AHEAD)
    assert job.schedule.slot is not None
    assert claim.run is not None
    assert (claim.slot_at, claim.run.scheduled_for) == (job.schedule.slot.at, job.schedule.slot.at)
    run = await house.store.run(house.tenant, claim.run_id)
    assert (run.status, run.scheduled_for) == (RunStatus.CLAIMED, job.schedule.slot.at)


async def test_a_slot_beyond_the_look_ahead_is_announced_and_left(house: House) -> None:
    job = await house.coming(90)
    claims = await house.store.claim("w1", limit=9, lease=AHEAD, ahead=AHEAD)
    assert job.schedule.slot is not None
    assert (claims.jobs, claims.next_ready_at) == ((), job.schedule.slot.at)


async def test_what_was_claimed_ahead_is_not_claimed_again_before_or_at_its_slot(house: House) -> None:
    jobs = {(await house.coming()).id for _ in range(20)}
    answers = await asyncio.gather(*(house.claim(f"w{n}", limit=9, ahead=AHEAD) for n in range(4)))
    claimed = Counter(claim.ref.job_id for answer in answers for claim in answer)
    claimed.update(claim.ref.job_id for claim in await house.claim("rest", limit=99, ahead=AHEAD))
    assert claimed == Counter(jobs)
    assert await house.claim("late", limit=99, ahead=AHEAD) == ()


async def test_looking_ahead_reaches_for_slots_only_never_for_the_end_of_a_lease_or_of_parking(house: House) -> None:
    await house.job()
    await house.claim()  # its lease ends within the look-ahead
    parked = await house.job()

    def park_for_a_moment(snapshot: Snapshot) -> Change:
        schedule = replace(
            snapshot.job.schedule,
            status=JobStatus.PARKED,
            slot=None,
            parked_until=snapshot.now + AHEAD / 2,
            parked_reason="because",
        )
        return Change(replace(snapshot.job, schedule=schedule), "park")

    await house.store.change(JobRef(house.tenant, parked.id), park_for_a_moment)
    assert await house.claim("w2", ahead=AHEAD) == ()


async def pause(house: House, job: Job) -> None:
    await house.jobs.pause(house.tenant, job.id)


async def edit_its_schedule(house: House, job: Job) -> None:
    await house.jobs.edit(house.tenant, job.id, lambda old: definition(120))


async def edit_its_name(house: House, job: Job) -> None:
    await house.jobs.edit(house.tenant, job.id, lambda old: replace(old, name="another"))


async def delete(house: House, job: Job) -> None:
    await house.jobs.delete(house.tenant, job.id)


async def hint(house: House, job: Job) -> None:
    hints = ManageHints(house.store, house.cron, house.ids)
    await hints.write(house.tenant, job.id, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=400)))


async def run_now(house: House, job: Job) -> None:
    await house.jobs.run_now(house.tenant, job.id)


@pytest.mark.parametrize("act", [pause, edit_its_schedule, edit_its_name, delete, hint, run_now])
async def test_a_claim_of_a_slot_that_comes_is_taken_back_and_its_row_vanishes(house: House, act: Act) -> None:
    job = await house.coming()
    (claim,) = await house.claim(ahead=AHEAD)
    await act(house, job)
    assert await house.store.start("w1", [claim]) == {}
    with pytest.raises(NotFound):
        await house.store.run(house.tenant, claim.run_id)
    with pytest.raises(LeaseLostError):
        await house.store.change(claim.ref, house.beginning(claim.token))
    assert await house.store.renew("w1", [(claim.ref, claim.token)], lease=AHEAD) == [claim.ref]
    left = (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=9)).items
    assert [run.trigger for run in left] == ([Trigger.MANUAL] if act is run_now else [])


async def test_a_claim_taken_back_for_an_edit_is_claimed_again_for_the_same_slot_and_the_new_version(
    house: House,
) -> None:
    job = await house.coming()
    (first,) = await house.claim(ahead=AHEAD)
    await edit_its_name(house, job)
    (second,) = await house.claim("w2", ahead=AHEAD)
    assert (second.slot_at, second.job.definition.version) == (first.slot_at, 2)
    assert second.run is not None
    assert second.run.job_version == 2


async def test_a_run_asked_for_by_hand_goes_before_the_slot_whose_claim_it_took_back(house: House) -> None:
    job = await house.coming()
    (first,) = await house.claim(ahead=AHEAD)
    asked = await house.jobs.run_now(house.tenant, job.id)
    assert asked.status is RunStatus.CLAIMED
    (by_hand,) = await house.claim("w2", ahead=AHEAD)
    assert by_hand.run_id == asked.id
    await house.store.change(by_hand.ref, house.beginning(by_hand.token, "w2"))
    await house.store.change(by_hand.ref, house.settling(by_hand.token))
    (again,) = await house.claim("w3", ahead=AHEAD)
    assert again.slot_at == first.slot_at


async def test_a_claim_marked_as_running_before_its_slot_is_not_taken_back(house: House) -> None:
    job = await house.coming()
    (claim,) = await house.claim(ahead=AHEAD)
    assert await house.store.start("w1", [claim])
    await pause(house, job)
    assert await house.store.renew("w1", [(claim.ref, claim.token)], lease=AHEAD) == []
    await house.store.change(claim.ref, house.settling(claim.token))
    assert (await house.store.run(house.tenant, claim.run_id)).status is RunStatus.SUCCEEDED
