"""Hints in words, and which of a job's is in force."""

from collections.abc import Sequence
from datetime import UTC

from api.dashboard.drawing.words import AUTHORS
from core.entities import CronBaseline, Definition, Hint, IntervalBaseline, Slot
from core.wording import duration


def in_force(hints: Sequence[Hint], slot: Slot | None) -> Hint | None:
    """Return the hint that set the slot; else the newest, which holds the job or waits."""
    setting = slot.hint_id if slot is not None else None
    return next((hint for hint in hints if hint.id == setting), hints[-1] if hints else None)


def asks(hint: Hint) -> str:
    """Say what a hint asks for."""
    if hint.interval is not None:
        return f"every {duration(hint.interval)}"
    if hint.at is not None:
        return f"at {hint.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return "pause" if hint.until is None else f"pause until {hint.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def told(hint: Hint) -> str:
    """Say what a hint asks for, and who says so."""
    return f"{asks(hint)}, says {AUTHORS[hint.author]}"


def baseline(definition: Definition) -> str:
    """Say a baseline."""
    schedule = definition.baseline
    if isinstance(schedule, CronBaseline):
        return f"cron {schedule.expression} ({schedule.timezone})"
    if isinstance(schedule, IntervalBaseline):
        return f"every {duration(schedule.every)}"
    return f"once at {schedule.run_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
