"""Reading a form's fields. What is wrong is told by the name of the field, as an API's problem is."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from api.problems import invalid
from core.wording import read_duration


def text_in(form: Mapping[str, str], name: str, *, most: int) -> str | None:
    """Return a field's text without the space around it; None for an empty one. Answers 400 when it is too long."""
    text = form.get(name, "").strip()
    if len(text) > most:
        raise invalid(f"/{name}", "too_long", f"{name} may have {most} characters at the most.")
    return text or None


def duration_in(form: Mapping[str, str], name: str) -> timedelta | None:
    """Return a duration such as `90 s` or `1h30m`; None for an empty field."""
    text = form.get(name, "").strip()
    if not text:
        return None
    found = read_duration(text)
    if found is None:
        raise invalid(f"/{name}", "not_a_duration", f"{name} is not a duration; write 30s, 5m, 1h30m or 250ms.")
    return found


def instant_in(form: Mapping[str, str], name: str) -> datetime | None:
    """Return an instant in UTC, as `datetime-local` fields and RFC 3339 write it; None for an empty field."""
    text = form.get(name, "").strip()
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"/{name}", "not_an_instant", f"{name} is not an instant; write 2027-01-31T12:00.") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
