"""The use cases together: claim, send, settle, plan, decide; no I/O anywhere."""

from datetime import timedelta

import pytest

from core.entities import (
    Authority,
    Bounds,
    Catchup,
    CronBaseline,
    Delivery,
    HintKind,
    HintState,
    JobStatus,
    Limits,
    OnceBaseline,
    PlannerMode,
    RunStatus,
    Source,
    Trigger,
)
from core.errors import Conflict, NotFound
from core.events import RunsSkipped, StaleWriteRefused
from core.ports.dispatcher import HttpResult
from core.ports.quota import Denial
from core.reschedule import park
from core.sessions import Outcome, Plan, PlanningContext, Proposal
from core.usecases.manage_hints import HintDraft
from core.usecases.manage_jobs import visible_status
from tests.unit.fakes import OK, START
from tests.unit.loop import TENANT, Loop, definition, interval_proposal


async def test_one_due_job_gives_one_terminal_run_and_a_next_one_that_says_why() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.turn()
    (run,) = await loop.runs(job)
    assert (run.status, run.scheduled_for) == (RunStatus.SUCCEEDED, START)
    assert run.decision is not None
    assert run.decision.source is Source.BASELINE_INTERVAL
    assert run.decision.next_run_at == START + timedelta(seconds=60)
    assert "every 1 min" in run.decision.reason


async def test_hinted_runs_that_fail_are_a_streak_but_no_reason_to_back_off() -> None:
    loop = Loop()
    job = await loop.register()
    loop.dispatcher.plan = lambda request: HttpResult(500, 5)
    await loop.hints.write(TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=10)))
    for _ in range(3):
        await loop.until_slot(job)
        await loop.turn()
    schedule = (await loop.job(job)).schedule
    assert (schedule.failed_runs, schedule.failures) == (3, 1)
    loop.dispatcher.plan = lambda request: OK
    await loop.until_slot(job)
    await loop.turn()
    assert (await loop.job(job)).schedule.failed_runs == 0


async def test_a_hint_below_the_minimum_is_clamped_and_falls_back_at_its_expiry() -> None:
    loop = Loop()
    job = await loop.register()
    loop.planner.script.append([interval_proposal(1, ttl_s=25)])
    await loop.turn()
    explained = await loop.explain.explanation(TENANT, job.id)
    assert explained.decision.source is Source.HINT_INTERVAL
    assert [clamp.bound for clamp in explained.decision.clamps] == ["min_interval"]
    assert explained.decision.next_run_at == START + timedelta(seconds=10)
    for _ in range(2):
        await loop.until_slot(job)
        await loop.turn()
    slots = [run.scheduled_for - START for run in await loop.runs(job)]
    assert [slot.total_seconds() for slot in slots] == [0, 10, 20]
    after = await loop.job(job)
    assert after.schedule.slot is not None
    assert after.schedule.slot.source is Source.BASELINE_INTERVAL
    assert after.schedule.slot.at == START + timedelta(seconds=60)


async def test_the_same_input_gives_the_same_output() -> None:
    async def story() -> object:
        loop = Loop()
        job = await loop.register()
        loop.planner.script.extend([[interval_proposal(20)], [interval_proposal(300)]])
        for _ in range(5):
            await loop.turn()
            await loop.until_slot(job)
        return await loop.job(job), await loop.runs(job)

    assert await story() == await story()


async def test_a_hint_written_during_a_run_affects_that_runs_decision() -> None:
    loop = Loop()
    job = await loop.register()
    loop.dispatcher.takes_s = 5
    await loop.send()
    await loop.hints.write(TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=30)))
    await loop.answer()
    (run,) = await loop.runs(job)
    assert run.decision is not None
    assert run.decision.source is Source.HINT_INTERVAL
    assert run.decision.next_run_at == START + timedelta(seconds=30)


async def test_failures_are_counted_before_the_decision_and_success_resets_them() -> None:
    loop = Loop()
    job = await loop.register()
    loop.dispatcher.plan = lambda request: HttpResult(status_code=500, duration_ms=1)
    await loop.run_turn()
    failed = await loop.job(job)
    assert failed.schedule.failures == 1
    assert failed.schedule.slot is not None
    assert (failed.schedule.slot.source, failed.schedule.slot.at) == (
        Source.BACKOFF,
        START + timedelta(seconds=120),
    )
    loop.dispatcher.plan = lambda request: OK
    await loop.until_slot(job)
    await loop.run_turn()
    healthy = await loop.job(job)
    assert healthy.schedule.failures == 0
    assert healthy.schedule.slot is not None
    assert healthy.schedule.slot.at == START + timedelta(seconds=180)


async def test_without_quota_no_planner_is_asked_and_the_denial_is_recorded() -> None:
    loop = Loop()
    job = await loop.register()
    loop.quota.denial = Denial("tokens_per_day", "the day's tokens are used up")
    await loop.turn()
    assert loop.planner.contexts == []
    (session,) = (await loop.store.sessions(TENANT, job_id=job.id, limit=10)).items
    assert session.plan.outcome is Outcome.DENIED
    assert "tokens_per_day" in (session.plan.error or "")


async def test_a_next_time_hint_runs_once_and_then_not_again() -> None:
    loop = Loop()
    job = await loop.register()
    at = START + timedelta(seconds=25)
    loop.planner.script.append([Proposal(HintKind.NEXT_TIME, "a release", "call_1", at=at)])
    await loop.turn()
    await loop.until_slot(job)
    assert loop.clock.now() == at
    await loop.turn()
    (hint,) = (await loop.store.hints(TENANT, job_id=job.id, limit=10)).items
    assert hint.state is HintState.CONSUMED
    after = await loop.job(job)
    assert after.schedule.slot is not None
    assert (after.schedule.slot.source, after.schedule.slot.at) == (
        Source.BASELINE_INTERVAL,
        START + timedelta(seconds=60),
    )


async def test_a_planners_pause_is_bounded_and_ends_with_one_probe() -> None:
    loop = Loop()
    job = await loop.register()
    until = START + timedelta(hours=1)
    loop.planner.script.append([Proposal(HintKind.PAUSE, "maintenance", "call_1", until=until)])
    await loop.turn()
    paused = await loop.job(job)
    assert (paused.schedule.status, paused.schedule.paused_until) == (JobStatus.PAUSED, until)
    await loop.until_slot(job)
    assert loop.clock.now() == until
    await loop.turn()
    probe = (await loop.runs(job))[-1]
    assert (probe.kind.value, probe.status) == ("probe", RunStatus.SUCCEEDED)
    assert (await loop.job(job)).schedule.status is JobStatus.ACTIVE


async def test_a_hint_cannot_prolong_itself_without_a_newer_run() -> None:
    loop = Loop()
    job = await loop.register()
    loop.planner.script.extend([[interval_proposal(30)], [interval_proposal(20)]])
    await loop.turn()
    session = await loop.plans.plan_now(TENANT, job.id)
    assert session.plan.outcome is Outcome.STALE
    states = [hint.state for hint in (await loop.store.hints(TENANT, job_id=job.id, limit=10)).items]
    assert states == [HintState.REJECTED, HintState.ACTIVE]


async def test_a_shadow_planners_hints_have_no_effect() -> None:
    loop = Loop()
    job = await loop.register(definition(planner=PlannerMode.SHADOW))
    loop.planner.script.append([interval_proposal(20)])
    await loop.turn()
    (hint,) = (await loop.store.hints(TENANT, job_id=job.id, limit=10)).items
    assert hint.state is HintState.SHADOW
    slot = (await loop.job(job)).schedule.slot
    assert slot is not None
    assert slot.at == START + timedelta(seconds=60)


async def test_a_stale_lease_cannot_record() -> None:
    loop = Loop()
    job = await loop.register()
    first, second = loop.worker, loop.new_worker("worker_2")
    await loop.send(first)
    loop.clock.advance(61)
    await loop.send(second)
    await loop.answer(second)
    await loop.answer(first)
    assert len(loop.events.of(StaleWriteRefused)) == 1
    run, _ = await loop.runs(job)  # and the slot that passed meanwhile
    assert (run.worker_id, run.attempt, run.status) == ("worker_2", 2, RunStatus.SUCCEEDED)
    ids = {request.webhook_id for request in loop.dispatcher.sent}
    assert len(loop.dispatcher.sent) == 2
    assert len(ids) == 1


async def test_an_uncertain_run_of_an_at_most_once_job_becomes_unknown() -> None:
    loop = Loop()
    job = await loop.register(definition(delivery=Delivery.AT_MOST_ONCE))
    await loop.send()
    await loop.die()
    loop.clock.advance(61)
    second = loop.new_worker("worker_2")
    await second.run_once()
    await second.drain(5)
    runs = await loop.runs(job)
    assert runs[0].status is RunStatus.UNKNOWN
    assert len(loop.dispatcher.sent) <= 1


async def test_missed_slots_of_a_skipping_job_become_one_row_with_a_count() -> None:
    loop = Loop()
    job = await loop.register(definition(baseline=CronBaseline("every 60"), catchup=Catchup.SKIP))
    loop.clock.advance(300)
    await loop.run_turn()
    (skipped,) = await loop.runs(job)
    assert (skipped.status, skipped.skip_reason, skipped.skipped_count) == (RunStatus.SKIPPED, "missed", 6)
    assert loop.dispatcher.sent == []
    slot = (await loop.job(job)).schedule.slot
    assert slot is not None
    assert slot.at == START + timedelta(seconds=360)


async def test_catching_up_runs_only_the_newest_missed_slot() -> None:
    loop = Loop()
    job = await loop.register(definition(catchup=Catchup.LATEST))
    loop.clock.advance(310)
    await loop.run_turn()
    skipped, caught = await loop.runs(job)
    assert (skipped.skipped_count, skipped.skipped_until) == (5, START + timedelta(seconds=240))
    assert (caught.trigger, caught.status) == (Trigger.CATCHUP, RunStatus.SUCCEEDED)
    assert caught.scheduled_for == START + timedelta(seconds=300)
    assert len(loop.dispatcher.sent) == 1


async def test_slots_that_pass_during_a_run_leave_one_skipped_row() -> None:
    loop = Loop()
    job = await loop.register()
    loop.dispatcher.takes_s = 150
    await loop.run_turn()
    run, skipped = await loop.runs(job)
    assert run.status is RunStatus.SUCCEEDED
    assert (skipped.status, skipped.skip_reason, skipped.skipped_count) == (RunStatus.SKIPPED, "overlap", 2)
    slot = (await loop.job(job)).schedule.slot
    assert slot is not None
    assert slot.at == START + timedelta(seconds=180)
    assert [event.reason for event in loop.events.of(RunsSkipped)] == ["overlap"]  # type: ignore[attr-defined]


async def test_slots_that_pass_before_a_late_or_taken_over_run_leave_one_skipped_row_too() -> None:
    loop = Loop()
    job = await loop.register(definition(10, bounds=Bounds(timedelta(seconds=1), timedelta(seconds=600))))
    await loop.send()
    await loop.die()
    loop.clock.advance(61)
    second = loop.new_worker("worker_2")
    await second.run_once()
    await second.drain(5)
    run, skipped = await loop.runs(job)
    assert (run.attempt, run.status) == (2, RunStatus.SUCCEEDED)
    assert (skipped.skipped_count, skipped.skipped_until) == (6, START + timedelta(seconds=60))
    loop.clock.at = START + timedelta(seconds=85)
    await loop.run_turn()  # fifteen seconds late, within the grace
    late, passed = (await loop.runs(job))[2:]
    assert late.scheduled_for == START + timedelta(seconds=70)
    assert (passed.scheduled_for, passed.skipped_count) == (START + timedelta(seconds=80), 1)


async def test_running_by_hand_goes_at_once_and_leaves_the_grid_alone() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    loop.clock.advance(20)
    asked = await loop.jobs.run_now(TENANT, job.id)
    await loop.run_turn()
    manual = next(run for run in await loop.runs(job) if run.id == asked.id)
    assert (manual.trigger, manual.status) == (Trigger.MANUAL, RunStatus.SUCCEEDED)
    slot = (await loop.job(job)).schedule.slot
    assert slot is not None
    assert slot.at == START + timedelta(seconds=60)


async def test_running_by_hand_during_a_run_is_skipped_at_once() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    asked = await loop.jobs.run_now(TENANT, job.id)
    assert (asked.status, asked.skip_reason) == (RunStatus.SKIPPED, "overlap")
    await loop.answer()


async def test_a_paused_job_shows_no_next_run_cannot_be_run_and_resumes_without_a_backlog() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.jobs.pause(TENANT, job.id, reason="deploying")
    with pytest.raises(Conflict, match="paused"):
        await loop.jobs.run_now(TENANT, job.id)
    loop.clock.advance(3600)
    assert await loop.run_turn() == 0
    resumed = await loop.jobs.resume(TENANT, job.id)
    assert resumed.schedule.status is JobStatus.ACTIVE
    assert resumed.schedule.slot is not None
    assert resumed.schedule.slot.at > loop.clock.now()
    assert len(await loop.runs(job)) == 1


async def test_a_timed_pause_ends_by_itself_at_the_next_fire() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    paused = await loop.jobs.pause(TENANT, job.id, until=START + timedelta(seconds=150))
    assert paused.schedule.slot is not None
    assert paused.schedule.slot.at == START + timedelta(seconds=180)
    await loop.until_slot(job)
    await loop.run_turn()
    assert (await loop.job(job)).schedule.status is JobStatus.ACTIVE
    assert len(await loop.runs(job)) == 2


async def test_an_edit_of_the_schedule_re_anchors_it_and_records_a_due_slot() -> None:
    loop = Loop()
    job = await loop.register()
    loop.clock.advance(5)  # the first slot is due, and nobody claimed it
    edited = await loop.jobs.edit(TENANT, job.id, lambda old: definition(120))
    assert edited.definition.version == 2
    assert edited.schedule.slot is not None
    assert edited.schedule.slot.at == loop.clock.now() + timedelta(seconds=120)
    (skipped,) = await loop.runs(job)
    assert (skipped.status, skipped.skip_reason) == (RunStatus.SKIPPED, "edited")


async def test_a_deleted_job_is_never_claimed_again_and_its_history_stays() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.jobs.delete(TENANT, job.id)
    loop.clock.advance(3600)
    assert await loop.run_turn() == 0
    with pytest.raises(NotFound):
        await loop.job(job)
    assert len(await loop.runs(job)) == 1


async def test_a_run_under_way_while_its_job_is_deleted_is_still_recorded() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    await loop.jobs.delete(TENANT, job.id)
    await loop.answer()
    (run,) = await loop.runs(job)
    assert run.status is RunStatus.SUCCEEDED
    loop.clock.advance(3600)
    assert await loop.run_turn() == 0


async def test_a_once_job_runs_once_and_retires() -> None:
    loop = Loop()
    at = START + timedelta(seconds=30)
    job = await loop.register(definition(baseline=OnceBaseline(at), authority=Authority()))
    await loop.until_slot(job)
    await loop.turn()
    retired = await loop.job(job)
    assert (retired.schedule.status, retired.schedule.slot) == (JobStatus.RETIRED, None)
    loop.clock.advance(7200)
    assert await loop.run_turn() == 0
    assert len(await loop.runs(job)) == 1


async def test_one_row_that_cannot_be_decided_is_parked_and_the_others_go_on() -> None:
    loop = Loop()
    healthy, broken = await loop.register(), await loop.register()
    poisoned = definition(baseline=CronBaseline("nonsense"))
    job = loop.store._jobs[broken.id]
    loop.store._jobs[broken.id] = type(job)(
        job.tenant_id, job.id, poisoned, job.schedule, job.updated_at, job.deleted_at
    )
    await loop.run_turn()
    parked = await loop.job(broken)
    assert parked.schedule.status is JobStatus.PARKED
    assert "nonsense" in (parked.schedule.parked_reason or "")
    assert (await loop.job(healthy)).schedule.status is JobStatus.ACTIVE
    assert [run.status for run in await loop.runs(healthy)] == [RunStatus.SUCCEEDED]
    loop.store._jobs[broken.id] = type(job)(
        job.tenant_id, job.id, job.definition, parked.schedule, job.updated_at, job.deleted_at
    )
    loop.clock.advance(3601)
    await loop.run_turn()
    assert (await loop.job(broken)).schedule.status is JobStatus.ACTIVE


async def test_a_job_that_was_set_aside_is_looked_at_again_when_a_person_resumes_it() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.store.change(loop.ref(job), lambda snapshot: park(snapshot, "it could not be begun"))
    loop.clock.advance(600)
    assert await loop.run_turn() == 0
    resumed = await loop.jobs.resume(TENANT, job.id, by="usr_1")
    assert visible_status(resumed, loop.clock.at) is JobStatus.ACTIVE
    await loop.run_turn()
    assert (await loop.job(job)).schedule.status is JobStatus.ACTIVE
    await loop.until_slot(job)
    await loop.run_turn()
    statuses = [run.status for run in await loop.runs(job)]
    assert statuses[-1] is RunStatus.SUCCEEDED
    assert RunStatus.SKIPPED in statuses  # the slots that passed meanwhile


async def test_a_target_that_makes_the_client_raise_ends_as_a_failed_run() -> None:
    loop = Loop()
    job = await loop.register()

    def explode(request: object) -> HttpResult:
        raise RuntimeError("boom")

    loop.dispatcher.plan = explode
    await loop.run_turn()
    (run,) = await loop.runs(job)
    assert run.status is RunStatus.FAILED
    assert "RuntimeError" in (run.error_message or "")


async def test_a_test_run_leaves_the_schedule_alone() -> None:
    loop = Loop()
    job = await loop.register(definition(start_at=START + timedelta(hours=1)))
    before = await loop.job(job)
    asked = await loop.jobs.test(TENANT, job.id)
    await loop.run_turn()
    (run,) = await loop.runs(job)
    assert (run.id, run.trigger, run.status) == (asked.id, Trigger.TEST, RunStatus.SUCCEEDED)
    assert await loop.job(job) == before


async def test_a_running_run_can_be_canceled_and_its_late_answer_is_refused() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    (running,) = await loop.runs(job)
    canceled = await loop.jobs.cancel(TENANT, running.id)
    assert canceled.status is RunStatus.CANCELED
    await loop.answer()
    (run,) = await loop.runs(job)
    assert run.status is RunStatus.CANCELED
    assert len(loop.events.of(StaleWriteRefused)) == 1
    slot = (await loop.job(job)).schedule.slot
    assert slot is not None
    assert slot.at == START + timedelta(seconds=60)


async def test_the_forecast_is_what_happens_when_every_run_succeeds_at_its_slot() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.hints.write(
        TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=25), ttl=timedelta(seconds=70))
    )
    told = await loop.explain.forecast(TENANT, job.id, hours=1, limit=8)
    happened = []
    for _ in range(8):
        await loop.until_slot(job)
        happened.append(loop.clock.now())
        await loop.run_turn()
    assert [item.at for item in told.items] == happened
    assert told.truncated


async def test_simulating_a_hint_writes_nothing() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    before, after = await loop.explain.simulate(
        TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=20))
    )
    assert before.next_run_at == START + timedelta(seconds=60)
    assert after.next_run_at == START + timedelta(seconds=20)
    assert (await loop.store.hints(TENANT, limit=10)).items == []


async def test_a_deleted_jobs_lost_run_is_not_sent_again() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    await loop.die()
    await loop.jobs.delete(TENANT, job.id)
    loop.clock.advance(61)
    second = loop.new_worker("worker_2")
    await second.run_once()
    await second.drain(5)
    (run,) = await loop.runs(job)
    assert run.status is RunStatus.UNKNOWN
    assert len(loop.dispatcher.sent) <= 1
    loop.clock.advance(61)
    assert (await second.run_once()).claimed == 0


async def test_a_lease_on_a_run_that_is_gone_does_not_wedge_its_job() -> None:
    loop = Loop()
    job = await loop.register()
    (claim,) = (await loop.store.claim("dead", limit=1, lease=timedelta(seconds=30))).jobs
    del loop.store._runs[claim.run_id]
    loop.clock.advance(31)
    await loop.run_turn()
    fresh = await loop.job(job)
    assert fresh.schedule.lease is None
    await loop.until_slot(job)
    await loop.run_turn()
    assert [run.status for run in await loop.runs(job)] == [RunStatus.SUCCEEDED]


async def test_a_suspended_tenants_jobs_come_back_when_the_suspension_ends() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.send()
    loop.store.add_tenant(TENANT, Limits(suspended="unpaid"))
    await loop.answer()
    assert (await loop.explain.explanation(TENANT, job.id)).decision.source is Source.SUSPENDED
    loop.clock.advance(600)
    assert await loop.run_turn() == 0
    loop.store.add_tenant(TENANT, Limits())
    await loop.run_turn()
    first, *later = await loop.runs(job)
    assert first.status is RunStatus.SUCCEEDED
    assert later[0].status is RunStatus.SKIPPED
    assert later[0].skipped_count == 10
    assert (await loop.job(job)).schedule.slot is not None


async def test_switching_the_planner_off_ends_what_waits_to_be_planned() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.jobs.edit(TENANT, job.id, lambda old: definition(planner=PlannerMode.OFF))
    assert (await loop.job(job)).schedule.planning.ready_at is None
    await loop.plans.run_once()
    assert loop.planner.contexts == []


async def test_a_planner_that_raises_harms_no_other_session() -> None:
    loop = Loop()
    jobs = [await loop.register() for _ in range(2)]
    await loop.run_turn()
    plan, calls = loop.planner.plan, [0]

    async def sometimes(context: PlanningContext) -> Plan:
        calls[0] += 1
        if calls[0] == 1:
            raise ZeroDivisionError("a bug in a planner")
        return await plan(context)

    loop.planner.plan = sometimes  # type: ignore[method-assign]
    assert await loop.plans.run_once() == 2
    sessions = [len((await loop.store.sessions(TENANT, job_id=job.id, limit=9)).items) for job in jobs]
    assert sorted(sessions) == [0, 1]
