"""Cron strings that somebody got nearly right: mutations of good ones, and where fires are rarest.

Work is bounded in calls, not in seconds: what a machine is busy with is nobody's fault.
"""

import sys
from datetime import UTC, datetime, timedelta
from types import FrameType

from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import CronError
from rubato.adapters.cron import LAST, CroniterCron
from rubato.adapters.cron_calendar import _calendar, first_day
from rubato.adapters.zones import zone_names

NOW = datetime(2026, 3, 4, 10, 7, 30, tzinfo=UTC)
MOST_CALLS = 600_000  # of Python functions, for one answer; the costliest found make a quarter of them
GOOD = (
    "* * * * *",
    "*/15 9-17 * * mon-fri",
    "0 0 29 2 *",
    "0 0 31 */2 *",
    "30 5 1,15 * 5",
    "0 0 L * *",
    "0 0 * * 5#3",
    "0 0 * * L5",
    "15 10 * JAN-mar sun",
    "*/7 30 1 1 * *",
    "0 */5 * * * *",
    "@hourly",
    "@daily",
    "0 0 1 1 ?",
)
PIECES = (
    "*",
    "/",
    "-",
    ",",
    "L",
    "W",
    "#",
    "?",
    "@",
    " ",
    "\t",
    "0",
    "60",
    "99999999999999999999",
    "-1",
    "1e9",
    "٣",
    "ß",
    "H",
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Return a good expression with a few pieces put in, taken out, doubled or swapped."""
    text = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + draw(st.integers(1, 3)) :]
        elif kind == 2:
            text = text[:at] + text[at : at + 4] * draw(st.integers(1, 60)) + text[at:]
        else:
            other = draw(st.sampled_from(GOOD)).split(" ")
            fields = text.split(" ")
            fields[draw(st.integers(0, len(fields) - 1))] = draw(st.sampled_from(other))
            text = " ".join(fields)
    return text


class Calls:
    """Counts the calls of Python functions while it is entered, and ends what makes too many."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Calls":
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _seen(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.count += 1
            if self.count > MOST_CALLS:
                sys.setprofile(None)
                raise AssertionError(f"more than {MOST_CALLS} calls for one cron expression")


def answer(expression: str, zone: str, after: datetime) -> datetime | CronError | None:
    """Ask a fresh adapter everything that registering a job asks; return the next fire, or the refusal."""
    clear_memory()
    cron = CroniterCron()
    try:
        with Calls():
            cron.validate(expression, zone)
            fire = cron.next_after(expression, zone, after)
            gap = cron.shortest_gap(expression, zone)
    except CronError as refused:
        return refused
    assert gap > timedelta()
    return fire


def clear_memory() -> None:
    """Forget dates found before: each expression pays for its own."""
    first_day.cache_clear()
    _calendar.cache_clear()


@given(
    expression=mutated(),
    zone=st.sampled_from(sorted(zone_names())) | st.text(max_size=20),
    after=st.integers(0, 7_258_118_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
@settings(max_examples=settings.default.max_examples // 2)
def test_a_mutated_expression_is_a_fire_or_a_typed_error_in_bounded_work(
    expression: str, zone: str, after: datetime
) -> None:
    fire = answer(expression, zone, after)
    assert fire is None or isinstance(fire, CronError) or after < fire < LAST
    if isinstance(fire, CronError):
        assert fire.issues
        assert all(issue.pointer in ("/baselineCron", "/timezone") and issue.detail for issue in fire.issues)


@given(
    day=st.sampled_from(("29", "30", "31", "L", "31,L", "*/31")),
    month=st.sampled_from(("2", "4", "2,4", "*/12", "*")),
    weekday=st.sampled_from(("*", "0", "5#5", "L0", "6", "*/7")),
    time=st.sampled_from(("0 0", "59 23", "30 2", "* *", "59 59 23", "* * *")),
    zone=st.sampled_from(("UTC", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia")),
)
@settings(max_examples=settings.default.max_examples // 2)
def test_the_rarest_fires_are_found_or_refused_in_bounded_work(
    day: str, month: str, weekday: str, time: str, zone: str
) -> None:
    expression = f"{time} {day} {month} {weekday}"
    assert answer(expression, zone, NOW) is not None
