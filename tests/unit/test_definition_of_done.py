"""The definition of done, on a clock that is moved by hand: a job that fires every five minutes logs its message, and
three of its runs show through the admin routes after fifteen minutes. The same for start-up and overlap."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.entities import Bounds, IntervalBaseline, RunStatus, Trigger
from core.usecases.reap import ReapStale
from tests.integration.apis import Face, face
from tests.unit.fakes import FakeClock
from tests.unit.loop import TENANT, Loop, definition

BASE = "/api/v2/admin/cron"
START = datetime(2026, 1, 5, 12, 3, tzinfo=UTC)


@pytest.fixture
async def moved() -> AsyncIterator[tuple[Face, FakeClock]]:
    """Serve the API over a store whose clock is moved by hand."""
    clock = FakeClock(START)
    async with face(clock=clock) as made:
        yield made, clock


async def test_every_five_minutes_its_message_is_logged_and_three_runs_show_after_fifteen(
    moved: tuple[Face, FakeClock],
) -> None:
    api, clock = moved
    body = {
        "key": "heartbeat",
        "target": "system.log_message",
        "payload": {"message": "still here"},
        "baselineCron": "*/5 * * * *",
    }
    made = await api.call("POST", f"{BASE}/jobs", body)
    assert made.status_code == 201
    with capture_logs() as lines:
        for _ in range(15):
            clock.advance(60)
            await api.run_due()
    said = [line["slot"] for line in lines if line["event"] == "still here"]
    assert said == [f"2026-01-05T12:{minute:02}:00+00:00" for minute in (5, 10, 15)]
    runs: list[dict[str, Any]] = (await api.call("GET", f"{BASE}/runs?key=heartbeat")).json()["data"]
    assert [(run["scheduledFor"], run["status"]) for run in runs] == [
        (f"2026-01-05T12:{minute:02}:00Z", "succeeded") for minute in (15, 10, 5)
    ]


async def test_the_slot_is_the_boundary_and_not_the_clocks_now(moved: tuple[Face, FakeClock]) -> None:
    api, clock = moved
    body = {"key": "heartbeat", "target": "system.log_message", "baselineCron": "*/5 * * * *"}
    await api.call("POST", f"{BASE}/jobs", body)
    clock.at = START.replace(minute=5, second=42)
    await api.run_due()
    (run,) = (await api.call("GET", f"{BASE}/runs")).json()["data"]
    assert (run["scheduledFor"], run["startedAt"]) == ("2026-01-05T12:05:00Z", "2026-01-05T12:05:42Z")


async def test_slots_that_pass_during_a_run_leave_one_skipped_row_with_reason_and_count() -> None:
    loop = Loop()
    job = await loop.register(definition(60))
    await loop.send()
    loop.clock.advance(185)
    await loop.answer()
    ran, skipped = await loop.runs(job)
    assert (ran.status, skipped.status) == (RunStatus.SUCCEEDED, RunStatus.SKIPPED)
    assert (skipped.skip_reason, skipped.skipped_count, skipped.trigger) == ("overlap", 3, Trigger.SCHEDULED)


async def test_a_worker_that_starts_ends_what_is_stale_and_leaves_other_workers_work_alone() -> None:
    """As the wiring does it: reap, then claim what is pending and what is due."""
    loop = Loop()
    hourly = {"baseline": IntervalBaseline(timedelta(hours=1)), "bounds": Bounds()}
    alive, dead, new = loop.new_worker("alive"), loop.new_worker("dead"), loop.new_worker("new")
    held = await loop.register(definition(**hourly))
    await loop.send(alive)
    stale = await loop.register(definition(**hourly))
    await loop.send(dead)
    await dead.drain(0)
    for _ in range(32):
        loop.clock.advance(30)
        await alive.renew_once()
    by_hand = await loop.register(definition(**hourly, start_at=loop.clock.at + timedelta(days=1)))
    pending = await loop.jobs.run_now(TENANT, by_hand.id)
    due = await loop.register(definition(**hourly))
    assert await ReapStale(loop.store, loop.cron, loop.ids, loop.events, new.lease).run_once() == 1
    (ended,) = await loop.runs(stale)
    assert (ended.status, ended.error_message) == (
        RunStatus.FAILED,
        "Stale: its worker was not heard of for 15 minutes",
    )
    assert await loop.send(new) == 2
    assert [(await loop.runs(job))[-1].worker_id for job in (by_hand, due)] == ["new", "new"]
    assert (await loop.runs(by_hand))[0].id == pending.id
    (untouched,) = await loop.runs(held)
    assert (untouched.status, untouched.worker_id, untouched.attempt) == (RunStatus.RUNNING, "alive", 1)
    await loop.answer(new)
    await loop.answer(alive)
    assert (await loop.runs(held))[0].status is RunStatus.SUCCEEDED
    assert len(await loop.runs(stale)) == 1
