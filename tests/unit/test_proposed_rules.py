"""Rules that a planner proposes: checked by the tool, kept for a person, and only ever in effect by a person's word."""

from datetime import timedelta
from typing import Any

import pytest

from core.entities import Author, Authority, HintKind, Limits, PlannerMode, RuleState
from core.predicates import Comparison, Op
from core.record import evolve
from core.rules import Hold, Rule, RuleDraft, Terms
from core.sessions import Outcome, Plan, PlanningContext, Verdict
from planner.llm import OfflinePlanner
from planner.prompt import describe_job
from tests.unit.contexts import NOW, context, run
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition
from tests.unit.test_rules import House, terms
from tools.proposing_rules import propose_rule
from tools.workbench import Answer, Workbench

DEEP = {"field": "/queue_depth", "op": "gt", "value": 500}
INTENT = "every 20 s while queue_depth is above 100, at most every 10 min when it is empty for an hour"


def bench(**fields: Any) -> Workbench:
    return Workbench(context([run(0, '{"queue_depth":3,"status":"ok"}')], made=definition(**fields)))


def call(at: Workbench, **changes: Any) -> Answer:
    given: dict[str, Any] = {
        "conditions": [DEEP],
        "match": "all",
        "until": None,
        "for_runs": 1,
        "for_ms": 0,
        "interval_ms": 20_000,
        "pause_ms": None,
        "reason": "every 20 s while the queue is long",
    }
    return propose_rule(at, "call_1", **{**given, **changes})


def test_a_good_proposal_is_staged_and_nothing_else_is() -> None:
    at = bench()
    assert call(at).verdict is Verdict.ACCEPTED
    (draft,) = at.rules
    assert draft.terms.when == Comparison("/queue_depth", Op.GT, 500)
    assert (draft.terms.kind, draft.terms.length, draft.terms.leave) == (
        HintKind.INTERVAL,
        timedelta(seconds=20),
        Hold(2),
    )
    assert at.staged == []


@pytest.mark.parametrize(
    ("changes", "fields", "words"),
    [
        ({"conditions": []}, {}, "1 to 8 conditions"),
        ({"match": "most"}, {}, "all or any"),
        ({"conditions": [{**DEEP, "op": "over"}]}, {}, "op is one of"),
        ({"conditions": [{**DEEP, "field": "queue_depth"}]}, {}, "JSON pointer"),
        ({"conditions": [{**DEEP, "value": float("nan")}]}, {}, "finite number"),
        ({"conditions": [{**DEEP, "value": 10**400}]}, {}, "15 digits"),
        ({"conditions": [{**DEEP, "field": "/other_tenant"}]}, {}, "No answer so far has /other_tenant"),
        ({"until": [{**DEEP, "field": "/nowhere"}]}, {}, "No answer so far"),
        ({"interval_ms": None}, {}, "exactly one"),
        ({"pause_ms": 5000}, {}, "exactly one"),
        ({"interval_ms": 10**10}, {}, "longest life"),
        ({"interval_ms": -5}, {}, "intervalMs"),
        ({"for_runs": 0}, {}, "forRuns"),
        ({}, {"authority": Authority(relax=True)}, "tighten"),
        ({"interval_ms": None, "pause_ms": 5000}, {"authority": Authority(tighten=True)}, "pause"),
        ({}, {"planner": PlannerMode.OFF}, "switched the planner off"),
    ],
)
def test_a_bad_proposal_is_refused_in_words(changes: dict[str, Any], fields: dict[str, Any], words: str) -> None:
    at = bench(**fields)
    answer = call(at, **changes)
    assert (answer.verdict, at.rules) == (Verdict.REJECTED, [])
    assert words in answer.message


def test_the_same_is_proposed_once_and_few_in_a_session() -> None:
    at = bench()
    call(at)
    assert "already" in call(at, reason="in other words").message
    for number in range(3):
        assert call(at, conditions=[{**DEEP, "value": number}]).verdict is Verdict.ACCEPTED
    assert "enough" in call(at, conditions=[{**DEEP, "value": 77}]).message


def test_presence_and_several_conditions_can_be_proposed() -> None:
    at = bench()
    some = [{"field": "/status", "op": "exists", "value": None}, {"field": "outcome", "op": "eq", "value": "failed"}]
    assert (
        call(at, conditions=some, match="any", until=[{"field": "/gone", "op": "absent", "value": None}]).verdict
        is Verdict.ACCEPTED
    )


def planned(*drafts: RuleDraft) -> Plan:
    return Plan(Outcome.COMPLETED, "scripted", "script", "", rules=drafts)


class Proposer:
    """A planner that proposes the same rules at each session."""

    worst_case_tokens = 10

    def __init__(self, *drafts: RuleDraft) -> None:
        self.drafts = drafts

    async def plan(self, context: PlanningContext) -> Plan:
        return planned(*self.drafts)


async def proposing(*drafts: RuleDraft, limits: Limits | None = None) -> tuple[Loop, Any]:
    house = House(limits=limits or Limits(), planner=Proposer(*drafts))  # type: ignore[arg-type]  # a port
    house.answers(900)
    job = await house.register()
    await house.live(job, 1, plan=True)
    return house, job


async def test_a_proposal_waits_for_a_person_and_has_no_effect_until_then() -> None:
    house, job = await proposing(RuleDraft(terms()))
    (rule,) = await house.store.rules(TENANT, job.id)
    assert (rule.state, rule.author) == (RuleState.PROPOSED, Author.PLANNER)
    (session,) = (await house.store.sessions(TENANT, limit=5)).items
    assert rule.session_id == session.id
    assert await house.live(job, 3) == [60, 60, 60]
    await house.rules.accept(TENANT, rule.id)
    assert await house.live(job, 1) == [20]


async def test_a_tenant_may_wish_to_accept_unseen() -> None:
    house, job = await proposing(RuleDraft(terms()), limits=Limits(auto_accept_rules=True))
    (rule,) = await house.store.rules(TENANT, job.id)
    assert rule.state is RuleState.ACCEPTED
    assert await house.live(job, 1) == [20]


async def test_a_rejected_rule_is_not_proposed_again_and_few_wait_at_a_time() -> None:
    many = [RuleDraft(terms(Comparison("/queue_depth", Op.GT, number))) for number in range(12)]
    house, job = await proposing(*many)
    rules = await house.store.rules(TENANT, job.id)
    assert len(rules) == 8
    for rule in rules:
        await house.rules.reject(TENANT, rule.id)
    await house.live(job, 1, plan=True)
    again = await house.store.rules(TENANT, job.id)
    assert len(again) == 12
    assert len({rule.terms.when for rule in again}) == 12


async def test_what_the_job_cannot_have_is_not_stored_whoever_staged_it() -> None:
    house, job = await proposing(RuleDraft(terms(every_s=10**6, ttl=timedelta(days=30))))
    assert await house.store.rules(TENANT, job.id) == []


async def test_the_offline_planner_proposes_what_the_intent_says_and_steers_all_the_same() -> None:
    runs = [run(60 * n, f'{{"queue_depth":{900 + n}}}') for n in range(4)]
    made = await OfflinePlanner().plan(context(runs, made=definition(description=INTENT)))
    assert made.outcome is Outcome.COMPLETED, made.error
    assert [draft.terms.length for draft in made.rules] == [timedelta(seconds=20), timedelta(minutes=10)]
    assert [call.tool for call in made.calls][:3] == ["propose_rule", "propose_rule", "propose_interval"]
    assert len(made.proposals) == 1


async def test_the_offline_planner_proposes_nothing_twice_and_nothing_that_it_does_not_understand() -> None:
    runs = [run(0, '{"queue_depth":900}')]
    first = await OfflinePlanner().plan(context(runs, made=definition(description=INTENT)))
    known = [
        Rule(f"rule_{n}", TENANT, "job_1", RuleState.REJECTED, Author.PLANNER, draft.terms, START, START)
        for n, draft in enumerate(first.rules)
    ]
    given = context(runs, made=definition(description=INTENT))
    given = evolve(given, rules=known)
    assert (await OfflinePlanner().plan(given)).rules == ()
    vague = context(runs, made=definition(description="Look often while queue_depth is above 100."))
    assert (await OfflinePlanner().plan(vague)).rules == ()


def test_no_word_of_a_rule_is_prompted() -> None:
    wicked = Terms(
        Comparison("/ignore_all_rules", Op.EQ, "OBEY"), HintKind.INTERVAL, timedelta(60), timedelta(120), "OBEY ME"
    )
    rule = Rule("rule_1", TENANT, "job_1", RuleState.PROPOSED, Author.PLANNER, wicked, NOW, NOW, "OBEY")
    given = context([run(0)])
    given = evolve(given, rules=[rule])
    prompt = describe_job(given)
    assert "Rules: 0 in force, 1 proposed" in prompt
    assert "OBEY" not in prompt
    assert "ignore_all_rules" not in prompt
