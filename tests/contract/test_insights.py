"""Names, failures by the way they ended, and tokens by the hour: on every store."""

from datetime import timedelta

import pytest

from core.entities import RunStatus
from core.ids import session_id
from core.ports.insights import Insights
from core.ports.store import JobRef
from core.sessions import Outcome, Plan, Session, Usage
from core.usecases.settle import Finished, settle
from rubato.adapters.memory.insights import MemoryInsights
from rubato.adapters.memory.store import MemoryStore
from rubato.adapters.postgres.insights import PostgresInsights
from tests.contract.conftest import House

HOUR = timedelta(hours=1)


@pytest.fixture
def insights(house: House) -> Insights:
    if isinstance(house.store, MemoryStore):
        return MemoryInsights(house.store)
    assert house.engine is not None
    return PostgresInsights(house.engine)


async def ended(house: House, finished: Finished, *, tenant: str | None = None) -> tuple[str, str]:
    """Let the first run of a new job end so; return the ids of job and run."""
    job = await house.job(tenant=tenant)
    ref = JobRef(tenant or house.tenant, job.id)
    claim = next(each for each in await house.claim(limit=100) if each.ref == ref)
    await house.store.change(ref, house.beginning(claim.token))
    await house.store.change(
        ref, lambda seen: settle(seen, token=claim.token, finished=finished, cron=house.cron, ids=house.ids)
    )
    return job.id, claim.run_id


async def test_names_are_those_of_ones_own_jobs_deleted_ones_too(house: House, insights: Insights) -> None:
    mine, gone, theirs = await house.job(), await house.job(), await house.job(tenant="ten_b")
    await house.jobs.delete(house.tenant, gone.id)
    found = await insights.names(house.tenant, [mine.id, gone.id, theirs.id, "job_none"])
    assert found == {mine.id: "watched", gone.id: "watched"}
    assert await insights.names(house.tenant, []) == {}


async def test_failures_are_grouped_by_how_they_ended_the_most_frequent_first(house: House, insights: Insights) -> None:
    late = Finished(RunStatus.FAILED, "Request timed out after 30000ms")
    one, first = await ended(house, late)
    two, last = await ended(house, late)
    await ended(house, Finished(RunStatus.FAILED, "HTTP 502", status_code=502))
    await ended(house, Finished(RunStatus.SUCCEEDED, status_code=200))
    await ended(house, late, tenant="ten_b")
    found = await insights.failures(house.tenant, await house.store.now() - HOUR, newest=100)
    assert (found.examined, found.is_partial) == (4, False)
    timed_out, broken = found.groups
    assert (timed_out.error_message, timed_out.status_code, timed_out.count) == (late.error_message, None, 2)
    assert sorted(timed_out.job_ids) == sorted((one, two))
    assert timed_out.last_run_id == max(first, last)
    assert timed_out.first_at <= timed_out.last_at
    assert (broken.error_message, broken.status_code, broken.count) == ("HTTP 502", 502, 1)


async def test_only_so_many_runs_are_looked_at_and_it_says_so(house: House, insights: Insights) -> None:
    for _ in range(3):
        await ended(house, Finished(RunStatus.FAILED, "HTTP 500", status_code=500))
    found = await insights.failures(house.tenant, await house.store.now() - HOUR, newest=2)
    assert (found.examined, found.is_partial, found.groups[0].count) == (2, True, 2)
    later = await insights.failures(house.tenant, await house.store.now() + HOUR, newest=2)
    assert (later.examined, list(later.groups)) == (0, [])


async def test_tokens_are_summed_by_the_hour_in_which_sessions_began(house: House, insights: Insights) -> None:
    job, now = await house.job(), await house.store.now()
    top = now.replace(minute=0, second=0, microsecond=0)
    for begun in (top - 2 * HOUR, top - HOUR, top - HOUR + timedelta(minutes=30), top):
        plan = Plan(Outcome.DENIED, "llm", "m", "", usage=Usage(1, 100, 10))
        identity = session_id(begun, house.ids.entropy())
        await house.store.add_session(Session(identity, house.tenant, job.id, 1, begun, begun, plan))
    found = await insights.spent_hours(house.tenant, top - 2 * HOUR, top)
    assert [(each.at, each.sessions, each.tokens) for each in found] == [(top - 2 * HOUR, 1, 110), (top - HOUR, 2, 220)]
    assert await insights.spent_hours("ten_b", top - 9 * HOUR, now) == []
