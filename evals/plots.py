"""SVG plots for the report, drawn by hand: their colours are the page's own, so that they follow light and dark."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from evals.intervals import Interval
from evals.policies.catalogue import FIXED
from evals.suite import OFFLINE
from evals.summary import WorldSummary
from evals.tape import Tape
from evals.terminal import number, span

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 560, 280, 62, 34, 12, 14


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from values to pixels."""

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, 1e-12))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.begin + (self.end - self.begin) * min(max(share, -0.02), 1.02)


def tempo(tape: Tape) -> str:
    """Draw the interval after each run, between its bounds, with events beneath and forbidden stretches behind."""
    end = tape.runs[-1] + tape.intervals[-1]
    low, high = min(tape.least, *tape.intervals) * 0.8, max(tape.most, *tape.intervals) * 1.25
    across, up = _axes(Axis(0, end, LEFT, WIDTH - RIGHT), low, high)
    parts = [
        f'<rect class="off" x="{across(begin):.1f}" y="{TOP}" '
        f'width="{max(1.0, across(finish) - across(begin)):.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        for begin, finish in tape.forbidden
    ]
    parts += [
        _rule(up(tape.most), f"max {span(tape.most)}"),
        _rule(up(tape.least), f"min {span(tape.least)}"),
        _rule(up(tape.every), f"baseline {span(tape.every)}", kind="base"),
    ]
    steps = [f"M{across(tape.runs[0]):.1f},{up(tape.intervals[0]):.1f}"]
    for at, interval in zip(tape.runs, tape.intervals, strict=True):
        steps.append(f"V{up(interval):.1f}H{across(at + interval):.1f}")
    parts.append(f'<path class="line ours" d="{"".join(steps)}"/>')
    floor = HEIGHT - BOTTOM
    parts += [
        f'<line class="event" x1="{across(event):.1f}" x2="{across(event):.1f}" y1="{floor - 9}" y2="{floor}"/>'
        for event in tape.events[:1500]
    ]
    parts += _days(across, end)
    return _svg(parts, f"Tempo in {tape.world}: interval after each run; ticks at the bottom are events")


def curves(world: WorldSummary) -> str | None:
    """Draw requests a day against mean delay, a line a policy as its knob is swept. None where nothing is delayed."""
    drawn = {
        name: sorted((point for point in each.curve if point.delay_s > 0), key=lambda point: point.knob)
        for name, each in world.policies.items()
    }
    drawn = {name: line for name, line in drawn.items() if line}
    points = [point for line in drawn.values() for point in line]
    if not points or not drawn.get(FIXED):
        return None
    delays, requests = [point.delay_s for point in points], [point.requests for point in points]
    across, up = _axes(
        Axis(min(delays) * 0.9, max(delays) * 1.1, LEFT, WIDTH - RIGHT, is_log=True),
        min(requests) * 0.8,
        max(requests) * 1.25,
    )
    parts = []
    for name, line in sorted(drawn.items(), key=lambda item: item[0] in (FIXED, OFFLINE)):
        kind = {FIXED: "fixed", OFFLINE: "ours"}.get(name, "other")
        path = "L".join(f"{across(point.delay_s):.1f},{up(point.requests):.1f}" for point in line)
        parts.append(f'<g class="{kind}"><title>{escape(name)}</title><path class="line {kind}" d="M{path}"/>')
        parts += [
            f'<circle cx="{across(point.delay_s):.1f}" cy="{up(point.requests):.1f}" r="2.6"><title>'
            f"{escape(name)}, knob {point.knob:g}: {number(point.requests)} requests a day, "
            f"{span(point.delay_s)} delay</title></circle>"
            for point in line
        ]
        last = line[-1]
        if kind != "other":
            parts.append(
                f'<text x="{across(last.delay_s) - 6:.1f}" y="{up(last.requests) - 7:.1f}" '
                f'text-anchor="end">{escape(name)}</text>'
            )
        parts.append("</g>")
    parts += _ticks(across, _decades(min(delays), max(delays)), lambda value: span(value))
    parts += [
        f'<text class="tick" x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end">{number(value)}</text>'
        for value in _decades(min(requests), max(requests))
    ]
    return _svg(parts, f"Requests a day (up) against mean delay (across) in {world.name}; down and left is better")


def bars(rows: Sequence[tuple[str, Interval, bool]], low: float, high: float, label: Callable[[float], str]) -> str:
    """Draw a bar with its interval a row; a row that is harm beyond chance is marked so."""
    height, left = 24 * len(rows) + 40, 168
    across = Axis(low, high, left, WIDTH + 120)
    zero = across(0)
    parts = [f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="6" y2="{height - 26}"/>']
    for index, (name, interval, is_bad) in enumerate(rows):
        y = 10 + 24 * index
        begin, end = sorted((zero, across(interval.mean)))
        kind = "bad" if is_bad else "good"
        parts.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{begin:.1f}" y="{y + 2}" width="{max(1.0, end - begin):.1f}" height="14" rx="2">'
            f"<title>{label(interval.mean)} [{label(interval.low)}, {label(interval.high)}]</title></rect>"
            f'<line class="whisker" x1="{across(interval.low):.1f}" x2="{across(interval.high):.1f}" '
            f'y1="{y + 9}" y2="{y + 9}"/>'
        )
    for step in range(round((high - low) / 0.25) + 1):
        value = low + 0.25 * step
        parts.append(
            f'<text class="tick" x="{across(value):.1f}" y="{height - 8}" text-anchor="middle">{label(value)}</text>'
        )
    return f'<svg viewBox="0 0 {WIDTH + 150} {height}" role="img">{"".join(parts)}</svg>'


def _axes(across: Axis, low: float, high: float) -> tuple[Axis, Axis]:
    return across, Axis(low, high, HEIGHT - BOTTOM, TOP, is_log=True)


def _rule(y: float, label: str, kind: str = "bound") -> str:
    return (
        f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{WIDTH - RIGHT - 4}" y="{y - 4:.1f}" text-anchor="end">{escape(label)}</text>'
    )


def _days(across: Axis, end: float) -> list[str]:
    step = next((size for size in (3600, 4 * 3600, 86400, 7 * 86400, 28 * 86400) if end / size <= 9), 365 * 86400)
    return _ticks(
        across, [step * index for index in range(int(end / step) + 1)], lambda value: span(value) if value else "0"
    )


def _ticks(across: Axis, values: Sequence[float], label: Callable[[float], str]) -> list[str]:
    y = HEIGHT - BOTTOM + 18
    return [
        f'<text class="tick" x="{across(value):.1f}" y="{y}" text-anchor="middle">{label(value)}</text>'
        for value in values
    ]


def _decades(low: float, high: float) -> list[float]:
    found = [10.0**power * step for power in range(-2, 7) for step in (1, 3)]
    return [value for value in found if low * 0.95 <= value <= high * 1.05]


def _svg(parts: Sequence[str], title: str) -> str:
    frame = f'<path class="frame" d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{frame}{"".join(parts)}</svg>'
