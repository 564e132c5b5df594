"""A job whose planner was switched off is planned no more."""

from core.entities import PlannerMode
from core.sessions import Plan, PlanningContext
from tests.unit.loop import TENANT, Loop, definition


async def test_a_session_that_ends_after_its_planner_was_switched_off_leaves_nothing_to_plan() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    plan = loop.planner.plan

    async def slow(context: PlanningContext) -> Plan:
        await loop.until_slot(job)
        await loop.run_turn()  # one more run settles while the session is on
        await loop.jobs.edit(TENANT, job.id, lambda old: definition(planner=PlannerMode.OFF))
        return await plan(context)

    loop.planner.plan = slow  # type: ignore[method-assign]
    await loop.plans.run_once()
    planning = (await loop.job(job)).schedule.planning
    assert (planning.seq, planning.done_seq, planning.ready_at) == (2, 1, None)
