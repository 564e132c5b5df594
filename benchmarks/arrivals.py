"""When requests arrived, by the target's ledger: a row's `started_at` is never before its slot; a request could be."""

import json
import math
import urllib.request
from dataclasses import dataclass
from datetime import datetime

from benchmarks.measuring import Bench
from core.ids import webhook_id

RUNS = """
SELECT job_id, scheduled_for, trigger FROM runs
WHERE scheduled_for >= $1 AND scheduled_for < $2 AND started_at IS NOT NULL AND ($3::text IS NULL OR tenant_id = $3)
"""
Ledger = dict[str, float]


@dataclass(frozen=True)
class Arrivals:
    """Milliseconds from slot to first arrival, sorted."""

    late_ms: tuple[float, ...]

    def at(self, share: float) -> float:
        """Return a percentile. Raises ValueError where nothing arrived: then nothing was measured."""
        if not self.late_ms:
            raise ValueError("no request arrived in the window")
        return self.late_ms[min(len(self.late_ms), max(1, math.ceil(share * len(self.late_ms)))) - 1]

    @property
    def early(self) -> int:
        """Return how many came before their slot."""
        return sum(1 for each in self.late_ms if each < 0)


def ledger(bench: Bench) -> Ledger:
    """Return when the target first saw each `webhook-id` since it was last asked; from now on it keeps them."""
    with urllib.request.urlopen(f"{bench.target_url}ledger", timeout=30) as answer:  # noqa: S310 - loopback
        return {str(name): float(at) for name, at in reversed(json.loads(answer.read()))}


def arrivals(
    bench: Bench, url: str, seen: Ledger, since: datetime, until: datetime, *, tenant: str | None = None
) -> Arrivals:
    """Return how late the requests of slots between two instants arrived."""
    rows = bench.machine.fetch(url, RUNS, since, until, tenant)
    named = [(webhook_id(row["job_id"], row["scheduled_for"], row["trigger"]), row["scheduled_for"]) for row in rows]
    return Arrivals(tuple(sorted((seen[name] - slot.timestamp()) * 1000 for name, slot in named if name in seen)))
