"""A process that claims until it is told to stop: the other side of `test_claiming_processes.py`."""

import asyncio
import json
import sys
from datetime import timedelta

from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.store import PostgresStore


async def main(url: str, worker: str) -> None:
    engine = connect(url, application=worker)
    store = PostgresStore(engine, SystemIds())
    await store.now()
    print("ready", flush=True)  # noqa: T201 - the other side waits for it
    sys.stdin.readline()
    claimed: list[str] = []
    while True:
        claims = await store.claim(worker, limit=7, lease=timedelta(minutes=10))
        if not claims.jobs:
            break
        claimed += [claim.ref.job_id for claim in claims.jobs]
    await engine.dispose()
    print(json.dumps(claimed), flush=True)  # noqa: T201 - the answer


asyncio.run(main(sys.argv[1], sys.argv[2]))
