"""What bars measure in common: a window over something that runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.jobs import Load, insert
from benchmarks.machine import TEMPLATE, Machine
from benchmarks.process import Process, module, running
from benchmarks.worker import Setup, succeeded, workers

PLENTY = 100_000  # jobs due at once: more than any worker here gets through in a window
WINDOW_S = 8.0
WARM_S = 3.0  # beyond the ramp of admission


@dataclass(frozen=True)
class Bench:
    """Server, target and how much time there is. `rounds`: how often each thing is measured, taking turns."""

    machine: Machine
    target: Process
    target_url: str
    rounds: int = 3
    window_s: float = WINDOW_S

    def sleep_until(self, at: datetime) -> None:
        """Wait for an instant of the server's clock."""
        time.sleep(max(0.0, (at - self.machine.now()).total_seconds()))

    @contextmanager
    def loaded(self, *loads: Load) -> Iterator[str]:
        """Yield a fresh database with these jobs in it."""
        with self.machine.database(TEMPLATE) as url:

            async def fill(connection: object) -> None:
                await insert(connection, *loads)

            self.machine.ask(url, fill)
            yield url


@dataclass(frozen=True)
class Rate:
    """What a window saw. Costs are seconds of CPU: of the processes under measure, and of the database."""

    runs: int
    seconds: float
    python_s: float
    postgres_s: float
    rss_mib: float = 0.0

    @property
    def per_s(self) -> float:
        """Return runs a second."""
        return self.runs / self.seconds

    @property
    def python_us(self) -> float:
        """Return microseconds of Python a run."""
        return self.python_s / max(1, self.runs) * 1e6

    @property
    def postgres_us(self) -> float:
        """Return microseconds of PostgreSQL a run."""
        return self.postgres_s / max(1, self.runs) * 1e6


def saturated(bench: Bench, setup: Setup, *, path: str = "", count: int = PLENTY) -> Rate:
    """Return what workers do when more is due than they can do: every job once, its next run an hour away."""
    load = Load(
        bench.target_url + path,
        count,
        timedelta(hours=1),
        after=timedelta(seconds=-1),
        spread=timedelta(seconds=1),
    )
    with bench.loaded(load) as url, workers(bench.machine, url, setup) as made:
        time.sleep(WARM_S)
        since, used = _stand(bench, made)
        time.sleep(bench.window_s)
        until, used_then = _stand(bench, made)
        rss = max(process.rss_mib() for process in made)
        for process in made:
            process.stop()
        runs = succeeded(bench.machine, url, since, until)
    seconds = (until - since).total_seconds()
    return Rate(runs, seconds, used_then[0] - used[0], used_then[1] - used[1], rss)


def alone(bench: Bench, name: str, *arguments: object) -> Rate:
    """Return what one of the programs beside us does; it says when its window begins and what was in it."""
    with running(*module(name, *arguments)) as process:
        process.first_line()
        used = bench.machine.cpu_s()
        answer = process.result()
        spent = bench.machine.cpu_s() - used
    return Rate(answer["runs"], answer["seconds"], answer["python_s"], spent)


def _stand(bench: Bench, made: Sequence[Process]) -> tuple[datetime, tuple[float, float]]:
    used = sum(process.cpu_s() for process in made), bench.machine.cpu_s()
    return bench.machine.now(), used
