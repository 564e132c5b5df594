"""Our side: real `rubato worker` processes, their runs counted from the database's rows."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from benchmarks.machine import Machine
from benchmarks.process import Process, running, wait_for

IN_FLIGHT = 200
READY_S = 30.0

SUCCEEDED = "SELECT count(*) FROM runs WHERE status = 'succeeded' AND finished_at >= $1 AND finished_at < $2"


@dataclass(frozen=True)
class Setup:
    """How workers are started. `planner`: off, or offline in each; `plans_apart`: offline in a process of its own."""

    processes: int = 1
    planner: str = "off"
    plans_apart: bool = False
    batch_size: int = IN_FLIGHT
    launcher: tuple[str, ...] = ("-m", "rubato")

    def env(self, url: str) -> Mapping[str, str]:
        """Return the environment of a worker. One endpoint stands for all, so its host may have every place."""
        return {
            "DATABASE_URL": url,
            "BATCH_SIZE": str(self.batch_size),
            "RUBATO_HOST_IN_FLIGHT": "5000",
            "RUBATO_EGRESS_ALLOW": "loopback",
            "RUBATO_MIN_INTERVAL_MS": "1",
            "RUBATO_PLANNER": self.planner,
            "RUBATO_LOG_LEVEL": "warning",
            "RUBATO_LOG_FORMAT": "json",
        }


@contextmanager
def workers(machine: Machine, url: str, setup: Setup) -> Iterator[list[Process]]:
    """Run workers until the block ends; yields those that run jobs, connected."""
    with ExitStack() as stack:
        env = setup.env(url)
        made = [stack.enter_context(running(*setup.launcher, "worker", env=env)) for _ in range(setup.processes)]
        if setup.plans_apart:
            apart = {**env, "RUBATO_PLANNER": "offline"}
            made_apart = running(*setup.launcher, "worker", "--only", "plan", env=apart)
            stack.enter_context(made_apart)
        connected = "SELECT count(DISTINCT client_port) FROM pg_stat_activity WHERE datname = current_database() AND "
        connected += "application_name = 'rubato worker loop'"
        for process in made:
            wait_for(lambda: process.popen.poll() is None, within_s=1, what=process)  # noqa: B023 - called at once
        wait_for(lambda: machine.fetch(url, connected)[0][0] >= setup.processes, within_s=READY_S, what=made[0])
        yield made


def succeeded(machine: Machine, url: str, since: Any, until: Any) -> int:
    """Return how many runs were recorded as succeeded between two instants of the database's clock."""
    return int(machine.fetch(url, SUCCEEDED, since, until)[0][0])


def lateness_ms(machine: Machine, url: str, since: Any, until: Any, *, tenant: str | None = None) -> dict[str, float]:
    """Return p50, p99, the greatest and the least of start minus slot, and how many there were."""
    row = machine.fetch(
        url,
        """
        SELECT count(*) AS runs, percentile_cont(0.5) WITHIN GROUP (ORDER BY late) AS p50,
               percentile_cont(0.99) WITHIN GROUP (ORDER BY late) AS p99, max(late) AS most, min(late) AS least
        FROM (SELECT extract(epoch FROM started_at - scheduled_for)::float8 * 1000 AS late FROM runs
              WHERE scheduled_for >= $1 AND scheduled_for < $2 AND started_at IS NOT NULL
                AND ($3::text IS NULL OR tenant_id = $3)) AS starts
        """,
        since,
        until,
        tenant,
    )[0]
    return {name: float(row[name] or 0) for name in ("runs", "p50", "p99", "most", "least")}


WARM = timedelta(seconds=3)
