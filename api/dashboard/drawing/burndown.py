"""How an allowance burns down over its window, and when it would be used up at the present rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.ports.insights import SpentHour
from core.ports.quota import QuotaWindow

WIDTH, HEIGHT, LEFT, BOTTOM = 640.0, 150.0, 6.0, 18.0
RECENT = 4  # the rate is that of this part of the time since the window opened, at least of the one below
LEAST_RECENT = timedelta(hours=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Burndown:
    """One allowance drawn. Points are of what is left, in the drawing's own units; `per_hour` is the recent rate.

    `exhausted_at` None: at this rate something is left when the window closes.
    """

    window: QuotaWindow
    unit: str
    left: int
    share: float
    per_hour: float
    exhausted_at: datetime | None
    line: str
    area: str
    projection: str
    now_x: float
    mark_x: float | None

    @property
    def tone(self) -> str:
        """Return the colour of what is left."""
        return "bad" if self.share < 0.1 or self.exhausted_at else "warn" if self.share < 0.25 else "ok"


def draw(window: QuotaWindow, hours: Sequence[SpentHour], now: datetime) -> Burndown:
    """Draw a window. Its own count has the last word: what the hours do not explain was spent before the first."""
    unit = "tokens" if window.name.startswith("tokens") else "sessions"
    inside = [each for each in hours if window.opened_at <= each.at < window.closes_at]
    spent = [(each.at, each.tokens if unit == "tokens" else each.sessions) for each in inside]
    taken = window.used + window.reserved
    left = max(0, window.limit - taken)
    before = max(0, taken - sum(amount for _, amount in spent))
    points, so_far = [(window.opened_at, window.limit - before)], before
    for at, amount in spent:
        points.append((max(at, window.opened_at), window.limit - so_far))
        so_far += amount
        points.append((min(at + _HOUR, now), window.limit - so_far))
    points.append((now, left))
    rate = _per_hour(spent, window, now)
    exhausted = now + timedelta(hours=left / rate) if rate > 0 and left / rate < 24 * 366 else None
    if exhausted is not None and exhausted >= window.closes_at:
        exhausted = None
    ends = exhausted or window.closes_at
    rest = 0.0 if exhausted else max(0.0, left - rate * ((window.closes_at - now) / _HOUR))
    line = " ".join(f"{_x(window, at):.1f},{_y(window, amount):.1f}" for at, amount in points)
    floor = HEIGHT - BOTTOM
    return Burndown(
        window=window,
        unit=unit,
        left=left,
        share=left / window.limit if window.limit else 0.0,
        per_hour=rate,
        exhausted_at=exhausted,
        line=line,
        area=f"{LEFT:.1f},{floor:.1f} {line} {_x(window, now):.1f},{floor:.1f}",
        projection=f"{_x(window, now):.1f},{_y(window, left):.1f} {_x(window, ends):.1f},{_y(window, rest):.1f}",
        now_x=_x(window, now),
        mark_x=_x(window, exhausted) if exhausted else None,
    )


def _per_hour(spent: Sequence[tuple[datetime, int]], window: QuotaWindow, now: datetime) -> float:
    """Return what an hour takes, going by the recent part of the window; whole hours are counted."""
    recent = max((now - window.opened_at) / RECENT, LEAST_RECENT)
    begins = max((now - recent).replace(minute=0, second=0, microsecond=0), window.opened_at)
    took = max((now - begins) / _HOUR, 1 / 60)
    return sum(amount for at, amount in spent if at >= begins) / took


def _x(window: QuotaWindow, at: datetime) -> float:
    share = (at - window.opened_at) / (window.closes_at - window.opened_at)
    return LEFT + (WIDTH - 2 * LEFT) * min(1.0, max(0.0, share))


def _y(window: QuotaWindow, amount: float) -> float:
    share = amount / window.limit if window.limit else 0.0
    return 6 + (HEIGHT - BOTTOM - 6) * (1 - min(1.0, max(0.0, share)))
