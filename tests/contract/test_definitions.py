"""Versions of jobs with registered targets, their runs and histories, and the end of stale runs: on every store."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.entities import (
    Bounds,
    Definition,
    Delivery,
    IntervalBaseline,
    Job,
    JobStatus,
    OnceBaseline,
    PlannerMode,
    RunStatus,
    TargetAction,
    Trigger,
)
from core.errors import Conflict, LeaseLostError, NotFound
from core.ports.definitions import DefinitionFilter, TargetRunFilter
from core.ports.store import JobRef, RunFilter
from core.usecases.begin import STALE_AFTER
from core.usecases.reap import ReapStale
from tests.contract.conftest import LEASE, House
from tests.unit.fakes import EventLog
from tests.unit.loop import definition


def calling(target: str = "reports.daily", payload: Any = None, **fields: Any) -> Definition:
    return definition(action=TargetAction(target, payload), planner=PlannerMode.OFF, **fields)


def with_payload(payload: Any) -> Any:
    return lambda old: replace(old, action=replace(old.action, payload=payload))


async def versions(house: House, where: DefinitionFilter | None = None, **page: Any) -> list[tuple[str | None, int]]:
    found = await house.definitions.versions(house.tenant, where or DefinitionFilter(), **{"limit": 100, **page})
    return [(each.definition.key, each.definition.version) for each in found.items]


async def test_a_target_and_its_payload_come_back_as_they_were(house: House) -> None:
    payload = {"region": "north", "nested": [1, None, {"a": True}], "text": "ü"}
    job = await house.job(calling(payload=payload, key="daily"))
    stored = await house.store.job(house.tenant, job.id)
    assert stored.definition.action == TargetAction("reports.daily", payload, timedelta(seconds=30))


async def test_versions_are_listed_newest_first_and_filtered(house: House) -> None:
    daily = await house.job(calling(key="daily"))
    await house.jobs.new_version(house.tenant, daily.id, with_payload(1), of=1)
    run_at = await house.store.now() + timedelta(hours=1)
    await house.job(calling("reports.once", key="once", baseline=OnceBaseline(run_at)))
    await house.job(definition(key="http"))
    gone = await house.job(calling(key="gone"))
    await house.jobs.delete(house.tenant, gone.id)
    await house.job(calling(key="theirs"), tenant="ten_b")
    assert await versions(house) == [("once", 1), ("daily", 2), ("daily", 1)]
    for where, expected in (
        (DefinitionFilter(status=JobStatus.RETIRED), [("daily", 1)]),
        (DefinitionFilter(status=JobStatus.ACTIVE), [("once", 1), ("daily", 2)]),
        (DefinitionFilter(status=JobStatus.PARKED), []),
        (DefinitionFilter(target="reports.once"), [("once", 1)]),
        (DefinitionFilter(key="daily", version=1), [("daily", 1)]),
        (DefinitionFilter(job_id=daily.id), [("daily", 2), ("daily", 1)]),
        (DefinitionFilter(kinds=("once",)), [("once", 1)]),
        (DefinitionFilter(kinds=("cron", "interval")), [("daily", 2), ("daily", 1)]),
    ):
        assert await versions(house, where) == expected, where
    await house.jobs.pause(house.tenant, daily.id)
    assert await versions(house, DefinitionFilter(status=JobStatus.PAUSED)) == [("daily", 2)]


async def test_versions_come_in_pages(house: House) -> None:
    job = await house.job(calling(key="daily"))
    for payload in range(3):
        await house.jobs.new_version(house.tenant, job.id, with_payload(payload), of=None)
    first = await house.definitions.versions(house.tenant, DefinitionFilter(), limit=3)
    assert [each.definition.version for each in first.items] == [4, 3, 2]
    assert [each.is_latest for each in first.items] == [True, False, False]
    assert await versions(house, after=first.next_cursor) == [("daily", 1)]


async def test_a_new_version_follows_the_latest_only(house: House) -> None:
    job = await house.job(calling())
    await house.jobs.new_version(house.tenant, job.id, with_payload(1), of=1)
    with pytest.raises(Conflict, match="not the latest, which is 2"):
        await house.jobs.new_version(house.tenant, job.id, with_payload(2), of=1)
    assert (await house.store.job(house.tenant, job.id)).definition.action.payload == 1  # type: ignore[union-attr]


async def test_runs_carry_the_version_and_payload_they_ran(house: House) -> None:
    await house.job(definition())
    job = await house.job(calling(payload=1, key="daily"))
    await house.run_once()
    await house.jobs.new_version(house.tenant, job.id, with_payload(2), of=1)
    await house.jobs.run_now(house.tenant, job.id)
    await house.run_once()
    found = (await house.definitions.runs(house.tenant, TargetRunFilter(), limit=10)).items
    assert [(each.run.job_version, each.definition.action.payload) for each in found] == [(2, 2), (1, 1)]  # type: ignore[union-attr]
    newest = found[0].run
    assert (await house.definitions.run(house.tenant, newest.id)).definition.version == 2
    for where, count in (
        (TargetRunFilter(version=1), 1),
        (TargetRunFilter(trigger=Trigger.MANUAL), 1),
        (TargetRunFilter(key="daily", target="reports.daily"), 2),
        (TargetRunFilter(key="other"), 0),
        (TargetRunFilter(target="reports.other"), 0),
        (TargetRunFilter(RunFilter(job_id=job.id, status=RunStatus.SUCCEEDED)), 2),
        (TargetRunFilter(RunFilter(status=RunStatus.FAILED)), 0),
        (TargetRunFilter(RunFilter(since=newest.scheduled_for)), 1),
        (TargetRunFilter(RunFilter(until=newest.scheduled_for)), 1),
    ):
        assert len((await house.definitions.runs(house.tenant, where, limit=10)).items) == count, where
    first = await house.definitions.runs(house.tenant, TargetRunFilter(), limit=1)
    assert first.items[0].run.id == newest.id
    rest = await house.definitions.runs(house.tenant, TargetRunFilter(), limit=1, after=first.next_cursor)
    skipped = await house.definitions.runs(house.tenant, TargetRunFilter(), limit=1, offset=1)
    assert [each.run.id for each in rest.items] == [each.run.id for each in skipped.items] == [found[1].run.id]
    assert rest.next_cursor is None


async def test_a_run_of_an_http_job_is_none_of_a_targets(house: House) -> None:
    await house.job(definition())
    (run,) = await house.run_once()
    with pytest.raises(NotFound, match="registered target"):
        await house.definitions.run(house.tenant, run.id)


async def test_what_people_did_is_kept_with_who_and_why(house: House) -> None:
    job, _ = await house.jobs.register(house.tenant, calling(), by="usr_1")
    await house.jobs.pause(house.tenant, job.id, reason="a migration", by="usr_2")
    await house.jobs.resume(house.tenant, job.id, by="usr_3")
    await house.jobs.edit(house.tenant, job.id, with_payload(1), by="usr_4")
    await house.jobs.edit(house.tenant, job.id, with_payload(1), by="usr_5")  # changes nothing
    await house.jobs.run_now(house.tenant, job.id, by="usr_6")
    await house.jobs.delete(house.tenant, job.id)
    history = await house.definitions.history(house.tenant, job.id, limit=10)
    assert [(each.what, each.actor, each.version, each.reason, each.changed) for each in reversed(history)] == [
        ("registration", "usr_1", 1, None, ()),
        ("pause", "usr_2", 1, "a migration", ()),
        ("resume", "usr_3", 1, None, ()),
        ("edit", "usr_4", 2, None, ("action",)),
        ("run_now", "usr_6", 2, None, ()),
        ("delete", None, 2, None, ()),
    ]
    assert len(await house.definitions.history(house.tenant, job.id, limit=2)) == 2
    assert await house.definitions.history("ten_b", job.id, limit=2) == []


def reaper(house: House, lapsed_for: timedelta = timedelta(0)) -> ReapStale:
    return ReapStale(house.store, house.cron, house.ids, EventLog(), lease=STALE_AFTER - lapsed_for)


async def running(house: House, **fields: Any) -> tuple[Job, int]:
    job = await house.job(calling(baseline=IntervalBaseline(timedelta(hours=1)), bounds=Bounds(), **fields))
    (claim,) = await house.claim()
    await house.store.change(claim.ref, house.beginning(claim.token))
    return job, claim.token


@pytest.mark.parametrize(
    ("delivery", "status"),
    [(Delivery.AT_LEAST_ONCE, RunStatus.FAILED), (Delivery.AT_MOST_ONCE, RunStatus.UNKNOWN)],
)
async def test_a_stale_run_of_a_suspended_tenant_is_ended_and_a_late_answer_refused(
    house: House, delivery: Delivery, status: RunStatus
) -> None:
    job, token = await running(house, delivery=delivery)
    await house.expire_leases()
    await house.suspend()
    assert await house.claim("w2") == ()
    assert await reaper(house).run_once() == 1
    (run,) = (await house.store.runs(house.tenant, RunFilter(job_id=job.id), limit=5)).items
    assert (run.status, run.attempt) == (status, 1)
    assert [each.status for each in await house.store.attempts(house.tenant, run.id)] == ["lost"]
    with pytest.raises(LeaseLostError):
        await house.store.change(JobRef(job.tenant_id, job.id), house.settling(token))
    assert await reaper(house).run_once() == 0


async def test_a_live_lease_is_not_reaped_nor_one_that_ended_a_moment_ago(house: House) -> None:
    job, _ = await running(house)
    assert await reaper(house).run_once() == 0
    await house.expire_leases()
    assert await reaper(house, lapsed_for=STALE_AFTER - LEASE).run_once() == 0
    assert (await house.store.job(house.tenant, job.id)).schedule.lease is not None


async def test_a_claim_that_was_never_sent_is_left_to_the_next_worker(house: House) -> None:
    await house.job(calling())
    await house.claim()
    await house.expire_leases()
    assert await reaper(house).run_once() == 0
    assert len(await house.claim("w2")) == 1
