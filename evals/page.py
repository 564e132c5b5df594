"""The report as one HTML file: no network, no script, light and dark."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files

import jinja2

from evals.intervals import Interval
from evals.plots import bars, curves, tempo
from evals.policies.catalogue import FIXED
from evals.suite import OFFLINE
from evals.summary import WorldSummary, harm
from evals.tape import Tape
from evals.terminal import number, share, span


def render(worlds: Sequence[WorldSummary], tapes: Sequence[Tape], *, command: str, when: str, partial: bool) -> str:
    """Return the page."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        files("evals").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    shown = {tape.world: tempo(tape) for tape in tapes}
    judged = [world for world in worlds if OFFLINE in world.policies]
    return template.render(
        command=command,
        when=when,
        partial=partial,
        harm=harm(worlds),
        closed=_closed(judged),
        against=_against(judged),
        worlds=[
            {
                "name": world.name,
                "why": world.why,
                "is_null": world.is_null,
                "seeds": world.seeds,
                "bound": f"{number(world.bound)} ({world.bound_kind})",
                "prices": ", ".join(f"{name} {price:g}" for name, price in world.prices.items()),
                "tempo": shown.get(world.name),
                "curves": curves(world),
                "rows": _rows(world),
            }
            for world in worlds
        ],
    )


def _closed(worlds: Sequence[WorldSummary]) -> str:
    rows = [
        (world.name, closed, closed.is_below_zero)
        for world in worlds
        if (closed := world.policies[OFFLINE].closed) is not None and not world.is_null
    ]
    return bars([(name, _cut(each), bad) for name, each, bad in rows], -0.5, 1.0, lambda value: f"{value:.0%}")


def _against(worlds: Sequence[WorldSummary]) -> str:
    rows = [
        (world.name, _cut(world.policies[OFFLINE].against_fixed), world.policies[OFFLINE].is_harmful)
        for world in worlds
    ]
    return bars(rows, -1.0, 0.5, lambda value: f"{value:+.0%}")


def _cut(interval: Interval) -> Interval:
    """Keep a bar within its plot."""
    return Interval(*(min(max(value, -1.0), 1.0) for value in (interval.mean, interval.low, interval.high)))


def _rows(world: WorldSummary) -> list[dict[str, str]]:
    rows = []
    for name, each in sorted(world.policies.items(), key=lambda item: item[1].cost.mean):
        kind = "harm" if each.against_fixed.is_above_zero else "gain" if each.against_fixed.is_below_zero else ""
        rows.append(
            {
                "name": escape(name),
                "kind": kind,
                "mark": {FIXED: "fixed", OFFLINE: "ours"}.get(name, ""),
                "cost": number(each.cost.mean),
                "against": share(each.against_fixed),
                "requests": number(each.figures["requests"].mean),
                "delay": span(each.figures["delay_s"].mean),
                "violations": number(each.figures["violations"].mean),
                "equal": share(each.at_equal_delay),
                "closed": share(each.closed, signed=False),
            }
        )
    return rows
