"""pgqueuer in batches of 100: every job enqueues itself again when it has run."""

import asyncio
import os
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

from benchmarks.client import IN_FLIGHT, Client
from benchmarks.windows import Tally, measure

BATCH = 100


async def main(url: str, target: str, seconds: float) -> None:
    """Install it, enqueue twice as many jobs as may run at once, and let it go on."""
    async with asyncpg.create_pool(url, min_size=4, max_size=10) as pool:
        driver = AsyncpgPoolDriver(pool)
        queries, client, tally = Queries(driver), Client(), Tally()
        await queries.install()
        queue = PgQueuer(driver)

        async def call(job: object) -> None:
            await client.get(target)
            await queries.enqueue("call", b"", 0)
            tally.runs += 1

        queue.entrypoint("call")(call)
        many = 2 * IN_FLIGHT
        await queries.enqueue(["call"] * many, [b""] * many, [0] * many)
        working = asyncio.ensure_future(queue.run(batch_size=BATCH))
        await measure(tally, seconds)
        if working.done():
            working.result()
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
