"""What a claim costs beside a history: a million jobs and millions of runs, against few jobs and none.

RUBATO_BENCH_JOBS and RUBATO_BENCH_RUNS say how many; 1 million and 5 million unless they do. 50 million runs take
some 50 GB of disk, and hours to load on two cores. What a row takes is read from the tables on the way.
"""

import asyncio
import os
from contextlib import ExitStack
from datetime import timedelta

import asyncpg

from benchmarks.bars.claim import HEAVY, claims_ms
from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench

GROUP = "growth"
FEW = 10_000
JOBS = int(os.environ.get("RUBATO_BENCH_JOBS", "1000000"))
RUNS = int(os.environ.get("RUBATO_BENCH_RUNS", "5000000"))
DAYS = 30  # that the history is spread over, a partition each
LOAD_S = 3600
EXCERPT = '{"status": "ok", "queue": 12, "checked_at": "2026-01-05T12:00:00Z"}'

_PARTITION = """
    SELECT format('CREATE TABLE runs_%s PARTITION OF runs FOR VALUES FROM (%L) TO (%L)', to_char(day, 'YYYYMMDD'), day,
                  day + interval '1 day') AS made
    FROM generate_series(date_trunc('day', now(), 'UTC') - make_interval(days => $1),
                         date_trunc('day', now(), 'UTC') - interval '2 days', interval '1 day') AS day
    """
_HISTORY = """
    WITH chosen AS MATERIALIZED (
        SELECT tenant_id, bucket, job_id, row_number() OVER () - 1 AS place FROM schedules LIMIT $1
    )
    INSERT INTO runs (scheduled_for, tenant_id, bucket, job_id, trigger, id, status, kind, attempt, job_version,
                      created_at, started_at, finished_at, duration_ms, status_code, response_excerpt, response_bytes,
                      truncated, skipped_more, discarded, decision)
    SELECT at, tenant_id, bucket, job_id, 'scheduled',
           rubato_run_id((extract(epoch FROM at) * 1000000)::bigint, lpad(place::text, 16, '0')), 'succeeded',
           'baseline', 1, 1, at, at, at, 12, 200, $2, length($2), false, false, false, $3::jsonb
    FROM chosen, generate_series(1, $4) AS turn,
         LATERAL (SELECT date_trunc('day', now(), 'UTC') - interval '2 days'
                         - (turn * 7919 % $5) * interval '1 minute' - place * interval '1 microsecond' AS at) AS slot
    """
_DECISION = (
    '{"source": "baseline_interval", "reason": "The baseline: every 1 h.", "decided_at": "2026-01-05T12:00:00Z", '
    '"next_run_at": "2026-01-05T13:00:00Z", "candidates": [{"source": "baseline_interval", "note": "wins"}]}'
)


def measure(bench: Bench) -> list[Figure]:
    """Return milliseconds a claim of 100, their ratio within each round, and bytes a row."""
    hour, ago = timedelta(hours=1), timedelta(seconds=-30)
    small_load = Load(bench.target_url, FEW, hour, ago, timedelta(seconds=20), tenant=HEAVY)
    big_load = Load(bench.target_url, JOBS, hour, ago, timedelta(seconds=20), tenant=HEAVY)
    few: list[float] = []
    many: list[float] = []
    sizes: dict[str, float] = {}

    async def history(connection: asyncpg.Connection) -> None:
        for row in await connection.fetch(_PARTITION, DAYS + 1):
            await connection.execute(row["made"])
        jobs = min(JOBS, RUNS)
        turns, minutes = -(-RUNS // jobs), (DAYS - 1) * 24 * 60
        await connection.execute(_HISTORY, jobs, EXCERPT, _DECISION, turns, minutes, timeout=LOAD_S)
        await connection.execute("VACUUM ANALYZE runs", timeout=LOAD_S)
        runs = await connection.fetchval("SELECT count(*) FROM runs", timeout=LOAD_S)
        sizes["a run, with its indexes"] = (
            await connection.fetchval(
                "SELECT sum(pg_total_relation_size(inhrelid))::float8 FROM pg_inherits "
                "WHERE inhparent = 'runs'::regclass"
            )
            / runs
        )
        sizes["a job, with its indexes"] = (
            await connection.fetchval(
                "SELECT sum(pg_total_relation_size(name::regclass))::float8 "
                "FROM unnest(ARRAY['jobs', 'job_versions', 'schedules']) AS name"
            )
            / JOBS
        )

    with ExitStack() as stack:
        small = stack.enter_context(bench.loaded(small_load))
        big = stack.enter_context(bench.loaded(big_load))
        bench.machine.ask(big, history)
        for _ in range(max(5, bench.rounds)):
            few.append(asyncio.run(claims_ms(small)))
            many.append(asyncio.run(claims_ms(big)))
    ratios = [value / base for value, base in zip(many, few, strict=True)]
    return [
        reference(GROUP, f"100 of {FEW:,} due jobs, no runs", few, "ms"),
        reference(GROUP, f"100 of {JOBS:,} due jobs, {RUNS:,} runs", many, "ms"),
        at_most(GROUP, "with a history, against without", ratios, 1.5, "x"),
        *(reference(GROUP, what, [size], "bytes") for what, size in sizes.items()),
    ]
