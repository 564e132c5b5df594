"""10,000 jobs due at the same instant, one worker: how long until the last has started, and whether any was lost."""

import time
from datetime import timedelta

from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench, saturated
from benchmarks.worker import Setup, lateness_ms, workers

GROUP, HERD = "herd", 10_000


def measure(bench: Bench) -> list[Figure]:
    """Return the last start against the time that the same worker needs for as many at its saturated rate."""
    rounds = []
    for _ in range(bench.rounds):
        ideal_s = HERD / saturated(bench, Setup()).per_s
        rounds.append((ideal_s, *_herd(bench, within_s=20 + 6 * ideal_s)))
    ratios = [last_s / ideal_s for ideal_s, last_s, _, _ in rounds]
    return [
        reference(GROUP, "drain time at the saturated rate", [ideal_s for ideal_s, *_ in rounds], "s"),
        reference(GROUP, "last start of 10,000 due at once", [last_s for _, last_s, _, _ in rounds], "s"),
        reference(GROUP, "start - slot, p50", [p50 for _, _, p50, _ in rounds], "ms"),
        at_most(GROUP, "last start against the ideal", ratios, 1.5, "x"),
        at_most(GROUP, "lost", [float(lost) for *_, lost in rounds], 0, ""),
    ]


def _herd(bench: Bench, *, within_s: float) -> tuple[float, float, int]:
    load = Load(bench.target_url, HERD, timedelta(hours=1), after=timedelta(seconds=8))
    with bench.loaded(load) as url, workers(bench.machine, url, Setup()) as made:
        slot = bench.machine.fetch(url, "SELECT min(slot_at) FROM schedules")[0][0]
        done = "SELECT count(*) FROM runs WHERE status = 'succeeded'"
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and bench.machine.fetch(url, done)[0][0] < HERD:
            time.sleep(0.5)
        made[0].stop()
        late = lateness_ms(bench.machine, url, slot, slot + timedelta(seconds=1))
        lost = HERD - bench.machine.fetch(url, done)[0][0]
    return late["most"] / 1000, late["p50"], lost
