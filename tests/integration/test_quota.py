"""The quota guard on PostgreSQL: the reservation is the decision, whatever runs beside it."""

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import NotFound
from core.ports.quota import Denial, Reservation
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.store import PostgresStore

TENANT = "ten_a"


async def guard(engine: AsyncEngine, **limits: int) -> PostgresQuota:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a')"))
        for name, value in limits.items():
            await connection.execute(text(f"UPDATE tenants SET {name} = :value"), {"value": value})
    return PostgresQuota(engine, SystemIds())


async def used(quota: PostgresQuota) -> dict[str, tuple[int, int]]:
    return {window.name: (window.used, window.reserved) for window in await quota.windows(TENANT)}


async def test_a_reservation_is_replaced_by_what_was_used_once(engine: AsyncEngine) -> None:
    quota = await guard(engine)
    reservation = await quota.can_proceed(TENANT, "job_1", tokens=1000)
    assert isinstance(reservation, Reservation)
    assert (await used(quota))["tokens_per_day"] == (0, 1000)
    await quota.settle(reservation, tokens=120)
    await quota.settle(reservation, tokens=120)
    assert await used(quota) == {
        "tokens_per_day": (120, 0),
        "tokens_per_month": (120, 0),
        "sessions_per_day": (1, 0),
        "sessions_per_month": (1, 0),
    }


@pytest.mark.parametrize("window", ["tokens_per_day", "tokens_per_month"])
async def test_twenty_concurrent_sessions_never_overspend(engine: AsyncEngine, window: str) -> None:
    quota = await guard(engine, **{window: 5_500})
    answers = await asyncio.gather(*(quota.can_proceed(TENANT, f"job_{n}", tokens=1000) for n in range(20)))
    granted = [answer for answer in answers if isinstance(answer, Reservation)]
    denied = [answer for answer in answers if isinstance(answer, Denial)]
    assert len(granted) == 5
    assert {answer.code for answer in denied} == {window}
    assert (await used(quota))["tokens_per_day"] == (0, 5000)


async def test_a_denial_reserves_nothing_in_any_window(engine: AsyncEngine) -> None:
    quota = await guard(engine, sessions_per_day=0)
    denial = await quota.can_proceed(TENANT, "job_1", tokens=1000)
    assert isinstance(denial, Denial)
    assert denial.code == "sessions_per_day"
    assert "used up until" in denial.reason
    assert await used(quota) == {
        "tokens_per_day": (0, 0),
        "tokens_per_month": (0, 0),
        "sessions_per_day": (0, 0),
        "sessions_per_month": (0, 0),
    }


async def test_an_unsettled_reservation_counts_as_spent_however_old(engine: AsyncEngine) -> None:
    quota = await guard(engine, tokens_per_day=1000)
    assert isinstance(await quota.can_proceed(TENANT, "job_1", tokens=1000), Reservation)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE quota_reservations SET expires_at = now() - interval '1 day'"))
    assert isinstance(await quota.can_proceed(TENANT, "job_2", tokens=1), Denial)


async def test_overshoot_is_recorded_and_blocks_the_next_session(engine: AsyncEngine) -> None:
    quota = await guard(engine, tokens_per_day=1000)
    reservation = await quota.can_proceed(TENANT, "job_1", tokens=900)
    assert isinstance(reservation, Reservation)
    await quota.settle(reservation, tokens=1300)
    assert (await used(quota))["tokens_per_day"] == (1300, 0)
    assert isinstance(await quota.can_proceed(TENANT, "job_1", tokens=1), Denial)


async def test_usage_is_charged_to_the_windows_it_was_opened_in(engine: AsyncEngine) -> None:
    quota = await guard(engine)
    reservation = await quota.can_proceed(TENANT, "job_1", tokens=500)
    assert isinstance(reservation, Reservation)
    day = timedelta(days=1)
    async with engine.begin() as connection:
        for table in ("quota_windows", "quota_reservations"):
            column = "opened_at" if table == "quota_windows" else "opened_day"
            where = "WHERE name IN ('tokens_per_day', 'sessions_per_day')" if table == "quota_windows" else ""
            await connection.execute(
                text(f"UPDATE {table} SET {column} = {column} - CAST(:day AS interval) {where}"), {"day": day}
            )
    await quota.settle(reservation, tokens=70)
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT used, reserved FROM quota_windows WHERE name = 'tokens_per_day'"))
        assert [tuple(row) for row in rows] == [(70, 0)]


async def test_a_jobs_sessions_in_an_hour_are_its_own(engine: AsyncEngine) -> None:
    quota = await guard(engine, sessions_per_job_hour=1)
    assert isinstance(await quota.can_proceed(TENANT, "job_1", tokens=0), Reservation)
    denial = await quota.can_proceed(TENANT, "job_1", tokens=0)
    assert isinstance(denial, Denial)
    assert denial.code == "sessions_per_job_hour"
    assert isinstance(await quota.can_proceed(TENANT, "job_2", tokens=0), Reservation)


async def test_an_unknown_tenant_has_no_quota(engine: AsyncEngine) -> None:
    quota = await guard(engine)
    with pytest.raises(NotFound):
        await quota.can_proceed("ten_none", "job_1", tokens=1)


@pytest.mark.parametrize("name", ["tokens_per_day", "tokens_per_month", "sessions_per_day", "sessions_per_month"])
async def test_a_ceiling_holds_over_all_tenants_together(engine: AsyncEngine, name: str) -> None:
    quota = await guard(engine)
    await ceiling(engine, name, 2_000 if name.startswith("tokens") else 2)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('ten_b', 'b')"))
    tenants = [TENANT, "ten_b"] * 5
    answers = await asyncio.gather(*(quota.can_proceed(each, "job_1", tokens=1000) for each in tenants))
    granted = [answer for answer in answers if isinstance(answer, Reservation)]
    assert len(granted) == 2
    assert {answer.code for answer in answers if isinstance(answer, Denial)} == {f"all_{name}"}
    for each in granted:
        await quota.settle(each, tokens=0)
    again = await quota.can_proceed(TENANT, "job_1", tokens=1000)
    assert isinstance(again, Reservation if name.startswith("tokens") else Denial)  # a session was one all the same


async def test_a_denial_by_the_ceiling_reserves_nothing_of_the_tenants(engine: AsyncEngine) -> None:
    quota = await guard(engine)
    await ceiling(engine, "tokens_per_day", 10)
    denial = await quota.can_proceed(TENANT, "job_1", tokens=1000)
    assert isinstance(denial, Denial)
    assert denial.until is not None
    assert "for all tenants" in denial.reason
    assert set((await used(quota)).values()) == {(0, 0)}


async def test_what_a_lost_session_had_reserved_is_charged_in_full_after_an_hour(engine: AsyncEngine) -> None:
    quota = await guard(engine)
    lost = await quota.can_proceed(TENANT, "job_1", tokens=1000)
    living = await quota.can_proceed(TENANT, "job_2", tokens=500)
    assert isinstance(lost, Reservation)
    assert isinstance(living, Reservation)
    assert await quota.charge_lost() == 0
    async with engine.begin() as connection:
        long_ago = text("UPDATE quota_reservations SET expires_at = now() - interval '2 hours' WHERE id = :id")
        await connection.execute(long_ago, {"id": lost.id})
    assert await quota.charge_lost() == 1
    assert (await used(quota))["tokens_per_day"] == (1000, 500)
    await quota.settle(lost, tokens=10)
    assert (await used(quota))["tokens_per_day"] == (1000, 500)


async def test_the_fullest_allowance_is_a_gauge_and_jobs_hours_are_forgotten(engine: AsyncEngine) -> None:
    quota = await guard(engine, tokens_per_day=4_000)
    store = PostgresStore(engine, SystemIds())
    assert (await store.backlog()).quota_used == 0
    assert isinstance(await quota.can_proceed(TENANT, "job_1", tokens=1000), Reservation)
    assert (await store.backlog()).quota_used == 0.25
    assert await quota.forget_closed() == 0
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE quota_windows SET closes_at = now() - interval '3 days'"))
    assert await quota.forget_closed() == 1
    assert (await store.backlog()).quota_used == 0


def test_twenty_processes_never_overspend(database_url: str) -> None:
    """Each process has a pool of its own; together they reserve what the allowance holds, and no more."""
    asyncio.run(_prepare(database_url, tokens_per_day=7_500))
    command = [sys.executable, "-c", _RESERVING, database_url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(20)]
    said = [each.communicate(timeout=120)[0].strip() for each in started]
    assert [each.returncode for each in started] == [0] * 20
    assert sorted(said) == ["Denial"] * 13 + ["Reservation"] * 7


_RESERVING = """
import asyncio, sys
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.quota import PostgresQuota

async def main():
    engine = connect(sys.argv[1], application="session", pool_size=1)
    ids = SystemIds()
    answer = await PostgresQuota(engine, ids).can_proceed("ten_a", f"job_{ids.entropy()}", tokens=1000)
    print(type(answer).__name__)
    await engine.dispose()

asyncio.run(main())
"""


async def _prepare(url: str, **limits: int) -> None:
    engine = connect(url, application="tests")
    await guard(engine, **limits)
    await engine.dispose()


async def ceiling(engine: AsyncEngine, name: str, value: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO quota_ceilings (name, value) VALUES (:name, :value)"), {"name": name, "value": value}
        )
