"""What a store keeps of attempts that did not become their run's outcome."""

from dataclasses import replace

from core.entities import Attempt, Job
from core.ids import run_id
from tests.contract.conftest import House


def lost(house: House, job: Job) -> Attempt:
    """Return an attempt as the worker that takes it over writes it."""
    slot = job.schedule.slot
    assert slot is not None
    return Attempt(
        run_id=run_id(slot.at, house.ids.entropy()),
        tenant_id=house.tenant,
        job_id=job.id,
        scheduled_for=slot.at,
        worker_id="w1",
        attempt=1,
        status="lost",
        started_at=slot.at,
        ended_at=slot.at,
    )


async def test_an_answer_that_comes_after_its_run_was_taken_over_is_kept_with_its_attempt(house: House) -> None:
    attempt = lost(house, await house.job())
    await house.store.add_attempts([attempt])
    discarded = replace(attempt, status="discarded", status_code=200, duration_ms=7)
    await house.store.add_attempts([discarded])
    assert await house.store.attempts(house.tenant, attempt.run_id) == [discarded]


async def test_attempts_of_several_workers_are_kept_apart(house: House) -> None:
    attempt = lost(house, await house.job())
    second = replace(attempt, worker_id="w2", attempt=2)
    await house.store.add_attempts([attempt, second])
    await house.store.add_attempts([attempt])
    assert await house.store.attempts(house.tenant, attempt.run_id) == [attempt, second]
