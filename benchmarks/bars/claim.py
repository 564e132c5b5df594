"""What a claim costs as the queue grows: 10,000 and 1,000,000 jobs, all due; one tenant's million held back."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.store import PostgresStore

GROUP = "claim"
FEW, MILLION, CLAIM = 10_000, 1_000_000, 100
CLAIMS = 12  # a round; what they took is given back
LEASE = timedelta(seconds=600)
HEAVY, LIGHT = "ten_heavy", "ten_light"


def measure(bench: Bench) -> list[Figure]:
    """Return milliseconds a claim of 100, and the ratios within each round."""
    hour, ago = timedelta(hours=1), timedelta(seconds=-30)
    few = Load(bench.target_url, FEW, hour, ago, timedelta(seconds=20), tenant=HEAVY)
    million = Load(bench.target_url, MILLION, hour, ago, timedelta(seconds=20), tenant=HEAVY)
    light = Load(bench.target_url, FEW, hour, ago, timedelta(seconds=20), tenant=LIGHT)
    cases = ("few", "million", "fair", "held back")
    seen: dict[str, list[float]] = {name: [] for name in cases}
    with ExitStack() as stack:
        small = stack.enter_context(bench.loaded(few, light))
        big = stack.enter_context(bench.loaded(million, light))
        for _ in range(max(5, bench.rounds)):
            seen["few"].append(asyncio.run(claims_ms(small)))
            seen["million"].append(asyncio.run(claims_ms(big)))
            seen["fair"].append(asyncio.run(claims_ms(big, is_fair=True)))
            seen["held back"].append(asyncio.run(claims_ms(big, without=[HEAVY])))

    def against_few(name: str) -> list[float]:
        return [value / few_ms for value, few_ms in zip(seen[name], seen["few"], strict=True)]

    return [
        reference(GROUP, "100 of 20,000 due jobs", seen["few"], "ms"),
        reference(GROUP, "100 of 1,010,000 due jobs", seen["million"], "ms"),
        at_most(GROUP, "10 k -> 1 M jobs", against_few("million"), 1.5, "x"),
        at_most(GROUP, "fair between tenants, one with 1 M due", against_few("fair"), 1.5, "x"),
        at_most(GROUP, "a tenant's 1 M due rows held back by a cap", against_few("held back"), 1.5, "x"),
    ]


async def claims_ms(url: str, *, is_fair: bool = False, without: Sequence[str] = ()) -> float:
    """Return the median of a claim in milliseconds, as a worker's loop makes it."""
    engine = connect(url, application="rubato worker loop", pool_size=2, keyed=True)
    store = PostgresStore(engine, SystemIds())
    took, held = [], []
    for _ in range(CLAIMS):
        begun = time.perf_counter()
        claims = await store.claim("wrk_bench", limit=CLAIM, lease=LEASE, is_fair=is_fair, without=without)
        took.append((time.perf_counter() - begun) * 1000)
        held += [(claim.ref, claim.token) for claim in claims.jobs]
    if len(held) != CLAIMS * CLAIM:
        raise AssertionError(f"claimed {len(held)} of {CLAIMS * CLAIM}: the measurement is not what it says")
    for at in range(0, len(held), CLAIM):
        await store.release("wrk_bench", held[at : at + CLAIM])
    await engine.dispose()
    return statistics.median(took[2:])
