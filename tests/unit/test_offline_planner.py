"""The offline policy, through the agent and its tools."""

from datetime import timedelta

import pytest

from core.entities import Author, Authority, Bounds, CronBaseline, Hint, HintKind, OnceBaseline
from core.sessions import NOTES_TOOL, Outcome, Plan, PlanningContext, Verdict
from planner.evidence import rests_when_calm, threshold_of
from planner.llm import OfflinePlanner
from tests.unit.contexts import NOW, context, run
from tests.unit.loop import ALL, TENANT, definition

CALM = [run(60 * n, f'{{"status":"ok","queue_depth":3,"time":"2026-01-05T12:00:0{n}"}}') for n in range(6)]


async def plan(given: PlanningContext) -> Plan:
    made = await OfflinePlanner().plan(given)
    assert made.outcome is Outcome.COMPLETED, made.error
    assert (made.planner, made.model, made.usage.tokens) == ("offline", "offline-1", 0)
    return made


def own(interval_s: float, *, life_s: float = 600, age_s: float = 10) -> Hint:
    created = NOW - timedelta(seconds=age_s)
    return Hint(
        id="hint_1",
        tenant_id=TENANT,
        job_id="job_1",
        kind=HintKind.INTERVAL,
        author=Author.PLANNER,
        created_at=created,
        expires_at=created + timedelta(seconds=life_s),
        interval=timedelta(seconds=interval_s),
    )


async def test_without_an_answer_it_does_nothing() -> None:
    assert (await plan(context())).proposals == ()


IDLE = definition(description="Watch it, rarely while nothing changes.")


async def test_calm_answers_relax_the_tempo_where_the_owner_asks_for_it_though_their_times_differ() -> None:
    (proposal,) = (await plan(context(CALM, made=IDLE))).proposals
    assert proposal.interval == timedelta(seconds=120)
    assert "the same" in proposal.reason


async def test_calm_answers_are_no_reason_to_slow_down_where_the_owner_does_not_ask_for_it() -> None:
    assert (await plan(context(CALM))).proposals == ()


@pytest.mark.parametrize(
    ("intent", "rests"),
    [
        ("every 2 s while queue_depth is above 100, rarely while it is idle", True),
        ("Less often when nothing changes, please", True),
        ("relax if the queue stays empty", True),
        ("Tell me at once. It is rarely down.", False),
        (None, False),
    ],
)
def test_a_wish_to_rest_is_read_out_of_intents(intent: str | None, rests: bool) -> None:
    assert rests_when_calm(intent) is rests


async def test_a_relaxed_tempo_in_force_is_left_alone() -> None:
    made = await plan(context(CALM, made=IDLE, hints=[own(120)]))
    assert (made.proposals, tools_of(made)) == ((), ["conclude"])
    assert "still in force" in (made.reasoning or "")


async def test_a_relaxed_tempo_about_to_end_goes_on_doubling_up_to_the_maximum() -> None:
    (proposal,) = (await plan(context(CALM, made=IDLE, hints=[own(400, life_s=600, age_s=500)]))).proposals
    assert proposal.interval == timedelta(seconds=600)


async def test_without_room_above_the_baseline_a_calm_job_is_left_alone() -> None:
    made = definition(bounds=Bounds(timedelta(seconds=10), timedelta(seconds=60)), description=IDLE.description)
    assert tools_of(await plan(context(CALM, made=made))) == ["conclude"]


async def test_a_filling_queue_tightens_the_tempo() -> None:
    runs = [run(60 * n, f'{{"status":"ok","queue_depth":{depth}}}') for n, depth in enumerate((90, 50, 20))]
    (proposal,) = (await plan(context(runs))).proposals
    assert proposal.interval == timedelta(seconds=15)
    assert proposal.reason == "queue_depth is rising"


async def test_a_tightened_tempo_stays_while_the_level_is_high() -> None:
    runs = [run(15 * n, f'{{"queue_depth":{depth}}}') for n, depth in enumerate((900, 900, 900, 600, 3))]
    held = await plan(context(runs, hints=[own(15)]))
    assert (held.proposals, tools_of(held)) == ((), ["conclude"])
    (renewed,) = (await plan(context(runs, hints=[own(15, life_s=100, age_s=90)]))).proposals
    assert (renewed.interval, renewed.reason) == (timedelta(seconds=15), "queue_depth is still high")


async def test_a_failing_target_tightens_the_tempo() -> None:
    (proposal,) = (await plan(context([run(0, "oops", code=500)]))).proposals
    assert proposal.interval == timedelta(seconds=15)


async def test_a_target_that_has_been_failing_for_long_is_left_to_its_backoff() -> None:
    runs = [run(60 * n, "oops", code=500) for n in range(12)]
    assert (await plan(context(runs))).proposals == ()
    quick = [run(10 * n, "oops", code=500) for n in range(12)]
    assert len((await plan(context(quick))).proposals) == 1
    assert len((await plan(context(runs[:11]))).proposals) == 1


async def test_what_is_not_granted_is_not_proposed() -> None:
    made = definition(authority=Authority())
    assert (await plan(context([run(0, "oops", code=500)], made=made))).proposals == ()
    assert (await plan(context(CALM, made=made))).proposals == ()


async def test_recovery_gives_the_tempo_back_after_two_healthy_answers() -> None:
    once = [run(0), run(15, "oops", code=500)]
    assert (await plan(context(once, hints=[own(15)]))).proposals == ()
    (proposal,) = (await plan(context([run(0), run(15), run(30, "x", code=500)], hints=[own(15)]))).proposals
    assert proposal.clear


@pytest.mark.parametrize("header", ["90", (NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")])
async def test_nothing_is_sent_before_a_retry_after_has_passed(header: str) -> None:
    (proposal,) = (await plan(context([run(0, "slow down", code=429, retry_after=header)]))).proposals
    assert (proposal.kind, proposal.at) == (HintKind.NEXT_TIME, NOW + timedelta(seconds=90))


async def test_a_retry_after_beyond_the_maximum_interval_pauses() -> None:
    (proposal,) = (await plan(context([run(0, "", code=503, retry_after="3600")]))).proposals
    assert (proposal.kind, proposal.until) == (HintKind.PAUSE, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    "body",
    [
        '{"status":"ok","maintenance_until":"2026-01-05T13:05:00Z"}',
        '{"notice":{"maintenanceEndsAt":"2026-01-05T13:05:00+00:00"}}',
        "We are in scheduled maintenance until 2026-01-05T13:05:00Z. Thank you.",
        '{"message":"Next update at 2026-01-05T14:05:00+01:00"}',
    ],
)
async def test_announced_instants_are_waited_for(body: str) -> None:
    (proposal,) = (await plan(context([run(0, body)]))).proposals
    assert (proposal.kind, proposal.at) == (HintKind.NEXT_TIME, NOW + timedelta(minutes=5))


async def test_the_owners_own_rule_is_followed_literally() -> None:
    made = definition(description="Watch closely: every 20 s while queue_depth is above 100, else as it is.")
    (proposal,) = (await plan(context([run(0, '{"queue_depth":101}')], made=made))).proposals
    assert proposal.interval == timedelta(seconds=20)
    quiet = await plan(context([run(0, '{"queue_depth":100}')], made=made, hints=[own(20)]))
    assert quiet.proposals[0].clear


@pytest.mark.parametrize(
    ("intent", "seconds", "comparison"),
    [
        ("every 30 s while queue_depth is above 500", 30, "above"),
        ("run every 2 minutes when errors > 3", 120, "above"),
        ("every 250 ms if load under 1.5", 0.25, "below"),
        ("every 1 h while free_gb is less than 10", 3600, "below"),
    ],
)
def test_rules_are_read_out_of_intents(intent: str, seconds: float, comparison: str) -> None:
    rule = threshold_of(intent)
    assert rule is not None
    assert (rule.interval.total_seconds(), rule.comparison) == (seconds, comparison)


def test_prose_without_a_rule_has_none() -> None:
    assert threshold_of("Tell me when the deploy is done, every now and then.") is None
    assert threshold_of(None) is None


async def test_a_cron_job_in_trouble_gets_extra_runs() -> None:
    made = definition(baseline=CronBaseline("every 600"), authority=Authority(tighten=True))
    (proposal,) = (await plan(context([run(0, "oops", code=500)], made=made))).proposals
    assert proposal.interval == timedelta(seconds=10)


async def test_a_once_job_keeps_its_time() -> None:
    made = definition(baseline=OnceBaseline(NOW + timedelta(hours=1)), authority=ALL)
    assert (await plan(context([run(0, "oops", code=500)], made=made))).proposals == ()


async def test_each_call_is_kept_with_its_verdict() -> None:
    made = await plan(context([run(0, "oops", code=500)]))
    assert [(call.tool, call.verdict) for call in made.calls] == [
        ("propose_interval", Verdict.ACCEPTED),
        ("conclude", Verdict.ACCEPTED),
        (NOTES_TOOL, Verdict.ANSWERED),
    ]
    assert made.prompt_hash
    assert "Intent:" in made.input_summary
    assert made.messages is not None
    assert "propose_interval" in made.messages


async def test_it_wants_to_see_the_next_run_while_something_is_going_on_and_else_waits_for_the_gate() -> None:
    troubled, calm = (
        await plan(context([run(0, "oops", code=500)])),
        await plan(context(CALM, made=IDLE, hints=[own(120)])),
    )
    assert troubled.next_analysis_in == timedelta(seconds=1)
    assert calm.next_analysis_in == timedelta(minutes=8)  # eight intervals


def tools_of(made: Plan) -> list[str]:
    return [call.tool for call in made.calls if call.tool != NOTES_TOOL]


async def test_who_says_429_without_a_time_is_not_asked_more_often() -> None:
    assert (await plan(context([run(0, "too many", code=429), run(60)]))).proposals == ()


async def test_a_reset_named_in_a_sentence_is_waited_for() -> None:
    body = f"Too many requests. Please try again after {(NOW + timedelta(minutes=4)).isoformat()}."
    (proposal,) = (await plan(context([run(0, body, code=429)]))).proposals
    assert (proposal.kind, proposal.at) == (HintKind.NEXT_TIME, NOW + timedelta(minutes=4))


WINDOW = '{"status": "ok", "maintenance_from": "%s", "maintenance_until": "%s"}'


async def test_maintenance_that_begins_later_is_waited_out_only_from_the_last_run_before_it() -> None:
    until = NOW + timedelta(minutes=9)

    def told(begins_s: float) -> str:
        return WINDOW % ((NOW + timedelta(seconds=begins_s)).isoformat(), until.isoformat())

    early = await plan(context([run(0, told(90))]))
    assert early.proposals == ()
    assert early.next_analysis_in == timedelta(seconds=1)
    (proposal,) = (await plan(context([run(0, told(30))]))).proposals
    assert proposal.at == until


async def test_what_the_last_healthy_answer_announced_holds_while_the_target_is_down_for_it() -> None:
    until = NOW + timedelta(minutes=5)
    told = WINDOW % ((NOW - timedelta(seconds=10)).isoformat(), until.isoformat())
    (proposal,) = (await plan(context([run(0, "down", code=503), run(60, told)]))).proposals
    assert proposal.at == until


@pytest.mark.parametrize("body", ['{"deadline_at": "%s"}', "Entries close at %s.", '{"note": "The deadline is %s."}'])
async def test_a_run_is_put_before_a_deadline_that_the_next_one_would_miss(body: str) -> None:
    hourly = definition(every_s=3600, bounds=Bounds(timedelta(seconds=10), timedelta(hours=9)))
    deadline = NOW + timedelta(minutes=30)
    (proposal,) = (await plan(context([run(0, body % deadline.isoformat())], made=hourly))).proposals
    assert (proposal.kind, proposal.at) == (HintKind.NEXT_TIME, deadline - timedelta(minutes=5))
    soon = await plan(context([run(0, body % (NOW + timedelta(hours=2)).isoformat())], made=hourly))
    assert soon.proposals == ()


async def test_troubles_that_always_last_are_looked_at_less_often_than_those_that_pass() -> None:
    down = [run(60 * n, "oops", code=500) for n in range(6)]
    first = (await plan(context(down[:1]))).proposals[0].interval
    later = (await plan(context(down))).proposals[0].interval
    assert first is not None
    assert later is not None
    assert first < later < timedelta(seconds=60)


async def test_a_tempo_that_was_tight_before_an_outage_eases_with_its_age() -> None:
    down = [run(60 * n, "oops", code=500) for n in range(4)]
    fresh = await plan(context([run(0, "oops", code=500), run(10)], hints=[own(10)]))
    (eased,) = (await plan(context(down, hints=[own(10, life_s=100, age_s=95)]))).proposals
    assert fresh.proposals == ()
    assert eased.interval == timedelta(seconds=22.5)
