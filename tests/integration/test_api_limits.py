"""Allowances that are rows: requests counted over several API processes, and runs of a day."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import JobsLimitReached, LimitReached
from core.usecases.manage_jobs import RUNS_SPENT, ManageJobs
from rubato.adapters.clock import SystemClock
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.rates import PostgresRates, PostgresRateStorage
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.postgres.usage import hold_to_runs_per_day
from tests.processes import call, clean_environment, free_port, rubato, running, serves, wait_for
from tests.unit.fakes import FakeCron
from tests.unit.loop import definition

KEY = "cron_limits_0123456789abcdef"
SECRET = "s" * 32


async def sql(engine: AsyncEngine, statement: str, **values: Any) -> Any:
    async with engine.begin() as connection:
        answer = await connection.execute(text(statement), values)
        return answer.scalar() if answer.returns_rows else None


async def tenant(engine: AsyncEngine, **columns: Any) -> None:
    await sql(engine, "INSERT INTO tenants (id, name) VALUES ('t', 't')")
    for name, value in columns.items():
        await sql(engine, f"UPDATE tenants SET {name} = :value", value=value)


async def key(engine: AsyncEngine, requests_per_minute: int) -> None:
    await tenant(engine)
    await sql(engine, "INSERT INTO users (tenant_id, id, name, role) VALUES ('t', 'u', 'u', 'admin')")
    await sql(
        engine,
        "INSERT INTO api_keys (tenant_id, id, user_id, hash, name, requests_per_minute) "
        "VALUES ('t', 'k', 'u', 'h', 'k', :rate)",
        rate=requests_per_minute,
    )


async def test_the_hundred_and_first_request_in_a_minute_is_too_many(engine: AsyncEngine) -> None:
    await key(engine, 100)
    rates = PostgresRates(engine, SystemClock())
    seen = [(await rates.hit("t", "k"))[0] for _ in range(101)]
    assert [rate.is_exceeded for rate in seen] == [False] * 100 + [True]
    assert [rate.remaining for rate in seen[:2]] + [seen[-1].remaining] == [99, 98, 0]
    assert {(rate.name, rate.limit, rate.window_s) for rate in seen} == {("key", 100, 60)}
    await sql(engine, "UPDATE request_windows SET closes_at = now()")
    assert not (await rates.hit("t", "k"))[0].is_exceeded


async def test_requests_at_once_are_counted_exactly(engine: AsyncEngine) -> None:
    await key(engine, 20)
    counters = [PostgresRates(engine, SystemClock()) for _ in range(2)]
    hits = await asyncio.gather(*(counters[n % 2].hit("t", "k") for n in range(50)))
    assert sum(not rates[0].is_exceeded for rates in hits) == 20


async def test_a_tenants_keys_share_its_allowance_and_others_do_not(engine: AsyncEngine) -> None:
    await tenant(engine, requests_per_minute=2)
    await sql(engine, "INSERT INTO tenants (id, name) VALUES ('other', 'o')")
    rates = PostgresRates(engine, SystemClock())
    seen = [(await rates.hit("t", each))[-1].is_exceeded for each in ("k1", "k2", None)]
    assert seen == [False, False, True]
    assert not (await rates.hit("other", "k"))[-1].is_exceeded


async def test_the_shared_storage_does_what_the_library_asks_of_one(engine: AsyncEngine) -> None:
    await tenant(engine)
    storage = PostgresRateStorage(engine, "t")
    assert [await storage.incr("a", 60), await storage.incr("a", 60, 3), await storage.get("a")] == [1, 4, 4]
    assert await storage.get_expiry("a") > datetime.now(UTC).timestamp()
    assert (await storage.get("b"), await storage.get_expiry("b"), await storage.check()) == (0, 0.0, True)
    await storage.clear("a")
    assert await storage.get("a") == 0
    await storage.incr("c", 60)
    assert (await storage.reset(), await storage.get("c")) == (1, 0)


def test_two_api_processes_share_one_allowance(database_url: str, tmp_path: Path) -> None:
    """Measured over HTTP: what both let pass together is the allowance, whichever is asked."""

    async def set_up() -> None:
        engine = connect(database_url, application="tests")
        await PostgresAccounts(engine, SystemIds(), pepper=SECRET.encode()).bootstrap(KEY, tenant="t", user="u")
        await sql(engine, "UPDATE api_keys SET requests_per_minute = 40")
        await engine.dispose()

    asyncio.run(set_up())
    ports = [free_port(), free_port()]
    common = {**clean_environment(), "DATABASE_URL": database_url, "RUBATO_SECRET": SECRET}
    environments = [{**common, "PORT": str(port)} for port in ports]
    logs = [tmp_path / f"api{n}.log" for n in range(2)]
    with (
        running(rubato("api"), logs[0], environments[0], tmp_path),
        running(rubato("api"), logs[1], environments[1], tmp_path),
    ):
        for port in ports:
            wait_for("the API", serves(f"http://127.0.0.1:{port}/readyz"), within_s=60)
        answers = [call("GET", f"http://127.0.0.1:{ports[n % 2]}/api/v1/jobs", key=KEY) for n in range(60)]
    assert Counter(answer.status for answer in answers) == {200: 40, 429: 20}
    first, last = answers[0].headers, answers[-1].headers
    assert first["ratelimit-policy"] == '"key";q=40;w=60, "tenant";q=3000;w=60'
    assert first["ratelimit"].startswith('"key";r=39;t=60, "tenant";r=2999;t=')
    assert (first["ratelimit-limit"], first["ratelimit-remaining"]) == ("40", "39")
    assert last["ratelimit-remaining"] == "0"
    assert 0 < int(last["retry-after"]) <= 60
    assert answers[-1].body["code"] == "too_many_requests"


async def test_two_registrations_cannot_both_take_the_last_place(engine: AsyncEngine) -> None:
    await tenant(engine, max_jobs=3)
    store = PostgresStore(engine, SystemIds())
    jobs = ManageJobs(store, FakeCron(), SystemIds())
    made = await asyncio.gather(*(jobs.register("t", definition()) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(each, JobsLimitReached) for each in made) == 5
    assert await store.room("t") == 0


async def test_a_tenant_beyond_its_runs_of_the_day_stands_still_until_there_are_more(engine: AsyncEngine) -> None:
    await tenant(engine, runs_per_day=2)
    store = PostgresStore(engine, SystemIds())
    jobs = ManageJobs(store, FakeCron(), SystemIds())
    made = [(await jobs.register("t", definition()))[0] for _ in range(3)]
    await hold_to_runs_per_day(engine)
    claims = await store.claim("w1", limit=2, lease=timedelta(seconds=30))
    assert len(claims.jobs) == 2
    await hold_to_runs_per_day(engine)
    assert await sql(engine, "SELECT suspended_reason FROM tenants WHERE id = 't'") == RUNS_SPENT
    assert (await store.claim("w1", limit=9, lease=timedelta(seconds=30))).jobs == ()
    with pytest.raises(LimitReached, match="used up") as refused:
        await jobs.run_now("t", made[2].id)
    assert 0 < (refused.value.retry_after_s or 0) <= 86_400
    await sql(engine, "UPDATE tenants SET runs_per_day = 3")
    await hold_to_runs_per_day(engine)
    assert len((await store.claim("w1", limit=9, lease=timedelta(seconds=30))).jobs) == 1


async def test_an_operators_suspension_is_left_alone(engine: AsyncEngine) -> None:
    await tenant(engine, runs_per_day=0, suspended_reason="unpaid")
    await hold_to_runs_per_day(engine)
    assert await sql(engine, "SELECT suspended_reason FROM tenants WHERE id = 't'") == "unpaid"
    await sql(engine, "UPDATE tenants SET runs_per_day = NULL")
    await hold_to_runs_per_day(engine)
    assert await sql(engine, "SELECT suspended_reason FROM tenants WHERE id = 't'") == "unpaid"
