"""Allowance arithmetic: which windows a session draws on, and what tokens cost."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from core.record import record
from core.sessions import Usage

MILLION = 1_000_000


@record
class Window:
    """A day, a month or an hour, from `opened_at` (included) to `closes_at`, in UTC."""

    opened_at: datetime
    closes_at: datetime


def day_of(now: datetime) -> Window:
    """Return the UTC day of an instant."""
    opened = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(opened, opened + timedelta(days=1))


def month_of(now: datetime) -> Window:
    """Return the UTC month of an instant."""
    opened = day_of(now).opened_at.replace(day=1)
    return Window(opened, (opened + timedelta(days=32)).replace(day=1))


def hour_of(now: datetime) -> Window:
    """Return the hour of an instant."""
    opened = now.replace(minute=0, second=0, microsecond=0)
    return Window(opened, opened + timedelta(hours=1))


@record
class Price:
    """US dollars for a million tokens read and written."""

    input_usd: float
    output_usd: float


def cost_usd(usage: Usage, model: str, prices: Mapping[str, Price]) -> float | None:
    """Return what a session cost; None when its model's price is not known. No tokens cost nothing."""
    if not usage.tokens:
        return 0.0
    price = prices.get(model)
    if price is None:
        return None
    return (usage.input_tokens * price.input_usd + usage.output_tokens * price.output_usd) / MILLION
