"""A store that goes away, or whose answer gets lost: nothing is sent twice for it, nothing forgotten."""

import asyncio

from core.entities import Delivery, RunStatus
from core.errors import Unavailable
from core.events import LoopFailed, StaleWriteRefused
from tests.unit.loop import TENANT, Loop, definition, failing


async def test_a_store_that_goes_away_while_settling_keeps_the_answer_until_it_is_back() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    fails = failing(loop, "change_many", [Unavailable("gone")] * 3)
    await loop.answer()
    (run,) = await loop.runs(job)
    assert (run.status, fails, len(loop.dispatcher.sent)) == (RunStatus.SUCCEEDED, [], 1)


async def test_an_answer_whose_commit_was_not_confirmed_is_recorded_once_and_not_as_a_stale_one() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    failing(loop, "change_many", [Unavailable("the line went dead")], after=True)
    await loop.answer()
    (run,) = await loop.runs(job)
    assert run.status is RunStatus.SUCCEEDED
    assert loop.events.of(StaleWriteRefused) == []
    assert await loop.store.attempts(TENANT, run.id) == []


async def test_an_answer_that_cannot_be_stored_is_replaced_by_the_reason_and_the_others_go_on() -> None:
    loop = Loop()
    jobs = [await loop.register() for _ in range(2)]
    await loop.send()
    failing(loop, "change_many", [ZeroDivisionError("a bug")] * 2)  # the batch, then the first alone
    await loop.answer()
    runs = [(await loop.runs(job))[0] for job in jobs]
    assert sorted(run.status for run in runs) == [RunStatus.FAILED, RunStatus.SUCCEEDED]
    assert any("ZeroDivisionError" in (run.error_message or "") for run in runs)


async def test_a_settling_that_always_dies_says_so_and_leaves_the_run_to_its_lease() -> None:
    loop = Loop()
    await loop.register()
    await loop.send()
    failing(loop, "change_many", [ZeroDivisionError("a bug")] * 3)
    await loop.answer()
    assert "ZeroDivisionError" in loop.events.of(LoopFailed)[-1].error  # type: ignore[attr-defined]
    assert loop.worker.in_flight == 0


async def test_a_mark_that_was_not_confirmed_is_made_again_before_anything_is_sent() -> None:
    loop = Loop()
    job = await loop.register()
    failing(loop, "start", [Unavailable("the line went dead")], after=True)
    await loop.run_turn()
    (run,) = await loop.runs(job)
    assert (run.status, run.attempt, len(loop.dispatcher.sent)) == (RunStatus.SUCCEEDED, 1, 1)


async def test_a_run_asked_for_by_hand_whose_mark_was_not_confirmed_is_sent_once_even_at_most_once() -> None:
    loop = Loop()
    job = await loop.register(definition(delivery=Delivery.AT_MOST_ONCE))
    await loop.run_turn()
    loop.clock.advance(20)
    asked = await loop.jobs.run_now(TENANT, job.id)
    failing(loop, "change_many", [Unavailable("the line went dead")], after=True)
    await loop.run_turn()
    run = await loop.store.run(TENANT, asked.id)
    assert (run.status, run.attempt, len(loop.dispatcher.sent)) == (RunStatus.SUCCEEDED, 1, 2)


async def test_a_flight_cancelled_before_it_began_gives_its_place_back() -> None:
    loop = Loop()
    await loop.register()
    loop.dispatcher.answers.clear()
    await loop.worker.run_once()
    await loop.worker._stages.rest("start")
    for flight in list(loop.worker._flights.values()):
        assert flight.task is not None
        flight.task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (loop.worker.in_flight, loop.worker._places.taken) == (0, 0)
