"""Each policy against an example worked out by hand; and the short way of playing one against the long way."""

import math

import pytest

from evals.engine import play
from evals.policies.aimd import Aimd
from evals.policies.alex import Alex
from evals.policies.backoff import Backoff
from evals.policies.catalogue import TEXTBOOK
from evals.policies.ewma import MEMORY, Ewma
from evals.policies.fixed import AlwaysLeast, Fixed
from evals.policies.learn import LEARNING, LearnAndCrawl
from evals.policies.mimd import Mimd
from evals.policies.policy import Look, Policy, Setting
from evals.policies.rates import even_rate, uneven_rate
from evals.policies.seat import PolicyPlanner
from evals.policies.volley import Volley
from evals.policies.windowed import Windowed
from evals.quick import play_quickly
from evals.worlds.catalogue import read_worlds

SETTING = Setting(every=100.0, least=10.0, most=1000.0, request=1.0, delay=0.02)


def waits(policy: Policy, changes: str) -> list[float]:
    """Show a policy looks in a row, `x` for a change, each when it asked for it; return what it asked for."""
    found, at, gap = [], 0.0, 0.0
    for mark in changes:
        interval = policy.next_interval(Look(at, gap, mark == "x"))
        found.append(interval)
        at, gap = at + interval, interval
    return found


def test_fixed_keeps_the_baseline_times_its_knob_and_always_min_the_minimum() -> None:
    assert waits(Fixed(SETTING), ".x.") == [100, 100, 100]
    assert waits(AlwaysLeast(SETTING), ".x.") == [10, 10, 10]


def test_aimd_adds_a_quarter_of_the_baseline_and_halves_after_a_change() -> None:
    assert waits(Aimd(SETTING), "..x.x") == [125, 150, 75, 100, 50]


def test_mimd_grows_by_a_quarter_and_halves_after_a_change() -> None:
    assert waits(Mimd(SETTING), "..x") == [125, 156.25, 78.125]


def test_alex_waits_a_fifth_of_the_age() -> None:
    policy = Alex(SETTING)
    assert policy.next_interval(Look(500.0, 100.0, changed=False)) == 100
    assert policy.next_interval(Look(600.0, 100.0, changed=True)) == 10
    assert policy.next_interval(Look(900.0, 300.0, changed=False)) == 60


def test_backoff_doubles_until_something_changes_and_stops_at_the_maximum() -> None:
    assert waits(Backoff(SETTING), "..x....") == [200, 400, 100, 200, 400, 800, 1000]


def test_the_even_estimate_corrects_the_bias_and_is_finite_when_all_looks_changed() -> None:
    assert even_rate(3, 10, 2.0) == pytest.approx(-math.log(7.5 / 10.5) / 2)
    assert even_rate(10, 10, 2.0) == pytest.approx(math.log(21) / 2)


def test_the_uneven_estimate_is_the_root_of_the_likelihood() -> None:
    looks = [(1.0, True), (3.0, True), (2.0, False), (5.0, False)]
    rate = uneven_rate(looks)
    assert sum(gap / math.expm1(rate * gap) for gap, was in looks if was) == pytest.approx(7.0)
    assert uneven_rate([(2.0, True), (2.0, False)]) == pytest.approx(math.log(2) / 2)
    assert uneven_rate([(2.0, False)]) == 0


def test_the_windowed_estimate_sets_the_root_of_twice_the_price_over_the_rate() -> None:
    policy = Windowed(SETTING)
    policy.next_interval(Look(0.0, 0.0, changed=False))
    policy.next_interval(Look(50.0, 50.0, changed=True))
    interval = policy.next_interval(Look(100.0, 50.0, changed=False))
    assert interval == pytest.approx(math.sqrt(2 / (0.02 * math.log(2) / 50)))


def test_the_weighted_estimate_forgets_changes_and_time_alike() -> None:
    policy = Ewma(SETTING)
    policy.next_interval(Look(0.0, 0.0, changed=False))
    interval = policy.next_interval(Look(100.0, 100.0, changed=True))
    rate = (1 + 0.5) / (100 + MEMORY * 100 / 4)
    assert interval == pytest.approx(math.sqrt(2 / (0.02 * rate)))


def test_volley_bounds_a_miss_by_cantelli_and_lengthens_by_one_baseline_after_ten_calm_looks() -> None:
    policy = Volley(SETTING)
    policy.steps, policy.mean, policy.spread = 11, 0.01, 10 * 0.0001
    assert policy.chance(0.2, 1) == pytest.approx(0.0001 / (0.0001 + 0.79**2))
    second = 0.0001 / (0.0001 + (0.78 / 2) ** 2)
    assert policy.chance(0.2, 2) == pytest.approx(1 - (1 - policy.chance(0.2, 1)) * (1 - second))
    assert waits(Volley(SETTING), "." * 14)[10:13] == [100, 200, 200]
    assert waits(Volley(SETTING), "." * 13 + "x")[-1] == 100


def test_learn_and_crawl_keeps_what_it_learnt_for_good() -> None:
    looks = "." + "x." * (LEARNING // 2) + "xxxx"
    found = waits(LearnAndCrawl(SETTING), looks)
    assert found[: LEARNING - 1] == [100.0] * (LEARNING - 1)
    rate = -math.log((LEARNING / 2 + 0.5) / (LEARNING + 0.5)) / 100
    assert found[LEARNING] == found[-1] == pytest.approx(math.sqrt(2 / (0.02 * rate)))


@pytest.mark.parametrize("name", sorted(TEXTBOOK))
def test_the_short_way_of_playing_a_policy_runs_at_the_very_instants_of_the_real_loops(name: str) -> None:
    world = read_worlds()["burst"]
    target, horizon_s = world.draw(7)[0], 8 * 86400.0
    setting = Setting.of(world.terms, world.costs)
    if name == "always-min":
        horizon_s /= 20
    real = play([target], world.terms, PolicyPlanner(name, lambda: TEXTBOOK[name](setting)), horizon_s)[0]
    assert play_quickly(target, TEXTBOOK[name](setting), horizon_s).runs == real.runs
