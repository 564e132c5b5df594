"""Counterfactuals over stored runs: the same target under another planner, or other bounds.

The target of a replay answers as the run before that instant did. So what a replay can know is censored by the
cadence at which the runs were made: a change that came and went between two runs is missing, and one that was seen late
seems to have happened late. Delays count from when the stored runs saw a change; a replay that looks more often than
they did gains nothing it could show. `censoring` says so in figures.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

from rich.table import Table

from core.errors import ConfigurationError
from core.ports.dispatcher import HttpResult
from core.ports.planner import Planner
from evals.engine import Play, play
from evals.exported import ExportedRun, read_runs
from evals.offline import DirectOfflinePlanner
from evals.policies.fixed import Fixed
from evals.policies.policy import Setting
from evals.quick import play_quickly
from evals.score import delays_of
from evals.suite import OFFLINE
from evals.terminal import span
from evals.worlds.world import Costs, Target, Terms

LEAST_RUNS = 10


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one way of running came to: requests, mean delay of the changes that the stored runs saw, tokens."""

    name: str
    requests: int
    delay_s: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A job's stored runs, and what would have become of it. `happened` is what did."""

    job_id: str
    censoring: str
    changes: int
    ways: tuple[Replayed, ...]


def replay(
    runs: Sequence[ExportedRun],
    planners: dict[str, Planner],
    *,
    every: timedelta | None = None,
    least: timedelta | None = None,
    most: timedelta | None = None,
) -> Replay:
    """Replay one job's runs, oldest first. Bounds not given: a tenth and ten times the baseline."""
    if len(runs) < LEAST_RUNS:
        raise ConfigurationError(f"{runs[0].job_id if runs else 'The job'}: {len(runs)} runs are no history to replay.")
    begun = runs[0].at
    seconds = [(run.at - begun).total_seconds() for run in runs]
    gap_s = median(later - sooner for sooner, later in pairwise(seconds))
    baseline = every or timedelta(seconds=runs[-1].every_s or gap_s)
    terms = Terms(every=baseline, least=least or baseline / 10, most=most or baseline * 10)
    target, horizon_s = target_of(runs, seconds), seconds[-1] + gap_s
    happened = Play(tuple(seconds))
    ways = [_way("happened", target, happened, horizon_s, sum(run.tokens for run in runs))]
    fixed = play_quickly(target, Fixed(Setting.of(terms, Costs())), horizon_s)
    ways.append(_way(f"fixed, every {span(baseline.total_seconds())}", target, fixed, horizon_s, 0))
    for name, planner in planners.items():
        made = play([target], terms, planner, horizon_s)[0]
        ways.append(_way(name, target, made, horizon_s, made.tokens))
    return Replay(runs[0].job_id, _censoring(seconds, gap_s), len(target.events), tuple(ways))


def target_of(runs: Sequence[ExportedRun], seconds: Sequence[float]) -> Target:
    """Return a target that answers as the newest stored run before an instant did."""
    events = tuple(
        at for (one, two), at in zip(pairwise(runs), seconds[1:], strict=False) if not two.says_the_same_as(one)
    )

    def answer(second: float) -> HttpResult:
        run = runs[max(0, bisect_right(seconds, second) - 1)]
        body = run.body or ""
        error = None if run.status_code is not None else "no answer"
        return HttpResult(run.status_code, 5, 4, body, len(body), retry_after=run.retry_after, error=error)

    return Target(events, answer)


def tables(
    path: Path,
    *,
    job_id: str | None = None,
    every: timedelta | None = None,
    least: timedelta | None = None,
    most: timedelta | None = None,
) -> list[Table]:
    """Replay a file's jobs under the offline planner; return a table each. Jobs with hardly a run are left out."""
    jobs = read_runs(path)
    if job_id is not None and job_id not in jobs:
        raise ConfigurationError(f"{path}: no runs of {job_id}. Known: {', '.join(sorted(jobs))}.")
    chosen = {name: runs for name, runs in jobs.items() if job_id in (None, name) and len(runs) >= LEAST_RUNS}
    if not chosen:
        raise ConfigurationError(
            f"{path}: no job with at least {LEAST_RUNS} answered runs; there is no history to replay."
        )
    planners: dict[str, Planner] = {OFFLINE: DirectOfflinePlanner()}
    return [shown(replay(runs, planners, every=every, least=least, most=most)) for runs in chosen.values()]


def shown(replayed: Replay) -> Table:
    """Return the table of one job."""
    table = Table(
        title=f"{replayed.job_id}: {replayed.changes} changes seen. {replayed.censoring}", title_justify="left"
    )
    table.add_column("way", no_wrap=True)
    for name in ("requests", "saved", "mean delay", "tokens"):
        table.add_column(name, justify="right")
    base = replayed.ways[0]
    for way in replayed.ways:
        saved = f"{1 - way.requests / base.requests:.0%}" if way is not base else ""
        table.add_row(way.name, str(way.requests), saved, span(way.delay_s), str(way.tokens))
    return table


def _way(name: str, target: Target, made: Play, horizon_s: float, tokens: int) -> Replayed:
    delays = delays_of(target, made, horizon_s)
    return Replayed(name, len(made.runs), fmean(delays) if delays else 0.0, tokens)


def _censoring(seconds: Sequence[float], gap_s: float) -> str:
    longest = max(later - sooner for sooner, later in pairwise(seconds))
    return (
        f"Censored: the runs lie {span(gap_s)} apart (at the most {span(longest)}); what came and went between two is "
        "missing, and delays count from when they saw a change."
    )
