"""The rhythm: still where chance alone is at work, quick where a rate varies, and the same after every session."""

import json
import math
from datetime import timedelta
from random import Random

import pytest

from planner.rhythm import DEAD_ZONE, Look, Rhythm, Tally, from_notes, group_rate

HOUR = 3600.0
DAY = 86400.0


def looked(rhythm: Rhythm, events: list[float], until: float, *, from_s: float = 0.0) -> Rhythm:
    """Look once a baseline."""
    at, index = from_s, 0
    while at < until:
        later = at + rhythm.every
        while index < len(events) and events[index] <= at:
            index += 1
        changed = index < len(events) and events[index] <= later
        rhythm.add(Look(later, rhythm.every, changed))
        at = later
    return rhythm


def poisson(random: Random, rate: float, begin: float, end: float) -> list[float]:
    found, at = [], begin + random.expovariate(rate)
    while at < end:
        found.append(at)
        at += random.expovariate(rate)
    return found


@pytest.mark.parametrize("a_look", [0.05, 0.3, 1.0, 3.0])
def test_it_stands_still_where_changes_come_at_one_rate(a_look: float) -> None:
    moved = 0
    for seed in range(6):
        rhythm = Rhythm(HOUR)
        events = poisson(Random(seed), a_look / HOUR, 0.0, 30 * DAY)
        for day in range(30):
            looked(rhythm, [at for at in events if at > day * DAY], (day + 1) * DAY, from_s=day * DAY)
            moved += rhythm.tempo((day + 1) * DAY) != HOUR
    assert moved <= 0.02 * 6 * 30


def test_a_burst_makes_it_look_more_often_and_quiet_less_once_it_has_seen_both() -> None:
    random, rhythm = Random(3), Rhythm(HOUR)
    events = poisson(random, 1 / DAY, 0.0, 60 * DAY)
    for begin in range(5, 60, 10):
        events += poisson(random, 100 / DAY, begin * DAY, (begin + 1) * DAY)
    events.sort()
    looked(rhythm, events, 45.5 * DAY)
    assert rhythm.tempo(45.5 * DAY) < HOUR / 2
    looked(rhythm, [at for at in events if at > 45.5 * DAY], 54 * DAY, from_s=45.5 * DAY)
    assert rhythm.tempo(54 * DAY) > HOUR * 1.3
    assert not rhythm.is_steady


def test_a_daily_swing_is_learnt_by_the_hour() -> None:
    random, rhythm = Random(4), Rhythm(HOUR)
    events = [at for at in poisson(random, 24 / DAY, 0.0, 40 * DAY) if 8 <= at % DAY / HOUR < 18]
    looked(rhythm, events, 40 * DAY)
    assert rhythm.tempo(40 * DAY + 12 * HOUR) < HOUR < rhythm.tempo(40 * DAY + 2 * HOUR)


def test_lively_jobs_of_a_group_are_looked_at_more_often_and_quiet_ones_less_in_proportion_to_the_root() -> None:
    tempos = {}
    for a_day in (1.0, 16.0):
        rhythm = Rhythm(HOUR, group_rate=8.5 / DAY)
        looked(rhythm, poisson(Random(5), a_day / DAY, 0.0, 40 * DAY), 40 * DAY)
        tempos[a_day] = rhythm.tempo(40 * DAY)
    assert tempos[1.0] / tempos[16.0] == pytest.approx(4.0, rel=0.35)
    assert tempos[16.0] < HOUR < tempos[1.0]


def test_the_group_rate_is_the_mean_over_jobs_of_the_same_baseline() -> None:
    mine = Rhythm(HOUR, usual=Tally(10.0, DAY))
    same = Rhythm(HOUR, usual=Tally(30.0, DAY)).to_notes()
    other = Rhythm(2 * HOUR, usual=Tally(900.0, DAY)).to_notes()
    assert group_rate(mine, [other]) is None
    assert group_rate(mine, [same, other]) == pytest.approx((mine.usual_rate() + same["usual_rate"]) / 2)


def test_what_is_kept_between_sessions_is_all_there_is() -> None:
    whole, parts = Rhythm(HOUR), Rhythm(HOUR)
    events = poisson(Random(6), 5 / DAY, 0.0, 20 * DAY)
    looked(whole, events, 20 * DAY)
    for day in range(20):
        looked(parts, [at for at in events if at > day * DAY], (day + 1) * DAY, from_s=day * DAY)
        parts = from_notes(json.loads(json.dumps(parts.to_notes())), timedelta(hours=1))
    assert parts.looks == whole.looks
    assert parts.present_rate(20 * DAY) == pytest.approx(whole.present_rate(20 * DAY), rel=1e-3)
    assert len(json.dumps(whole.to_notes())) < 1500


@pytest.mark.parametrize(
    "notes",
    [
        None,
        {},
        {"layout": 99},
        {"layout": 1, "every": 60.0, "changes": [1.0]},
        {"layout": 1, "every": 3600.0, "changes": ["x"] * 3, "seconds": [1.0], "merits": []},
    ],
)
def test_notes_that_do_not_fit_begin_a_new_rhythm(notes: dict[str, object] | None) -> None:
    assert from_notes(notes, timedelta(hours=1)).looks == 0


def test_trouble_is_looked_at_four_times_as_often_until_it_has_taught_otherwise() -> None:
    rhythm = Rhythm(HOUR)
    assert rhythm.tempo_in_trouble() == pytest.approx(HOUR / 4)
    at = 0.0
    for _ in range(60):
        at += HOUR
        rhythm.add(Look(at, HOUR, changed=False, in_trouble=True))
    assert HOUR / 4 < rhythm.tempo_in_trouble() <= HOUR


def test_a_tempo_near_the_baseline_is_the_baseline() -> None:
    rhythm = Rhythm(HOUR, merits=[-math.inf, *[0.0] * 10], usual=Tally(100.0, 100 * HOUR))
    for tally in rhythm.lately:
        tally.changes, tally.seconds = 110.0, 100 * HOUR
    assert math.sqrt(1.1) < DEAD_ZONE
    assert rhythm.tempo(0.0) == HOUR
