"""The demo: a day of pure functions, and jobs that the offline planner visibly steers within the first minute of it."""

import itertools
import json
from datetime import datetime, timedelta

import pytest

from core.entities import Definition, HttpAction, Job
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.store import JobFilter
from core.predicates import in_words
from core.registration import check
from planner.evidence import threshold_of
from planner.llm import OfflinePlanner
from rubato.adapters.cron import CroniterCron
from rubato.demo import day
from rubato.demo.day import DAY_S, HIGH, LOW, ROUTES, phase_at, queue_depth_at, queue_reply, reports_reply
from rubato.demo.jobs import demo_definitions, register_demo
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop

PHASES = ("calm", "filling", "incident", "recovering", "notice", "maintenance", "calm")
URL = "http://127.0.0.1:9/"


def at(second: float) -> tuple[int, dict[str, object], dict[str, str]]:
    """Return what the queue answers at that second of the day: status, body, headers."""
    reply = queue_reply(second, START + timedelta(seconds=second))
    return reply.status, json.loads(reply.body), dict(reply.headers)


def queue_job() -> Definition:
    """Return the job that watches the queue."""
    return demo_definitions(URL, START)[0]


async def all_jobs(loop: Loop) -> list[Job]:
    """Return every job of the tenant."""
    return list((await loop.store.jobs(TENANT, JobFilter(), limit=50)).items)


async def a_day_and_a_half() -> tuple[list[float], dict[float, str]]:
    """Let the real use cases and the offline planner live with the target; return starts and sources by second."""
    loop = Loop(planner=OfflinePlanner())  # type: ignore[arg-type]  # a port, typed by its usual fake here

    def answer(request: HttpRequest) -> HttpResult:
        status, body, headers = at((loop.clock.now() - START).total_seconds())
        return HttpResult(
            status_code=status, duration_ms=1, body=json.dumps(body), retry_after=headers.get("retry-after")
        )

    loop.dispatcher.plan = answer
    job = await loop.register(queue_job())
    starts: list[float] = []
    sources: dict[float, str] = {}
    while True:
        slot = (await loop.until_slot(job)).schedule.slot
        assert slot is not None
        second = round((loop.clock.now() - START).total_seconds(), 3)
        if second > 1.5 * DAY_S:
            return starts, sources
        starts.append(second)
        sources[second] = slot.source.value
        await loop.turn()


def test_a_day_goes_through_its_phases_in_order() -> None:
    seen = [phase_at(second) for second in range(DAY_S)]
    assert tuple(phase for number, phase in enumerate(seen) if number == 0 or seen[number - 1] != phase) == PHASES


@pytest.mark.parametrize("second", range(0, DAY_S, 7))
def test_every_day_is_the_same(second: int) -> None:
    assert phase_at(second) == phase_at(second + 40 * DAY_S)
    assert queue_depth_at(second) == queue_depth_at(second + 40 * DAY_S)


def test_the_queue_fills_and_empties_without_a_jump() -> None:
    depths = [queue_depth_at(second) for second in range(DAY_S + 1)]
    assert (min(depths), max(depths)) == (LOW, HIGH)
    assert all(abs(now - before) <= 25 for before, now in itertools.pairwise(depths))


def test_every_address_answers_every_second_with_json_that_a_client_can_read() -> None:
    for route in ROUTES.values():
        for second in range(DAY_S):
            reply = route(second, START)
            assert reply.status in (200, 500, 503)
            json.loads(reply.body)


def test_an_incident_asks_for_time_and_maintenance_says_when_it_ends() -> None:
    replies = {second: at(second) for second in range(DAY_S)}
    waits = [second for second, (status, _, headers) in replies.items() if status == 503 and "retry-after" in headers]
    assert waits
    assert {phase_at(second) for second in waits} == {"incident"}
    (end,) = {body["message"] for second, (_, body, _) in replies.items() if phase_at(second) == "maintenance"}
    assert end == f"Scheduled maintenance until {(START + timedelta(seconds=day.CALM_S)):%Y-%m-%dT%H:%M:%SZ}"


def test_who_comes_back_at_the_announced_second_finds_the_maintenance_over() -> None:
    origin = START + timedelta(milliseconds=567)
    body = json.loads(queue_reply(190, origin + timedelta(seconds=190)).body)
    back = datetime.fromisoformat(body["message"].rsplit(" ", 1)[1])
    assert queue_reply((back - origin).total_seconds(), back).status == 200


def test_a_report_every_half_minute_cannot_miss_the_incident() -> None:
    for offset in range(30):
        assert any(reports_reply(second, START).status == 500 for second in range(offset, DAY_S, 30))


def test_the_intent_of_the_queue_job_holds_a_rule_that_its_answers_decide() -> None:
    rule = threshold_of(queue_job().description)
    assert rule is not None
    assert (rule.interval, rule.field, rule.comparison, rule.number) == (
        timedelta(seconds=2),
        "queue_depth",
        "above",
        100,
    )
    assert "queue_depth" in at(day.INCIDENT_S - 1)[1]


async def test_a_whole_day_goes_tight_holds_off_waits_relaxes_and_tightens_again() -> None:
    starts, sources = await a_day_and_a_half()
    gaps = {start: after - start for start, after in itertools.pairwise(starts)}

    def during(first: float, last: float) -> list[float]:
        return [gap for start, gap in gaps.items() if first <= start < last]

    assert min(start for start, source in sources.items() if source == "hint_interval") <= 60
    assert set(during(30, day.INCIDENT_S - 2)) == {2.0}
    assert 5.0 in during(day.INCIDENT_S, day.RECOVERY_S)
    assert not [start for start in starts if day.NOTICE_S + 40 < start < day.CALM_S]
    assert max(during(day.CALM_S, DAY_S)) >= 20
    assert set(during(DAY_S + 40, DAY_S + day.INCIDENT_S - 2)) == {2.0}
    assert {"baseline_interval", "hint_interval", "hint_next_time"} <= set(sources.values())


async def test_the_queue_jobs_intent_is_proposed_as_a_rule_once_its_answers_name_the_field() -> None:
    loop = Loop(planner=OfflinePlanner())  # type: ignore[arg-type]  # a port, typed by its usual fake here

    def answer(request: HttpRequest) -> HttpResult:
        status, body, _ = at((loop.clock.now() - START).total_seconds())
        return HttpResult(status_code=status, duration_ms=1, body=json.dumps(body))

    loop.dispatcher.plan = answer
    job = await loop.register(queue_job())
    assert await loop.store.rules(TENANT, job.id) == []
    while loop.clock.now() < START + timedelta(seconds=60):
        await loop.until_slot(job)
        await loop.turn()
    (rule,) = await loop.store.rules(TENANT, job.id)
    assert (in_words(rule.terms.when), rule.terms.length, rule.state) == (
        "/queue_depth is above 100",
        timedelta(seconds=2),
        "proposed",
    )


def test_the_jobs_can_be_registered_as_they_stand_in_their_three_kinds() -> None:
    definitions = demo_definitions(URL, START)
    assert len({type(each.baseline) for each in definitions}) == 3
    assert len({each.key for each in definitions}) == 4
    loop = Loop()
    for each in definitions:
        check(each, loop.limits, CroniterCron(), now=START)


async def test_registering_twice_makes_each_job_once_and_follows_the_target_to_its_new_port() -> None:
    loop = Loop()
    loop.jobs = type(loop.jobs)(loop.store, CroniterCron(), loop.ids)
    await register_demo(loop.jobs, loop.store, TENANT, "http://127.0.0.1:1111")
    first = {job.id: job for job in await all_jobs(loop)}
    await register_demo(loop.jobs, loop.store, TENANT, "http://127.0.0.1:1111")
    assert {job.id: job for job in await all_jobs(loop)} == first
    await register_demo(loop.jobs, loop.store, TENANT, "http://127.0.0.1:2222")
    moved = await all_jobs(loop)
    assert {job.id for job in moved} == set(first)
    actions = [job.definition.action for job in moved]
    assert all(":2222/" in action.url for action in actions if isinstance(action, HttpAction))
    assert all(job.schedule.slot == first[job.id].schedule.slot for job in moved)
