"""Bugs that systems of this kind have had; docs/known_bugs.md names all of them, and the tests that stand elsewhere."""

import subprocess
import sys
from datetime import timedelta

import pytest

from core.entities import (
    Bounds,
    Catchup,
    Definition,
    HintKind,
    HintState,
    JobStatus,
    OnceBaseline,
    RunStatus,
    Source,
    Trigger,
)
from core.events import StaleWriteRefused
from core.ports.store import RunFilter
from core.sessions import Plan, PlanningContext, Proposal
from core.usecases.manage_hints import HintDraft
from planner.prompt import describe_job
from tests.processes import ROOT, clean_environment
from tests.unit.contexts import context, run
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition, interval_proposal

WIDE = Bounds(timedelta(seconds=1), timedelta(hours=2))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


async def slots(loop: Loop, job_id: str) -> list[tuple[float, str]]:
    """Return the job's runs as seconds after the start and status."""
    page = await loop.store.runs(TENANT, RunFilter(job_id=job_id), limit=100)
    return [((run.scheduled_for - START).total_seconds(), run.status.value) for run in reversed(page.items)]


async def test_a_tightening_hint_does_not_wait_for_the_end_of_the_last_runs_lease() -> None:
    """The lease was kept after the run, so the job stayed out of reach until it ended, whatever a hint said."""
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.hints.write(TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=seconds(10)))
    loop.clock.advance(10)  # a lease lasts 60
    assert await loop.run_turn() == 1
    assert [at for at, _ in await slots(loop, job.id)] == [0, 10]


@pytest.mark.parametrize(("late_s", "catchup"), [(5, Catchup.SKIP), (500, Catchup.SKIP), (500, Catchup.LATEST)])
async def test_a_one_shot_whose_instant_passed_is_handled_once_and_not_again(late_s: int, catchup: Catchup) -> None:
    """An instant in the past was due at once, and due again after its run."""
    loop = Loop()
    job = await loop.register(definition(baseline=OnceBaseline(START + seconds(30)), catchup=catchup))
    loop.clock.advance(30 + late_s)
    await loop.run_turn()
    for _ in range(3):
        loop.clock.advance(3600)
        assert await loop.run_turn() == 0
    (handled,) = await loop.runs(job)
    sent = late_s < 60 or catchup is Catchup.LATEST
    assert handled.status is (RunStatus.SUCCEEDED if sent else RunStatus.SKIPPED)
    assert len(loop.dispatcher.sent) == int(sent)
    assert (await loop.job(job)).schedule.status is JobStatus.RETIRED


async def test_a_one_shot_does_not_inherit_another_hints_expiry() -> None:
    """A next time was stored with the end of the tempo that stood before it, and died or lived on with that."""
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    tempo = await loop.hints.write(TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=seconds(30), ttl=seconds(20)))
    once = await loop.hints.write(TENANT, job.id, HintDraft(HintKind.NEXT_TIME, at=START + seconds(40)))
    assert tempo.expires_at == START + seconds(20)
    assert once.expires_at == START + seconds(40) + timedelta(hours=1)
    await loop.until_slot(job)
    assert loop.clock.now() == START + seconds(40)
    await loop.run_turn()
    states = {hint.id: hint.state for hint in (await loop.store.hints(TENANT, job_id=job.id, limit=9)).items}
    assert states == {tempo.id: HintState.EXPIRED, once.id: HintState.CONSUMED}


async def test_a_late_answer_does_not_overwrite_a_run_that_was_declared_stale() -> None:
    """A sweeper declared the run failed, then its worker came back and wrote over that."""
    loop = Loop()
    job = await loop.register()
    await loop.send()
    second = loop.new_worker("worker_2")
    loop.clock.advance(15 * 60 + 61)
    await second.run_once()
    assert await second.drain(5) == 0
    (stale, *_) = await loop.runs(job)
    assert (stale.status, len(loop.dispatcher.sent)) == (RunStatus.FAILED, 1)
    assert "not heard of for 15 minutes" in (stale.error_message or "")
    await loop.answer()
    assert (await loop.runs(job))[0] == stale
    assert len(loop.events.of(StaleWriteRefused)) == 1
    assert [attempt.status for attempt in await loop.store.attempts(TENANT, stale.id)] == ["discarded"]


def test_ids_of_processes_and_their_forks_do_not_collide() -> None:
    """Ids were counted, or drawn from a generator whose state a fork copies."""
    script = (
        "import os\n"
        "from rubato.adapters.ids import SystemIds\n"
        "ids = SystemIds()\n"
        "ids.entropy()\n"
        "child = os.fork()\n"
        "os.write(1, ''.join(ids.entropy() + '\\n' for _ in range(1000)).encode())\n"
        "child and os.waitpid(child, 0)\n"
    )
    command = [sys.executable, "-c", script]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=clean_environment())
        for _ in range(2)
    ]
    made = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert len(made) == len(set(made)) == 4000


@pytest.mark.parametrize(
    "draft",
    [
        HintDraft(HintKind.NEXT_TIME, at=START + seconds(90)),
        HintDraft(HintKind.INTERVAL, interval=seconds(90)),
    ],
    ids=["next time", "interval"],
)
async def test_a_deferral_holds_and_not_only_when_it_is_earlier(draft: HintDraft) -> None:
    """The later instant was compared with the stored one and dropped, because it was not earlier."""
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.hints.write(TENANT, job.id, draft)
    loop.clock.advance(60)
    assert await loop.run_turn() == 0
    loop.clock.advance(30)
    assert await loop.run_turn() == 1
    assert [at for at, _ in await slots(loop, job.id)] == [0, 90]


@pytest.mark.parametrize("until", [None, START + timedelta(days=30)], ids=["no end", "a month"])
async def test_a_planner_cannot_pause_without_bound(until: object) -> None:
    """A pause without an end, or with one far away, stopped a job until somebody noticed."""
    loop = Loop()
    job = await loop.register()
    loop.planner.script.append([Proposal(HintKind.PAUSE, "maintenance", "call_1", until=until)])  # type: ignore[arg-type]
    await loop.turn()
    slot = (await loop.until_slot(job)).schedule.slot
    assert slot is not None
    assert slot.at <= START + loop.limits.hint_lifetime
    assert await loop.run_turn() == 1


def test_a_planner_sees_six_healthy_hours_beside_a_bad_day() -> None:
    """One success rate over 24 hours said 75 % failed, six hours after the target had recovered."""
    healthy = [run(60 * minutes) for minutes in range(10, 370, 10)]
    ill = [run(60 * minutes, code=500) for minutes in range(370, 1450, 10)]
    told = describe_job(context([*healthy, *ill]))
    assert "last 10 runs: 10 runs, 0% failed" in told
    assert "last hour: 6 runs, 0% failed" in told
    assert f"last 24 hours: {36 + len(ill)} runs, {len(ill) / (36 + len(ill)):.0%} failed" in told


async def test_a_run_asked_for_by_hand_happens_once_and_consumes_no_hint() -> None:
    """It was asked for by a flag, or by the hint's own slot, that stayed until the hint was consumed."""
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    await loop.hints.write(TENANT, job.id, HintDraft(HintKind.NEXT_TIME, at=START + seconds(40)))
    await loop.jobs.run_now(TENANT, job.id)
    assert await loop.run_turn() == 1
    for _ in range(3):
        loop.clock.advance(5)
        assert await loop.run_turn() == 0
    await loop.until_slot(job)
    assert loop.clock.now() == START + seconds(40)
    await loop.run_turn()
    triggers = [run.trigger for run in await loop.runs(job)]
    assert triggers == [Trigger.SCHEDULED, Trigger.MANUAL, Trigger.SCHEDULED]


@pytest.mark.parametrize("is_due", [False, True])
async def test_an_edit_of_the_name_neither_drops_nor_fires_a_run(is_due: bool) -> None:
    """Every edit reset the schedule: a due run vanished, or one that was not due fired."""
    loop = Loop()
    job = await loop.register()
    await loop.run_turn()
    loop.clock.advance(61 if is_due else 20)
    await loop.jobs.edit(TENANT, job.id, lambda old: definition(name="another"))
    assert await loop.run_turn() == int(is_due)
    if not is_due:
        loop.clock.advance(40)
        assert await loop.run_turn() == 1
    assert await slots(loop, job.id) == [(0, "succeeded"), (60, "succeeded")]


@pytest.mark.parametrize("made", [definition(20), definition(300)], ids=["faster", "slower"])
async def test_an_edit_of_the_schedule_during_a_run_keeps_the_run_and_sets_one_next(made: Definition) -> None:
    """The run under way was forgotten, or followed at once by another."""
    loop = Loop()
    job = await loop.register()
    await loop.send()
    loop.clock.advance(3)
    await loop.jobs.edit(TENANT, job.id, lambda old: made)
    await loop.answer()
    assert await loop.run_turn() == 0
    await loop.until_slot(job)
    interval = made.baseline.every.total_seconds()  # type: ignore[union-attr]
    assert loop.clock.now() == START + seconds(3 + interval)
    await loop.run_turn()
    assert await slots(loop, job.id) == [(0, "succeeded"), (3 + interval, "succeeded")]


async def test_deciding_again_after_a_hint_expired_does_not_erase_the_slot_that_is_due() -> None:
    """The hint had set a slot, which was due; the hint expired; deciding again found only the baseline, an hour off."""
    loop = Loop()
    job = await loop.register(definition(3600, bounds=WIDE))
    await loop.run_turn()
    await loop.hints.write(TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=seconds(20), ttl=seconds(25)))
    loop.clock.advance(30)  # no worker came; the slot at 20 is due, its hint is over
    other = await loop.hints.write(TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=seconds(400)))
    await loop.hints.clear(TENANT, job.id, other.id)
    await loop.jobs.edit(TENANT, job.id, lambda old: definition(3600, bounds=WIDE, name="another"))
    slot = (await loop.job(job)).schedule.slot
    assert slot is not None
    assert (slot.at, slot.source) == (START + seconds(20), Source.HINT_INTERVAL)
    assert await loop.run_turn() == 1
    assert await slots(loop, job.id) == [(0, "succeeded"), (20, "succeeded")]


async def test_a_job_of_five_seconds_is_planned_by_a_model_of_twenty() -> None:
    """The hint was fenced by the token of the run that had asked for it; four later runs had raised it by then."""
    loop = Loop()
    job = await loop.register(definition(5, bounds=WIDE))
    loop.planner.script.append([interval_proposal(40)])
    plan = loop.planner.plan

    async def slowly(seen: PlanningContext) -> Plan:
        for _ in range(4):
            loop.clock.advance(5)
            assert await loop.run_turn() == 1
        return await plan(seen)

    loop.planner.plan = slowly  # type: ignore[method-assign]
    await loop.run_turn()
    assert await loop.plans.run_once() == 1
    (hint,) = (await loop.store.hints(TENANT, job_id=job.id, limit=9)).items
    assert (hint.state, hint.interval) == (HintState.ACTIVE, seconds(40))
    slot = (await loop.job(job)).schedule.slot
    assert slot is not None
    assert slot.source is Source.HINT_INTERVAL
    planning = (await loop.job(job)).schedule.planning
    assert (planning.seq, planning.done_seq) == (3, 1)  # what passed the gate meanwhile is still to be planned
    assert planning.ready_at is not None
