"""What waiting costs: 100,000 jobs registered, none due."""

import time
from datetime import timedelta

from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import PLENTY, Bench
from benchmarks.worker import Setup, workers

GROUP, WINDOW_S, SETTLE_S = "idle", 30.0, 8.0


def measure(bench: Bench) -> list[Figure]:
    """Return the share of a core that worker and database use, planner on in the same process."""
    load = Load(bench.target_url, PLENTY, timedelta(days=1), after=timedelta(days=1), spread=timedelta(days=1))
    with bench.loaded(load) as url, workers(bench.machine, url, Setup(planner="offline")) as made:
        time.sleep(SETTLE_S)
        worker, database = made[0].cpu_s(), bench.machine.cpu_s()
        time.sleep(WINDOW_S)
        worker, database = made[0].cpu_s() - worker, bench.machine.cpu_s() - database
    shares = [100 * worker / WINDOW_S, 100 * database / WINDOW_S]
    return [
        reference(GROUP, "worker, 100,000 jobs, none due", shares[:1], "% of a core"),
        reference(GROUP, "database", shares[1:], "% of a core"),
        at_most(GROUP, "worker and database together", [sum(shares)], 1, "% of a core"),
    ]
