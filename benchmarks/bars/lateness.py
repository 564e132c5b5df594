"""Start minus slot at half the rate that one worker can do; and whether anything ever came early."""

import json
import time
import urllib.request
from datetime import timedelta
from typing import Any

from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench, saturated
from benchmarks.worker import Setup, lateness_ms, workers
from core.ids import webhook_id

GROUP = "lateness"
EVERY_S = 10
RUNS = """
SELECT job_id, scheduled_for, trigger FROM runs
WHERE scheduled_for >= $1 AND scheduled_for < $2 AND started_at IS NOT NULL
"""


def measure(bench: Bench) -> list[Figure]:
    """Return percentiles by the rows, and the earliest request by the target's own ledger."""
    rate = saturated(bench, Setup()).per_s / 2
    rounds = [_round(bench, rate) for _ in range(bench.rounds)]
    return [
        reference(GROUP, "runs a second, half of the most", [each["rate"] for each in rounds], "runs/s"),
        at_most(GROUP, "start - slot, p50", [each["p50"] for each in rounds], 2, "ms"),
        at_most(GROUP, "start - slot, p99", [each["p99"] for each in rounds], 10, "ms"),
        reference(GROUP, "start - slot, greatest", [each["most"] for each in rounds], "ms"),
        reference(GROUP, "at the target - slot, p50", [each["target_p50"] for each in rounds], "ms"),
        reference(GROUP, "at the target - slot, p99", [each["target_p99"] for each in rounds], "ms"),
        at_most(GROUP, "requests before their slot, by the target's ledger", [each["early"] for each in rounds], 0, ""),
    ]


def _round(bench: Bench, rate: float) -> dict[str, float]:
    load = Load(
        bench.target_url,
        int(rate * EVERY_S),
        timedelta(seconds=EVERY_S),
        after=timedelta(seconds=6),
        spread=timedelta(seconds=EVERY_S),
    )
    with bench.loaded(load) as url, workers(bench.machine, url, Setup()) as made:
        first = bench.machine.fetch(url, "SELECT min(slot_at) FROM schedules WHERE slot_at IS NOT NULL")[0][0]
        since = first + timedelta(seconds=4)
        until = since + timedelta(seconds=12)
        ledger(bench)
        _sleep_until(bench, until + timedelta(seconds=2))
        seen = dict(reversed(ledger(bench)))
        made[0].stop()
        late = lateness_ms(bench.machine, url, since, until)
        rows = bench.machine.fetch(url, RUNS, since, until)
    arrived = sorted(
        (seen[name] - row["scheduled_for"].timestamp()) * 1000
        for row in rows
        if (name := webhook_id(row["job_id"], row["scheduled_for"], row["trigger"])) in seen
    )
    return {
        **late,
        "rate": late["runs"] / 12,
        "target_p50": arrived[len(arrived) // 2],
        "target_p99": arrived[int(len(arrived) * 0.99)],
        "early": sum(1 for each in arrived if each < 0) + (1 if late["least"] < 0 else 0),
    }


def ledger(bench: Bench) -> list[tuple[str, float]]:
    """Return what the target has seen since it was last asked."""
    with urllib.request.urlopen(f"{bench.target_url}ledger", timeout=30) as answer:  # noqa: S310 - loopback
        rows: list[Any] = json.loads(answer.read())
    return [(str(name), float(at)) for name, at in rows]


def _sleep_until(bench: Bench, at: Any) -> None:
    time.sleep(max(0.0, (at - bench.machine.now()).total_seconds()))
