"""Cron expressions: what is accepted, and what each field means, without any time zone.

The text is checked here, item by item, before croniter sees it. croniter accepts more than a schedule should
hold (random and hashed values, a year, `5-5` for "every value", ranges that run backwards) and its complaints
speak of its own internals; ours name the field, the value and something that works.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache

from croniter import croniter

from core.errors import CronError
from rubato.adapters.cron_calendar import first_day

MAX_CHARACTERS = 256
"""Longer text is refused unread; the longest sensible list of sixty minutes has 169 characters."""

EXAMPLE = '"*/15 9-17 * * MON-FRI"'
FORMS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6}
_MONTHS |= {"jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12}
_WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_ITEM = re.compile(r"(?P<low>\*|\d+)(?:-(?P<high>\d+))?(?:/(?P<step>\d+))?", re.ASCII)
_RANDOM = re.compile(r"[hr](\(.*)?(/.*)?", re.ASCII)
_LAST_WEEKDAY = re.compile(r"l([0-7])|([0-7])l", re.ASCII)
_NTH_WEEKDAY = re.compile(r"([0-7])#([1-5])", re.ASCII)
_NEAREST_WEEKDAY = re.compile(r"(\d{1,2})w", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One field's name, its lowest and highest value, and the names it knows."""

    name: str
    low: int
    high: int
    names: dict[str, int]
    example: str


SECOND = Field("second", 0, 59, {}, '"0" or "*/30"')
MINUTE = Field("minute", 0, 59, {}, '"0" or "*/15"')
HOUR = Field("hour", 0, 23, {}, '"9" or "9-17"')
DAY = Field("day of the month", 1, 31, {}, '"1", "1,15" or "L"')
MONTH = Field("month", 1, 12, _MONTHS, '"1", "JAN" or "*/3"')
WEEKDAY = Field("day of the week", 0, 7, _WEEKDAYS, '"MON-FRI", "0" or "MON#1"')
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class Expression:
    """A readable expression that fires sometime.

    `fixed` is Debian cron's distinction: neither the minute nor the hour field holds a `*`, so the expression
    names times of day, and daylight saving moves or merges them; otherwise it names an interval, and follows
    elapsed time. Seconds do not matter for it. `days` holds the three day fields as croniter's calendar takes
    them.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: str
    fixed: bool

    def first_wall(self, at: datetime) -> datetime | None:
        """Return the first matching wall time (naive, whole seconds) at or after `at`, or None."""
        day = first_day(self.days, at.date())
        if day == at.date():
            found = self._time_from(at.time())
            if found is not None:
                return datetime.combine(day, found)
            day = first_day(self.days, date.fromordinal(day.toordinal() + 1))
        if day is None:
            return None
        return datetime.combine(day, time(self.hours[0], self.minutes[0], self.seconds[0]))

    def _time_from(self, at: time) -> time | None:
        for hour in self.hours[bisect_left(self.hours, at.hour) :]:
            if hour > at.hour:
                return time(hour, self.minutes[0], self.seconds[0])
            for minute in self.minutes[bisect_left(self.minutes, at.minute) :]:
                if minute > at.minute:
                    return time(hour, minute, self.seconds[0])
                n = bisect_left(self.seconds, at.second)
                if n < len(self.seconds):
                    return time(hour, minute, self.seconds[n])
        return None


@lru_cache(maxsize=4096)
def read_expression(text: str) -> Expression:
    """Read an expression of five fields, six with seconds first, or an `@` form.

    Raises `CronError` saying what is wrong with which field, also when no such date exists.
    """
    fields = _split(text)
    seconds, minutes, hours, day, month, weekday = (
        _canonical(field, written) for field, written in zip(FIELDS, fields, strict=True)
    )
    _refuse_mixed_days(day, weekday)
    try:
        times = croniter.expand(f"{seconds} {minutes} {hours} * * *", second_at_beginning=True)[0]
        days = f"0 0 {day} {month} {weekday}"
        ever = first_day(days, date(2000, 1, 1))
    except (ValueError, TypeError) as refused:
        raise CronError(f'Cannot read the cron expression "{_shown(text)}"; try {EXAMPLE}.') from refused
    if ever is None:
        raise CronError(
            f'The cron expression "{_shown(text)}" never fires: no such date exists in its months. '
            'For the last day of every month write "0 0 L * *".'
        )
    return Expression(
        seconds=_values(times[5], SECOND),
        minutes=_values(times[0], MINUTE),
        hours=_values(times[1], HOUR),
        days=days,
        fixed="*" not in fields[1] and "*" not in fields[2],
    )


def _split(text: str) -> list[str]:
    if len(text) > MAX_CHARACTERS:
        raise CronError(
            f"The cron expression has {len(text)} characters; at most {MAX_CHARACTERS} are read, for example {EXAMPLE}."
        )
    lowered = text.strip(" \t").lower()
    if not lowered:
        raise CronError(f'The cron expression is empty; write five fields such as {EXAMPLE}, or "@daily".')
    if lowered.startswith("@"):
        lowered = _form(lowered)
    fields = re.split(r"[ \t]+", lowered)
    if len(fields) == 7:
        raise CronError(
            f'The cron expression "{_shown(text)}" has 7 fields; a year is not supported. Write five fields '
            f"such as {EXAMPLE}, or six with seconds first, and end the job with endAt."
        )
    if len(fields) not in (5, 6):
        count = f"{len(fields)} field{'s' if len(fields) > 1 else ''}"
        raise CronError(
            f'The cron expression "{_shown(text)}" has {count}; it needs five (minute hour day month '
            f"weekday) such as {EXAMPLE}, or six with seconds first."
        )
    return ["0", *fields] if len(fields) == 5 else fields


def _form(lowered: str) -> str:
    if lowered in FORMS:
        return FORMS[lowered]
    if lowered == "@reboot":
        raise CronError('"@reboot" names no time of its own: a job outlives its workers; use "@daily".')
    if lowered.startswith("@every"):
        raise CronError('"@every" is not a cron form: set an interval baseline, or use "*/5 * * * *".')
    raise CronError(f'Unknown form "{_shown(lowered)}"; use one of {", ".join(sorted(FORMS))}.')


def _canonical(field: Field, written: str) -> str:
    """Return the field in plain numbers, in the spelling that croniter reads without surprises."""
    if written == "?" and field in (DAY, WEEKDAY):
        return "*"
    items = [_item(field, part) for part in written.split(",")]
    if "*" in items:
        return "*" if items[0] == "*" else _listed(field, field.low, field.high, 1)
    return ",".join(dict.fromkeys(",".join(items).split(",")))


def _item(field: Field, written: str) -> str:
    if not written:
        raise _bad(field, written, "is empty between two commas or at an end")
    if _RANDOM.fullmatch(written):
        raise _bad(field, written, "is a hashed or random value, and two workers would not agree on it")
    numbers = re.sub(r"[a-z]{3}", lambda name: str(field.names.get(name[0], name[0])), written, flags=re.ASCII)
    special = _special_day(field, numbers, written)
    if special is not None:
        return special
    match = _ITEM.fullmatch(numbers)
    if match is None or (match["low"] == "*" and match["high"] is not None):
        raise _bad(field, written, "cannot be read")
    if match["low"] == "*":
        return "*" if match["step"] is None else f"*/{_step(field, match['step'], written)}"
    return _range(field, match, written)


def _range(field: Field, match: re.Match[str], written: str) -> str:
    low = _number(field, match["low"], written)
    high = low if match["high"] is None else _number(field, match["high"], written)
    if field is WEEKDAY and high == 0 and low > 0 and match["high"] is not None:
        high = 7
    if low > high:
        raise _bad(field, written, "runs backwards; write it as two ranges with a comma between")
    if match["step"] is None:
        return _listed(field, low, high, 1)
    if match["high"] is None:
        high = 6 if field is WEEKDAY and low < 7 else field.high
    return _listed(field, low, high, _step(field, match["step"], written))


def _listed(field: Field, low: int, high: int, step: int) -> str:
    """Return the values one by one: croniter takes some ranges (`5-5`, `59/15`) for a whole cycle."""
    return ",".join(str(n % 7 if field is WEEKDAY else n) for n in range(low, high + 1, step))


def _special_day(field: Field, numbers: str, written: str) -> str | None:
    """Return `L`, `15W`, `MON#2` or `L5` (also `5L`) as croniter spells them, or None for other items."""
    if field is DAY and numbers == "l":
        return "l"
    if field is DAY and (nearest := _NEAREST_WEEKDAY.fullmatch(numbers)):
        return f"{_number(field, nearest[1], written)}w"
    if field is WEEKDAY and (nth := _NTH_WEEKDAY.fullmatch(numbers)):
        return f"{int(nth[1]) % 7}#{nth[2]}"
    if field is WEEKDAY and (last := _LAST_WEEKDAY.fullmatch(numbers)):
        return f"l{int(last[1] or last[2]) % 7}"
    return None


def _refuse_mixed_days(day: str, weekday: str) -> None:
    """Refuse days that croniter would intersect where cron means "either", or not read at all."""
    counted = [item for item in weekday.split(",") if "#" in item or "l" in item]
    if counted and len(counted) != len(weekday.split(",")):
        raise CronError('The day of the week mixes plain days with "#" or "L"; use one kind, such as "MON#1,MON#3".')
    if counted and day != "*":
        raise CronError('A "#" or "L" day of the week needs "*" as the day of the month, as in "0 9 * * MON#1".')
    if "w" in day and ("," in day or weekday != "*"):
        raise CronError('A nearest weekday stands alone, with "*" as the day of the week: "0 9 15W * *".')


def _number(field: Field, digits: str, written: str) -> int:
    if len(digits) > 4 or not field.low <= int(digits) <= field.high:
        raise _bad(field, written, f"is out of range: {field.low} to {field.high}")
    return int(digits)


def _step(field: Field, digits: str, written: str) -> int:
    size = 7 if field is WEEKDAY else field.high - field.low + 1
    if len(digits) > 4 or not 1 <= int(digits) <= size:
        raise _bad(field, written, f"has a step outside 1 to {size}")
    return int(digits)


def _values(expanded: list[int | str], field: Field) -> tuple[int, ...]:
    if expanded == ["*"]:
        return tuple(range(field.low, field.high + 1))
    return tuple(sorted(int(value) for value in expanded))


def _bad(field: Field, written: str, problem: str) -> CronError:
    return CronError(
        f'The {field.name} "{_shown(written)}" {problem}. Write for example {field.example}, as in {EXAMPLE}.'
    )


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "...")[1:-1]
