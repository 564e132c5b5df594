"""What tokens cost: the price of their model, nothing for none, unknown where the price is."""

from datetime import UTC, datetime

from core.quota import Price, Window, cost_usd, day_of, hour_of, month_of
from core.sessions import Usage

PRICES = {"m": Price(0.25, 2.0)}


def test_a_session_costs_what_its_models_price_says() -> None:
    assert cost_usd(Usage(1, 1_000_000, 500_000), "m", PRICES) == 1.25


def test_an_unknown_price_is_unknown_and_no_tokens_cost_nothing() -> None:
    assert cost_usd(Usage(1, 10, 10), "other", PRICES) is None
    assert cost_usd(Usage(), "other", PRICES) == 0.0


def test_windows_are_days_months_and_hours_in_utc() -> None:
    at = datetime(2028, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
    assert day_of(at) == Window(datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC))
    assert month_of(at) == Window(datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC))
    assert hour_of(at) == Window(datetime(2028, 2, 29, 23, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC))
    assert month_of(datetime(2027, 12, 31, tzinfo=UTC)).closes_at == datetime(2028, 1, 1, tzinfo=UTC)
