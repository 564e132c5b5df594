"""How much a worker takes on, and whose it is."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.entities import HttpAction, IntervalBaseline, Job, Schedule
from core.errors import Unavailable
from core.usecases.manage_jobs import first_epoch
from core.usecases.pace import LEAD_S, LONGEST_LEAD, Pace
from core.usecases.places import Places, Queue, with_reserve
from tests.unit.fakes import START, FakeClock
from tests.unit.loop import Loop, definition, failing

PLACES = 16


def a_job(tenant: str, host: str = "target.test") -> Job:
    made = definition(action=HttpAction(f"http://{host}/"))
    return Job(tenant, f"job_{tenant}", made, Schedule(START, START), START)


def test_after_a_start_or_an_outage_admission_grows_from_a_quarter_to_all() -> None:
    clock = FakeClock()
    pace = Pace(clock, PLACES, timedelta(0), ramp=timedelta(seconds=4))
    seen = []
    for _ in range(5):
        seen.append(pace.admitted())
        clock.advance(1)
    assert seen == [4, 8, 12, 16, 16]
    pace.start_again()
    assert pace.admitted() == 4


async def test_a_worker_whose_store_was_away_begins_with_few_again() -> None:
    loop = Loop()
    jobs = [await loop.register() for _ in range(16)]
    worker = replace(loop.worker, batch_size=PLACES, ramp=timedelta(seconds=4))
    worker._pace.admitted()
    loop.clock.advance(10)
    assert worker._pace.admitted() == PLACES
    failing(loop, "claim", [Unavailable("gone")])
    try:
        await worker.run_once()
    except Unavailable:
        loop.clock.advance(1)
    assert len(jobs) == PLACES
    loop.dispatcher.answers.clear()
    assert (await worker.run_once()).claimed == 4
    loop.dispatcher.answers.set()
    assert await worker.drain(5) == 0


def test_claims_beyond_the_free_places_follow_the_rate_of_the_last_runs() -> None:
    clock = FakeClock()
    pace = Pace(clock, PLACES, ahead=timedelta(seconds=0.5), ramp=timedelta(0))
    assert pace.lead() == 0
    pace.count(0)
    for _ in range(20):
        clock.advance(1)
        pace.count(100)
    expected = 100 * (0.5 + LEAD_S)
    assert expected - 1 <= pace.lead() <= expected
    for _ in range(20):
        clock.advance(1)
        pace.count(100_000)
    assert pace.lead() == LONGEST_LEAD * PLACES


def test_a_tenant_that_fills_every_place_leaves_a_reserve_to_those_that_use_little() -> None:
    places = Places(plain=PLACES, host_limit=99)
    for _ in range(PLACES):
        assert places.has_room_for("heavy", admitted=PLACES)
        places.take(a_job("heavy"))
    assert not places.has_room_for("heavy", admitted=PLACES)
    taken = 0
    while places.has_room_for("light", admitted=PLACES):
        places.take(a_job("light"))
        taken += 1
    assert places.taken == with_reserve(PLACES) == PLACES + taken


def test_a_host_has_its_limit_whatever_its_tenants() -> None:
    places = Places(plain=PLACES, host_limit=2)
    places.take(a_job("one"))
    assert not places.is_host_full(a_job("two"))
    places.take(a_job("two"))
    assert places.is_host_full(a_job("three", host="TARGET.test"))
    assert not places.is_host_full(a_job("three", host="other.test"))
    places.free(a_job("one"))
    assert not places.is_host_full(a_job("three"))


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_tenants_take_turns_in_the_queue_and_nothing_gets_lost(order: list[str]) -> None:
    queue: Queue[int] = Queue()
    places = Places(plain=1000, host_limit=1000)
    for number, tenant in enumerate(order):
        queue.put(tenant, number)
    came = []
    while (number := queue.take(places, admitted=1000)) is not None:
        came.append(number)
    assert sorted(came) == list(range(len(order)))
    for tenant in set(order):
        own = [number for number in came if order[number] == tenant]
        assert own == sorted(own)
    rounds = len(set(order))
    assert len({order[number] for number in came[:rounds]}) == rounds


@given(st.integers(1_000, 10**9), st.lists(st.text(min_size=1), min_size=50, max_size=50, unique=True))
def test_jobs_registered_together_are_spread_over_one_interval_the_same_way_each_time(
    every_ms: int, ids: list[str]
) -> None:
    every = timedelta(milliseconds=every_ms)
    made = replace(definition(baseline=IntervalBaseline(every)), splay=True)
    epochs = [first_epoch(made, identity, START) for identity in ids]
    assert all(START <= epoch < START + every for epoch in epochs)
    assert epochs == [first_epoch(made, identity, START) for identity in ids]
    assert max(Counter(epochs).values()) < len(ids)
