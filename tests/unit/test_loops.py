"""How long the run loop waits."""

from datetime import timedelta
from typing import Any

import pytest

from core.usecases.run_due import RunDue, Turn
from tests.unit.loop import Loop, definition, instead
from worker.loops import UNCLAIMABLE_WAIT_S, run_service

POLL = timedelta(seconds=5)


async def waits(loop: Loop) -> float:
    """Return what a turn of the run loop would wait."""
    service = run_service(loop.worker, loop.clock, loop.events, poll=POLL)
    seconds = await service._turn()
    await loop.worker.drain(5)
    return seconds


async def test_without_jobs_it_waits_for_the_poll() -> None:
    assert await waits(Loop()) == 5


@pytest.mark.parametrize(("ahead_s", "expected"), [(3, 3), (3600, 5)])
async def test_it_waits_for_the_next_due_instant_and_never_longer_than_the_poll(ahead_s: int, expected: float) -> None:
    loop = Loop()
    await loop.register(definition(start_at=loop.clock.now() + timedelta(seconds=ahead_s)))
    assert await waits(loop) == expected


async def test_what_is_due_and_cannot_be_claimed_does_not_make_it_spin() -> None:
    loop = Loop()

    class Held(RunDue):
        async def run_once(self) -> Turn:
            return Turn(claimed=0, next_in_s=0.0)

    made = loop.worker
    held = Held(made.store, made.dispatcher, made.cron, made.clock, made.ids, made.events, worker_id="held")
    service = run_service(held, loop.clock, loop.events, poll=POLL)
    assert await service._turn() == UNCLAIMABLE_WAIT_S


async def test_a_settled_run_that_is_due_sooner_than_the_wait_wakes_it() -> None:
    loop = Loop()
    service = run_service(loop.worker, loop.clock, loop.events, poll=POLL)
    await service._turn()
    loop.worker.on_ready(9)
    assert not service._woken.is_set()
    loop.worker.on_ready(2)
    assert service._woken.is_set()


async def test_what_settles_while_a_claim_looks_is_not_slept_through() -> None:
    loop = Loop()
    service = run_service(loop.worker, loop.clock, loop.events, poll=POLL)
    await service._turn()
    loop.clock.advance(POLL.total_seconds())

    async def busy(as_it_is: Any, *args: Any, **options: Any) -> object:
        claims = await as_it_is(*args, **options)
        loop.worker.on_ready(1.0)  # committed just after the claim looked
        return claims

    instead(loop, "claim", busy)
    service._woken.clear()
    assert await service._turn() <= 1 or service._woken.is_set()
