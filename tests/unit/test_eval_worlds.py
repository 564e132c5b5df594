"""Worlds are pure functions of (seed, time): the same seed gives the same figures twice, whoever asks."""

import dataclasses
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from evals.engine import Play, play
from evals.offline import DirectOfflinePlanner
from evals.policies.catalogue import TEXTBOOK
from evals.score import delays_of, fresh_share, score, violations_of, wrong_share
from evals.suite import HELD_OUT, TRAINING, Cell, bound_of, play_cell
from evals.worlds.catalogue import choose, read_worlds
from evals.worlds.world import Target, World, reply
from planner.llm import OfflinePlanner

DAY_S = 86400.0
WORLDS = read_worlds()


def shortened(name: str, days: float) -> World:
    return dataclasses.replace(WORLDS[name], horizon_s=days * DAY_S)


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_a_world_is_the_same_for_the_same_seed_and_another_for_another(name: str) -> None:
    world = shortened(name, 8)
    once, again, other = world.draw(3), world.draw(3), world.draw(4)
    moments = [step * 1800.0 for step in range(8 * 48)]
    for one, two in zip(once, again, strict=True):
        assert (one.events, one.forbidden, one.wanted) == (two.events, two.forbidden, two.wanted)
        assert [one.answer(at) for at in moments] == [two.answer(at) for at in moments]
    if name != "silent":
        drawn = [(each.events, each.forbidden, each.wanted) for each in once]
        assert drawn != [(each.events, each.forbidden, each.wanted) for each in other]


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_events_lie_in_order_within_the_horizon(name: str) -> None:
    for target in WORLDS[name].draw(1):
        assert list(target.events) == sorted(target.events)
        assert all(0 <= event <= WORLDS[name].horizon_s for event in target.events)


def test_training_seeds_and_held_out_seeds_never_meet() -> None:
    assert not set(TRAINING) & set(HELD_OUT)
    assert len(TRAINING) >= 30
    assert len(HELD_OUT) >= 30


def test_a_cell_gives_the_same_figures_twice() -> None:
    cell = Cell(shortened("rate-limit", 0.5), 5, ("fixed", "aimd", "offline"))
    assert play_cell(cell) == play_cell(cell)


def test_the_direct_offline_planner_does_what_the_one_behind_the_agent_does() -> None:
    world = shortened("rate-limit", 0.6)
    targets = world.draw(2)
    direct = play(targets, world.terms, DirectOfflinePlanner(), world.horizon_s)
    agent = play(targets, world.terms, OfflinePlanner(), world.horizon_s)
    assert direct[0].runs == agent[0].runs
    assert direct[0].hints == agent[0].hints > 0


@pytest.mark.parametrize("name", ["poisson", "poisson-lively", "next-update-silent"])
def test_where_a_fixed_interval_is_optimal_the_offline_planner_stands_still(name: str) -> None:
    world = shortened(name, 12)
    targets = world.draw(TRAINING[0])
    assert play(targets, world.terms, DirectOfflinePlanner(), world.horizon_s)[0].runs == (
        play(targets, world.terms, None, world.horizon_s)[0].runs
    )


@pytest.mark.parametrize(
    "name", ["rate-limit", "rate-limit-date", "rate-limit-prose", "maintenance", "maintenance-prose"]
)
def test_no_run_lies_before_a_retry_after_or_inside_announced_maintenance(name: str) -> None:
    world = shortened(name, 4)
    targets = world.draw(TRAINING[1])
    plays = play(targets, world.terms, DirectOfflinePlanner(), world.horizon_s)
    assert targets[0].forbidden
    assert score(world, targets, plays).violations == 0


def test_a_bound_is_never_beaten_by_the_best_of_the_policies() -> None:
    cheap = [policy for policy in TEXTBOOK if policy not in ("always-min", "window+root")]
    for name in ("poisson", "burst", "next-update"):
        played = play_cell(Cell(shortened(name, 10), 9, tuple(cheap)))
        best = min(each.cost for knobs in played.scores.values() for each in knobs.values())
        assert played.bound <= best * 1.1, name  # an informed bound is one of the mean, not of each realisation


def test_the_bound_counts_what_the_maximum_demands_and_what_is_wanted() -> None:
    silent, deadline = shortened("silent", 10), shortened("deadline", 10)
    assert bound_of(silent, silent.draw(0)) == pytest.approx(1.0)
    targets = deadline.draw(0)
    assert bound_of(deadline, targets) == pytest.approx(max(1.0, len(targets[0].wanted) / 10))


def test_a_delay_is_the_wait_for_the_first_run_at_or_after_an_event() -> None:
    target = Target((10.0, 20.0, 95.0), lambda second: reply({}))
    assert delays_of(target, Play((0.0, 20.0, 50.0)), 100.0) == [10.0, 0.0, 5.0]


def test_a_forbidden_stretch_forgives_its_first_run_only_where_it_was_not_announced() -> None:
    play_ = Play((0.0, 10.0, 15.0, 19.0, 20.0))
    told = Target((), lambda second: reply({}), forbidden=((10.0, 20.0),))
    assert violations_of(told, play_) == 3
    assert violations_of(dataclasses.replace(told, announces=False), play_) == 2
    assert violations_of(Target((), lambda second: reply({}), wanted=((11.0, 14.0), (14.0, 16.0))), play_) == 1


def test_the_wrong_belief_lasts_from_a_flip_to_the_next_run_or_the_flip_back() -> None:
    assert wrong_share([2.0, 6.0, 7.0], [0.0, 5.0], 10.0) == pytest.approx((3 + 1) / 10)


def test_a_copy_is_fresh_from_a_run_to_the_first_event_after_it() -> None:
    assert fresh_share([2.0, 3.0, 9.0], [0.0, 5.0], 10.0) == pytest.approx(1 - (3 + 1) / 10)


def test_an_unknown_world_or_policy_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r'no world "nowhere".*Known:.*poisson'):
        choose(dict(WORLDS), ("nowhere",), "world")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1", "line 1"),
        ("[]", "a mapping"),
        ("x: {why: w, law: {kind: poisson}}", r"x\.law\.poisson\.changes_a_day"),
        ("x: {why: w, law: {kind: dice}}", r"x\.law"),
        (
            "x: {why: w, law: {kind: silent}, horizon: P1D, costs: {}, job: {every: PT1M, least: PT2M, most: P1D}}",
            "least <= every",
        ),
        (
            "x: {why: w, law: {kind: silent}, horizon: P1D, costs: {}, twin_of: y, job: {every: P1D, least: P1D, most: P1D}}",
            "no world y",
        ),
    ],
)
def test_a_wrong_file_of_worlds_is_told_where_and_why(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "worlds.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        read_worlds(file)
