"""Full runs a second of one worker with everything on, against the bare client and the peers, taking turns."""

from collections.abc import Callable
from functools import partial

from benchmarks.figures import Figure, at_least, at_most, reference
from benchmarks.measuring import Bench, Rate, alone, saturated
from benchmarks.worker import Setup

GROUP = "throughput"
KNEES = (200.0, 300.0, 400.0, 600.0)  # due a second; beyond its knee APScheduler gets less done
BARS = {"sequential": 7, "procrastinate": 12, "pgqueuer": 4, "apscheduler": 8}
NAMES = {
    "sequential": "sequential tick, six statements a run",
    "procrastinate": "procrastinate, re-deferring itself",
    "pgqueuer": "pgqueuer, batch 100, re-enqueueing",
    "apscheduler": "APScheduler 3, SQLAlchemy store, at its knee",
}


def measure(bench: Bench) -> list[Figure]:
    """Return rates, the ratios within each round, and what a run costs."""
    knee = max(KNEES, key=lambda rate: _peer(bench, "with_apscheduler", rate).per_s)
    turns: dict[str, Callable[[], Rate]] = {
        "client": partial(_client, bench, "dispatcher"),
        "aiohttp": partial(_client, bench, "aiohttp"),
        "ours": lambda: saturated(bench, Setup()),
        "sequential": partial(_peer, bench, "sequential"),
        "procrastinate": partial(_peer, bench, "with_procrastinate"),
        "ours, planning apart": lambda: saturated(bench, Setup(plans_apart=True)),
        "pgqueuer": partial(_peer, bench, "with_pgqueuer"),
        "apscheduler": partial(_peer, bench, "with_apscheduler", knee),
    }
    seen: dict[str, list[Rate]] = {name: [] for name in turns}
    for _ in range(bench.rounds):
        for name, turn in turns.items():
            seen[name].append(turn())

    def ratio(name: str, of: str) -> list[float]:
        return [mine.per_s / theirs.per_s for mine, theirs in zip(seen[name], seen[of], strict=True)]

    ours, client = seen["ours"], seen["client"]
    beyond = [mine.python_us - bare.python_us for mine, bare in zip(ours, client, strict=True)]
    percent = [100 * share for share in ratio("ours", "client")]
    with_plans = [100 * share for share in ratio("ours, planning apart", "client")]
    figures = [
        reference(GROUP, "bare loop of the dispatcher, 200 in flight", [r.per_s for r in client], "req/s"),
        reference(GROUP, "bare loop of aiohttp, 200 in flight", [r.per_s for r in seen["aiohttp"]], "req/s"),
        reference(GROUP, "one worker, planner off", [r.per_s for r in ours], "runs/s"),
        at_least(GROUP, "of the bare dispatcher, planner off", percent, 60, "%"),
        at_least(GROUP, "of the bare dispatcher, offline planner in a second process", with_plans, 60, "%"),
        reference(GROUP, "of bare aiohttp, planner off", [100 * share for share in ratio("ours", "aiohttp")], "%"),
    ]
    for name, bar in BARS.items():
        figures.append(reference(GROUP, NAMES[name], [r.per_s for r in seen[name]], "runs/s"))
        figures.append(at_least(GROUP, f"times {name}", ratio("ours", name), bar, "x"))
    figures += [
        reference("cost", "bare dispatcher, Python a request", [r.python_us for r in client], "us"),
        reference("cost", "bare aiohttp, Python a request", [r.python_us for r in seen["aiohttp"]], "us"),
        reference("cost", "worker, Python a run", [r.python_us for r in ours], "us"),
        at_most("cost", "worker, Python a run beyond the client", beyond, 90, "us"),
        reference("cost", "worker, PostgreSQL a run", [r.postgres_us for r in ours], "us"),
    ]
    for name in BARS:
        both = [r.python_us + r.postgres_us for r in seen[name]]
        figures.append(reference("cost", f"{name}, Python and PostgreSQL a run", both, "us"))
    figures.append(at_most("memory", "worker at 200 in flight", [r.rss_mib for r in ours], 250, "MiB"))
    return figures


def _client(bench: Bench, kind: str) -> Rate:
    return alone(bench, "benchmarks.client", bench.target_url, bench.window_s, kind)


def _peer(bench: Bench, name: str, *arguments: object) -> Rate:
    with bench.machine.database() as url:
        return alone(bench, f"benchmarks.peers.{name}", url, bench.target_url, bench.window_s, *arguments)
