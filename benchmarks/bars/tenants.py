"""A light tenant's lateness, alone and beside a tenant with a hundred times its load."""

from datetime import timedelta

from benchmarks.arrivals import arrivals, ledger
from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench, saturated
from benchmarks.worker import Setup, workers

GROUP, EVERY_S, TIMES = "tenants", 10, 100
WINDOW_S = 15


def measure(bench: Bench) -> list[Figure]:
    """Return p99 of the light tenant; together the two ask for as much as one worker can do."""
    most = saturated(bench, Setup()).per_s
    light = max(10, int(most / (TIMES + 1) * EVERY_S))
    alone, beside = [], []
    for _ in range(bench.rounds):
        alone.append(_p99_ms(bench, light, 0))
        beside.append(_p99_ms(bench, light, light * TIMES))
    ratios = [together / single for single, together in zip(alone, beside, strict=True)]
    note = f"{light / EVERY_S:.0f} and {light * TIMES / EVERY_S:,.0f} runs/s of {most:,.0f} possible"
    return [
        reference(GROUP, "light tenant alone, p99", alone, "ms"),
        reference(GROUP, "beside 100 times its load, p99", beside, "ms", note),
        at_most(GROUP, "beside against alone, p99", ratios, 2, "x"),
    ]


def _p99_ms(bench: Bench, light: int, heavy: int) -> float:
    every, after = timedelta(seconds=EVERY_S), timedelta(seconds=6)
    loads = [Load(bench.target_url, light, every, after, every, tenant="ten_light")]
    if heavy:
        loads.insert(0, Load(bench.target_url, heavy, every, after, every, tenant="ten_heavy"))
    with bench.loaded(*loads) as url, workers(bench.machine, url, Setup()) as made:
        first = bench.machine.fetch(url, "SELECT min(slot_at) FROM schedules WHERE tenant_id = 'ten_light'")[0][0]
        since = first + every
        until = since + timedelta(seconds=WINDOW_S)
        ledger(bench)
        bench.sleep_until(until + timedelta(seconds=2))
        seen = ledger(bench)
        made[0].stop()
        return arrivals(bench, url, seen, since, until, tenant="ten_light").at(0.99)
