"""The planner against a loopback server that speaks chat completions."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic_ai.models import override_allow_model_requests

from core.entities import Authority, HintKind, HttpAction
from core.sessions import Outcome, Plan, PlanningContext, Verdict
from planner.llm import LlmPlanner, OfflinePlanner
from planner.models import openai_model
from tests.loopback_model import LoopbackModel, loopback_model
from tests.unit.contexts import context, run
from tests.unit.loop import definition

GOOD = {"tool": ["propose_interval", {"interval_ms": 20_000, "ttl_ms": 600_000, "reason": "the queue is filling"}]}
ALL_TOOLS = {
    "propose_interval",
    "propose_next_time",
    "pause_until",
    "clear_hints",
    "propose_rule",
    "get_latest_response",
    "get_response_history",
    "get_sibling_latest_responses",
    "conclude",
}


async def ask(
    script: list[dict[str, Any]],
    given: PlanningContext | None = None,
    *,
    fall_back: bool = False,
    deadline_s: float = 10,
) -> tuple[Plan, LoopbackModel]:
    with loopback_model(script) as server, override_allow_model_requests(True):
        model = openai_model("loopback", api_key="none", base_url=server.url)
        planner = LlmPlanner(model, timedelta(seconds=deadline_s), fall_back)
        try:
            return await planner.plan(given or context([run(0)])), server
        finally:
            await planner.close()


async def test_one_proposal_costs_one_request_that_carries_every_tool() -> None:
    plan, server = await ask([GOOD])
    (proposal,) = plan.proposals
    assert (proposal.kind, proposal.interval, proposal.ttl) == (
        HintKind.INTERVAL,
        timedelta(seconds=20),
        timedelta(minutes=10),
    )
    (request,) = server.requests
    tools = {tool["function"]["name"]: tool["function"] for tool in request["body"]["tools"]}
    assert set(tools) == ALL_TOOLS
    assert tools["propose_interval"]["parameters"]["properties"]["interval_ms"]["type"] == "integer"
    assert (plan.outcome, plan.model) == (Outcome.COMPLETED, "loopback")
    assert (plan.usage.requests, plan.usage.input_tokens, plan.usage.output_tokens) == (1, 100, 10)
    assert plan.reasoning == "the queue is filling"


async def test_doing_nothing_is_an_answer() -> None:
    plan, _ = await ask([{"text": "Nothing changed."}])
    assert (plan.outcome, plan.proposals, plan.reasoning) == (Outcome.COMPLETED, (), "Nothing changed.")


@pytest.mark.parametrize(
    "arguments",
    [
        {"interval_ms": "20000", "ttl_ms": 600_000, "reason": "a number in quotes"},
        {"interval_ms": -5, "ttl_ms": 600_000, "reason": "negative"},
        {"interval_ms": 20_000, "ttl_ms": 10**12, "reason": "for ever"},
        {"interval_ms": 20_000, "ttl_ms": 600_000, "reason": ""},
        {"interval_ms": 20_000, "ttl_ms": 600_000, "reason": "x", "job_id": "job_of_somebody_else"},
        {"interval_ms": True, "ttl_ms": 600_000, "reason": "a boolean"},
        "not json at all",
    ],
)
async def test_invalid_arguments_change_nothing_and_come_back_as_a_retry(arguments: object) -> None:
    plan, server = await ask([{"tool": ["propose_interval", arguments]}, {"text": "I give up."}])
    assert plan.proposals == ()
    assert len(server.requests) == 2
    assert server.requests[1]["body"]["messages"][-1]["role"] in ("tool", "user")


async def test_an_unknown_tool_comes_back_as_a_retry_and_a_good_call_still_counts() -> None:
    plan, server = await ask([{"tool": ["drop_tables", {}]}, GOOD])
    assert len(plan.proposals) == 1
    assert len(server.requests) == 2


async def test_what_is_beyond_the_grants_is_refused_in_words() -> None:
    made = definition(authority=Authority(relax=True))
    plan, server = await ask([GOOD, {"text": "Then I leave it."}], context([run(0)], made=made))
    assert plan.proposals == ()
    assert plan.calls[0].verdict is Verdict.REJECTED
    assert "tighten" in str(server.requests[1]["body"]["messages"][-1]["content"])


async def test_a_proposal_beyond_the_bounds_is_staged_and_said_to_be_clamped() -> None:
    wish = {"tool": ["propose_interval", {"interval_ms": 1, "ttl_ms": 60_000, "reason": "as fast as possible"}]}
    plan, _ = await ask([wish])
    assert plan.calls[0].verdict is Verdict.CLAMPED
    assert len(plan.proposals) == 1


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ([{"status": 500}], Outcome.FAILED),
        ([{"status": 429, "headers": {"retry-after": "1"}}], Outcome.FAILED),
        ([{"raw": "this is not JSON"}], Outcome.FAILED),
        ([{"empty": True}], Outcome.FAILED),
        ([{"tool": ["get_latest_response", {}]}], Outcome.LIMITED),
        ([{"tool": ["no_such_tool", {}]}], Outcome.FAILED),
    ],
)
async def test_every_failure_of_a_model_ends_in_an_outcome_and_stages_nothing(
    script: list[dict[str, Any]], outcome: Outcome
) -> None:
    plan, _ = await ask(script)
    assert (plan.outcome, plan.proposals) == (outcome, ())
    assert plan.error


async def test_a_slow_model_ends_at_the_deadline() -> None:
    plan, _ = await ask([{"sleep": 3, "text": "late"}], deadline_s=0.3)
    assert (plan.outcome, plan.proposals) == (Outcome.TIMED_OUT, ())


async def test_the_sdk_does_not_retry_by_itself() -> None:
    _, server = await ask([{"status": 500}])
    assert len(server.requests) == 1


async def test_while_the_server_is_down_the_offline_policy_answers_and_says_so() -> None:
    plan, _ = await ask([{"status": 503}], context([run(0, "oops", code=500)]), fall_back=True)
    assert (plan.outcome, plan.model, len(plan.proposals)) == (Outcome.COMPLETED, "offline-1", 1)
    assert "503" in (plan.error or "")
    assert plan.usage.tokens == 0


async def test_usage_is_estimated_where_a_server_reports_none() -> None:
    plan, _ = await ask([{**GOOD, "usage": False}])
    assert plan.usage.estimated
    assert plan.usage.tokens > 100


async def test_the_offline_planner_needs_no_permission_for_model_requests() -> None:
    with override_allow_model_requests(False):
        plan = await OfflinePlanner().plan(context([run(0, "oops", code=500)]))
    assert len(plan.proposals) == 1


async def test_no_address_header_or_secret_enters_the_prompt() -> None:
    made = definition(
        action=HttpAction("https://secret-host.example/token", headers={"authorization": "Bearer s3cr3t"})
    )
    _, server = await ask([{"text": "ok"}], context([run(0)], made=made))
    sent = str(server.requests[0]["body"])
    assert "s3cr3t" not in sent
    assert "secret-host" not in sent


CONCLUDE = ["conclude", {"reasoning": "the queue is filling", "confidence": 0.8, "next_analysis_in_ms": 3_600_000}]


async def test_a_proposal_and_its_conclusion_come_in_one_answer() -> None:
    plan, server = await ask([{"tools": [GOOD["tool"], CONCLUDE]}])
    assert len(server.requests) == 1
    assert [(call.tool, call.verdict) for call in plan.calls] == [
        ("propose_interval", Verdict.ACCEPTED),
        ("conclude", Verdict.ACCEPTED),
    ]
    assert (plan.reasoning, plan.confidence) == ("the queue is filling", 0.8)
    assert plan.next_analysis_in == timedelta(hours=1)
    assert len(plan.proposals) == 1


async def test_a_conclusion_alone_proposes_nothing() -> None:
    plan, server = await ask([{"tool": CONCLUDE}])
    assert (plan.outcome, plan.proposals, len(server.requests)) == (Outcome.COMPLETED, (), 1)


async def test_a_conclusion_beside_a_refused_proposal_gives_the_model_a_chance_to_mend_it() -> None:
    late = ["propose_next_time", {"at": "2001-01-01T00:00:00Z", "reason": "yesterday"}]
    plan, server = await ask([{"tools": [late, CONCLUDE]}, {"tool": CONCLUDE}])
    assert len(server.requests) == 2
    assert plan.calls[0].verdict is Verdict.REJECTED
    assert (plan.outcome, plan.proposals) == (Outcome.COMPLETED, ())


@pytest.mark.parametrize("confidence", [-1, 2, "high", None])
async def test_a_conclusion_that_is_none_comes_back(confidence: object) -> None:
    bad = ["conclude", {**CONCLUDE[1], "confidence": confidence}]  # type: ignore[dict-item]  # a mapping
    plan, server = await ask([{"tool": bad}, {"tool": CONCLUDE}])
    assert (plan.outcome, plan.confidence, len(server.requests)) == (Outcome.COMPLETED, 0.8, 2)


async def planner_at(server: LoopbackModel, *, fall_back: bool = False, at: list[float] | None = None) -> LlmPlanner:
    model = openai_model("loopback", api_key="none", base_url=server.url)
    clock = at if at is not None else [0.0]
    return LlmPlanner(model, timedelta(seconds=10), fall_back, monotonic_s=lambda: clock[0])


async def test_five_failures_open_the_breaker_and_one_probe_closes_it() -> None:
    with loopback_model([{"status": 500}] * 5 + [{"tool": CONCLUDE}]) as server, override_allow_model_requests(True):
        clock = [0.0]
        planner = await planner_at(server, at=clock)
        given = context([run(0)])
        for _ in range(5):
            assert (await planner.plan(given)).outcome is Outcome.FAILED
        left_alone = await planner.plan(given)
        assert (len(server.requests), planner.open_breakers()) == (5, 1)
        assert (left_alone.outcome, left_alone.usage.tokens) == (Outcome.FAILED, 0)
        assert left_alone.retry_in == timedelta(seconds=30)
        clock[0] = 30.0
        assert (await planner.plan(given)).outcome is Outcome.COMPLETED
        assert (await planner.plan(given)).outcome is Outcome.COMPLETED
        assert (len(server.requests), planner.open_breakers()) == (7, 0)
        await planner.close()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_puts_the_session_off_and_keeps_others_of_that_tenant_back(status: int) -> None:
    busy = {"status": status, "headers": {"retry-after": "120"}}
    with loopback_model([busy]) as server, override_allow_model_requests(True):
        planner = await planner_at(server)
        first = await planner.plan(context([run(0)]))
        second = await planner.plan(context([run(0)]))
        assert len(server.requests) == 1
        assert [plan.retry_in for plan in (first, second)] == [timedelta(seconds=120)] * 2
        await planner.close()


async def test_while_the_breaker_is_open_the_offline_policy_answers_without_a_request() -> None:
    with loopback_model([{"status": 500}]) as server, override_allow_model_requests(True):
        planner = await planner_at(server, fall_back=True)
        given = context([run(0, "oops", code=500)])
        plans = [await planner.plan(given) for _ in range(7)]
        assert len(server.requests) == 5
        assert {plan.outcome for plan in plans} == {Outcome.COMPLETED}
        assert all(plan.proposals for plan in plans)
        assert "left alone" in (plans[-1].error or "")
        await planner.close()


@pytest.mark.parametrize(
    ("script", "is_charged"),
    [
        ([{"status": 500}], False),
        ([{"status": 429}], False),
        ([{"raw": "this is not JSON"}], True),
        ([{"sleep": 3, "text": "late"}], True),
    ],
)
async def test_a_failed_call_counts_what_it_may_have_cost(script: list[dict[str, Any]], is_charged: bool) -> None:
    plan, _ = await ask(script, deadline_s=0.5)
    assert plan.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)
    assert (plan.usage.tokens > 0, plan.usage.estimated) == (is_charged, is_charged)


async def test_a_storm_of_tool_calls_ends_at_its_limit_and_is_charged() -> None:
    storm = {"tools": [["get_latest_response", {}]] * 30}
    plan, server = await ask([storm])
    assert (plan.outcome, plan.proposals) == (Outcome.LIMITED, ())
    assert len(server.requests) <= 4
    assert plan.usage.tokens > 0


async def test_the_server_is_told_how_long_an_answer_may_be() -> None:
    _, server = await ask([{"tool": CONCLUDE}])
    body = server.requests[0]["body"]
    assert 0 < (body.get("max_completion_tokens") or body.get("max_tokens")) <= 1000


@pytest.mark.parametrize("fall_back", [False, True])
async def test_a_server_that_cannot_be_connected_to_costs_nothing(fall_back: bool) -> None:
    with loopback_model([{"text": "gone"}]) as server:
        url = server.url
    with override_allow_model_requests(True):
        planner = LlmPlanner(openai_model("m", api_key="none", base_url=url), timedelta(seconds=10), fall_back)
        plan = await planner.plan(context([run(0)]))
        await planner.close()
    assert plan.outcome is (Outcome.COMPLETED if fall_back else Outcome.FAILED)
    assert (plan.usage.tokens, plan.usage.requests) == (0, 0)


async def test_a_retry_after_of_no_time_keeps_nobody_back() -> None:
    script = [{"status": 429, "headers": {"retry-after": "0"}}, {"tool": CONCLUDE}]
    with loopback_model(script) as server, override_allow_model_requests(True):
        planner = await planner_at(server)
        first, second = [await planner.plan(context([run(0)])) for _ in range(2)]
        await planner.close()
    assert (first.outcome, first.retry_in, second.outcome) == (Outcome.FAILED, None, Outcome.COMPLETED)
