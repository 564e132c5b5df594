"""How long after their slots requests arrive, at half the rate that one worker can do; and whether any came early."""

from datetime import timedelta

from benchmarks.arrivals import arrivals, ledger
from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench, saturated
from benchmarks.worker import Setup, lateness_ms, workers

GROUP = "lateness"
EVERY_S, WINDOW_S = 10, 12


def measure(bench: Bench) -> list[Figure]:
    """Return percentiles by the target's ledger, which includes the way there, and by the rows."""
    rate = saturated(bench, Setup()).per_s / 2
    rounds = [_round(bench, rate) for _ in range(bench.rounds)]

    def of(name: str) -> list[float]:
        return [each[name] for each in rounds]

    return [
        reference(GROUP, "runs a second, half of the most", of("rate"), "runs/s"),
        at_most(GROUP, "at the target - slot, p50", of("arrived_p50"), 2, "ms"),
        at_most(GROUP, "at the target - slot, p99", of("arrived_p99"), 10, "ms"),
        at_most(GROUP, "requests before their slot", of("early"), 0, ""),
        reference(GROUP, "earliest at the target - slot", of("least"), "ms"),
        reference(GROUP, "started_at - slot, p99, by the rows", of("p99"), "ms"),
        reference(GROUP, "started_at - slot, greatest, by the rows", of("most"), "ms"),
    ]


def _round(bench: Bench, rate: float) -> dict[str, float]:
    every = timedelta(seconds=EVERY_S)
    load = Load(bench.target_url, int(rate * EVERY_S), every, after=timedelta(seconds=6), spread=every)
    with bench.loaded(load) as url, workers(bench.machine, url, Setup()) as made:
        first = bench.machine.fetch(url, "SELECT min(slot_at) FROM schedules WHERE slot_at IS NOT NULL")[0][0]
        since = first + timedelta(seconds=4)
        until = since + timedelta(seconds=WINDOW_S)
        ledger(bench)
        bench.sleep_until(until + timedelta(seconds=2))
        seen = ledger(bench)
        made[0].stop()
        by_rows = lateness_ms(bench.machine, url, since, until)
        came = arrivals(bench, url, seen, since, until)
    return {
        "rate": by_rows["runs"] / WINDOW_S,
        "arrived_p50": came.at(0.5),
        "arrived_p99": came.at(0.99),
        "early": float(came.early),
        "least": came.at(0),
        "p99": by_rows["p99"],
        "most": by_rows["most"],
    }
