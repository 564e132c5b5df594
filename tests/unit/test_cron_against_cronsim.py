"""The cron adapter beside cronsim, an independent implementation of Debian's cron, fire by fire.

Sparse expressions are compared over two years in each zone, dense ones for two days around each change of
its offset. Every difference stands in `DIFFERENCES`, with the reason why ours is kept; one more or one fewer
fails. Both sides use the same zone rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from croniter import croniter
from cronsim import CronSim, CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.errors import CronError
from rubato.adapters.cron import CroniterCron
from rubato.adapters.zones import load_zone, zone_names

CRON = CroniterCron()
SPARSE = (
    "0 0 * * *",
    "30 1 * * *",
    "45 1 * * *",
    "15 2 * * *",
    "0,30 2,3 * * *",
    "5 0-6/2 * * 7",
    "0 9 * * MON-FRI",
    "0 */6 * * *",
    "*/20 2 * * *",
    "0,*/30 1 * * *",
    "0 0 1,15 * 5",
    "0 0 */2 * 1",
    "0 0 L * 5",
    "0 12 * * MON#2",
    "0 3 15,L 3,10 *",
    "0 6 31 * *",
    "30 0 1-7 * *",
    "15 30 2 * * *",
    "*/20 0 * * FRI,SUN",
)
DENSE = (
    "*/15 * * * *",
    "15 * * * *",
    "30 */2 * * *",
    "7-59/10 * * * *",
    "*/7 1-3 * * *",
    "20,50 */20 * * * *",
)
YEARS = {
    "UTC": 2024,
    "America/New_York": 2024,
    "America/Sao_Paulo": 2017,
    "America/Santiago": 2024,
    "America/St_Johns": 2024,
    "Europe/Lisbon": 2024,
    "Europe/Berlin": 2024,
    "Europe/Dublin": 2024,
    "Africa/Cairo": 2024,
    "Africa/Casablanca": 2024,
    "Asia/Beirut": 2024,
    "Asia/Kathmandu": 2024,
    "Asia/Tokyo": 2024,
    "Australia/Lord_Howe": 2024,
    "Australia/Sydney": 2024,
    "Pacific/Apia": 2011,
    "Pacific/Chatham": 2024,
}
SECONDS = "15 30 2 * * *"
LISTED = "0,*/30 1 * * *"
EARLY = "*/20 0 * * FRI,SUN"

# Why ours is kept.
SIX_FIELDS = (
    "cronsim keeps Debian's rule for five fields only: with seconds, a fixed time runs twice in repeated "
    "time and not at all in skipped time. A seconds field must not change what a fixed time means."
)
STAR_IN_LIST = (
    "cronsim calls a field a wildcard when it begins with a star: `0,*/30` and `*/30,0`, the same minutes, "
    "fire differently. Ours calls both wildcards: not in skipped time, twice in repeated time."
)
HALF_HOUR = (
    "Lord Howe moves its clocks by half an hour. cronsim steps whole hours from the last full one, lands on "
    "half past all day and misses hours that the wall clock does show."
)
MIDNIGHT = (
    "Where midnight is skipped, cronsim enters a chosen day at a 00:00 that does not exist and fires there, "
    "though it names a wildcard. Ours fires when the wall clock shows a matching time."
)


@dataclass(frozen=True)
class Difference:
    """Fires that only one of the two has, as local "YYYY-MM-DD HH:MM:SS+offset"."""

    timezone: str
    expression: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    because: str


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "America/New_York",
        LISTED,
        (
            "2024-11-03 01:00:00-05:00",
            "2024-11-03 01:30:00-05:00",
            "2025-11-02 01:00:00-05:00",
            "2025-11-02 01:30:00-05:00",
        ),
        (),
        STAR_IN_LIST,
    ),
    Difference(
        "America/New_York",
        SECONDS,
        ("2024-03-10 03:00:00-04:00", "2025-03-09 03:00:00-04:00"),
        (),
        SIX_FIELDS,
    ),
    Difference("America/Sao_Paulo", EARLY, (), ("2017-10-15 01:00:00-02:00", "2018-11-04 01:00:00-02:00"), MIDNIGHT),
    Difference("America/Santiago", EARLY, (), ("2024-09-08 01:00:00-03:00", "2025-09-07 01:00:00-03:00"), MIDNIGHT),
    Difference(
        "America/St_Johns",
        LISTED,
        (
            "2024-11-03 01:00:00-03:30",
            "2024-11-03 01:30:00-03:30",
            "2025-11-02 01:00:00-03:30",
            "2025-11-02 01:30:00-03:30",
        ),
        (),
        STAR_IN_LIST,
    ),
    Difference(
        "America/St_Johns",
        SECONDS,
        ("2024-03-10 03:00:00-02:30", "2025-03-09 03:00:00-02:30"),
        (),
        SIX_FIELDS,
    ),
    Difference(
        "Europe/Lisbon",
        LISTED,
        (
            "2024-10-27 01:00:00+00:00",
            "2024-10-27 01:30:00+00:00",
            "2025-10-26 01:00:00+00:00",
            "2025-10-26 01:30:00+00:00",
        ),
        ("2024-03-31 02:00:00+01:00", "2025-03-30 02:00:00+01:00"),
        STAR_IN_LIST,
    ),
    Difference(
        "Europe/Berlin",
        SECONDS,
        ("2024-03-31 03:00:00+02:00", "2025-03-30 03:00:00+02:00"),
        ("2024-10-27 02:30:15+01:00", "2025-10-26 02:30:15+01:00"),
        SIX_FIELDS,
    ),
    Difference(
        "Europe/Dublin",
        LISTED,
        (
            "2024-10-27 01:00:00+00:00",
            "2024-10-27 01:30:00+00:00",
            "2025-10-26 01:00:00+00:00",
            "2025-10-26 01:30:00+00:00",
        ),
        ("2024-03-31 02:00:00+01:00", "2025-03-30 02:00:00+01:00"),
        STAR_IN_LIST,
    ),
    Difference("Africa/Cairo", EARLY, (), ("2024-04-26 01:00:00+03:00", "2025-04-25 01:00:00+03:00"), MIDNIGHT),
    Difference(
        "Africa/Casablanca",
        SECONDS,
        ("2024-04-14 03:00:00+01:00", "2025-04-06 03:00:00+01:00"),
        ("2024-03-10 02:30:15+00:00", "2025-02-23 02:30:15+00:00"),
        SIX_FIELDS,
    ),
    Difference("Asia/Beirut", EARLY, (), ("2024-03-31 01:00:00+03:00", "2025-03-30 01:00:00+03:00"), MIDNIGHT),
    Difference(
        "Australia/Lord_Howe",
        "0 */6 * * *",
        (
            "2024-04-07 06:00:00+10:30",
            "2024-10-06 06:00:00+11:00",
            "2025-04-06 06:00:00+10:30",
            "2025-10-05 06:00:00+11:00",
        ),
        (),
        HALF_HOUR,
    ),
    Difference(
        "Australia/Lord_Howe",
        "*/20 2 * * *",
        (
            "2024-04-07 02:00:00+10:30",
            "2024-04-07 02:20:00+10:30",
            "2025-04-06 02:00:00+10:30",
            "2025-04-06 02:20:00+10:30",
        ),
        (),
        HALF_HOUR,
    ),
    Difference(
        "Australia/Lord_Howe",
        LISTED,
        ("2024-04-07 01:30:00+10:30", "2025-04-06 01:30:00+10:30"),
        (),
        STAR_IN_LIST,
    ),
    Difference(
        "Australia/Sydney",
        SECONDS,
        ("2024-10-06 03:00:00+11:00", "2025-10-05 03:00:00+11:00"),
        ("2024-04-07 02:30:15+10:00", "2025-04-06 02:30:15+10:00"),
        SIX_FIELDS,
    ),
    Difference("Pacific/Apia", LISTED, (), ("2011-12-31 00:00:00+14:00",), STAR_IN_LIST),
    Difference("Pacific/Apia", SECONDS, ("2011-12-31 00:00:00+14:00",), (), SIX_FIELDS),
    Difference("Pacific/Apia", EARLY, (), ("2011-12-31 00:00:00+14:00",), MIDNIGHT),
)


def _ours(expression: str, timezone: str, start: datetime) -> Iterator[datetime]:
    fire = CRON.next_after(expression, timezone, start)
    while fire is not None:
        yield fire
        fire = CRON.next_after(expression, timezone, fire)


def _theirs(expression: str, timezone: str, start: datetime) -> Iterator[datetime]:
    return (fire.astimezone(UTC) for fire in CronSim(expression, start.astimezone(load_zone(timezone).info)))


def _until(fires: Iterator[datetime], end: datetime) -> list[datetime]:
    found = []
    for fire in fires:
        if fire >= end:
            break
        found.append(fire)
    return found


def _windows(expression: str, timezone: str) -> Iterator[tuple[datetime, datetime]]:
    start = datetime(YEARS[timezone], 1, 1, tzinfo=UTC)
    end = start.replace(year=start.year + 2)
    if expression in SPARSE:
        yield start, end
        return
    at = start.replace(tzinfo=None)
    while (change := load_zone(timezone).first_change(at, end.replace(tzinfo=None))) is not None:
        at = change.at
        yield at.replace(tzinfo=UTC) - timedelta(days=1), at.replace(tzinfo=UTC) + timedelta(days=1)
    yield start, start + timedelta(days=2)


def _found(timezone: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Every difference in a zone: expression -> (only ours, only theirs)."""
    info = load_zone(timezone).info
    differing = {}
    for expression in SPARSE + DENSE:
        ours: list[datetime] = []
        theirs: list[datetime] = []
        for start, end in _windows(expression, timezone):
            ours += _until(_ours(expression, timezone, start), end)
            theirs += _until(_theirs(expression, timezone, start), end)
        assert ours, f"{expression} never fired: the comparison would be empty"
        one, other = (
            tuple(str(fire.astimezone(info)) for fire in sorted(only))
            for only in (set(ours) - set(theirs), set(theirs) - set(ours))
        )
        if one or other:
            differing[expression] = (one, other)
    return differing


@pytest.mark.parametrize("timezone", YEARS)
def test_fires_agree_with_cronsim_but_for_the_listed_differences(timezone: str) -> None:
    listed = {one.expression: (one.ours, one.theirs) for one in DIFFERENCES if one.timezone == timezone}
    assert _found(timezone) == listed


def test_every_listed_difference_is_argued_and_in_a_compared_zone() -> None:
    assert len(YEARS) >= 12
    for one in DIFFERENCES:
        assert one.timezone in YEARS
        assert one.because in (SIX_FIELDS, STAR_IN_LIST, HALF_HOUR, MIDNIGHT)
    assert len({(one.timezone, one.expression) for one in DIFFERENCES}) == len(DIFFERENCES)


def test_libraries_disagree_on_where_seconds_stand_and_ours_come_first() -> None:
    start = datetime(2026, 3, 4, tzinfo=UTC)
    assert croniter("5 6 7 * * 8", start).get_next(datetime).second == 8
    assert next(_theirs("5 6 7 * * *", "UTC", start)) == start.replace(hour=7, minute=6, second=5)
    assert next(_ours("5 6 7 * * *", "UTC", start)) == start.replace(hour=7, minute=6, second=5)


@pytest.mark.parametrize(
    ("timezone", "expression", "day"),
    [
        ("America/New_York", "30 1 * * *", datetime(2025, 11, 2, tzinfo=UTC)),
        ("Europe/Lisbon", "30 1 * * *", datetime(2025, 10, 25, 23, tzinfo=UTC)),
        ("Australia/Lord_Howe", "45 1 * * *", datetime(2025, 4, 5, 12, tzinfo=UTC)),
    ],
)
def test_croniter_alone_runs_a_repeated_fixed_time_twice_and_ours_once(
    timezone: str, expression: str, day: datetime
) -> None:
    """The reason why croniter is asked for dates only."""
    end = day + timedelta(hours=20)
    alone = croniter(expression, day.astimezone(load_zone(timezone).info))
    raw = _until(iter(lambda: alone.get_next(datetime).astimezone(UTC), None), end)
    assert len(raw) == 2
    assert _until(_ours(expression, timezone, day), end) == raw[:1]
    assert _until(_theirs(expression, timezone, day), end) == raw[:1]


@pytest.mark.parametrize(
    ("expression", "because"),
    [
        ("0 0 * * FRI-SUN", "cronsim knows Sunday as 0 by name, and calls the range backwards"),
        ("0 0 * * L5", "croniter's spelling of the last Friday; the other, 5L, is read by both"),
        ("0 0 15W * *", "cronsim knows LW only"),
        ("0 0 ? * 1", "cronsim has no question mark"),
        ("@daily", "cronsim has no forms"),
    ],
)
def test_ours_reads_what_cronsim_does_not(expression: str, because: str) -> None:
    with pytest.raises(CronSimError):
        CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    CRON.validate(expression, "UTC")


@pytest.mark.parametrize(
    ("expression", "because"),
    [
        ("*/90 * * * *", "it fires hourly, which is not what ninety minutes say"),
        ("0 0 LW * *", "croniter cannot name the last working day"),
        ("0 0 1 * MON#1", "croniter would fire on the Monday only, where cron means either"),
    ],
)
def test_ours_refuses_what_cronsim_reads(expression: str, because: str) -> None:
    CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(CronError):
        CRON.validate(expression, "UTC")


def test_a_start_with_a_step_ends_on_saturday_and_not_on_the_second_sunday() -> None:
    """cronsim counts Sunday as 0 and 7, so that `3/2` reaches it; a week has one Sunday, at its start."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    ours, theirs = (
        [fire.strftime("%a") for fire in islice(fires("0 9 * * 3/2", "UTC", start), 6)] for fires in (_ours, _theirs)
    )
    assert ours == ["Wed", "Fri", "Wed", "Fri", "Wed", "Fri"]
    assert theirs == ["Sun", "Wed", "Fri", "Sun", "Wed", "Fri"]


def _item(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    bounds = st.tuples(number, number).map(sorted)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        bounds.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.lists(number, min_size=2, max_size=4).map(lambda values: ",".join(map(str, values))),
    )


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    expression=st.tuples(_item(0, 59), _item(0, 23), _item(1, 28), _item(1, 12), _item(0, 6)).map(" ".join),
    timezone=st.sampled_from(sorted(zone_names())),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_five_fields_agree_with_cronsim_around_changes_of_whole_hours(
    expression: str, timezone: str, start: datetime
) -> None:
    """Repeatable, and without the changes at which `HALF_HOUR` and `MIDNIGHT` apply."""
    begin = start.replace(tzinfo=None)
    change = load_zone(timezone).first_change(begin, begin + timedelta(days=366))
    at = start
    if change is not None:
        wall = change.at + change.before
        assume((change.after - change.before) % timedelta(hours=1) == timedelta())
        assume(wall.minute == wall.second == 0 and wall.hour != 0)
        at = change.at.replace(tzinfo=UTC) - timedelta(hours=5)
    theirs = list(islice(_theirs(expression, timezone, at), 30))
    assert list(islice(_ours(expression, timezone, at), 30)) == theirs
