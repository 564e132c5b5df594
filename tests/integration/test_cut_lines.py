"""Connections whose line fails in the middle of something: none comes back to its pool with a transaction half begun."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from core.errors import Unavailable
from rubato.adapters.postgres.engine import connect, linked
from tests.proxy import proxy_to, through


@pytest.mark.parametrize("statements", [0, 1, 2], ids=["at BEGIN", "at a statement", "at COMMIT"])
async def test_after_a_cut_off_transaction_the_next_one_commits(database_url: str, statements: int) -> None:
    async with proxy_to(urlsplit(database_url).port or 5432) as proxy:
        engine = connect(through(database_url, proxy.own_port), application="tests", pool_size=1, keyed=True)
        try:
            async with linked(engine) as link:
                await link.execute("CREATE TABLE marks (number integer)")
            if statements == 0:
                proxy.black_hole()
            with pytest.raises(Unavailable):  # noqa: PT012 - the line fails inside
                async with linked(engine, deadline_s=0.3) as link:
                    if statements == 1:
                        proxy.black_hole()
                    await link.execute("INSERT INTO marks VALUES (1)")
                    proxy.black_hole()
            proxy.heal()
            async with linked(engine) as link:
                await link.execute("INSERT INTO marks VALUES (2)")
            other = await asyncpg.connect(database_url)
            try:
                numbers = {row["number"] for row in await other.fetch("SELECT number FROM marks")}
            finally:
                await other.close()
        finally:
            await engine.dispose()
    assert 2 in numbers


async def test_a_connection_that_was_ended_in_its_pool_is_replaced(database_url: str) -> None:
    engine = connect(database_url, application="ended", pool_size=1, keyed=True)
    other = await asyncpg.connect(database_url)
    try:
        async with linked(engine) as link:
            await link.execute("SELECT 1")
        await other.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'ended'"
        )
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable):
            async with linked(engine):
                pass
        async with linked(engine) as link:
            assert await link.fetchval("SELECT 1") == 1
    finally:
        await other.close()
        await engine.dispose()


async def test_a_last_word_of_the_server_that_was_not_read_means_that_it_is_away(database_url: str) -> None:
    """A stopped process finds on waking that its transaction idled too long: the message first, the end after it."""
    async with proxy_to(urlsplit(database_url).port or 5432) as proxy:
        proxy.hides_ends = True
        engine = connect(through(database_url, proxy.own_port), application="tests", pool_size=1, keyed=True)
        try:
            with pytest.raises(Unavailable):  # noqa: PT012 - the server ends it inside
                async with linked(engine) as link:
                    await link.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
                    await asyncio.sleep(0.5)
                    await link.execute("SELECT 1")
            proxy.hides_ends = False
            async with linked(engine) as link:
                assert await link.fetchval("SELECT 1") == 1
        finally:
            await engine.dispose()


async def test_the_locks_of_a_process_that_stopped_between_two_messages_fall(database_url: str) -> None:
    """It has asked the server to prepare a statement and does not read the answer: no limit but the whole's applies."""
    async with proxy_to(urlsplit(database_url).port or 5432) as proxy:
        url = through(database_url, proxy.own_port)
        engine = connect(url, application="tests", pool_size=1, keyed=True, whole_s=0.5)
        other = await asyncpg.connect(database_url)
        try:
            if int(await other.fetchval("SHOW server_version_num")) < 170000:
                pytest.skip("PostgreSQL before 17 cannot limit a transaction")
            with pytest.raises(Unavailable):  # noqa: PT012 - the process stops inside
                async with linked(engine, deadline_s=10) as link:
                    await link.execute("SELECT pg_advisory_xact_lock(7)")
                    proxy.hold_answers()
                    reading = asyncio.ensure_future(link.fetch("SELECT count(*) FROM jobs WHERE id = $1", "x"))
                    await other.execute("SET lock_timeout = 5000")
                    await other.execute("SELECT pg_advisory_lock(7)")
                    proxy.heal()
                    await reading
            async with linked(engine) as link:
                assert await link.fetchval("SELECT 1") == 1
        finally:
            await other.close()
            await engine.dispose()
