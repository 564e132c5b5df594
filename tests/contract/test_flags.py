"""Switches: turned, kept with their history, and obeyed by what reads a tenant's limits."""

import asyncio
from datetime import timedelta

import pytest

from core.entities import HintKind, PlannerMode
from core.errors import NotFound
from core.modes import CRON, EVERYBODY, INTERVAL, PLANNER, RULES
from core.ports.store import JobRef
from core.usecases.manage_hints import HintDraft, ManageHints
from core.usecases.plan_due import PlanDue
from core.usecases.turn_switches import TurnSwitches
from rubato.adapters.clock import SystemClock
from tests.contract.conftest import LEASE, House
from tests.unit.fakes import EventLog, FakeQuota, ScriptedPlanner
from tests.unit.loop import interval_proposal


async def mode(house: House, tenant: str = "ten_a") -> PlannerMode:
    return (await house.store.limits(tenant)).planner


async def test_the_lowest_of_two_switches_is_in_force(house: House) -> None:
    assert await mode(house) is PlannerMode.ON
    await house.flags.turn("ten_a", PLANNER, "shadow", by="usr_a", reason=None)
    assert (await mode(house), await mode(house, "ten_b")) == (PlannerMode.SHADOW, PlannerMode.ON)
    await house.flags.turn(EVERYBODY, PLANNER, "off", by="operator", reason="it costs too much")
    assert (await mode(house), await mode(house, "ten_b")) == (PlannerMode.OFF, PlannerMode.OFF)
    await house.flags.turn(EVERYBODY, PLANNER, "on", by="operator", reason=None)
    assert (await mode(house), await mode(house, "ten_b")) == (PlannerMode.SHADOW, PlannerMode.ON)


async def test_every_turn_is_kept_with_who_and_why(house: House) -> None:
    await house.flags.turn("ten_a", PLANNER, "off", by="usr_a", reason="an incident")
    await house.flags.turn("ten_a", PLANNER, "on", by="usr_b", reason=None)
    (flag,) = await house.flags.read(["ten_a", EVERYBODY])
    assert (flag.scope, flag.value, flag.changed_by) == ("ten_a", "on", "usr_b")
    changes = await house.flags.changes("ten_a", limit=9)
    assert [(each.old_value, each.new_value, each.changed_by, each.reason) for each in changes] == [
        ("off", "on", "usr_b", None),
        (None, "off", "usr_a", "an incident"),
    ]
    assert await house.flags.changes("ten_b", limit=9) == []


async def test_turns_at_once_each_see_what_the_one_before_had_set(house: House) -> None:
    values = ["off", "shadow", "on"] * 4
    await asyncio.gather(*(house.flags.turn("ten_a", PLANNER, each, by="u", reason=None) for each in values))
    changes = list(reversed(await house.flags.changes("ten_a", limit=99)))
    assert [each.old_value for each in changes] == [None, *(each.new_value for each in changes[:-1])]


async def test_a_tenant_that_is_not_there_has_no_switch(house: House) -> None:
    with pytest.raises(NotFound):
        await house.flags.turn("ten_none", PLANNER, "off", by="u", reason=None)


async def test_the_kill_switch_decides_again_what_a_hint_steers_and_no_other_tenants(house: House) -> None:
    planner = ScriptedPlanner()
    plans = PlanDue(house.store, planner, FakeQuota(), house.cron, SystemClock(), house.ids, EventLog())
    mine, theirs = await house.job(), await house.job(tenant="ten_b")
    await house.run_once()
    planner.script = [[interval_proposal(20)], [interval_proposal(20)]]
    await plans.run_once()
    assert await house.store.steered_jobs(None, limit=9) == [JobRef("ten_a", mine.id), JobRef("ten_b", theirs.id)]
    assert await house.store.steered_jobs("ten_b", limit=9) == [JobRef("ten_b", theirs.id)]
    first = JobRef("ten_a", mine.id)
    assert await house.store.steered_jobs(None, limit=9, after=first) == [JobRef("ten_b", theirs.id)]
    switch = TurnSwitches(house.store, house.flags, house.cron)
    _, count = await switch.turn("ten_a", "off", by="usr_a")
    assert count == 1
    assert await source(house, "ten_a", mine.id) == "baseline_interval"
    assert await source(house, "ten_b", theirs.id) == "hint_interval"
    await switch.turn("ten_a", "on", by="usr_a")
    assert await source(house, "ten_a", mine.id) == "hint_interval"


async def test_a_persons_hint_does_not_make_a_job_steered(house: House) -> None:
    job = await house.job()
    draft = HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=20))
    await ManageHints(house.store, house.cron, house.ids).write("ten_a", job.id, draft)
    assert await house.store.steered_jobs(None, limit=9) == []


async def source(house: House, tenant: str, job_id: str) -> str:
    decision = await house.store.latest_decision(tenant, job_id)
    assert decision is not None
    return decision.source.value


async def test_a_claim_tells_which_kinds_of_baseline_are_off(house: House) -> None:
    assert (await house.store.claim("w1", limit=1, lease=LEASE)).off == frozenset()
    await house.flags.turn("ten_a", CRON, "off", by="usr_a", reason=None)
    await house.flags.turn(EVERYBODY, INTERVAL, "off", by="operator", reason=None)
    await house.flags.turn("ten_b", INTERVAL, "on", by="usr_b", reason=None)
    off = (await house.store.claim("w1", limit=1, lease=LEASE)).off
    assert off == {("ten_a", CRON), (EVERYBODY, INTERVAL)}
    await house.flags.turn(EVERYBODY, INTERVAL, "on", by="operator", reason=None)
    assert (await house.store.claim("w1", limit=1, lease=LEASE, buckets=[0])).off == {("ten_a", CRON)}


async def test_either_switch_of_rules_is_enough(house: House) -> None:
    assert (await house.store.limits("ten_a")).rules
    await house.flags.turn(EVERYBODY, RULES, "off", by="operator", reason=None)
    await house.flags.turn("ten_a", RULES, "on", by="usr_a", reason=None)
    assert not (await house.store.limits("ten_a")).rules
    await house.flags.turn(EVERYBODY, RULES, "on", by="operator", reason=None)
    assert (await house.store.limits("ten_a")).rules
