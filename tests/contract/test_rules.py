"""Rules on every store: written with their job, read when it settles, never another tenant's."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from core.entities import Author, Hint, HintKind, HintState, RuleProgress, RunStatus
from core.errors import NotFound
from core.ports.store import Change, JobRef
from core.predicates import Comparison, Every, Op, Some, read
from core.rules import Hold, RuleDraft, Terms
from core.usecases.manage_rules import ManageRules
from core.usecases.settle import Finished, settle
from tests.contract.conftest import House

MINUTE = timedelta(minutes=1)
DEEP = Comparison("/queue_depth", Op.GT, 500)
WIDE = Every((DEEP, Some((Comparison("/a~1b/0", Op.EQ, "ü"), Comparison("status_code", Op.LT, 500)))))


def terms(when: Any = DEEP, **more: Any) -> Terms:
    return Terms(when, HintKind.INTERVAL, MINUTE / 2, MINUTE * 10, "the queue is long", **more)


def rules_of(house: House) -> ManageRules:
    return ManageRules(house.store, house.cron, house.ids)


async def run_through(house: House, depth: int) -> Change:
    """Claim, begin and settle the one job that is due, as the run loop does, with that queue depth."""
    (claim,) = await house.claim(ahead=timedelta(hours=1))
    body = f'{{"queue_depth":{depth}}}'
    response = read(RunStatus.SUCCEEDED, 200, 3, body, truncated=False)
    done = Finished(RunStatus.SUCCEEDED, status_code=200, duration_ms=3, response_excerpt=body, response=response)
    await house.store.change(claim.ref, house.beginning(claim.token))
    transition = partial(settle, token=claim.token, finished=done, cron=house.cron, ids=house.ids)
    (change,) = await house.store.change_many([(claim.ref, transition)], known={})
    assert isinstance(change, Change)
    return change


async def test_a_rule_is_read_as_it_was_written(house: House) -> None:
    job = await house.job()
    made = terms(WIDE, enter=Hold(3, MINUTE), until=Comparison("/gone", Op.ABSENT), leave=Hold(1, MINUTE * 2))
    rule = await rules_of(house).create(house.tenant, job.id, RuleDraft(made, "in my words"))
    assert await house.store.rules(house.tenant, job.id) == [rule]
    assert await house.store.rule(house.tenant, rule.id) == rule
    assert (await house.store.snapshot(house.tenant, job.id)).rules == (rule,)
    assert (await house.store.job(house.tenant, job.id)).schedule.rules_seq == 1
    await rules_of(house).delete(house.tenant, rule.id)
    assert await house.store.rules(house.tenant, job.id) == []
    with pytest.raises(NotFound):
        await house.store.rule(house.tenant, rule.id)


async def test_another_tenant_sees_no_rule(house: House) -> None:
    job = await house.job()
    rule = await rules_of(house).create(house.tenant, job.id, RuleDraft(terms()))
    assert await house.store.rules("ten_b", job.id) == []
    with pytest.raises(NotFound):
        await house.store.rule("ten_b", rule.id)


async def test_a_settled_run_is_judged_by_the_rules_as_they_are_now(house: House) -> None:
    job = await house.job()
    rule = await rules_of(house).create(house.tenant, job.id, RuleDraft(terms()))
    change = await run_through(house, 900)
    (hint,) = [hint for hint in change.hints if hint.author is Author.RULE]
    assert (hint.rule_id, hint.state) == (rule.id, HintState.ACTIVE)
    stored = await house.store.job(house.tenant, job.id)
    assert stored.schedule.rule_progress == {rule.id: RuleProgress(is_active=True)}
    assert stored.schedule == change.job.schedule
    await rules_of(house).reject(house.tenant, rule.id)
    assert not [hint for hint in await active(house, job.id) if hint.author is Author.RULE]
    change = await run_through(house, 900)
    assert (change.hints, change.rule_matches) == ((), 0)


async def test_how_far_a_rule_has_come_is_kept_between_runs(house: House) -> None:
    job = await house.job()
    rule = await rules_of(house).create(house.tenant, job.id, RuleDraft(terms(enter=Hold(3))))
    first = await run_through(house, 900)
    way = (await house.store.job(house.tenant, job.id)).schedule.rule_progress[rule.id]
    assert (way.is_active, way.runs, way.since) == (False, 1, first.runs[0].finished_at)
    await run_through(house, 900)
    await run_through(house, 900)
    assert len(await active(house, job.id)) == 1
    await run_through(house, 3)
    await run_through(house, 3)
    assert (await house.store.job(house.tenant, job.id)).schedule.rule_progress == {}
    assert await active(house, job.id) == []


async def test_a_planning_session_sees_the_jobs_rules(house: House) -> None:
    job = await house.job()
    rule = await rules_of(house).create(house.tenant, job.id, RuleDraft(terms()))
    (claim,) = await house.store.claim_plans(limit=1, lease=MINUTE, recent_runs=5, only=JobRef(house.tenant, job.id))
    assert list(claim.context.rules) == [rule]


async def active(house: House, job_id: str) -> list[Hint]:
    return list((await house.store.hints(house.tenant, job_id=job_id, active_only=True, limit=50)).items)
