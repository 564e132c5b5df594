"""How long a decision takes, beside one unmemoised cron fire in the same run."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from croniter import croniter

from benchmarks.figures import Figure, at_most, reference
from core.entities import (
    Author,
    Authority,
    Bounds,
    CronBaseline,
    Definition,
    Hint,
    HintKind,
    HttpAction,
    IntervalBaseline,
    Job,
    Limits,
    Schedule,
)
from core.governor import decide
from rubato.adapters.cron import CroniterCron

ROUNDS, CALLS = 15, 2000
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def measure(bench: object = None) -> list[Figure]:
    """Return medians over rounds of many calls each."""
    cron, limits = CroniterCron(), Limits()
    interval = _job(IntervalBaseline(timedelta(minutes=1)))
    daily = _job(CronBaseline("30 4 * * *", "Europe/Lisbon"))
    hints = [
        _hint(HintKind.INTERVAL, Author.PLANNER, interval=timedelta(seconds=20)),
        _hint(HintKind.NEXT_TIME, Author.PLANNER, at=NOW - timedelta(seconds=1)),
        _hint(HintKind.INTERVAL, Author.RULE, interval=timedelta(seconds=20)),
        _hint(HintKind.NEXT_TIME, Author.RULE, at=NOW - timedelta(seconds=1)),
    ]
    cases: dict[str, Callable[[], object]] = {
        "one croniter fire (reference)": lambda: croniter("30 4 * * *", NOW).get_next(datetime),
        "decide, no hints": lambda: decide(interval, (), limits, now=NOW, cron=cron),
        "decide, 4 hints": lambda: decide(interval, hints, limits, now=NOW, cron=cron),
        "decide, memoised cron": lambda: decide(daily, (), limits, now=NOW, cron=cron),
    }
    rounds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            rounds[name].append(_time(call))
    return [
        reference("decide", "one croniter fire (reference)", rounds["one croniter fire (reference)"], "us"),
        reference("decide", "no hints", rounds["decide, no hints"], "us"),
        at_most("decide", "4 hints", rounds["decide, 4 hints"], 25, "us"),
        at_most("decide", "memoised cron baseline", rounds["decide, memoised cron"], 40, "us"),
    ]


def _time(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - begun) / CALLS * 1e6


def _job(baseline: IntervalBaseline | CronBaseline) -> Job:
    made = Definition(
        "measured",
        HttpAction("https://example.com"),
        baseline,
        bounds=Bounds(timedelta(seconds=10), timedelta(hours=1)),
        authority=Authority(tighten=True, relax=True, pause=True),
    )
    created = NOW - timedelta(days=3)
    schedule = Schedule(created, created, handled_through=NOW - timedelta(seconds=30), last_start_at=NOW)
    return Job("ten", "job_1", made, schedule, updated_at=created)


def _hint(kind: HintKind, author: Author, **what: object) -> Hint:
    fields = {"expires_at": NOW + timedelta(hours=1), **what}
    return Hint(f"hint_{author}_{kind}", "ten", "job_1", kind, author, NOW, **fields)  # type: ignore[arg-type]
