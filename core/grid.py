"""The baseline: a grid of instants that nothing but an edit of the schedule moves. See docs/governor.md.

Everything here is arithmetic on the grid: a backlog of any size costs the same, except that fires of a cron
expression can only be counted one by one; counting stops at `COUNT_LIMIT`.
"""

from datetime import UTC, datetime, timedelta

from core.entities import CronBaseline, Definition, Handled, IntervalBaseline, OnceBaseline, Schedule
from core.ports.cron import Cron

COUNT_LIMIT = 1000
TICK = timedelta(microseconds=1)  # the store's resolution: "strictly after t" is "at or after t + TICK"
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


def later(at: datetime, by: timedelta) -> datetime:
    """Return `at + by`, or the end of time where the calendar ends before it."""
    try:
        return at + by
    except OverflowError:
        return END_OF_TIME


def next_fire(definition: Definition, schedule: Schedule, *, not_before: datetime, cron: Cron) -> datetime | None:
    """Return R: the first fire after everything handled, edited and resumed, and not before `not_before`.

    None: no baseline is left (the window is over, the runs are used up, the one instant is handled).
    """
    if definition.max_runs is not None and schedule.counted_runs >= definition.max_runs:
        return None
    if isinstance(definition.baseline, OnceBaseline):
        return _once(definition, definition.baseline, schedule, not_before)
    marks = (schedule.handled_through, schedule.edited_at, schedule.resumed_at)
    after = max((mark for mark in marks if mark is not None), default=None)
    if after is not None:
        not_before = max(not_before, later(after, TICK))
    return fire_at_or_after(definition, schedule, not_before, cron=cron)


def fire_at_or_after(definition: Definition, schedule: Schedule, at: datetime, *, cron: Cron) -> datetime | None:
    """Return the first fire of a recurring baseline at or after `at`, within the job's window, handled or not."""
    if definition.start_at is not None:
        at = max(at, definition.start_at)
    baseline = definition.baseline
    fire: datetime | None
    if isinstance(baseline, CronBaseline):
        fire = cron.next_after(baseline.expression, baseline.timezone, at - TICK)
    elif isinstance(baseline, IntervalBaseline):
        steps = max(0, -((schedule.grid_epoch - at) // baseline.every))
        fire = _interval_fire(schedule, baseline, steps)
    else:
        fire = baseline.run_at if baseline.run_at >= at else None
    if fire is None or (definition.end_at is not None and fire > definition.end_at):
        return None
    return fire


def last_fire_before(definition: Definition, schedule: Schedule, at: datetime) -> datetime | None:
    """Return the last fire of an interval baseline strictly before `at`; for other baselines the last instant
    before `at`, which marks the same fires as handled."""
    baseline = definition.baseline
    if not isinstance(baseline, IntervalBaseline):
        return at - TICK
    steps = (at - TICK - schedule.grid_epoch) // baseline.every
    return _interval_fire(schedule, baseline, steps) if steps >= 0 else None


def fires_between(
    definition: Definition, schedule: Schedule, first: datetime, until: datetime, *, cron: Cron
) -> Handled | None:
    """Name the fires from the fire `first` up to and including `until`: first, last, how many. None: none."""
    if definition.end_at is not None:
        until = min(until, definition.end_at)
    if first > until:
        return None
    baseline = definition.baseline
    if isinstance(baseline, IntervalBaseline):
        steps = (until - first) // baseline.every
        return Handled(first=first, last=first + steps * baseline.every, count=steps + 1)
    if isinstance(baseline, OnceBaseline):
        return Handled(first=first, last=first, count=1)
    count, last = 1, first
    while count < COUNT_LIMIT:
        fire = cron.next_after(baseline.expression, baseline.timezone, last)
        if fire is None or fire > until:
            return Handled(first=first, last=last, count=count)
        count, last = count + 1, fire
    return Handled(first=first, last=None, count=count, more=True)


def _once(definition: Definition, baseline: OnceBaseline, schedule: Schedule, not_before: datetime) -> datetime | None:
    handled = schedule.handled_through
    if handled is not None and handled >= baseline.run_at:
        return None
    at = max(baseline.run_at, not_before, definition.start_at or baseline.run_at)
    return None if definition.end_at is not None and at > definition.end_at else at


def _interval_fire(schedule: Schedule, baseline: IntervalBaseline, steps: int) -> datetime | None:
    try:
        return schedule.grid_epoch + steps * baseline.every
    except OverflowError:
        return None
