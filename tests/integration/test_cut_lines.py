"""Connections whose line fails in the middle of something: none comes back to its pool with a transaction half begun."""

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
