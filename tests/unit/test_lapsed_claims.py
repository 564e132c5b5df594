"""What a worker left behind, or claimed without learning that it did: taken up once, in time, and not called missed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from core.entities import Delivery, Job, RunStatus
from core.errors import Unavailable
from core.ports.store import JobRef
from tests.unit.loop import TENANT, Loop, cramped, definition, failing, instead

RARE_S = 600
LEASE = timedelta(seconds=60)
MOST_ATTEMPTS = 8


async def left_behind(loop: Loop, *jobs: Job, lease: timedelta = LEASE) -> None:
    """Let a worker claim what is due and vanish; its lease has just ended."""
    claims = await loop.store.claim("dead", limit=10, lease=lease)
    assert len(claims.jobs) == len(jobs)
    loop.clock.advance(lease.total_seconds() + 0.2)


async def test_a_slot_whose_worker_died_is_run_though_its_grace_has_passed_with_the_lease() -> None:
    loop = Loop()
    job = await loop.register(definition(every_s=RARE_S))
    loop.clock.advance(0.5)
    await left_behind(loop, job)
    await loop.run_turn()
    assert [run.status for run in await loop.runs(job)] == [RunStatus.SUCCEEDED]


async def test_an_unconfirmed_takeover_at_most_once_sends_once() -> None:
    loop = Loop()
    job = await loop.register(definition(delivery=Delivery.AT_MOST_ONCE))
    await left_behind(loop, job, lease=timedelta(seconds=20))
    failing(loop, "change_many", [Unavailable("the line broke")], after=True)
    await loop.run_turn()
    run = (await loop.runs(job))[0]
    assert (run.status, len(loop.dispatcher.sent)) == (RunStatus.SUCCEEDED, 1)


async def test_an_unconfirmed_takeover_of_a_running_run_counts_one_attempt() -> None:
    loop = Loop()
    job = await loop.register(definition(every_s=RARE_S))
    dead = loop.new_worker("dead")
    await loop.send(dead)
    await loop.die(dead)
    loop.clock.advance(61)
    failing(loop, "change_many", [Unavailable("the line broke")], after=True)
    await loop.run_turn()
    (run,) = await loop.runs(job)
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 2)
    assert [made.worker_id for made in await loop.store.attempts(TENANT, run.id)] == ["dead"]


async def test_a_claim_whose_answer_was_lost_is_taken_up_at_the_next_turn() -> None:
    loop = Loop()
    job = await loop.register(definition(every_s=RARE_S))
    failing(loop, "claim", [Unavailable("the line broke")], after=True)
    with pytest.raises(Unavailable):
        await loop.worker.run_once()
    loop.clock.advance(5)
    await loop.run_turn()
    assert [run.status for run in await loop.runs(job)] == [RunStatus.SUCCEEDED]


async def test_one_job_that_cannot_be_begun_does_not_hold_up_the_others() -> None:
    loop = Loop()
    jobs = [await loop.register(definition(every_s=RARE_S)) for _ in range(3)]
    await left_behind(loop, *jobs, lease=timedelta(seconds=20))

    async def refusing(as_it_is: Any, work: Sequence[tuple[JobRef, Any]], **known: Any) -> object:
        if any(ref.job_id == jobs[0].id for ref, _ in work):
            raise ValueError("a row that the database refuses")
        return await as_it_is(work, **known)

    instead(loop, "change_many", refusing)
    await loop.run_turn()
    await loop.run_turn()
    assert len(loop.dispatcher.sent) == 2


async def test_claims_that_could_not_be_given_back_are_still_held() -> None:
    loop = Loop()
    await cramped(loop)
    worker, held = loop.worker, loop.worker.held
    loop.clock.advance(2.5)  # too long for a claim to be kept waiting
    left = failing(loop, "release", [Unavailable("away")])
    with pytest.raises(Unavailable):
        await worker.run_once()
    assert (worker.held, left) == (held, [])
    await loop.answer(worker)


async def test_a_test_run_that_kills_its_workers_is_not_sent_for_ever() -> None:
    loop = Loop()
    job = await loop.register(definition(every_s=RARE_S, start_at=loop.clock.now() + timedelta(days=1)))
    await loop.jobs.test(TENANT, job.id)
    for n in range(MOST_ATTEMPTS + 4):
        worker = loop.new_worker(f"worker_{n}")
        await loop.send(worker)
        await loop.die(worker)
        loop.clock.advance(200)
    assert 1 < len(loop.dispatcher.sent) <= MOST_ATTEMPTS


async def test_a_test_run_whose_answer_could_not_be_stored_at_once_is_not_sent_again() -> None:
    loop = Loop()
    job = await loop.register(definition(every_s=RARE_S, start_at=loop.clock.now() + timedelta(days=1)))
    await loop.jobs.test(TENANT, job.id)
    left = failing(loop, "settle_test", [Unavailable("away")])
    await loop.run_turn()
    loop.clock.advance(300)
    await loop.run_turn()
    assert (len(loop.dispatcher.sent), left) == (1, [])
