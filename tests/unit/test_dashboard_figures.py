"""What the later screens draw and say, as pure functions of what is known."""

from datetime import UTC, date, datetime, timedelta

import pytest

from api.dashboard.drawing import burndown, evals
from api.dashboard.drawing.failures import by_class, class_of
from api.dashboard.drawing.filters import instant_of, since_choices
from api.dashboard.drawing.usage import HEIGHT, days_of
from api.problems import Problem
from core.entities import RunStatus
from core.ports.insights import FailureGroup, SpentHour
from core.ports.quota import QuotaWindow
from core.ports.usage import UsageDay
from tests.unit.pages import get, lived

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MIDNIGHT = NOON - 12 * HOUR


def failed(
    message: str | None, status: int | None = None, *, count: int = 1, jobs: tuple[str, ...] = ("a",), ago: int = 1
) -> FailureGroup:
    return FailureGroup(status, message, count, jobs, NOON - 5 * HOUR, NOON - ago * HOUR, "run_1")


@pytest.mark.parametrize(
    ("message", "status", "name"),
    [
        ("HTTP 503", 503, "Server error"),
        ("HTTP 404", 404, "Refused by the target"),
        ("/status is not ready", 200, "Unexpected answer"),
        ("Request timed out after 30000ms", None, "Timed out"),
        ("Target timed out after 1000ms", None, "Timed out"),
        ("The address 10.0.0.1 is not public; it is blocked", None, "Blocked"),
        ("The name shop.example.com could not be resolved", None, "No connection"),
        ("Connection refused", None, "No connection"),
        ("ValueError: there is no such region", None, "Target function"),
        ("No URL configured", None, "Other"),
        (None, None, "Other"),
    ],
)
def test_a_failure_has_a_class(message: str | None, status: int | None, name: str) -> None:
    assert class_of(failed(message, status)) == name


def test_classes_are_counted_over_their_groups_and_the_last_to_fail_comes_first() -> None:
    groups = [
        failed("HTTP 500", 500, count=4, jobs=("a", "b"), ago=3),
        failed("HTTP 502", 502, count=2, jobs=("b",), ago=2),
        failed("Request timed out after 5000ms", count=1, ago=1),
    ]
    first, second = by_class(groups)
    assert (first.name, first.count) == ("Timed out", 1)
    assert (second.name, second.count, second.jobs, second.last_at) == ("Server error", 6, 2, NOON - 2 * HOUR)
    assert by_class([]) == []


def window(limit: int, used: int, *, reserved: int = 0, name: str = "tokens_per_day") -> QuotaWindow:
    return QuotaWindow(name, MIDNIGHT, MIDNIGHT + 24 * HOUR, limit, used, reserved)


def spent(*hours: tuple[int, int]) -> list[SpentHour]:
    return [SpentHour(MIDNIGHT + hour * HOUR, 1, tokens) for hour, tokens in hours]


def test_an_allowance_that_will_not_last_says_when_it_is_used_up() -> None:
    drawn = burndown.draw(window(1600, 600), spent((9, 200), (10, 200), (11, 200)), NOON)
    assert drawn.per_hour == 200
    assert drawn.exhausted_at == NOON + 5 * HOUR
    assert (drawn.left, drawn.tone) == (1000, "bad")
    assert drawn.mark_x is not None
    assert drawn.mark_x > drawn.now_x


def test_one_that_lasts_says_so() -> None:
    drawn = burndown.draw(window(100_000, 600), spent((9, 200), (10, 200), (11, 200)), NOON)
    assert drawn.exhausted_at is None
    assert drawn.tone == "ok"
    assert drawn.projection.split()[-1].startswith("634.0,")


def test_what_was_spent_long_ago_is_no_present_rate() -> None:
    drawn = burndown.draw(window(1000, 900), spent((1, 900)), NOON)
    assert drawn.per_hour == 0
    assert drawn.exhausted_at is None
    assert drawn.tone == "warn"  # though little is left


@pytest.mark.parametrize(("limit", "used"), [(0, 0), (0, 10), (10, 25)])
def test_an_allowance_of_nothing_and_one_overdrawn_are_drawn_too(limit: int, used: int) -> None:
    drawn = burndown.draw(window(limit, used), [], NOON)
    assert (drawn.left, drawn.share) == (0, 0.0)
    for point in drawn.line.split():
        x, y = (float(part) for part in point.split(","))
        assert 0 <= x <= burndown.WIDTH
        assert 0 <= y <= burndown.HEIGHT


def test_the_windows_own_count_has_the_last_word() -> None:
    drawn = burndown.draw(window(1000, 500, reserved=100), spent((10, 200)), NOON)
    assert drawn.left == 400
    first = float(drawn.line.split()[0].split(",")[1])
    untouched = float(burndown.draw(window(1000, 0), [], NOON).line.split()[0].split(",")[1])
    assert first > untouched  # 400 were spent before the first hour that is known


def test_spans_and_instants_narrow_a_list_and_nothing_else_does() -> None:
    assert instant_of("6h", NOON) == NOON - 6 * HOUR
    assert instant_of("2026-01-05T13:00:00+01:00", NOON) == NOON
    assert instant_of("", NOON) is None
    for wrong in ("yesterday", "2026-01-05T13:00:00", "9999-01-01T00:00:00Z"):
        with pytest.raises(Problem):
            instant_of(wrong, NOON)
    assert since_choices("2026-01-05T12:00:00Z")[-1][0] == "2026-01-05T12:00:00Z"


def test_days_without_use_stand_between_those_with() -> None:
    used = {
        date(2026, 1, 1): UsageDay(date(2026, 1, 1), {RunStatus.SUCCEEDED: 8, RunStatus.FAILED: 2}, 1, 100, 20),
        date(2026, 1, 3): UsageDay(date(2026, 1, 3), {RunStatus.SKIPPED: 5}),
    }
    first, second, third = days_of(used)
    assert (first.runs, first.failed, first.tokens, first.bar, first.bad) == (10, 2, 120, HEIGHT, HEIGHT / 5)
    assert (second.runs, second.bar) == (0, 0)
    assert (third.skipped, third.bar) == (5, HEIGHT / 2)
    assert days_of({}) == []


def report(low: float, mean: float, high: float) -> bytes:
    figures = f'{{"mean": {mean}, "low": {low}, "high": {high}}}'
    return f'{{"worlds": {{"w": {{"seeds": 4, "policies": {{"offline": {{"against_fixed": {figures}, "cost": {figures}}}}}}}}}}}'.encode()


@pytest.mark.parametrize(
    ("interval", "tone"), [((-0.3, -0.2, -0.1), "ok"), ((0.1, 0.2, 0.3), "bad"), ((-0.1, 0.0, 0.1), "calm")]
)
def test_a_world_pays_harms_or_does_neither(interval: tuple[float, float, float], tone: str) -> None:
    read = evals.read_report(report(*interval))
    assert read is not None
    (row,) = evals.rows_of(read)
    assert row.tone == tone
    assert row.low <= row.mean <= row.high


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"worlds": 3}', b"\xff", b"[" * 100_000])
def test_what_is_no_report_is_not_read(raw: bytes) -> None:
    assert evals.read_report(raw) is None


async def test_the_page_without_a_report_names_the_command() -> None:
    page = (await get(await lived(), "/evals")).text
    assert "No report yet" in page
    assert "rubato eval" in page
