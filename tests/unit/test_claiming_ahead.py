"""A horizon of claiming once ran jobs early and again on time: here it never does, and people have the last word."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.entities import HintKind, Job, RunStatus, Trigger
from core.usecases.manage_hints import HintDraft
from tests.unit.fakes import START
from tests.unit.loop import TENANT, definition, instead
from tests.unit.virtual import VirtualHouse, play

SLOT_S = 0.4  # after registration: within the half second that a worker looks ahead
Act = Callable[[VirtualHouse, Job], Awaitable[object]]


async def comes_soon(house: VirtualHouse) -> Job:
    """Register a job, and let the worker claim it ahead of its slot and hold it."""
    job = await house.register(definition(10, start_at=START + timedelta(seconds=SLOT_S)))
    assert (await house.worker.run_once()).claimed == 1
    assert house.worker.held == 1
    return job


def test_a_slot_claimed_ahead_is_sent_at_its_slot_never_before_and_once() -> None:
    async def story(house: VirtualHouse) -> None:
        job = await house.register(definition(10, start_at=START + timedelta(seconds=SLOT_S)))
        services = [house.service(worker) for worker in (house.worker, house.looking_ahead("worker_2"))]
        for service in services:
            await service.start()
        await asyncio.sleep(35)
        for service in services:
            await service.stop()
        assert [round(at, 6) for at, _ in house.sent] == [0.4, 10.4, 20.4, 30.4]
        assert len({webhook_id for _, webhook_id in house.sent}) == 4
        runs = await house.runs(job)
        assert [run.status for run in runs] == [RunStatus.SUCCEEDED] * 4
        assert all(run.started_at is not None and run.started_at >= run.scheduled_for for run in runs)

    play(story)


async def pause(house: VirtualHouse, job: Job) -> None:
    await house.jobs.pause(TENANT, job.id)


async def delete(house: VirtualHouse, job: Job) -> None:
    await house.jobs.delete(TENANT, job.id)


async def edit(house: VirtualHouse, job: Job) -> None:
    await house.jobs.edit(TENANT, job.id, lambda old: definition(120))


async def hint(house: VirtualHouse, job: Job) -> None:
    at = house.clock.now() + timedelta(seconds=60)
    await house.hints.write(TENANT, job.id, HintDraft(HintKind.NEXT_TIME, at=at))


@pytest.mark.parametrize("before_s", [0.3, 0.005], ids=["long before the slot", "just before its mark"])
@pytest.mark.parametrize("act", [pause, delete, edit, hint], ids=lambda act: act.__name__)
def test_a_claim_held_to_its_slot_is_dropped_when_a_person_says_otherwise(act: Act, before_s: float) -> None:
    async def story(house: VirtualHouse) -> None:
        job = await comes_soon(house)
        await asyncio.sleep(SLOT_S - before_s)
        await act(house, job)
        await asyncio.sleep(2)
        assert house.sent == []
        assert (house.worker.held, house.worker.in_flight, house.worker._places.taken) == (0, 0, 0)
        assert await house.runs(job) == []

    play(story)


def test_a_renamed_job_whose_claim_was_dropped_still_runs_once_at_the_same_slot() -> None:
    async def story(house: VirtualHouse) -> None:
        job = await comes_soon(house)
        await house.jobs.edit(TENANT, job.id, lambda old: replace(old, name="another"))
        assert (await house.looking_ahead("worker_2").run_once()).claimed == 1
        await asyncio.sleep(2)
        assert [round(at, 6) for at, _ in house.sent] == [SLOT_S]
        (run,) = await house.runs(job)
        assert (run.status, run.job_version) == (RunStatus.SUCCEEDED, 2)

    play(story)


def test_a_run_asked_for_during_a_held_claim_goes_at_once_and_the_slot_on_time() -> None:
    async def story(house: VirtualHouse) -> None:
        job = await comes_soon(house)
        asked = await house.jobs.run_now(TENANT, job.id)
        for _ in range(4):
            await house.worker.run_once()
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        assert [round(at, 6) for at, _ in house.sent] == [0, SLOT_S]
        manual, scheduled = await house.runs(job)
        assert (manual.id, manual.trigger, manual.status) == (asked.id, Trigger.MANUAL, RunStatus.SUCCEEDED)
        assert (scheduled.trigger, scheduled.status) == (Trigger.SCHEDULED, RunStatus.SUCCEEDED)

    play(story)


def test_a_pause_after_the_mark_leaves_that_run_and_stops_the_next() -> None:
    async def story(house: VirtualHouse) -> None:
        job = await comes_soon(house)
        await asyncio.sleep(SLOT_S - 0.002)  # it is marked as running, and leaves at its slot
        await house.jobs.pause(TENANT, job.id)
        await asyncio.sleep(30)
        assert [round(at, 6) for at, _ in house.sent] == [SLOT_S]
        assert (await house.runs(job))[0].status is RunStatus.SUCCEEDED
        assert (await house.worker.run_once()).claimed == 0

    play(story)


@pytest.mark.parametrize(("mark_s", "late_s"), [(0.001, 0), (0.015, 0), (0.5, 0.46)])
def test_marks_begin_as_much_sooner_as_they_take_and_never_by_more_than_a_moment(mark_s: float, late_s: float) -> None:
    async def story(house: VirtualHouse) -> None:
        async def slow(as_it_is: Any, *args: Any) -> object:
            answer = await as_it_is(*args)
            await asyncio.sleep(mark_s)
            return answer

        instead(house, "start", slow)
        await house.register(definition(10, start_at=START + timedelta(seconds=10)))
        service = house.service(house.worker)
        await service.start()
        await asyncio.sleep(65)
        await service.stop()
        late = [round(at - 10 * number, 3) for number, (at, _) in enumerate(house.sent, 1)]
        assert len(late) == 6
        assert all(each >= 0 for each in late)
        assert late[2:] == [late_s] * 4

    play(story)
