"""procrastinate: every job defers itself again when it has run."""

import asyncio
import os
import sys

import procrastinate
import uvloop

from benchmarks.client import IN_FLIGHT, Client
from benchmarks.windows import Tally, measure


async def main(url: str, target: str, seconds: float) -> None:
    """Lay its schema, defer twice as many jobs as may run at once, and let its worker go on."""
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=4, max_size=20)
    app = procrastinate.App(connector=connector)
    client, tally = Client(), Tally()

    async def call(address: str) -> int:
        status, _ = await client.get(address)
        await task.defer_async(address=address)
        tally.runs += 1
        return status

    task = app.task(name="call")(call)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for _ in range(2 * IN_FLIGHT):
            await task.defer_async(address=target)
        working = asyncio.ensure_future(app.run_worker_async(concurrency=IN_FLIGHT, install_signal_handlers=False))
        await measure(tally, seconds)
        if working.done():
            working.result()
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
