"""What a tenant's suspension may and may not swallow."""

from datetime import timedelta

from core.entities import Bounds, Limits, RunStatus
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition


async def test_slots_that_pass_during_a_run_are_recorded_though_the_tenant_is_suspended_when_it_settles() -> None:
    loop = Loop()
    job = await loop.register(definition(10, bounds=Bounds(timedelta(seconds=1), timedelta(seconds=600))))
    await loop.send()
    loop.clock.advance(25)
    loop.store.add_tenant(TENANT, Limits(suspended="unpaid"))
    await loop.answer()
    run, skipped = await loop.runs(job)
    assert run.status is RunStatus.SUCCEEDED
    assert (skipped.status, skipped.skip_reason, skipped.skipped_count) == (RunStatus.SKIPPED, "overlap", 2)
    assert (skipped.scheduled_for, skipped.skipped_until) == (
        START + timedelta(seconds=10),
        START + timedelta(seconds=20),
    )
