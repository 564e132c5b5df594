"""One time axis for all that moves a job: the interval in its band, hints, runs, clamps, now, and the forecast.

Pure layout: every number is an SVG unit, every mark has words, and nothing is told by colour alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from api.dashboard.drawing.axes import IntervalAxis, Tick, TimeAxis, interval_axis
from api.dashboard.drawing.hints import told
from api.dashboard.drawing.words import KINDS, clock
from core.entities import Hint, HintKind, Job, Limits, Run, RunStatus, Trigger
from core.governor import effective_bounds
from core.usecases.explain import ForecastItem
from core.wording import duration

WIDTH, LEFT, RIGHT = 1100.0, 58.0, 1092.0
TOP, BOTTOM = 14.0, 190.0  # of the interval's plot
RUNS_Y = 210.0
HINTS_Y, LANE = 234.0, 20.0
MOST_LANES = 5
_NEAR = 4.0  # marks closer than this are drawn as one
_SHAPES = {
    RunStatus.SUCCEEDED: "ok",
    RunStatus.FAILED: "bad",
    RunStatus.SKIPPED: "skip",
    RunStatus.CANCELED: "skip",
    RunStatus.UNKNOWN: "odd",
    RunStatus.RUNNING: "live",
    RunStatus.CLAIMED: "live",
}
_LOWER = ("min_interval", "tenant_minimum", "operator_minimum", "now")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is drawn: runs and hints of the window, oldest first, and the forecast from now on."""

    job: Job
    limits: Limits
    now: datetime
    runs: Sequence[Run]
    hints: Sequence[Hint]
    forecast: Sequence[ForecastItem]
    every: timedelta | None  # the baseline's interval


@dataclass(frozen=True, slots=True)
class Dot:
    """A run: `shape` as in the style sheet. `y` is that of its lane."""

    x: float
    shape: str
    title: str


@dataclass(frozen=True, slots=True)
class Clamp:
    """A proposed instant that a bound moved: a triangle at the band's edge, pointing into it."""

    x: float
    y: float
    is_lower: bool
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A hint over its life, in a lane. `proposed_x`, `applied_x`: the instants it asked for and got, if drawn."""

    id: str
    x: float
    width: float
    y: float
    kind: str
    author: str
    label: str
    title: str
    proposed_x: float | None
    applied_x: float | None
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole drawing."""

    height: float
    past: str  # path of the interval's steps
    coming: str  # the same of the forecast
    band_top: float | None  # None: no maximum, the band is open upwards
    band_bottom: float
    baseline_y: float | None
    now_x: float
    runs: tuple[Dot, ...]
    expected: tuple[float, ...]
    clamps: tuple[Clamp, ...]
    bars: tuple[Bar, ...]
    hidden_hints: int
    time_ticks: tuple[Tick, ...]
    interval_ticks: tuple[Tick, ...]
    words: str


def lay_out(seen: Seen, begin: datetime, end: datetime, chosen: str | None = None) -> Timeline:
    """Lay out the window from `begin` to `end`. `chosen`: the hint that is looked at."""
    axis = TimeAxis(begin, end, LEFT, RIGHT)
    starts = _starts(seen)
    ahead = [item.at for item in seen.forecast if item.at <= end]
    coming = _steps([*starts[-1:], *ahead])
    past = [*_steps(starts), *coming[:1]] if starts else []
    bounds = effective_bounds(seen.job.definition, seen.limits)
    drawn = [bounds.floor, bounds.maximum, seen.every, *(length for _, length in (*past, *coming))]
    scale = interval_axis([each for each in drawn if each is not None and each > timedelta(0)], bottom=BOTTOM, top=TOP)
    top = scale.y(bounds.maximum) if bounds.maximum is not None else None
    bars, hidden = _bars(seen, axis, chosen)
    lanes = len({bar.y for bar in bars}) or 1
    return Timeline(
        height=HINTS_Y + lanes * LANE + 26,
        past=_path(past, seen.now, axis, scale),
        coming=_path(coming, ahead[-1] if ahead else None, axis, scale),
        band_top=top,
        band_bottom=scale.y(bounds.floor),
        baseline_y=scale.y(seen.every) if seen.every is not None else None,
        now_x=axis.x(seen.now),
        runs=tuple(_dots(seen.runs, axis)),
        expected=tuple(_thinned([axis.x(at) for at in ahead if at > seen.now])),
        clamps=tuple(_clamps(seen, axis, scale.y(bounds.floor), top)),
        bars=tuple(bars),
        hidden_hints=hidden,
        time_ticks=tuple(axis.ticks()),
        interval_ticks=tuple(scale.ticks()),
        words=_words(seen, begin, end, past),
    )


def _starts(seen: Seen) -> list[datetime]:
    begun = (run.started_at for run in seen.runs if run.trigger is not Trigger.TEST)
    return sorted(at for at in begun if at is not None)


def _steps(instants: Sequence[datetime]) -> list[tuple[datetime, timedelta]]:
    """Return each instant with the interval to the next one."""
    return [(one, other - one) for one, other in pairwise(instants) if other > one]


def _path(
    steps: Sequence[tuple[datetime, timedelta]], end: datetime | None, axis: TimeAxis, scale: IntervalAxis
) -> str:
    """Write steps as a path; equal neighbours are one line."""
    if not steps or end is None:
        return ""
    path = [f"M{axis.x(steps[0][0])} {scale.y(steps[0][1])}"]
    for (_, before), (at, length) in pairwise(steps):
        if scale.y(length) != scale.y(before):
            path.append(f"H{axis.x(at)}V{scale.y(length)}")
    return "".join([*path, f"H{axis.x(end)}"])


def _dots(runs: Sequence[Run], axis: TimeAxis) -> list[Dot]:
    """Return the runs; of succeeded ones that would lie on each other, one."""
    dots: list[Dot] = []
    for run in runs:
        at = run.started_at or run.scheduled_for
        if not axis.holds(at):
            continue
        dot = Dot(axis.x(at), _SHAPES[run.status], _run_title(run, at))
        near = dots and dot.x - dots[-1].x < _NEAR
        if near and dot.shape == "ok" == dots[-1].shape:
            continue
        dots.append(dot)
    return dots


def _run_title(run: Run, at: datetime) -> str:
    detail = run.error_message or run.skip_reason or (f"HTTP {run.status_code}" if run.status_code else "")
    return f"{clock(at)} {run.status.value} {detail[:120]}".strip()


def _thinned(places: Sequence[float]) -> list[float]:
    kept: list[float] = []
    for x in places:
        if not kept or x - kept[-1] >= _NEAR:
            kept.append(x)
    return kept


def _clamps(seen: Seen, axis: TimeAxis, floor_y: float, top_y: float | None) -> list[Clamp]:
    clamps: list[Clamp] = []
    for run in seen.runs:
        for clamp in run.decision.clamps if run.decision is not None else ():
            at = run.decision.decided_at if run.decision is not None else run.scheduled_for
            is_lower = clamp.bound in _LOWER
            y = floor_y if is_lower or top_y is None else top_y
            if not axis.holds(at) or (clamps and axis.x(at) - clamps[-1].x < 2 * _NEAR and clamps[-1].y == y):
                continue
            words = f"{clamp.bound.replace('_', ' ')} moved {clock(clamp.proposed)} to {clock(clamp.applied)}"
            clamps.append(Clamp(axis.x(at), y, is_lower, words))
    return clamps


def _bars(seen: Seen, axis: TimeAxis, chosen: str | None) -> tuple[list[Bar], int]:
    """Return the hints in lanes where none covers another, the chosen one always; and how many found no room."""
    ends = [axis.left] * MOST_LANES
    bars: list[Bar] = []
    hidden = 0
    for hint in sorted(seen.hints, key=lambda hint: (hint.created_at, hint.id)):
        until = hint.ended_at or hint.expires_at or axis.end
        if until < axis.begin or hint.created_at > axis.end:
            continue
        x, right = axis.x(hint.created_at), axis.x(until)
        lane = next((index for index, end in enumerate(ends) if end <= x), None)
        if lane is None and hint.id != chosen:
            hidden += 1
            continue
        lane = lane or 0
        ends[lane] = max(right, x + 3) + 2
        bars.append(_bar(hint, axis, (x, right), HINTS_Y + lane * LANE, is_chosen=hint.id == chosen))
    return bars, hidden


def _bar(hint: Hint, axis: TimeAxis, ends: tuple[float, float], y: float, *, is_chosen: bool) -> Bar:
    x, right = ends
    width = max(3.0, round(right - x, 1))
    inside = [at if at is not None and axis.holds(at) else None for at in (hint.proposed, hint.applied)]
    proposed, applied = (axis.x(at) if at is not None else None for at in inside)
    label = duration(hint.interval) if hint.kind is HintKind.INTERVAL and hint.interval else KINDS[hint.kind]
    return Bar(
        id=hint.id,
        x=x,
        width=width,
        y=y,
        kind=hint.kind.value,
        author=hint.author.value,
        label=label if min(width, (applied or right) - x) > 7 * len(label) + 8 else "",
        title=f"{told(hint)} ({hint.state.value})" + (f": {hint.reason}" if hint.reason else ""),
        proposed_x=proposed,
        applied_x=applied,
        is_chosen=is_chosen,
    )


def _words(seen: Seen, begin: datetime, end: datetime, past: Sequence[tuple[datetime, timedelta]]) -> str:
    lengths = [length for _, length in past]
    ran = f"its interval moved between {duration(min(lengths))} and {duration(max(lengths))}; " if lengths else ""
    return (
        f"From {clock(begin)} to {clock(end)}: {ran}{len(seen.runs)} runs, {len(seen.hints)} hints, "
        f"{len(seen.forecast)} runs expected."
    )
