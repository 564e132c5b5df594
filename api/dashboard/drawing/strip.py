"""The newest runs of a job in a strip: one column each, told apart by shape before colour."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from api.dashboard.drawing.words import clock
from core.entities import RunStatus
from core.ports.glances import Mark

COLUMNS, STEP, BAR, HEIGHT = 60, 4, 3, 20
_SHAPES = {
    RunStatus.FAILED: "bad",
    RunStatus.SKIPPED: "skip",
    RunStatus.UNKNOWN: "odd",
    RunStatus.CANCELED: "skip",
    RunStatus.RUNNING: "live",
    RunStatus.CLAIMED: "live",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A run that did not simply succeed. `shape`: bad (full height), skip (hollow), odd (half), live (a triangle)."""

    x: int
    shape: str
    title: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The runs that succeeded as one path, each other one as a column; and all of it in words."""

    succeeded: str
    columns: tuple[Column, ...]
    words: str


def lay_out(marks: Sequence[Mark]) -> Strip:
    """Lay out the newest runs, the newest at the right."""
    shown = marks[-COLUMNS:]
    first = COLUMNS - len(shown)
    columns, path = [], []
    for index, mark in enumerate(shown):
        x = (first + index) * STEP
        if mark.status is RunStatus.SUCCEEDED:
            path.append(f"M{x} 8h{BAR}v12h-{BAR}z")
        else:
            columns.append(Column(x, _SHAPES[mark.status], title_of(mark)))
    return Strip("".join(path), tuple(columns), _words(shown))


def title_of(mark: Mark) -> str:
    """Say one run in a line."""
    code = f" HTTP {mark.status_code}" if mark.status_code and "HTTP" not in mark.detail else ""
    count = f" ×{mark.skipped_count}" if mark.skipped_count and mark.skipped_count > 1 else ""
    detail = f": {mark.detail}" if mark.detail else ""
    return f"{clock(mark.at)} {mark.status.value}{count}{code}{detail}"


def _words(marks: Sequence[Mark]) -> str:
    if not marks:
        return "No run yet"
    counts = Counter(mark.status for mark in marks)
    told = ", ".join(f"{counts[status]} {status.value}" for status in RunStatus if counts[status])
    return f"Newest {len(marks)} runs: {told}. The last: {title_of(marks[-1])}"
