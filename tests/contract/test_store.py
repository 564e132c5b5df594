"""What every store promises."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.entities import (
    Author,
    Authority,
    Bounds,
    CronBaseline,
    Delivery,
    HintKind,
    HintState,
    HttpAction,
    JobStatus,
    OnceBaseline,
    PlannerMode,
    RunStatus,
    Success,
    Trigger,
)
from core.errors import Conflict, LeaseLostError, NotFound
from core.ids import bucket_of
from core.ports.store import Change, JobFilter, JobRef, RunFilter, Snapshot
from core.sessions import Outcome, Plan, Session, ToolCall, Usage, Verdict
from core.usecases.manage_hints import HintDraft, ManageHints
from tests.contract.conftest import LEASE, House, every, untouched
from tests.unit.loop import definition

RICH = definition(
    name="everything",
    key="rich",
    description="watch it",
    group="g",
    labels={"team": "payments"},
    metadata={"deep": {"list": [1, None, "x"]}},
    action=HttpAction("https://example.com/x", "POST", {"x-a": "1"}, {"a": [1, None]}, timedelta(seconds=7)),
    baseline=CronBaseline("every 60", "UTC"),
    bounds=Bounds(timedelta(seconds=10), None),
    start_at=datetime(2026, 1, 1, tzinfo=UTC),
    end_at=datetime(2099, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    max_runs=9,
    retry_after_failure=timedelta(seconds=5),
    delivery=Delivery.AT_MOST_ONCE,
    success=Success((200, 201), "/a/0", None, has_equals=True),
    authority=Authority(tighten=True),
    planner=PlannerMode.SHADOW,
    store_responses=False,
)


@pytest.mark.parametrize(
    "made",
    [RICH, definition(), definition(baseline=OnceBaseline(datetime(2098, 1, 1, tzinfo=UTC)))],
    ids=["rich", "interval", "once"],
)
async def test_a_job_comes_back_as_it_was_stored(house: House, made: object) -> None:
    job = await house.job(made)  # type: ignore[arg-type]  # parametrised
    again = await house.store.job(house.tenant, job.id)
    assert again == job
    assert (await house.store.snapshot(house.tenant, job.id)).job == job
    assert (await house.store.jobs(house.tenant, JobFilter(), limit=5)).items == [job]
    assert await house.store.versions(house.tenant, job.id) == [job.definition]


async def test_its_first_decision_is_in_force(house: House) -> None:
    job = await house.job()
    decision = await house.store.latest_decision(house.tenant, job.id)
    assert decision is not None
    assert job.schedule.slot is not None
    assert decision.next_run_at == job.schedule.slot.at
    assert decision.digest


async def test_another_tenants_things_do_not_exist(house: House) -> None:
    job = await house.job()
    (run,) = await house.run_once()
    other = "ten_b"
    with pytest.raises(NotFound):
        await house.store.job(other, job.id)
    with pytest.raises(NotFound):
        await house.store.snapshot(other, job.id)
    with pytest.raises(NotFound):
        await house.store.change(JobRef(other, job.id), untouched)
    with pytest.raises(NotFound):
        await house.store.run(other, run.id)
    assert await house.store.latest_decision(other, job.id) is None
    assert (await house.store.runs(other, RunFilter(), limit=9)).items == []
    assert (await house.store.jobs(other, JobFilter(), limit=9)).items == []


async def test_unknown_ids_are_not_found(house: House) -> None:
    for looking in (
        house.store.job(house.tenant, "job_none"),
        house.store.run(house.tenant, "run_none"),
        house.store.run(house.tenant, "not an id at all"),
        house.store.session(house.tenant, "ses_none"),
        house.store.limits("ten_none"),
    ):
        with pytest.raises(NotFound):
            await looking


async def test_a_key_is_unique_in_its_tenant_until_the_job_is_deleted(house: House) -> None:
    first = await house.job(definition(key="k"))
    await house.job(definition(key="k"), tenant="ten_b")
    with pytest.raises(Conflict) as refused:
        await house.job(definition(key="k"))
    assert refused.value.code == "key_taken"
    second = await house.job(definition(key="other"))
    with pytest.raises(Conflict):
        await house.jobs.edit(house.tenant, second.id, lambda old: replace(old, key="k"))
    assert (await house.store.job(house.tenant, second.id)).definition.key == "other"
    await house.jobs.delete(house.tenant, first.id)
    await house.job(definition(key="k"))


async def test_claiming_leases_the_job_and_makes_its_run(house: House) -> None:
    job = await house.job()
    claims = await house.store.claim("w1", limit=10, lease=LEASE)
    (claim,) = claims.jobs
    assert (claim.ref.job_id, claim.token) == (job.id, 1)
    run = await house.store.run(house.tenant, claim.run_id)
    assert (run.status, run.trigger, run.worker_id) == (RunStatus.CLAIMED, Trigger.SCHEDULED, "w1")
    assert job.schedule.slot is not None
    assert run.scheduled_for == job.schedule.slot.at
    assert await house.claim("w2") == ()
    lease = (await house.store.job(house.tenant, job.id)).schedule.lease
    assert lease is not None
    assert lease.worker_id == "w1"
    assert timedelta(seconds=29) < lease.until - claims.now <= timedelta(seconds=31)


async def test_a_job_that_is_not_due_is_not_claimed_but_announced(house: House) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    await house.job(definition(start_at=at))
    claims = await house.store.claim("w1", limit=10, lease=LEASE)
    assert (claims.jobs, claims.next_ready_at) == ((), at)


async def test_the_earliest_due_jobs_are_claimed_first(house: House) -> None:
    jobs = [await house.job() for _ in range(4)]
    claimed = [claim.ref.job_id for claim in await house.claim(limit=2)]
    assert set(claimed) == {job.id for job in jobs[:2]}


async def test_claims_can_be_limited_to_buckets(house: House) -> None:
    jobs = [await house.job() for _ in range(3)]
    wanted = [bucket_of(jobs[0].id)]
    claims = await house.store.claim("w1", limit=10, lease=LEASE, buckets=wanted)
    assert {bucket_of(claim.ref.job_id) for claim in claims.jobs} == set(wanted)


async def test_concurrent_claimers_get_disjoint_jobs_and_together_all(house: House) -> None:
    jobs = {(await house.job()).id for _ in range(40)}
    answers = await asyncio.gather(*(house.claim(f"w{n}", limit=15) for n in range(4)))
    claimed = Counter(claim.ref.job_id for answer in answers for claim in answer)
    claimed.update(claim.ref.job_id for claim in await house.claim("rest", limit=100))
    assert set(claimed) == jobs
    assert set(claimed.values()) == {1}


async def test_a_settled_run_keeps_its_outcome_and_its_decision(house: House) -> None:
    job = await house.job()
    (run,) = await house.run_once()
    stored = await house.store.run(house.tenant, run.id)
    assert stored == run
    assert (stored.status, stored.response_excerpt, stored.duration_ms) == (RunStatus.SUCCEEDED, "ok", 3)
    assert stored.decision == await house.store.latest_decision(house.tenant, job.id)
    after = await house.store.job(house.tenant, job.id)
    assert after.schedule.lease is None
    assert after.schedule.planning.seq == 1
    assert await house.store.last_runs(house.tenant, [job.id, "job_none"]) == {job.id: run}


async def test_a_lost_workers_run_is_taken_over_under_the_same_id(house: House) -> None:
    await house.job()
    (first,) = await house.claim("w1")
    await house.store.change(first.ref, house.beginning(first.token))
    await house.expire_leases()
    (second,) = await house.claim("w2")
    assert (second.run_id, second.token) == (first.run_id, first.token + 1)
    change = await house.store.change(second.ref, house.beginning(second.token, "w2", second.lapsed_at))
    assert change.runs[0].attempt == 2
    with pytest.raises(LeaseLostError):
        await house.store.change(first.ref, house.settling(first.token))
    assert (await house.store.run(house.tenant, first.run_id)).status is RunStatus.RUNNING
    await house.store.change(second.ref, house.settling(second.token))


async def test_what_a_transition_raises_leaves_nothing_behind(house: House) -> None:
    job = await house.job()
    before = await house.store.job(house.tenant, job.id)

    def explode(snapshot: Snapshot) -> Change:
        raise Conflict("no", "not now")

    with pytest.raises(Conflict):
        await house.store.change(JobRef(house.tenant, job.id), explode)
    assert await house.store.job(house.tenant, job.id) == before


async def test_one_error_does_not_spoil_the_batch(house: House) -> None:
    jobs = [await house.job() for _ in range(3)]
    claims = {claim.ref.job_id: claim for claim in await house.claim()}
    work = [
        (claims[job.id].ref, house.beginning(claims[job.id].token + (1 if number == 1 else 0)))
        for number, job in enumerate(jobs)
    ]
    work.append((JobRef(house.tenant, "job_none"), untouched))
    answers = await house.store.change_many(work)
    kinds = [type(answer) for answer in answers]
    assert kinds == [Change, LeaseLostError, Change, NotFound]
    states = [(await house.store.run(house.tenant, claims[job.id].run_id)).status for job in jobs]
    assert states == [RunStatus.RUNNING, RunStatus.CLAIMED, RunStatus.RUNNING]


async def test_changes_of_one_job_wait_for_each_other(house: House) -> None:
    job = await house.job()

    def count(snapshot: Snapshot) -> Change:
        schedule = replace(snapshot.job.schedule, failures=snapshot.job.schedule.failures + 1)
        return Change(replace(snapshot.job, schedule=schedule), "begin")

    await asyncio.gather(*(house.store.change(JobRef(house.tenant, job.id), count) for _ in range(20)))
    assert (await house.store.job(house.tenant, job.id)).schedule.failures == 20


async def test_edits_make_versions_that_stay(house: House) -> None:
    job = await house.job()

    async def rename(number: int) -> None:
        await house.jobs.edit(house.tenant, job.id, lambda old: replace(old, name=f"{old.name}{number}"))

    await asyncio.gather(*(rename(number) for number in range(5)))
    versions = await house.store.versions(house.tenant, job.id)
    assert [version.version for version in versions] == [6, 5, 4, 3, 2, 1]
    assert len(versions[0].name) == len("watched") + 5


async def test_renewing_extends_what_is_held_and_names_what_is_lost(house: House) -> None:
    jobs = [await house.job() for _ in range(2)]
    kept, lost = await house.claim()
    held = [(kept.ref, kept.token), (lost.ref, lost.token + 7)]
    assert await house.store.renew("w1", held, lease=timedelta(minutes=9)) == [lost.ref]
    assert await house.store.renew("w9", held[:1], lease=LEASE) == [kept.ref]
    lease = (await house.store.job(house.tenant, kept.ref.job_id)).schedule.lease
    assert lease is not None
    assert lease.until > datetime.now(UTC) + timedelta(minutes=8)
    assert len(jobs) == 2


async def test_releasing_gives_a_claim_back_without_a_trace(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    await house.store.release("w1", [(claim.ref, claim.token)])
    assert (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=5)).items == []
    with pytest.raises(LeaseLostError):
        await house.store.change(claim.ref, house.beginning(claim.token))
    (again,) = await house.claim("w2")
    assert again.slot_at == claim.slot_at


async def test_a_manual_run_goes_first_under_the_id_it_was_promised(house: House) -> None:
    job = await house.job(definition(start_at=datetime.now(UTC) + timedelta(hours=1)))
    asked = await house.jobs.run_now(house.tenant, job.id)
    (claim,) = await house.claim()
    assert claim.run_id == asked.id
    await house.store.change(claim.ref, house.beginning(claim.token))
    await house.store.change(claim.ref, house.settling(claim.token))
    (run,) = (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=5)).items
    assert (run.id, run.trigger, run.status) == (asked.id, Trigger.MANUAL, RunStatus.SUCCEEDED)


async def test_a_deleted_or_suspended_job_is_never_claimed(house: House) -> None:
    job = await house.job()
    await house.jobs.delete(house.tenant, job.id)
    assert await house.claim() == ()
    await house.job()
    await house.suspend()
    assert await house.claim() == ()


async def test_runs_are_listed_newest_first_in_pages_and_by_filter(house: House) -> None:
    job = await house.job()
    await house.run_once()
    for _ in range(4):
        await house.jobs.run_now(house.tenant, job.id)
        await house.run_once()
    everything = (await house.store.runs(house.tenant, RunFilter(), limit=50)).items
    assert [run.scheduled_for for run in everything] == sorted((run.scheduled_for for run in everything), reverse=True)
    first = await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=3)
    rest = await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=3, after=first.next_cursor)
    assert [*first.items, *rest.items] == everything
    assert rest.next_cursor is None
    skipped = await house.store.runs(house.tenant, RunFilter(), limit=2, offset=1)
    assert skipped.items == everything[1:3]
    newest = everything[0].scheduled_for
    assert (await house.store.runs(house.tenant, RunFilter(since=newest), limit=9)).items == everything[:1]
    assert (await house.store.runs(house.tenant, RunFilter(until=newest), limit=9)).items == everything[1:]
    assert (await house.store.runs(house.tenant, RunFilter(status=RunStatus.FAILED), limit=9)).items == []


async def test_jobs_are_listed_by_status_group_key_and_label(house: House) -> None:
    plain = await house.job()
    rich = await house.job(definition(key="k", group="g", labels={"team": "a", "tier": "1"}))
    await house.jobs.pause(house.tenant, plain.id)

    async def found(where: JobFilter) -> list[str]:
        return [job.id for job in (await house.store.jobs(house.tenant, where, limit=9)).items]

    assert await found(JobFilter()) == [rich.id, plain.id]
    assert await found(JobFilter(status=JobStatus.PAUSED)) == [plain.id]
    assert await found(JobFilter(status=JobStatus.ACTIVE)) == [rich.id]
    assert await found(JobFilter(group="g")) == [rich.id]
    assert await found(JobFilter(key="k")) == [rich.id]
    assert await found(JobFilter(labels={"team": "a"})) == [rich.id]
    assert await found(JobFilter(labels={"team": "b"})) == []
    page = await house.store.jobs(house.tenant, JobFilter(), limit=1)
    assert [job.id for job in page.items] == [rich.id]
    rest = await house.store.jobs(house.tenant, JobFilter(), limit=1, after=page.next_cursor)
    assert ([job.id for job in rest.items], rest.next_cursor) == ([plain.id], None)


async def test_hints_come_back_and_end(house: House) -> None:
    job = await house.job()
    await house.run_once()
    hints = ManageHints(house.store, house.cron, house.ids)
    first = await hints.write(house.tenant, job.id, HintDraft(HintKind.INTERVAL, "why", timedelta(seconds=30)))
    assert (await house.store.hints(house.tenant, limit=9)).items == [first]
    second = await hints.write(house.tenant, job.id, HintDraft(HintKind.INTERVAL, "why", timedelta(seconds=20)))
    active = (await house.store.hints(house.tenant, job_id=job.id, active_only=True, limit=9)).items
    assert [hint.id for hint in active] == [second.id]
    everything = (await house.store.hints(house.tenant, job_id=job.id, limit=9)).items
    assert [(hint.id, hint.state) for hint in everything] == [
        (second.id, HintState.ACTIVE),
        (first.id, HintState.SUPERSEDED),
    ]
    assert (await house.store.hints("ten_b", limit=9)).items == []
    assert (await house.store.snapshot(house.tenant, job.id)).hints[0].author is Author.USER


async def test_planning_is_claimed_once_and_fenced(house: House) -> None:
    job = await house.job(definition(group="g"))
    sibling = await house.job(definition(name="sibling", group="g"))
    await house.run_once()
    claims = await house.store.claim_plans(limit=9, lease=LEASE, recent_runs=5)
    assert {claim.ref.job_id for claim in claims} == {job.id, sibling.id}
    mine = next(claim for claim in claims if claim.ref.job_id == job.id)
    assert (mine.token, mine.seq) == (1, 1)
    assert [run.status for run in mine.context.runs] == [RunStatus.SUCCEEDED]
    assert [name for name, _ in mine.context.siblings] == ["sibling"]
    assert mine.context.decision is not None
    assert await house.store.claim_plans(limit=9, lease=LEASE, recent_runs=5) == []
    ref = JobRef(house.tenant, job.id)
    assert await house.store.claim_plans(limit=1, lease=LEASE, recent_runs=5, only=ref) == []


async def test_a_person_may_have_a_job_planned_that_is_not_due_for_it(house: House) -> None:
    job = await house.job()
    ref = JobRef(house.tenant, job.id)
    (claim,) = await house.store.claim_plans(limit=1, lease=LEASE, recent_runs=5, only=ref)
    assert claim.seq == 0


async def test_a_session_comes_back_as_it_was_stored(house: House) -> None:
    job = await house.job()
    now = await house.store.now()
    plan = Plan(
        outcome=Outcome.LIMITED,
        planner="llm",
        model="m",
        input_summary="what it saw",
        calls=(ToolCall("c1", "propose_interval", {"interval_ms": 5, "deep": [None]}, Verdict.REJECTED, "no"),),
        usage=Usage(2, 30, 4, estimated=True),
        reasoning="because",
        confidence=0.5,
        next_analysis_in=timedelta(seconds=9),
        messages="[]",
        prompt_hash="abc",
        error="limit",
    )
    session = Session("ses_1", house.tenant, job.id, 1, now, now, plan, run_id=None, hint_ids=("h",))
    await house.store.add_session(session)
    assert await house.store.session(house.tenant, "ses_1") == session
    assert (await house.store.sessions(house.tenant, job_id=job.id, limit=9)).items == [session]
    assert (await house.store.sessions("ten_b", limit=9)).items == []


async def test_test_runs_are_claimed_once_and_settled_under_their_token(house: House) -> None:
    job = await house.job(definition(start_at=datetime.now(UTC) + timedelta(hours=1)))
    asked = await house.jobs.test(house.tenant, job.id)
    (claim,) = await house.store.claim_tests("w1", limit=5, lease=LEASE)
    assert (claim.run.id, claim.run.status, claim.job.id) == (asked.id, RunStatus.RUNNING, job.id)
    assert await house.store.claim_tests("w2", limit=5, lease=LEASE) == []
    done = replace(claim.run, status=RunStatus.SUCCEEDED, finished_at=await house.store.now())
    with pytest.raises(LeaseLostError):
        await house.store.settle_test(replace(claim, token=claim.token + 1), done)
    await house.store.settle_test(claim, done)
    assert (await house.store.run(house.tenant, asked.id)).status is RunStatus.SUCCEEDED
    assert await house.claim() == ()


async def test_the_backlog_counts_what_waits(house: House) -> None:
    assert (await house.store.backlog()).due_jobs == 0
    await house.job()
    await house.job(every(300))
    backlog = await house.store.backlog()
    assert (backlog.due_jobs, backlog.parked_jobs) == (2, 0)
    assert backlog.oldest_due_age_s >= 0
    await house.claim()
    assert (await house.store.backlog()).due_jobs == 0


async def test_text_that_a_database_cannot_hold_is_kept_readable(house: House) -> None:
    job = await house.job()
    (claim,) = await house.claim()
    await house.store.change(claim.ref, house.beginning(claim.token))

    def with_nul(snapshot: Snapshot) -> Change:
        change = house.settling(claim.token)(snapshot)
        runs = tuple(replace(run, response_excerpt="a\0b") for run in change.runs)
        return replace(change, runs=runs)

    await house.store.change(claim.ref, with_nul)
    (run,) = (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=1)).items
    assert (run.response_excerpt or "").startswith("a")
