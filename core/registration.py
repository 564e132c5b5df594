"""What a definition must be to be accepted. Everything wrong with it is said at once, each with its remedy."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from core.entities import CronBaseline, Definition, IntervalBaseline, Limits, OnceBaseline
from core.errors import CronError, InvalidInput, Issue
from core.governor import effective_bounds
from core.ports.cron import Cron
from core.wording import duration, instant

PAST_GRACE = timedelta(seconds=60)  # a `runAt` this far back still counts as now
LONGEST = timedelta(days=3660)  # intervals and bounds; beyond it arithmetic on instants leaves the calendar


def check(
    definition: Definition, limits: Limits, cron: Cron, *, now: datetime, previous: Definition | None = None
) -> None:
    """Raise InvalidInput with every issue. `previous`: on an edit, a `runAt` left as it was may be past."""
    issues = [
        *_baseline(definition, limits, cron, now, previous),
        *_bounds(definition, limits),
        *_window(definition, now, previous),
    ]
    if issues:
        raise InvalidInput(issues)


def _baseline(
    definition: Definition, limits: Limits, cron: Cron, now: datetime, previous: Definition | None
) -> Iterator[Issue]:
    baseline = definition.baseline
    if isinstance(baseline, CronBaseline):
        yield from _cron(definition, baseline, limits, cron)
    elif isinstance(baseline, IntervalBaseline):
        yield from _interval(definition, baseline, limits)
    elif baseline.run_at < now - PAST_GRACE and (previous is None or previous.baseline != baseline):
        yield Issue("/runAt", "in_the_past", f"runAt lies in the past; it is {instant(now)} now. Give a later instant.")


def _cron(definition: Definition, baseline: CronBaseline, limits: Limits, cron: Cron) -> Iterator[Issue]:
    try:
        cron.validate(baseline.expression, baseline.timezone)
        gap = cron.shortest_gap(baseline.expression, baseline.timezone)
    except CronError as error:
        yield from error.issues
        return
    bounds = effective_bounds(definition, limits)
    if gap < bounds.floor:
        yield Issue(
            "/baselineCron",
            "below_minimum_interval",
            f"This expression fires {duration(gap)} apart at its closest, less than the minimum interval of "
            f"{duration(bounds.floor)} ({bounds.floor_bound}). Let it fire less often, or lower minIntervalMs.",
        )


def _interval(definition: Definition, baseline: IntervalBaseline, limits: Limits) -> Iterator[Issue]:
    bounds, every = effective_bounds(definition, limits), baseline.every
    if not timedelta(0) < every <= LONGEST:
        yield Issue("/baselineIntervalMs", "out_of_range", f"baselineIntervalMs must be 1 to {LONGEST // _MS}.")
    elif every < bounds.floor:
        yield Issue(
            "/baselineIntervalMs",
            "below_minimum_interval",
            f"The baseline of {duration(every)} is shorter than the minimum interval of {duration(bounds.floor)} "
            f"({bounds.floor_bound}). Raise baselineIntervalMs, or lower minIntervalMs.",
        )
    if definition.bounds.max_interval is not None and every > definition.bounds.max_interval:
        yield Issue(
            "/baselineIntervalMs",
            "above_maximum_interval",
            f"The baseline of {duration(every)} is longer than maxIntervalMs "
            f"({duration(definition.bounds.max_interval)}). Lower baselineIntervalMs, or raise maxIntervalMs.",
        )


def _bounds(definition: Definition, limits: Limits) -> Iterator[Issue]:
    low, high = definition.bounds.min_interval, definition.bounds.max_interval
    for name, value in (("minIntervalMs", low), ("maxIntervalMs", high)):
        if value is not None and not timedelta(0) < value <= LONGEST:
            yield Issue(f"/{name}", "out_of_range", f"{name} must be 1 to {LONGEST // _MS}.")
    if low is not None and high is not None and low > high:
        yield Issue(
            "/minIntervalMs",
            "bounds_reversed",
            f"minIntervalMs ({duration(low)}) is longer than maxIntervalMs ({duration(high)}). Swap them.",
        )
        return
    floor = effective_bounds(definition, limits)
    if high is not None and high < floor.floor:
        yield Issue(
            "/maxIntervalMs",
            "below_minimum_interval",
            f"maxIntervalMs ({duration(high)}) is shorter than the minimum interval of {duration(floor.floor)} "
            f"({floor.floor_bound}). Raise it.",
        )


def _window(definition: Definition, now: datetime, previous: Definition | None) -> Iterator[Issue]:
    start, end = definition.start_at, definition.end_at
    if start is not None and end is not None and start > end:
        yield Issue("/endAt", "window_reversed", "endAt lies before startAt. Swap them.")
    elif end is not None and end <= now and (previous is None or previous.end_at != end):
        yield Issue("/endAt", "in_the_past", f"endAt lies in the past; it is {instant(now)} now. Give a later instant.")
    baseline = definition.baseline
    if isinstance(baseline, OnceBaseline):
        if start is not None and baseline.run_at < start:
            yield Issue("/runAt", "outside_window", "runAt lies before startAt. Move one of them.")
        if end is not None and baseline.run_at > end:
            yield Issue("/runAt", "outside_window", "runAt lies after endAt. Move one of them.")


_MS = timedelta(milliseconds=1)
