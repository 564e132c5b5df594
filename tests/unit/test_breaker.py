"""A server that fails is left alone, for each tenant and model by itself."""

from planner.breaker import FAILURES, FIRST_S, LONGEST_RETRY_AFTER_S, LONGEST_S, MOST_KEYS, PROBE_S, Breaker

KEY, OTHER = ("ten_a", "m"), ("ten_b", "m")


def opened(at_s: float = 100.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(KEY, at_s)
    return breaker


def test_it_opens_after_five_failures_in_a_row_and_for_one_key_only() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(KEY, 100)
    assert breaker.wait_s(KEY, 100) == 0
    breaker.failed(KEY, 100)
    assert breaker.wait_s(KEY, 110) == FIRST_S - 10
    assert breaker.wait_s(OTHER, 110) == 0
    assert breaker.open_count(110) == 1


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed(KEY, 100)
        breaker.succeeded(KEY)
    assert breaker.wait_s(KEY, 100) == 0


def test_half_open_lets_one_probe_through() -> None:
    breaker = opened()
    assert breaker.wait_s(KEY, 100 + FIRST_S) == 0
    assert breaker.wait_s(KEY, 100 + FIRST_S + 1) > 0
    breaker.succeeded(KEY)
    assert breaker.wait_s(KEY, 100 + FIRST_S + 2) == 0
    assert breaker.open_count(200) == 0


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_ten_minutes() -> None:
    breaker, now, spans = opened(), 100.0, []
    for _ in range(8):
        wait = breaker.wait_s(KEY, now)
        spans.append(wait)
        now += wait
        assert breaker.wait_s(KEY, now) == 0
        breaker.failed(KEY, now)
    assert spans[:3] == [FIRST_S, FIRST_S * 2, FIRST_S * 4]
    assert spans[-1] == LONGEST_S


def test_a_probe_that_nobody_heard_of_blocks_for_a_minute() -> None:
    breaker = opened()
    assert breaker.wait_s(KEY, 200) == 0
    assert breaker.wait_s(KEY, 200 + PROBE_S) == 0


def test_a_retry_after_opens_it_at_once_and_for_an_hour_at_the_most() -> None:
    breaker = Breaker()
    breaker.failed(KEY, 100, retry_after_s=7)
    assert breaker.wait_s(KEY, 100) == 7
    assert breaker.wait_s(KEY, 107) == 0
    breaker.failed(KEY, 107, retry_after_s=1e9)
    assert breaker.wait_s(KEY, 107) == LONGEST_RETRY_AFTER_S


def test_it_remembers_a_bounded_number_of_keys() -> None:
    breaker = Breaker()
    for number in range(MOST_KEYS + 50):
        breaker.failed((f"ten_{number}", "m"), 1.0)
    assert len(breaker._states) == MOST_KEYS
