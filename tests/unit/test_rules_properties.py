"""Whatever rules a job has and whatever its target answers: bounds, grants and one hint a kind, and no flapping."""

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import Author, Authority, Hint, HintKind, HintState, Job, Limits
from core.errors import RubatoError
from core.ports.dispatcher import HttpResult
from core.predicates import Comparison, Op, Predicate
from core.rules import Hold, RuleDraft, Terms, default_ttl
from core.usecases.manage_rules import try_on
from tests.hostile import invariants
from tests.unit.loop import TENANT, definition
from tests.unit.test_rules import House

EXAMPLES = max(30, settings.default.max_examples // 4)  # each is a life of a job
levels = st.integers(0, 9)
conditions: st.SearchStrategy[Predicate] = st.one_of(
    st.builds(Comparison, st.just("/queue_depth"), st.sampled_from([Op.GT, Op.LE, Op.NE]), levels),
    st.builds(Comparison, st.sampled_from(["/queue_depth", "/other"]), st.sampled_from([Op.EXISTS, Op.ABSENT])),
    st.builds(Comparison, st.just("status_code"), st.just(Op.GE), st.sampled_from([200, 500])),
)
holds = st.builds(Hold, st.integers(1, 3), st.sampled_from([timedelta(0), timedelta(seconds=90)]))


@st.composite
def drafts(draw: st.DrawFn) -> RuleDraft:
    kind = draw(st.sampled_from([HintKind.INTERVAL, HintKind.INTERVAL, HintKind.PAUSE]))
    length = timedelta(seconds=draw(st.sampled_from([1, 15, 90, 400, 5000])))
    lives = st.sampled_from([length * 2, default_ttl(kind, length, Limits())])
    return RuleDraft(
        Terms(
            when=draw(conditions),
            kind=kind,
            length=length,
            ttl=draw(lives) if kind is HintKind.INTERVAL else length,
            reason="drawn",
            enter=draw(holds),
            until=draw(st.none() | conditions),
            leave=draw(holds),
        )
    )


answers = st.one_of(
    levels,
    st.just(HttpResult(500, 5, body='{"queue_depth":7}', body_bytes=17)),
    st.just(HttpResult(200, 5, body="<html>", body_bytes=6)),
    st.just(HttpResult(None, 5, error="refused")),
)
grants = st.builds(Authority, st.booleans(), st.booleans(), st.booleans())


async def lived(house: House, job: Job, many: list[RuleDraft], runs: int) -> list[Hint]:
    """Give a job what rules it takes, let it live, and demand what always holds after each run."""
    for draft in many:
        try:
            await house.rules.create(TENANT, job.id, draft)
        except RubatoError:
            continue  # not granted, or the same twice
    for _ in range(runs):
        await house.until_slot(job)
        await house.run_turn()
        present = await house.job(job)
        invariants.check_decision(present, await house.store.latest_decision(TENANT, job.id), house.limits, house.cron)
        invariants.check_hints(present, await house.written(job), house.limits)
        own = {rule.id for rule in await house.store.rules(TENANT, job.id)}
        assert set(present.schedule.rule_progress) <= own
    return await house.written(job)


@given(st.lists(drafts(), max_size=4), st.lists(answers, min_size=1, max_size=12), grants)
@settings(max_examples=EXAMPLES)
def test_no_rule_moves_a_job_outside_its_bounds_and_grants(
    many: list[RuleDraft], script: list[Any], granted: Authority
) -> None:
    async def live() -> None:
        house = House(limits=Limits(accelerated_runs_per_day=8))
        house.answers(*script)
        job = await house.register(definition(authority=granted))
        await lived(house, job, many, 14)

    asyncio.run(live())


@given(st.lists(drafts(), min_size=1, max_size=4), answers)
@settings(max_examples=EXAMPLES)
def test_a_target_that_always_answers_the_same_makes_no_rule_change_its_mind(
    many: list[RuleDraft], answer: Any
) -> None:
    async def live() -> None:
        house = House()
        house.answers(answer)
        job = await house.register(definition())
        hints = await lived(house, job, many, 14)
        by_rule: dict[str | None, list[Hint]] = {}
        for hint in hints:
            assert hint.author is Author.RULE
            by_rule.setdefault(hint.rule_id, []).append(hint)
        for mine in by_rule.values():
            assert {hint.state for hint in mine[:-1]} <= {HintState.SUPERSEDED, HintState.EXPIRED}  # none let go

    asyncio.run(live())


@given(st.lists(drafts(), min_size=1, max_size=3), st.lists(answers, min_size=1, max_size=8))
@settings(max_examples=EXAMPLES)
def test_a_trial_on_the_past_says_what_the_rule_would_have_done(many: list[RuleDraft], script: list[Any]) -> None:
    async def live() -> None:
        house = House()
        house.answers(*script)
        job = await house.register(definition())
        await lived(house, job, many[:1], 10)
        rules = await house.store.rules(TENANT, job.id)
        if not rules:
            return
        tried = try_on(rules[0].terms, (await house.runs(job))[::-1])
        progress = (await house.job(job)).schedule.rule_progress.get(rules[0].id)
        assert tried[0].is_active == (progress is not None and progress.is_active)

    asyncio.run(live())
