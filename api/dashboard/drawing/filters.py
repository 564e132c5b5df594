"""Spans of time that lists are narrowed to: a word such as `6h`, or an instant as the API takes it."""

from datetime import UTC, datetime, timedelta

from api.problems import invalid

SPANS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "6h": ("Last 6 hours", timedelta(hours=6)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}


def instant_of(text: str | None, now: datetime) -> datetime | None:
    """Return the instant that a filter names. Answers 400 for what is neither a span nor an instant."""
    if not text:
        return None
    if text in SPANS:
        return now - SPANS[text][1]
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 1970 <= at.year <= 2200:
        spans = ", ".join(SPANS)
        raise invalid("?since", "invalid_instant", f"Give a span ({spans}) or an instant such as 2026-01-31T12:00:00Z.")
    return at.astimezone(UTC)


def since_choices(chosen: str | None) -> list[tuple[str, str]]:
    """Return the options of a list of spans; an instant that was chosen stays among them."""
    options = [("", "Any time"), *((name, words) for name, (words, _) in SPANS.items())]
    if chosen and chosen not in SPANS:
        options.append((chosen, f"Since {chosen}"))
    return options
