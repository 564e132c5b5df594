"""The cron adapter: what is accepted, when it fires, what is refused and how."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import CronError
from core.ports.cron import Cron
from rubato.adapters.cron import FIRST, LAST, SCAN_FROM, CroniterCron
from rubato.adapters.cron_calendar import first_day
from rubato.adapters.zones import load_zone, zone_names

CRON = CroniterCron()
PORT: Cron = CRON
# 2026-03-04 is a Wednesday.
NOW = datetime(2026, 3, 4, 10, 7, 30, tzinfo=UTC)


def fires(expression: str, timezone: str = "UTC", after: datetime = NOW) -> Iterator[datetime]:
    fire = CRON.next_after(expression, timezone, after)
    while fire is not None:
        yield fire
        fire = CRON.next_after(expression, timezone, fire)


def walls(expression: str, timezone: str, day: date, days: int = 1) -> list[str]:
    """The fires of some local days as "DD HH:MM[:SS]+offset"."""
    info = load_zone(timezone).info
    start = datetime(day.year, day.month, day.day, tzinfo=info).astimezone(UTC) - timedelta(microseconds=1)
    shown: list[str] = []
    for fire in fires(expression, timezone, start):
        local = fire.astimezone(info)
        if local.date() >= day + timedelta(days=days):
            return shown
        clock = "%H:%M:%S" if local.second else "%H:%M"
        shown.append(local.strftime(f"%d {clock}%z"))
    return shown


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", ["03-04 10:08:00", "03-04 10:09:00"]),
        ("*/15 * * * *", ["03-04 10:15:00", "03-04 10:30:00"]),
        ("5/20 * * * *", ["03-04 10:25:00", "03-04 10:45:00"]),
        ("59/15 * * * *", ["03-04 10:59:00", "03-04 11:59:00"]),
        ("7 * * * *", ["03-04 11:07:00", "03-04 12:07:00"]),
        ("0 9-17/4 * * *", ["03-04 13:00:00", "03-04 17:00:00", "03-05 09:00:00"]),
        ("0 5-5 * * *", ["03-05 05:00:00", "03-06 05:00:00"]),
        ("0 12,18 * * *", ["03-04 12:00:00", "03-04 18:00:00", "03-05 12:00:00"]),
        ("0 0 * * *", ["03-05 00:00:00", "03-06 00:00:00"]),
        ("0 0 * * 0", ["03-08 00:00:00", "03-15 00:00:00"]),
        ("0 0 * * 7", ["03-08 00:00:00", "03-15 00:00:00"]),
        ("0 0 * * Sun", ["03-08 00:00:00", "03-15 00:00:00"]),
        ("0 0 * * 0-7", ["03-05 00:00:00", "03-06 00:00:00"]),
        ("0 0 * * FRI-SUN", ["03-06 00:00:00", "03-07 00:00:00", "03-08 00:00:00", "03-13 00:00:00"]),
        ("0 0 * * 5-7", ["03-06 00:00:00", "03-07 00:00:00", "03-08 00:00:00", "03-13 00:00:00"]),
        ("0 0 * * 3/2", ["03-06 00:00:00", "03-11 00:00:00"]),
        ("0 9 * * mon-fri", ["03-05 09:00:00", "03-06 09:00:00", "03-09 09:00:00"]),
        ("0 9 * * TUE,THU", ["03-05 09:00:00", "03-10 09:00:00"]),
        ("0 0 1 * *", ["04-01 00:00:00", "05-01 00:00:00"]),
        ("0 0 31 * *", ["03-31 00:00:00", "05-31 00:00:00"]),
        ("0 0 1 JAN,jul ?", ["07-01 00:00:00", "01-01 00:00:00"]),
        ("0 0 1 */3 *", ["04-01 00:00:00", "07-01 00:00:00"]),
        ("0 0 L * *", ["03-31 00:00:00", "04-30 00:00:00"]),
        ("0 0 15,L 4 *", ["04-15 00:00:00", "04-30 00:00:00"]),
        ("0 0 15W * *", ["03-16 00:00:00", "04-15 00:00:00", "05-15 00:00:00"]),
        ("0 0 1W 8 *", ["08-03 00:00:00"]),
        ("0 0 * * MON#1", ["04-06 00:00:00", "05-04 00:00:00"]),
        ("0 0 * * 7#1", ["04-05 00:00:00", "05-03 00:00:00"]),
        ("0 0 * * L5", ["03-27 00:00:00", "04-24 00:00:00"]),
        ("0 0 * * 5L", ["03-27 00:00:00", "04-24 00:00:00"]),
        # Either day field matches when both are restricted ...
        ("0 0 6 * SUN", ["03-06 00:00:00", "03-08 00:00:00", "03-15 00:00:00"]),
        # ... and both must when one begins with a star, as in standard cron.
        ("0 0 */2 * SUN", ["03-15 00:00:00", "03-29 00:00:00", "04-05 00:00:00"]),
        ("*/20 * * * * *", ["03-04 10:07:40", "03-04 10:08:00", "03-04 10:08:20"]),
        ("30 5 9 * * *", ["03-05 09:05:30", "03-06 09:05:30"]),
        ("30,45 * * * * *", ["03-04 10:07:45", "03-04 10:08:30", "03-04 10:08:45"]),
        ("  0\t0  * * *  ", ["03-05 00:00:00"]),
        ("@hourly", ["03-04 11:00:00", "03-04 12:00:00"]),
        ("@Daily", ["03-05 00:00:00", "03-06 00:00:00"]),
        ("@midnight", ["03-05 00:00:00", "03-06 00:00:00"]),
        ("@weekly", ["03-08 00:00:00", "03-15 00:00:00"]),
        ("@monthly", ["04-01 00:00:00", "05-01 00:00:00"]),
        ("@yearly", ["01-01 00:00:00"]),
        ("@annually", ["01-01 00:00:00"]),
    ],
)
def test_common_expressions_fire_when_cron_says(expression: str, expected: list[str]) -> None:
    CRON.validate(expression, "UTC")
    found = [fire.strftime("%m-%d %H:%M:%S") for fire in islice(fires(expression), len(expected))]
    assert found == expected


def test_29_february_is_accepted_and_waits_eight_years_over_2100() -> None:
    years = [fire.year for fire in islice(fires("0 0 29 2 *", after=datetime(2090, 1, 1, tzinfo=UTC)), 3)]
    assert years == [2092, 2096, 2104]


def test_a_fire_is_strictly_later_even_by_a_microsecond() -> None:
    noon = datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert CRON.next_after("0 12 * * *", "UTC", noon - timedelta(microseconds=1)) == noon
    assert CRON.next_after("0 12 * * *", "UTC", noon) == noon + timedelta(days=1)
    assert CRON.next_after("0 12 * * *", "UTC", noon + timedelta(microseconds=1)) == noon + timedelta(days=1)


def test_fires_are_in_utc_whatever_zone_the_question_or_the_job_is_in() -> None:
    asked = NOW.astimezone(load_zone("Asia/Tokyo").info)
    fire = CRON.next_after("0 9 * * *", "Europe/Berlin", asked)
    assert fire == datetime(2026, 3, 5, 8, tzinfo=UTC)
    assert fire.tzinfo is UTC


def test_a_naive_instant_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="aware"):
        CRON.next_after("* * * * *", "UTC", datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_calendar_ends_and_begins() -> None:
    assert CRON.next_after("0 0 1 1 *", "UTC", LAST - timedelta(days=400)) == datetime(9998, 1, 1, tzinfo=UTC)
    assert CRON.next_after("0 0 1 1 *", "Asia/Tokyo", LAST - timedelta(days=1)) == LAST - timedelta(hours=9)
    for zone in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles"):
        assert CRON.next_after("0 0 29 2 *", zone, LAST - timedelta(days=1)) is None
        assert CRON.next_after("* * * * * *", zone, LAST - timedelta(seconds=1)) is None
        assert CRON.next_after("* * * * *", zone, datetime.max.replace(tzinfo=UTC)) is None
    oldest = datetime.min.replace(tzinfo=UTC)
    assert CRON.next_after("* * * * *", "UTC", oldest) == FIRST + timedelta(minutes=1)
    with pytest.raises(CronError):
        CRON.next_after("nonsense", "UTC", LAST)


# Daylight saving. Fixed times: skipped ones run once, right after; repeated ones once, the first time.
@pytest.mark.parametrize(
    ("expression", "timezone", "day", "expected"),
    [
        ("30 1 * * *", "America/New_York", date(2025, 11, 2), ["02 01:30-0400"]),
        ("30 1 * * *", "Europe/Lisbon", date(2025, 10, 26), ["26 01:30+0100"]),
        ("45 1 * * *", "Australia/Lord_Howe", date(2025, 4, 6), ["06 01:45+1100"]),
        ("30 2 * * *", "Europe/Berlin", date(2025, 10, 26), ["26 02:30+0200"]),
        ("0 30 2 * * *", "Europe/Berlin", date(2025, 10, 26), ["26 02:30+0200"]),
        ("30 23 * * *", "America/Sao_Paulo", date(2018, 2, 17), ["17 23:30-0200"]),
        ("30 2 * * *", "America/New_York", date(2025, 3, 9), ["09 03:00-0400"]),
        ("30 2 * * *", "Europe/Berlin", date(2025, 3, 30), ["30 03:00+0200"]),
        ("0 30 2 * * *", "Europe/Berlin", date(2025, 3, 30), ["30 03:00+0200"]),
        ("*/10 30 2 * * *", "Europe/Berlin", date(2025, 3, 30), ["30 03:00+0200"]),
        ("15 2 * * *", "Australia/Lord_Howe", date(2025, 10, 5), ["05 02:30+1100"]),
        ("0 0 * * *", "Africa/Cairo", date(2025, 4, 25), ["25 01:00+0300"]),
        ("0 0 * * *", "Asia/Beirut", date(2025, 3, 30), ["30 01:00+0300"]),
        ("0 0 * * *", "America/Sao_Paulo", date(2018, 11, 4), ["04 01:00-0200"]),
        # Several skipped fires, and one at the very end of the gap, are one fire.
        ("0,30 2,3 * * *", "America/New_York", date(2025, 3, 9), ["09 03:00-0400", "09 03:30-0400"]),
        # A whole day that never was: its fires run once, at the next midnight.
        ("0 9 * * *", "Pacific/Apia", date(2011, 12, 30), []),
        (
            "0 9,10 * * *",
            "Pacific/Apia",
            date(2011, 12, 31),
            ["31 00:00+1400", "31 09:00+1400", "31 10:00+1400"],
        ),
        ("0 9 30 12 *", "Pacific/Apia", date(2011, 12, 31), ["31 00:00+1400"]),
        # Kwajalein crossed the date line too, over 1993-08-21.
        ("0 9 21 8 *", "Pacific/Kwajalein", date(1993, 8, 22), ["22 00:00+1200"]),
    ],
)
def test_fixed_times_run_once_where_clocks_change(
    expression: str, timezone: str, day: date, expected: list[str]
) -> None:
    assert walls(expression, timezone, day) == expected


@pytest.mark.parametrize(
    ("expression", "timezone", "day", "expected"),
    [
        (
            "*/30 1 * * *",
            "America/New_York",
            date(2025, 11, 2),
            ["02 01:00-0400", "02 01:30-0400", "02 01:00-0500", "02 01:30-0500"],
        ),
        ("0,*/30 1 * * *", "Europe/Lisbon", date(2025, 3, 30), []),
        ("*/30 2 * * *", "America/New_York", date(2025, 3, 9), []),
        ("*/20 2 * * *", "Australia/Lord_Howe", date(2025, 10, 5), ["05 02:40+1100"]),
        (
            "*/15 1 * * *",
            "Australia/Lord_Howe",
            date(2025, 4, 6),
            [
                "06 01:00+1100",
                "06 01:15+1100",
                "06 01:30+1100",
                "06 01:45+1100",
                "06 01:30+1030",
                "06 01:45+1030",
            ],
        ),
        ("0 */6 * * *", "Pacific/Apia", date(2011, 12, 30), []),
    ],
)
def test_wildcards_follow_elapsed_time_where_clocks_change(
    expression: str, timezone: str, day: date, expected: list[str]
) -> None:
    assert walls(expression, timezone, day) == expected


@pytest.mark.parametrize("timezone", ["America/New_York", "Australia/Lord_Howe", "Europe/Berlin", "Pacific/Apia"])
@pytest.mark.parametrize("start", [datetime(2011, 12, 29, tzinfo=UTC), datetime(2025, 10, 4, tzinfo=UTC)])
def test_every_quarter_hour_stays_a_quarter_hour_through_changes(timezone: str, start: datetime) -> None:
    found = list(islice(fires("*/15 * * * *", timezone, start), 4 * 24 * 60))
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=15)}


def test_a_question_asked_within_repeated_time_does_not_fire_again() -> None:
    second_time = datetime(2025, 11, 2, 6, 10, tzinfo=UTC)  # 01:10 EST, forty minutes after the run at 01:30 EDT
    assert CRON.next_after("30 1 * * *", "America/New_York", second_time) == datetime(2025, 11, 3, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("* * * *", "4 fields"),
        ("noon", "1 field;"),
        ("0 0 0 1 1 * 2030", "a year is not supported"),
        ("* * * * * * * *", "8 fields"),
        ("60 * * * *", 'minute "60" is out of range: 0 to 59'),
        ("* 24 * * *", 'hour "24" is out of range: 0 to 23'),
        ("* * 0 * *", 'day of the month "0" is out of range: 1 to 31'),
        ("* * * 13 *", 'month "13" is out of range: 1 to 12'),
        ("* * * * 8", 'day of the week "8" is out of range: 0 to 7'),
        ("61 * * * * *", 'second "61" is out of range'),
        ("99999999999999999999 * * * *", "out of range"),
        ("-5 * * * *", "cannot be read"),
        ("1.5 * * * *", "cannot be read"),
        ("*/0 * * * *", "step outside 1 to 60"),
        ("*/90 * * * *", "step outside 1 to 60"),
        ("* 22-2 * * *", "runs backwards"),
        ("0 0 * * FRI-MON", "runs backwards"),
        ("1,,2 * * * *", "empty between two commas"),
        ("? * * * *", "cannot be read"),
        ("*-5 * * * *", "cannot be read"),
        ("* * * FOO *", 'month "foo" cannot be read'),
        ("* * * * MONDAY", 'day of the week "monday" cannot be read'),
        ("* * * MON *", 'month "mon" cannot be read'),
        ("H * * * *", "hashed or random"),
        ("R(0-10)/2 * * * *", "hashed or random"),
        ("0 H/2 * * *", "hashed or random"),
        ("@reboot", "names no time"),
        ("@every 5m", "interval baseline"),
        ("@fortnightly", "@monthly"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("0 0 */31 2 6#5", '"*" as the day of the month'),
        ("0 0 1 * MON#1", '"*" as the day of the month'),
        ("0 0 * * MON#1,TUE", "mixes"),
        ("0 0 * * MON#6", "cannot be read"),
        ("0 0 15W * MON", "stands alone"),
        ("0 0 1,15W * *", "stands alone"),
        ("0 0 LW * *", "cannot be read"),
        ("\u0665 * * * *", "cannot be read"),
        ("0 0 * * *\n", "cannot be read"),
        ("0\u00a00 * * *", "4 fields"),
        ("0 " * 200, "400 characters"),
    ],
)
def test_an_error_names_what_is_wrong_and_gives_an_example(expression: str, says: str) -> None:
    for refuse in (
        lambda: CRON.validate(expression, "UTC"),
        lambda: CRON.next_after(expression, "UTC", NOW),
        lambda: CRON.shortest_gap(expression, "UTC"),
    ):
        with pytest.raises(CronError) as raised:
            refuse()
        (issue,) = raised.value.issues
        assert says in issue.detail
        assert (issue.pointer, issue.code) == ("/baselineCron", "invalid_cron")
        assert '"' in issue.detail or "@daily" in issue.detail
        assert issue.detail.isascii()
        assert len(issue.detail) < 400


@pytest.mark.parametrize(
    "timezone",
    [
        "Mars/Base",
        "",
        " UTC",
        "europe/lisbon",
        "Factory",
        "localtime",
        "posix/UTC",
        "Europe",
        "Europe/Lisbon/",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/../UTC",
        "UTC\x00",
        "CEST",
        "+02:00",
        "Z" * 10_000,
    ],
)
def test_an_unknown_zone_is_refused_by_name(timezone: str) -> None:
    with pytest.raises(CronError) as raised:
        CRON.next_after("* * * * *", timezone, NOW)
    (issue,) = raised.value.issues
    assert (issue.pointer, issue.code) == ("/timezone", "invalid_timezone")
    assert issue.detail.startswith("Unknown time zone ")
    assert 'use an IANA name such as "Europe/Lisbon" or "UTC"' in issue.detail
    assert len(issue.detail) < 300
    assert ('did you mean "Europe/Lisbon"' in issue.detail) == (timezone == "europe/lisbon")


def test_every_published_zone_can_be_used() -> None:
    assert len(zone_names()) > 500
    for name in sorted(zone_names()):
        assert load_zone(name).offset(datetime(2026, 1, 1)) is not None  # noqa: DTZ001


@pytest.mark.parametrize(
    ("expression", "timezone", "expected"),
    [
        ("* * * * *", "UTC", timedelta(minutes=1)),
        ("* * * * * *", "America/New_York", timedelta(seconds=1)),
        ("*/50 * * * *", "UTC", timedelta(minutes=10)),
        ("*/7 * * * * *", "UTC", timedelta(seconds=4)),
        ("0 9 * * *", "UTC", timedelta(days=1)),
        ("0 9 * * *", "Europe/Berlin", timedelta(hours=23)),
        ("0 0 * * 1,2", "UTC", timedelta(days=1)),
        ("0 0 1 * *", "UTC", timedelta(days=28)),
        ("0 0 1 6 MON", "UTC", timedelta(days=1)),
        ("0 0 29 2 *", "UTC", timedelta(days=1461)),
        # 01:57 is three minutes before the clocks jump, and the skipped 02:07 runs when they do.
        ("7-59/10 0-23 * * *", "America/New_York", timedelta(minutes=3)),
    ],
)
def test_the_shortest_gap_is_in_elapsed_time(expression: str, timezone: str, expected: timedelta) -> None:
    assert CRON.shortest_gap(expression, timezone) == expected


def test_answers_within_a_minute_come_from_memory_and_stay_right() -> None:
    cron = CroniterCron()
    minute = datetime(2026, 3, 4, 10, 7, tzinfo=UTC)
    for second in range(60):
        asked = minute + timedelta(seconds=second)
        expected = minute + timedelta(seconds=(second // 20 + 1) * 20)
        assert cron.next_after("*/20 * * * * *", "UTC", asked) == expected
        assert cron.next_after("* * * * *", "UTC", asked) == minute + timedelta(minutes=1)
        assert cron.next_after("* * * * *", "Asia/Kathmandu", asked) == minute + timedelta(minutes=1)
    kept = cron._fires.cache_info()
    assert (kept.misses, kept.hits) == (3, 177)


def _item(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    bounds = st.tuples(number, number).map(sorted)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        bounds.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(bounds, st.integers(1, 6)).map(lambda one: f"{one[0][0]}-{one[0][1]}/{one[1]}"),
        st.lists(number, min_size=2, max_size=4).map(lambda values: ",".join(map(str, values))),
    )


FIVE = st.tuples(_item(0, 59), _item(0, 23), _item(1, 28), _item(1, 12), _item(0, 6)).map(" ".join)
SIX = st.tuples(_item(0, 59), FIVE).map(" ".join)
ZONES = st.sampled_from(sorted(zone_names()))
INSTANTS = st.datetimes(datetime(1901, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=150, deadline=None)
@given(expression=FIVE | SIX, timezone=ZONES, after=INSTANTS)
def test_fires_rise_strictly_and_leave_none_out(expression: str, timezone: str, after: datetime) -> None:
    previous = after
    for fire in islice(fires(expression, timezone, after), 8):
        assert fire > previous
        # Whatever instant between two fires is asked about, the answer is the later one.
        middle = previous + (fire - previous) / 2
        assert CRON.next_after(expression, timezone, middle) == fire
        assert CRON.next_after(expression, timezone, fire - timedelta(microseconds=1)) == fire
        previous = fire


@settings(max_examples=60, deadline=None)
@given(expression=FIVE | SIX, timezone=ZONES)
def test_no_fires_are_closer_than_the_shortest_gap(expression: str, timezone: str) -> None:
    least = CRON.shortest_gap(expression, timezone)
    assert least >= timedelta(seconds=1)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert all(two - one >= least for one, two in pairwise(islice(fires(expression, timezone, start), 200)))
    change = load_zone(timezone).first_change(SCAN_FROM, SCAN_FROM + timedelta(days=366))
    if change is not None:
        at = change.at.replace(tzinfo=UTC)
        beside = [
            at - timedelta(seconds=1),
            *islice(fires(expression, timezone, at - timedelta(seconds=1)), 4),
        ]
        assert all(two - one >= least for one, two in pairwise(beside[1:]))


def _named(item: str, value: int, low: int, high: int) -> bool:
    """Whether a field's text names a value: the definition of cron, value by value."""
    for part in item.split(","):
        span, _, step = part.partition("/")
        first, _, last = (span if span != "*" else f"{low}-{high}").partition("-")
        if value in range(int(first), int(last or first) + 1, int(step or 1)):
            return True
    return False


@settings(max_examples=80, deadline=None)
@given(
    day=_item(1, 31),
    month=_item(1, 12),
    weekday=_item(0, 6),
    start=st.dates(date(1950, 1, 1), date(2100, 1, 1)),
)
def test_the_calendar_names_the_days_that_the_fields_name(day: str, month: str, weekday: str, start: date) -> None:
    both = day.startswith("*") or weekday.startswith("*")
    named = []
    for one in (start + timedelta(days=n) for n in range(500)):
        in_days, in_week = _named(day, one.day, 1, 31), _named(weekday, one.isoweekday() % 7, 0, 6)
        if _named(month, one.month, 1, 12) and (in_days and in_week if both else in_days or in_week):
            named.append(one)
    expression = f"0 0 {day} {month} {weekday}"
    before = datetime(start.year, start.month, start.day, tzinfo=UTC) - timedelta(seconds=1)
    if _accepts(expression):
        end = before + timedelta(days=500)
        found = takewhile(lambda fire: fire < end, fires(expression, "UTC", before))
        assert [fire.date() for fire in found] == named
    else:
        assert named == []


def _accepts(expression: str) -> bool:
    try:
        CRON.validate(expression, "UTC")
    except CronError:
        return False
    return True


@settings(max_examples=300, deadline=2000)
@given(
    expression=st.text(max_size=300)
    | st.text(alphabet="0123456789*/-,?#LWHR@ abcdefmnoprstuvyMONJA\t", max_size=300)
    | st.lists(st.text(alphabet="0123456789*/-,LW#", min_size=1, max_size=6), min_size=5, max_size=6).map(" ".join),
    timezone=st.just("UTC") | st.text(max_size=40),
)
def test_any_text_is_a_fire_or_a_cron_error(expression: str, timezone: str) -> None:
    try:
        fire = CRON.next_after(expression, timezone, NOW)
        gap = CRON.shortest_gap(expression, timezone)
    except CronError:
        return
    assert fire is not None
    assert fire > NOW
    assert gap > timedelta()


def test_the_longest_expression_that_is_read_costs_a_bounded_number_of_dates() -> None:
    crowded = ",".join(["0-59"] * 48)
    assert len(f"{crowded} * * * *") <= 256
    first_day.cache_clear()
    assert CRON.next_after(f"{crowded} * * * *", "UTC", NOW) == NOW.replace(second=0) + timedelta(minutes=1)
    assert first_day.cache_info().misses <= 3
