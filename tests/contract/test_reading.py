"""Lists in pages and by filter; figures for the gauges."""

from datetime import timedelta

from core.entities import (
    Author,
    HintKind,
    HintState,
    JobStatus,
    RunStatus,
)
from core.ports.store import JobFilter, RunFilter
from core.usecases.manage_hints import HintDraft, ManageHints
from tests.contract.conftest import House, every
from tests.unit.loop import definition


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


async def test_the_backlog_counts_what_waits(house: House) -> None:
    assert (await house.store.backlog()).due_jobs == 0
    await house.job()
    await house.job(every(300))
    backlog = await house.store.backlog()
    assert (backlog.due_jobs, backlog.parked_jobs) == (2, 0)
    assert backlog.oldest_due_age_s >= 0
    await house.claim()
    assert (await house.store.backlog()).due_jobs == 0
