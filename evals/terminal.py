"""The report in a terminal: one table of worlds, one a world of its policies, and what did harm."""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from evals.intervals import Interval
from evals.policies.catalogue import FIXED
from evals.suite import OFFLINE
from evals.summary import PolicySummary, WorldSummary, harm

_NOTE = (
    "J: requests, delays, violations and tokens at the world's prices, a day and job. fixed*: the best fixed interval "
    "in hindsight. Intervals: 95 %, bootstrap over paired seeds."
)


def tables(worlds: Sequence[WorldSummary], planner: str = OFFLINE, *, details: bool = False) -> Group:
    """Return what to print."""
    parts: list[Table | Text] = [overview(worlds, planner)]
    if details:
        parts += [policies(world) for world in worlds]
    harmed = harm(worlds, planner)
    verdict = f"Harm beyond chance in: {', '.join(harmed)}." if harmed else "No harm beyond chance in any world."
    parts += [Text(_NOTE, style="dim"), Text(verdict, style="bold red" if harmed else "bold green")]
    return Group(*parts)


def overview(worlds: Sequence[WorldSummary], planner: str) -> Table:
    """Return the planner's figures, a world a line."""
    table = Table(title=f"{planner} against fixed*", title_justify="left", title_style="bold")
    table.add_column("world", no_wrap=True)
    for name in ("J fixed*", f"J {planner}", "J bound", "J against fixed*", "requests, equal delay", "gap closed"):
        table.add_column(name, justify="right")
    for world in worlds:
        ours, fixed = world.policies.get(planner), world.policies[FIXED]
        if ours is None:
            continue
        table.add_row(
            f"{world.name}{' (null)' if world.is_null else ''}",
            number(fixed.cost.mean),
            number(ours.cost.mean),
            number(world.bound),
            coloured(ours),
            share(ours.at_equal_delay),
            share(ours.closed, signed=False),
        )
    return table


def policies(world: WorldSummary) -> Table:
    """Return every policy's figures in a world."""
    title = f"{world.name}: {world.why}"
    table = Table(
        title=title, title_justify="left", title_style="bold", caption=f"{world.seeds} seeds", caption_justify="left"
    )
    table.add_column("policy", no_wrap=True)
    for name in ("J", "against fixed*", "requests/day", "delay", "p95", "violations/day", "equal delay", "gap closed"):
        table.add_column(name, justify="right")
    for name, each in sorted(world.policies.items(), key=lambda item: item[1].cost.mean):
        table.add_row(
            name,
            number(each.cost.mean),
            coloured(each),
            number(each.figures["requests"].mean),
            span(each.figures["delay_s"].mean),
            span(each.figures["delay_p95_s"].mean),
            number(each.figures["violations"].mean),
            share(each.at_equal_delay),
            share(each.closed, signed=False),
        )
    return table


def show(worlds: Sequence[WorldSummary], *, details: bool = False) -> None:
    """Print the report."""
    Console().print(tables(worlds, details=details))


def number(value: float) -> str:
    """Return a figure with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def span(seconds: float) -> str:
    """Return a duration in its natural unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def share(interval: Interval | None, *, signed: bool = True) -> str:
    """Return a share in per cent with the ends of its interval."""
    if interval is None:
        return "-"
    form = "+.0%" if signed else ".0%"
    if interval.low == interval.high:
        return format(interval.mean, form)
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def coloured(each: PolicySummary) -> Text:
    """Return the cost against fixed, red where it is harm and green where it is gain beyond chance."""
    interval = each.against_fixed
    style = "red" if interval.is_above_zero else "green" if interval.is_below_zero else ""
    return Text(share(interval), style=style)
