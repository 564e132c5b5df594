"""Jobs come back as they were stored, to their own tenant."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.entities import (
    Authority,
    Bounds,
    CronBaseline,
    Delivery,
    HttpAction,
    OnceBaseline,
    PlannerMode,
    Success,
)
from core.errors import Conflict, NotFound
from core.ports.store import JobFilter, JobRef, RunFilter
from tests.contract.conftest import House, untouched
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


async def test_edits_make_versions_that_stay(house: House) -> None:
    job = await house.job()

    async def rename(number: int) -> None:
        await house.jobs.edit(house.tenant, job.id, lambda old: replace(old, name=f"{old.name}{number}"))

    await asyncio.gather(*(rename(number) for number in range(5)))
    versions = await house.store.versions(house.tenant, job.id)
    assert [version.version for version in versions] == [6, 5, 4, 3, 2, 1]
    assert len(versions[0].name) == len("watched") + 5
