"""The bounds of the evals against brute force and Monte Carlo: a wrong bound makes every figure wrong."""

import math
from collections.abc import Sequence
from itertools import combinations, pairwise, permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals import bounds

INSTANTS = st.lists(st.integers(1, 400), min_size=1, max_size=9, unique=True).map(
    lambda ticks: [tick / 10 for tick in sorted(ticks)]
)


def poisson(random: Random, rate: float, until: float) -> list[float]:
    found, at = [], random.expovariate(rate)
    while at < until:
        found.append(at)
        at += random.expovariate(rate)
    return found


def cost_of(polls: Sequence[float], events: Sequence[float], *, request: float, delay: float) -> float:
    waits = [min((poll - event for poll in polls if poll >= event), default=math.inf) for event in events]
    return request * len(polls) + delay * sum(waits)


@pytest.mark.parametrize("x", [0.2, 1.0, 3.0])
def test_freshness_age_and_delay_of_a_fixed_interval_are_what_a_simulation_shows(x: float) -> None:
    random, interval, polls = Random(5), 2.0, 60_000
    rate = x / interval
    fresh = age = 0.0
    for _ in range(polls):
        first = random.expovariate(rate)
        fresh += min(first, interval)
        age += max(0.0, interval - first) ** 2 / 2
    assert fresh / (polls * interval) == pytest.approx(bounds.freshness(x), rel=0.01)
    assert age / (polls * interval) == pytest.approx(bounds.mean_age(x, interval), rel=0.04)


def test_the_age_of_a_copy_that_hardly_ever_changes_does_not_cancel_away() -> None:
    assert bounds.mean_age(1e-3, 6.0) == pytest.approx(1e-3, rel=1e-3)
    assert bounds.mean_age(1e-9, 6.0) == pytest.approx(1e-9, rel=1e-3)


def test_the_best_interval_is_the_best_of_many_and_costs_what_is_said() -> None:
    random, request, delay, rate = Random(2), 1.0, 0.3, 0.05
    events, until = poisson(random, rate, 400_000.0), 400_000.0

    def cost(interval: float) -> float:
        waits = sum(math.ceil(event / interval) * interval - event for event in events)
        return (request * until / interval + delay * waits) / until

    best = bounds.best_interval(rate, request=request, delay=delay)
    costs = {factor: cost(best * factor) for factor in (0.5, 0.8, 1.0, 1.25, 2.0)}
    assert min(costs, key=lambda factor: costs[factor]) == 1.0
    assert costs[1.0] == pytest.approx(bounds.best_cost(rate, request=request, delay=delay), rel=0.02)


@pytest.mark.parametrize(("swing", "ratio"), [(0.5, 0.967), (0.95, 0.847), (1.0, 0.811)])
def test_a_daily_swing_is_worth_what_the_table_says(swing: float, ratio: float) -> None:
    rates = [1 + swing * math.sin(2 * math.pi * step / 10_000) for step in range(10_000)]
    assert bounds.requests_at_equal_delay(rates, [1.0] * len(rates)) == pytest.approx(ratio, abs=0.0006)


def test_a_burst_is_worth_what_the_table_says() -> None:
    assert bounds.requests_at_equal_delay([1, 100], [0.95, 0.05]) == pytest.approx(0.353, abs=0.001)


def test_polls_as_dense_as_the_root_cost_what_is_said() -> None:
    random, request, delay = Random(3), 1.0, 0.02
    spans = [(0.001, 9_000.0), (0.1, 1_000.0)] * 60
    spent = 0.0
    for rate, span in spans:
        interval = bounds.best_interval(rate, request=request, delay=delay)
        events = poisson(random, rate, span)
        spent += request * span / interval
        spent += delay * sum(math.ceil(event / interval) * interval - event for event in events)
    total = sum(span for _, span in spans)
    mean_root = sum(math.sqrt(rate) * span for rate, span in spans) / total
    assert spent / total == pytest.approx(bounds.root_cost(mean_root, request=request, delay=delay), rel=0.03)


def test_a_shared_budget_in_proportion_to_the_roots_beats_every_shift_of_it() -> None:
    rates, weights, budget = [0.1, 1.0, 7.0], [1.0, 2.0, 0.5], 5.0

    def delay(share: Sequence[float]) -> float:
        return sum(weight * rate / (2 * each) for weight, rate, each in zip(weights, rates, share, strict=True))

    best = bounds.shared_budget(rates, weights, budget)
    assert sum(best) == pytest.approx(budget)
    for giver, taker in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)]:
        shifted = list(best)
        shifted[giver], shifted[taker] = shifted[giver] - 0.02, shifted[taker] + 0.02
        assert delay(shifted) > delay(best)
    even = delay([budget / 3] * 3)
    roots = sum(math.sqrt(weight * rate) for weight, rate in zip(weights, rates, strict=True))
    assert delay(best) / even == pytest.approx(
        roots**2 / (3 * sum(weight * rate for weight, rate in zip(weights, rates, strict=True)))
    )


def test_a_lognormal_portfolio_is_worth_what_the_table_says() -> None:
    random, sigma = Random(4), 1.5
    rates = [math.exp(random.gauss(0, sigma)) for _ in range(100_000)]
    gain = bounds.requests_at_equal_delay(rates, [1.0] * len(rates))
    assert gain == pytest.approx(math.exp(-(sigma**2) / 4), rel=0.03)


def test_the_freshest_budget_beats_every_shift_of_it_and_the_square_root_rule() -> None:
    rates, budget = [0.1, 1.0, 20.0], 2.0

    def fresh(share: Sequence[float]) -> float:
        return sum(bounds.freshness(rate / each) if each > 0 else 0 for rate, each in zip(rates, share, strict=True))

    best = bounds.freshest_budget(rates, budget)
    assert sum(best) == pytest.approx(budget, rel=1e-3)
    for giver, taker in permutations(range(3), 2):
        step = min(0.02, best[giver])
        shifted = list(best)
        shifted[giver], shifted[taker] = shifted[giver] - step, shifted[taker] + step
        assert fresh(shifted) <= fresh(best) + 1e-4
    assert fresh(best) > fresh(bounds.shared_budget(rates, [1.0] * 3, budget))


def test_random_polling_is_freshest_where_the_price_says() -> None:
    rates, weights, price = [0.5, 2.0, 9.0], [1.0, 1.0, 3.0], 0.2

    def value(share: Sequence[float]) -> float:
        fresh = (weight * each / (each + rate) for weight, each, rate in zip(weights, share, rates, strict=True))
        return sum(fresh) - price * sum(share)

    best = bounds.random_polling(rates, weights, price)
    for index in range(3):
        for step in (0.05, -0.05):
            shifted = list(best)
            shifted[index] = max(0.0, shifted[index] + step)
            assert value(shifted) <= value(best) + 1e-12


@pytest.mark.parametrize("interval", [0.1, 1.0, 5.0])
def test_the_wrong_belief_about_a_flapping_state_is_what_a_simulation_shows(interval: float) -> None:
    from evals.score import wrong_share

    flips, until = 0.7, 40_000.0
    events = poisson(Random(6), flips, until)
    polls = [step * interval for step in range(int(until / interval))]
    assert wrong_share(events, polls, until) == pytest.approx(bounds.wrong_belief(flips, interval), rel=0.03)


@given(events=INSTANTS, request=st.floats(0.05, 5.0), delay=st.floats(0.05, 3.0))
@settings(max_examples=60, deadline=None)
def test_the_clairvoyant_is_as_good_as_the_best_of_all_choices(
    events: list[float], request: float, delay: float
) -> None:
    choices = ([*chosen, events[-1]] for count in range(len(events)) for chosen in combinations(events[:-1], count))
    brute = min(cost_of(polls, events, request=request, delay=delay) for polls in choices)
    assert bounds.clairvoyant(events, request=request, delay=delay) == pytest.approx(brute)
    assert bounds.clairvoyant_spaced(events, request=request, delay=delay, least=0.0) == pytest.approx(brute)


def test_a_clairvoyant_who_must_wait_between_polls_looks_between_the_events_too() -> None:
    spaced = bounds.clairvoyant_spaced([1.0, 2.6], request=0.1, delay=1.0, least=1.5)
    assert spaced == pytest.approx(1.1)
    only_at_events = cost_of([2.6], [1.0, 2.6], request=0.1, delay=1.0)
    assert only_at_events == pytest.approx(1.7)


@given(ticks=st.lists(st.integers(1, 14), min_size=1, max_size=4, unique=True), least=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_the_spaced_clairvoyant_is_as_good_as_the_best_on_a_grid(ticks: list[int], least: int) -> None:
    """Events and spacing are whole, so a best plan is whole too."""
    events = sorted(float(tick) for tick in ticks)
    end = int(events[-1]) + least
    brute = math.inf
    for count in range(1, len(events) + 1):
        for polls in combinations(range(least, end + 1), count):
            if all(later - sooner >= least for sooner, later in pairwise(polls)) and polls[-1] >= events[-1]:
                brute = min(brute, cost_of([float(poll) for poll in polls], events, request=0.7, delay=0.4))
    assert bounds.clairvoyant_spaced(events, request=0.7, delay=0.4, least=float(least)) == pytest.approx(brute)
