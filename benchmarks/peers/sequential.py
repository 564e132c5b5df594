"""A sequential tick: six statements a run over one connection, one run after another."""

import asyncio
import os
import sys

import asyncpg
import uvloop

from benchmarks.client import Client
from benchmarks.windows import Tally, measure

JOBS = 10_000
SCHEMA = """
CREATE TABLE endpoints (id bigint PRIMARY KEY, url text NOT NULL, next_run_at timestamptz NOT NULL,
                        locked_until timestamptz, last_status int, failure_count int NOT NULL DEFAULT 0);
CREATE INDEX ON endpoints (next_run_at);
CREATE TABLE hints (endpoint_id bigint PRIMARY KEY, interval_ms bigint, expires_at timestamptz);
CREATE TABLE runs (id bigserial PRIMARY KEY, endpoint_id bigint NOT NULL, started_at timestamptz NOT NULL,
                   finished_at timestamptz, status text NOT NULL, http_status int, response text);
CREATE INDEX ON runs (endpoint_id, id);
"""
CLAIM = """
UPDATE endpoints SET locked_until = now() + interval '60 s' WHERE id = (
    SELECT id FROM endpoints WHERE next_run_at <= now() AND (locked_until IS NULL OR locked_until < now())
    ORDER BY next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id
"""
BEGIN = "INSERT INTO runs (endpoint_id, started_at, status) VALUES ($1, now(), 'running') RETURNING id"
FINISH = "UPDATE runs SET finished_at = now(), status = $2, http_status = $3, response = $4 WHERE id = $1"
NEXT = """
UPDATE endpoints SET next_run_at = now() + $2 * interval '1 ms', locked_until = NULL, last_status = $3 WHERE id = $1
"""


async def main(url: str, target: str, seconds: float) -> None:
    """Fill the tables and tick."""
    connection, client, tally = await asyncpg.connect(url), Client(), Tally()
    await connection.execute(SCHEMA)
    fill = "INSERT INTO endpoints SELECT i, $1, now() - interval '1 min' FROM generate_series(1, $2::int) i"
    await connection.execute(fill, target, JOBS)
    await connection.execute("ANALYZE")

    async def tick() -> None:
        while True:
            claimed = await connection.fetchval(CLAIM)
            job = await connection.fetchrow("SELECT * FROM endpoints WHERE id = $1", claimed)
            run = await connection.fetchval(BEGIN, claimed)
            status, body = await client.get(job["url"])
            await connection.execute(FINISH, run, "success", status, body.decode())
            hint = await connection.fetchrow("SELECT * FROM hints WHERE endpoint_id = $1", claimed)
            await connection.execute(NEXT, claimed, hint["interval_ms"] if hint else 0, status)
            tally.runs += 1

    ticking = asyncio.ensure_future(tick())
    await measure(tally, seconds)
    if ticking.done():
        ticking.result()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    os._exit(0)
