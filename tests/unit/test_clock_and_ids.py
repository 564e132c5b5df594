"""The system clock and the system's entropy."""

import asyncio
import re
from datetime import UTC, datetime

import pytest

from core.ports.clock import Clock
from core.ports.ids import Ids
from rubato.adapters.clock import SystemClock
from rubato.adapters.ids import CROCKFORD, SystemIds


def test_the_system_clock_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()
    before = datetime.now(UTC)
    now = clock.now()
    assert now.tzinfo is UTC
    assert before <= now <= datetime.now(UTC)


async def test_sleeping_lets_other_tasks_run_and_takes_at_least_its_time() -> None:
    clock: Clock = SystemClock()
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    started = clock.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        await clock.sleep(0.02)
        turns.append("sleeper")
    assert turns == ["other", "sleeper"]
    assert clock.monotonic() - started >= 0.02


def test_no_sleep_ends_early_on_the_worker_s_own_event_loop() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop does not run here, and neither does a worker on it")
    clock: Clock = SystemClock()

    async def shortest() -> float:
        over = []
        for _ in range(40):
            busy_until = clock.monotonic() + 0.002  # within one turn of the loop, which counts from its beginning
            while clock.monotonic() < busy_until:
                pass
            began = clock.monotonic()
            await clock.sleep(0.0034)
            over.append(clock.monotonic() - began - 0.0034)
        return min(over)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(shortest()) >= 0


async def test_a_negative_sleep_returns() -> None:
    async with asyncio.timeout(5):
        await SystemClock().sleep(-3600)


async def test_a_sleep_can_be_cancelled() -> None:
    task = asyncio.create_task(SystemClock().sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_monotonic_time_never_runs_backwards() -> None:
    clock = SystemClock()
    seen = [clock.monotonic() for _ in range(1000)]
    assert seen == sorted(seen)


def test_entropy_is_sixteen_crockford_characters_and_does_not_repeat() -> None:
    ids: Ids = SystemIds()
    made = [ids.entropy() for _ in range(2000)]
    assert all(re.fullmatch(r"[0-9abcdefghjkmnpqrstvwxyz]{16}", one) for one in made)
    assert len(set(made)) == 2000


def test_every_character_of_entropy_takes_every_value() -> None:
    made = [SystemIds().entropy() for _ in range(2000)]
    # The chance that one of 32 values is missing among 2000 draws is 32 * (31/32)^2000 < 1e-25.
    assert all({one[position] for one in made} == set(CROCKFORD) for position in range(16))
