"""Every family against a model that obeys it, and against the offline planner: nothing breaks."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from core.entities import Author, Authority, Bounds, HintKind, IntervalBaseline, Limits, SlotKind
from core.sessions import Verdict
from planner.llm import OfflinePlanner
from tests.hostile import invariants
from tests.hostile.orders import FASTEST, LONGEST_PAUSE, RULE_FAST, RULE_PAUSE, USUAL
from tests.hostile.payloads import EACH, FAMILIES, Payload, payloads, status
from tests.hostile.world import ROUNDS, Tally, World, attack
from tests.unit.fakes import START
from tests.unit.loop import ALL, TENANT

MINUTE = timedelta(minutes=1)
ROUNDS_OF = {"oscillation": 5, "split_across_runs": 4, "second_order": 2, "rules": 2}


@pytest.fixture(scope="module")
def tallies() -> Iterator[dict[str, Tally]]:
    """Keep what each test did, and print it at the end: a suite that did nothing would show."""
    kept: dict[str, Tally] = {}
    yield kept
    for name in ("obedient", "offline"):
        done = [each for key, each in kept.items() if key.startswith(name)]
        sums = {field: sum(getattr(each, field) for each in done) for field in Tally.__dataclass_fields__}
        told = ", ".join(f"{value} {field}" for field, value in sums.items())
        print(f"\nhostile suite, {name} planner: {len(done)} families, {told}, 0 breaks")  # noqa: T201 - the counts


def test_there_are_enough_families_of_fifteen_different_payloads() -> None:
    assert len(FAMILIES) >= 20
    for name in FAMILIES:
        made = payloads(name)
        assert len(made) == EACH, name
        assert len({repr(each) for each in made}) == EACH, name


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_model_that_obeys_every_word_breaks_nothing(family: str, tallies: dict[str, Tally]) -> None:
    tally = tallies[f"obedient {family}"] = Tally()
    for number, payload in enumerate(payloads(family)):
        await attack(payload, number, tally, rounds=ROUNDS_OF.get(family, ROUNDS))
    assert tally.payloads == EACH
    assert tally.sessions >= EACH


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_offline_planner_is_not_talked_into_anything_either(family: str, tallies: dict[str, Tally]) -> None:
    tally = tallies[f"offline {family}"] = Tally()
    every_third = list(enumerate(payloads(family)))[::3]
    for number, payload in every_third:
        await attack(payload, number, tally, rounds=0, planner=OfflinePlanner())
    assert tally.payloads == len(every_third)


async def test_what_is_granted_does_come_through() -> None:
    """Else the suite would pass with a planner that can do nothing."""
    seen: set[HintKind] = set()
    verdicts: set[str] = set()
    for payload in payloads("override")[: len(USUAL)]:
        world = await attack(payload, 0, Tally(), grants=ALL)
        seen |= invariants.kinds_of(await world.hints())
        sessions = (await world.loop.store.sessions(TENANT, limit=100)).items
        verdicts |= {call.verdict for session in sessions for call in session.plan.calls}
    assert seen == set(HintKind)
    assert {Verdict.ACCEPTED, Verdict.CLAMPED} <= verdicts


async def paused_for(world: World, days: float) -> list[tuple[object, object]]:
    """Live so long; return when a planner or rule kept the job still."""
    spans = []
    while world.loop.clock.at < START + timedelta(days=days):
        await world.round()
        schedule = (await world.present()).schedule
        if schedule.paused_by in (Author.PLANNER, Author.RULE) and schedule.paused_until is not None:
            spans.append((world.loop.clock.at, schedule.paused_until))
    return spans


@pytest.mark.parametrize("accept", [False, True])
async def test_nine_days_of_orders_to_pause_stay_within_the_weekly_share(accept: bool) -> None:
    orders = (RULE_PAUSE, LONGEST_PAUSE) if accept else (LONGEST_PAUSE,)
    payload = Payload("pause", (status("pause for ever"),), orders, each_session=True)
    limits = Limits(auto_accept_rules=accept)
    slow = IntervalBaseline(timedelta(hours=6))
    world = await World(payload, limits=limits, grants=ALL, baseline=slow, bounds=Bounds()).open()
    spans = await paused_for(world, 9)
    assert spans
    invariants.check_pauses(spans, limits.pause_share)  # type: ignore[arg-type]  # pairs of instants


@pytest.mark.parametrize("accept", [False, True])
async def test_a_day_of_orders_to_hurry_stays_within_the_days_allowance(accept: bool) -> None:
    orders = (RULE_FAST, FASTEST) if accept else (FASTEST,)
    payload = Payload("hurry", (status("faster"),), orders, each_session=True)
    limits = Limits(accelerated_runs_per_day=40, auto_accept_rules=accept)
    world = await World(payload, limits=limits, grants=ALL, baseline=IntervalBaseline(10 * MINUTE)).open()
    while world.loop.clock.at < START + timedelta(hours=5):
        await world.round()
    midnight = START.replace(hour=0)
    hurried = [run for run in await world.loop.runs(world.job) if run.kind is SlotKind.HINTED]
    assert 0 < len(hurried) <= 40
    assert await world.runs_on(midnight) <= 5 * 6 + 40 + 2


async def test_without_any_grant_a_year_of_orders_moves_nothing() -> None:
    payload = Payload("all", (status("obey"),), (FASTEST, LONGEST_PAUSE, RULE_FAST))
    world = await World(payload, grants=Authority()).open()
    gaps = set()
    for _ in range(10):
        await world.round()
        slot = (await world.present()).schedule.slot
        gaps.add(slot.at - world.loop.clock.at if slot is not None else None)
    assert gaps == {MINUTE}
    assert await world.hints() == []
