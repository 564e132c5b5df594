"""What was measured, beside its bar: the aligned table, and the table of docs/performance.md."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WORDS = {True: "met", False: "missed", None: ""}


@dataclass(frozen=True)
class Figure:
    """One row. `values`: one a round; `bar`: in words; `is_met`: None where there is no bar (a reference)."""

    group: str
    what: str
    values: tuple[float, ...]
    unit: str = ""
    bar: str = ""
    is_met: bool | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """Return the middle of the rounds."""
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        """Return least and greatest round."""
        return f"{_round(min(self.values))} - {_round(max(self.values))}" if len(self.values) > 1 else ""


def at_most(group: str, what: str, values: Sequence[float], bar: float, unit: str, note: str = "") -> Figure:
    """Return a row whose median must not exceed the bar."""
    met = statistics.median(values) <= bar
    return Figure(group, what, tuple(values), unit, f"<= {bar:g} {unit}".strip(), met, note)


def at_least(group: str, what: str, values: Sequence[float], bar: float, unit: str, note: str = "") -> Figure:
    """Return a row whose median must reach the bar."""
    met = statistics.median(values) >= bar
    return Figure(group, what, tuple(values), unit, f">= {bar:g} {unit}".strip(), met, note)


def reference(group: str, what: str, values: Sequence[float], unit: str, note: str = "") -> Figure:
    """Return a row without a bar."""
    return Figure(group, what, tuple(values), unit, note=note)


def table(figures: Sequence[Figure]) -> str:
    """Return the rows in columns."""
    rows = [("", "what", "bar", "median", "min - max", "", "")]
    rows += [
        (f.group, f.what, f.bar, f"{_round(f.median)} {f.unit}", f.spread, WORDS[f.is_met], f.note) for f in figures
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(figures: Sequence[Figure]) -> str:
    """Return the rows as a table of the docs."""
    lines = ["| | what | bar | median | min - max | |", "|---|---|---|---|---|---|"]
    for f in figures:
        what = f"{f.what} ({f.note})" if f.note else f.what
        verdict = WORDS[f.is_met]
        shown = f"**{verdict}**" if f.is_met is False else verdict
        lines.append(f"| {f.group} | {what} | {f.bar} | {_round(f.median)} {f.unit} | {f.spread} | {shown} |")
    return "\n".join(lines)


def _round(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
