"""What a deletion leaves behind."""

from datetime import timedelta

from core.entities import Bounds, RunStatus, Trigger
from tests.unit.loop import TENANT, Loop, definition


async def test_deleting_a_job_records_the_slot_that_waited_beside_a_run_asked_for_by_hand() -> None:
    loop = Loop()
    job = await loop.register(definition(60, bounds=Bounds(timedelta(seconds=1), timedelta(seconds=600))))
    await loop.run_turn()
    loop.clock.advance(50)
    await loop.jobs.run_now(TENANT, job.id)
    await loop.send()
    loop.clock.advance(15)  # the slot comes while the run is out
    await loop.jobs.delete(TENANT, job.id)
    await loop.answer()
    by_trigger = {run.trigger: run for run in (await loop.runs(job))[1:]}
    assert by_trigger[Trigger.MANUAL].status is RunStatus.SUCCEEDED
    waited = by_trigger[Trigger.SCHEDULED]
    assert (waited.status, waited.skip_reason) == (RunStatus.SKIPPED, "deleted")
