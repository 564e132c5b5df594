"""How far back a job's timeline reaches, and how far ahead."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.entities import Run

SPANS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}
NAMES = {"15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d"}
FORECAST = timedelta(hours=24)
_AHEAD = 0.4  # of the past, where that is less than the whole forecast
_ENOUGH_RUNS = 30


def fitting(runs: Sequence[Run], now: datetime) -> str:
    """Return the span that shows the newest thirty of these runs (newest first), or what there is of them."""
    begun = [run.scheduled_for for run in runs[:_ENOUGH_RUNS]]
    needed = now - begun[-1] if begun else timedelta(0)
    return next((name for name, span in SPANS.items() if span >= needed), "7d")


def window(span: str, now: datetime) -> tuple[datetime, datetime]:
    """Return where a timeline begins and ends. A day or more is followed by the whole forecast, less by a part."""
    past = SPANS[span]
    ahead = FORECAST if past >= FORECAST else past * _AHEAD
    return now - past, now + ahead
