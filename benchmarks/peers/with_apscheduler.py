"""APScheduler 3 on its SQLAlchemy job store: jobs of one interval, so that `rate` are due a second."""

import logging
import os
import sys
from datetime import UTC, datetime, timedelta

import uvloop
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from benchmarks.client import Client
from benchmarks.windows import Tally, measure

JOBS = 400
_tally = Tally()
_client: list[Client] = []


async def call(address: str) -> None:
    """Run one job; the store finds it by its name."""
    await _client[0].get(address)
    _tally.runs += 1


async def main(url: str, target: str, seconds: float, rate: float) -> None:
    """Add the jobs, spread over their interval, and let it go on."""
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # above its knee it says for every job that it is late
    _client.append(Client())
    store = SQLAlchemyJobStore(url=url.replace("postgresql://", "postgresql+psycopg://", 1))
    scheduler = AsyncIOScheduler(
        jobstores={"default": store},
        job_defaults={"coalesce": True, "max_instances": 10, "misfire_grace_time": None},
        timezone=UTC,
    )
    every = JOBS / rate
    begin = datetime.now(UTC) + timedelta(seconds=1)
    for number in range(JOBS):
        first = begin + timedelta(seconds=every * number / JOBS)
        scheduler.add_job(
            "benchmarks.peers.with_apscheduler:call",
            "interval",
            [target],
            seconds=every,
            next_run_time=first,
            id=str(number),
        )
    scheduler.start()
    await measure(_tally, seconds, warm_s=3.0)


if __name__ == "__main__":
    sys.modules["benchmarks.peers.with_apscheduler"] = sys.modules["__main__"]  # one tally, not two
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
    os._exit(0)
