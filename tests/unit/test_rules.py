"""Rules through the whole loop: they take effect, hold, let go, and never flap; the governor disposes."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core.entities import (
    Author,
    Authority,
    Bounds,
    Hint,
    HintKind,
    HintState,
    IntervalBaseline,
    Job,
    Limits,
    OnceBaseline,
    PlannerMode,
    RuleProgress,
    RuleState,
    RunStatus,
    Source,
)
from core.errors import Conflict, InvalidInput, NotFound
from core.events import HintWritten, RulesMatched
from core.ports.dispatcher import HttpRequest, HttpResult
from core.predicates import Comparison, Op, Response
from core.rules import Hold, Rule, RuleDraft, Terms, advance, covers, default_ttl, issues_of
from core.usecases.manage_rules import ManageRules
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition

DEEP = Comparison("/queue_depth", Op.GT, 500)
SHALLOW = Comparison("/queue_depth", Op.LT, 400)
FAILED = Comparison("outcome", Op.EQ, "failed")


def terms(when: Any = DEEP, every_s: float = 20, *, kind: HintKind = HintKind.INTERVAL, **more: Any) -> Terms:
    length = timedelta(seconds=every_s)
    ttl = more.pop("ttl", default_ttl(kind, length, Limits()))
    return Terms(when=when, kind=kind, length=length, ttl=ttl, reason="as agreed", **more)


class House(Loop):
    """A loop whose target answers the queue depths of a script, the last one for ever."""

    def answers(self, *script: Any) -> None:
        waiting = list(script)

        def answer(request: HttpRequest) -> HttpResult:
            entry = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if isinstance(entry, HttpResult):
                return entry
            return HttpResult(200, 5, body=json.dumps({"queue_depth": entry}), body_bytes=20)

        self.dispatcher.plan = answer

    @property
    def rules(self) -> ManageRules:
        return ManageRules(self.store, self.cron, self.ids)

    async def ruled(self, *many: Terms, **fields: Any) -> Job:
        job = await self.register(definition(**fields))
        for each in many:
            await self.rules.create(TENANT, job.id, RuleDraft(each))
        return job

    async def live(self, job: Job, runs: int, *, plan: bool = False) -> list[float]:
        """Let so many slots pass; return the seconds from each start to the next slot."""
        gaps = []
        for _ in range(runs):
            await self.until_slot(job)
            await (self.turn() if plan else self.run_turn())
            slot = (await self.job(job)).schedule.slot
            assert slot is not None
            gaps.append((slot.at - self.clock.at).total_seconds())
        return gaps

    async def written(self, job: Job) -> list[Hint]:
        """Return every hint there ever was, oldest first."""
        return list((await self.store.hints(TENANT, job_id=job.id, limit=10_000)).items)[::-1]


async def test_while_its_condition_holds_a_rule_sets_the_tempo_and_then_gives_it_back() -> None:
    house = House()
    house.answers(3, 900, 900, 3, 3, 3)
    job = await house.ruled(terms())
    assert await house.live(job, 6) == [60, 20, 20, 20, 60, 60]
    (hint,) = await house.written(job)
    assert (hint.author, hint.state, hint.kind, hint.reason) == (
        Author.RULE,
        HintState.CLEARED,
        HintKind.INTERVAL,
        "as agreed",
    )
    assert hint.rule_id is not None
    assert hint.proposed == hint.applied == START + timedelta(seconds=60 + 20)


async def test_a_level_on_the_edge_does_not_make_a_rule_flap() -> None:
    house = House()
    house.answers(*[501, 499] * 20)
    job = await house.ruled(terms())
    assert set(await house.live(job, 25)) == {20}
    assert len(await house.written(job)) == 2  # renewed once in 500 s


async def test_between_entering_and_leaving_a_rule_stays_as_it_is() -> None:
    house = House()
    house.answers(450, 501, 450, 450, 399, 399, 450)
    job = await house.ruled(terms(until=SHALLOW))
    assert await house.live(job, 7) == [60, 20, 20, 20, 20, 40, 60]  # 40 s to the grid


async def test_a_condition_must_hold_for_so_many_runs() -> None:
    house = House()
    house.answers(900, 900, 3, 900, 900, 900)
    job = await house.ruled(terms(enter=Hold(3)))
    assert await house.live(job, 6) == [60, 60, 60, 60, 60, 20]


async def test_a_condition_must_hold_for_so_long_whatever_the_tempo() -> None:
    house = House()
    house.answers(0)
    empty = Comparison("/queue_depth", Op.EQ, 0)
    job = await house.ruled(terms(empty, 600, enter=Hold(1, timedelta(minutes=5))))
    assert await house.live(job, 7) == [60, 60, 60, 60, 60, 600, 600]


async def test_a_renewed_hint_replaces_the_old_one_and_there_is_never_more_than_one() -> None:
    house = House()
    house.answers(900)
    job = await house.ruled(terms(ttl=timedelta(seconds=100)))
    assert set(await house.live(job, 30)) == {20}
    hints = await house.written(job)
    assert [hint.state for hint in hints[:-1]] == [HintState.SUPERSEDED] * (len(hints) - 1)
    assert 5 < len(hints) < 15
    assert hints[-1].state is HintState.ACTIVE


async def test_an_answer_that_cannot_be_read_makes_no_rule_take_effect_and_two_in_a_row_end_one() -> None:
    house = House()
    garbled = HttpResult(200, 5, body="<html>", body_bytes=6)
    house.answers(garbled, 900, garbled, 900, garbled, garbled, garbled)
    job = await house.ruled(terms())
    assert await house.live(job, 7) == [60, 20, 20, 20, 20, 40, 60]
    (hint,) = await house.written(job)
    assert hint.state is HintState.CLEARED
    assert (await house.job(job)).schedule.rule_progress == {}


async def test_a_body_cut_short_by_its_excerpt_is_read_whole_by_rules() -> None:
    house = House()
    body = json.dumps({"padding": "x" * 10_000, "queue_depth": 900})
    house.answers(HttpResult(200, 5, body=body, body_bytes=len(body)))
    job = await house.ruled(terms(), store_responses=False)
    assert await house.live(job, 1) == [20]
    assert (await house.runs(job))[0].response_excerpt is None
    assert house.dispatcher.sent[0].keep_body


async def test_without_a_rule_nothing_is_kept_for_rules() -> None:
    house = House()
    job = await house.register(definition(store_responses=False))
    await house.live(job, 1)
    assert not house.dispatcher.sent[0].keep_body
    assert (await house.job(job)).schedule.rules_seq == 0


async def test_a_rule_made_while_the_run_was_out_sees_what_was_kept_of_it() -> None:
    house = House()
    house.answers(900)
    job = await house.register()
    await house.send()
    await house.rules.create(TENANT, job.id, RuleDraft(terms()))
    await house.answer()
    assert (await house.job(job)).schedule.slot.at == START + timedelta(seconds=20)  # type: ignore[union-attr]


async def test_of_two_rules_in_effect_the_older_sets_the_tempo_and_neither_flaps() -> None:
    house = House()
    house.answers(900, 900, 900, 450, 450, 450)
    job = await house.ruled(terms(DEEP, 20), terms(Comparison("/queue_depth", Op.GT, 100), 30))
    assert await house.live(job, 6) == [20, 20, 20, 20, 30, 30]
    assert [hint.interval for hint in await house.written(job)] == [timedelta(seconds=20), timedelta(seconds=30)]


async def test_a_pause_ends_with_a_probe_and_goes_on_while_its_condition_holds() -> None:
    house = House()
    house.answers(900, 900, 3)
    job = await house.ruled(terms(DEEP, 300, kind=HintKind.PAUSE))
    assert (await house.live(job, 1)) == [300]
    paused = (await house.job(job)).schedule
    assert (paused.paused_by, paused.slot.source if paused.slot else None) == (Author.RULE, Source.PAUSED_RULE)
    assert (await house.live(job, 2))[0] == 300
    assert [hint.state for hint in await house.written(job)] == [HintState.EXPIRED, HintState.EXPIRED]


async def test_a_weeks_pauses_of_a_rule_stay_within_their_share() -> None:
    house = House()
    house.answers(900)
    job = await house.ruled(
        terms(DEEP, 86_400, kind=HintKind.PAUSE), baseline=IntervalBaseline(timedelta(hours=1)), bounds=Bounds()
    )
    paused = 0.0
    while house.clock.at < START + timedelta(days=7):
        (gap,) = await house.live(job, 1)
        paused += gap if (await house.job(job)).schedule.paused_by is Author.RULE else 0
    assert 0 < paused <= 0.25 * 7 * 86_400


async def test_bounds_hold_a_rules_hint_and_grants_drop_it() -> None:
    house = House()
    house.answers(900)
    job = await house.ruled(terms(DEEP, 1))
    assert await house.live(job, 1) == [10]  # the job's minimum
    other = House()
    other.answers(900)
    job = await other.ruled(terms(DEEP, 20))
    await other.jobs.edit(TENANT, job.id, lambda old: definition(version=old.version, authority=Authority(relax=True)))
    assert await other.live(job, 1) == [60]
    assert "tighten" in (await other.runs(job))[0].decision.candidates[0].note  # type: ignore[union-attr]


async def test_a_person_outranks_a_rule_and_a_rule_outranks_the_planner() -> None:
    from core.usecases.manage_hints import HintDraft
    from tests.unit.loop import interval_proposal

    house = House()
    house.answers(900)
    job = await house.ruled(terms(DEEP, 20))
    house.planner.script.append([interval_proposal(15)])
    await house.live(job, 1, plan=True)
    assert (await house.live(job, 1)) == [20]
    await house.hints.write(TENANT, job.id, HintDraft(HintKind.INTERVAL, interval=timedelta(seconds=40)))
    assert (await house.live(job, 2))[-1] == 40


async def test_a_planner_that_is_off_or_only_watched_takes_the_rules_with_it() -> None:
    for mode, states in ((PlannerMode.OFF, []), (PlannerMode.SHADOW, [HintState.SHADOW])):
        house = House()
        house.answers(900)
        job = await house.ruled(terms(DEEP, 20), planner=mode)
        assert await house.live(job, 4) == [60] * 4
        assert [hint.state for hint in await house.written(job)] == states


@pytest.mark.parametrize(("many", "gates"), [([terms()], {"covered"}), ([], {"response_changed"})])
async def test_what_changes_in_an_answer_that_a_rule_has_in_hand_wakes_no_planner(
    many: list[Terms], gates: set[str]
) -> None:
    house = House()
    house.answers(900, 900, 900, 900, 700, 1900, 600)
    job = await house.ruled(*many)
    await house.live(job, 4, plan=True)
    asked = len(house.planner.contexts)
    await house.live(job, 3, plan=True)
    changed = [run.gate.partition(":")[0] for run in (await house.runs(job))[4:] if run.gate]
    assert set(changed) == gates
    assert len(house.planner.contexts) - asked == (0 if many else 3)


def test_a_failure_is_only_in_the_hands_of_a_rule_that_speaks_of_failures() -> None:
    failed = Response(RunStatus.FAILED, 500, 5, {"queue_depth": 900}, unread=None)
    active = RuleProgress(is_active=True)
    for when, expected in ((DEEP, False), (FAILED, True)):
        rule = Rule("rule_1", TENANT, "job_1", RuleState.ACCEPTED, Author.USER, terms(when), START, START)
        assert covers(rule, active, advance(rule.terms, active, failed, START), failed) is expected


def test_a_rule_at_rest_or_without_evidence_has_nothing_in_hand() -> None:
    rule = Rule("rule_1", TENANT, "job_1", RuleState.ACCEPTED, Author.USER, terms(), START, START)
    shallow = Response(RunStatus.SUCCEEDED, 200, 5, {"queue_depth": 3}, unread=None)
    assert not covers(rule, None, advance(rule.terms, None, shallow, START), shallow)
    unread = Response(RunStatus.SUCCEEDED, 200, 5)
    active = RuleProgress(is_active=True)
    assert not covers(rule, active, advance(rule.terms, active, unread, START), unread)


async def test_only_an_accepted_rule_is_evaluated_and_rejecting_takes_its_hint_back() -> None:
    house = House()
    house.answers(900)
    job = await house.ruled(terms())
    assert await house.live(job, 1) == [20]
    (rule,) = await house.store.rules(TENANT, job.id)
    rejected = await house.rules.reject(TENANT, rule.id)
    assert rejected.state is RuleState.REJECTED
    assert (await house.job(job)).schedule.slot.at == START + timedelta(seconds=60)  # type: ignore[union-attr]
    assert await house.live(job, 1) == [60]
    await house.rules.accept(TENANT, rule.id)
    assert await house.live(job, 1) == [20]
    await house.rules.delete(TENANT, rule.id)
    assert await house.store.rules(TENANT, job.id) == []
    assert await house.live(job, 2) == [60, 60]
    assert {hint.end_reason for hint in await house.written(job)} == {"its rule was changed by a person"}


async def test_deleting_a_rule_ends_the_pause_it_made() -> None:
    house = House()
    house.answers(900, 3)
    job = await house.ruled(terms(DEEP, 3600, kind=HintKind.PAUSE))
    assert await house.live(job, 1) == [3600]
    (rule,) = await house.store.rules(TENANT, job.id)
    await house.rules.delete(TENANT, rule.id)
    after = (await house.job(job)).schedule
    assert (after.status.value, after.paused_by) == ("active", None)
    assert after.slot is not None
    assert after.slot.at <= START + timedelta(seconds=60)


async def test_an_edited_rule_begins_anew_and_a_new_description_changes_nothing() -> None:
    house = House()
    house.answers(900)
    job = await house.ruled(terms())
    await house.live(job, 1)
    (rule,) = await house.store.rules(TENANT, job.id)
    renamed = await house.rules.edit(TENANT, rule.id, lambda old: RuleDraft(old.terms, "the queue"))
    assert renamed.description == "the queue"
    assert len((await house.job(job)).schedule.rule_progress) == 1
    await house.rules.edit(TENANT, rule.id, lambda old: RuleDraft(terms(DEEP, 30), old.description))
    assert (await house.job(job)).schedule.rule_progress == {}
    assert await house.live(job, 1) == [30]


async def test_the_same_rule_is_not_taken_twice_and_there_is_room_for_so_many() -> None:
    house = House()
    job = await house.ruled(terms())
    with pytest.raises(Conflict, match="already"):
        await house.rules.create(TENANT, job.id, RuleDraft(terms()))
    for number in range(31):
        await house.rules.create(TENANT, job.id, RuleDraft(terms(Comparison("/n", Op.GT, number))))
    with pytest.raises(Conflict, match="32 rules"):
        await house.rules.create(TENANT, job.id, RuleDraft(terms(FAILED)))


async def test_another_tenants_rule_is_not_there() -> None:
    house = House()
    house.store.add_tenant("tenant_b")
    job = await house.ruled(terms())
    (rule,) = await house.store.rules(TENANT, job.id)
    actions: list[Callable[[], Any]] = [
        lambda: house.rules.accept("tenant_b", rule.id),
        lambda: house.rules.reject("tenant_b", rule.id),
        lambda: house.rules.delete("tenant_b", rule.id),
        lambda: house.rules.edit("tenant_b", rule.id, lambda old: old),
        lambda: house.rules.create("tenant_b", job.id, RuleDraft(terms())),
    ]
    for action in actions:
        with pytest.raises(NotFound):
            await action()


@pytest.mark.parametrize(
    ("made", "fields", "pointer"),
    [
        (terms(every_s=0), {}, "/intervalMs"),
        (terms(every_s=86_400, ttl=timedelta(days=1)), {}, "/intervalMs"),
        (terms(ttl=timedelta(seconds=39)), {}, "/ttlMs"),
        (terms(ttl=timedelta(days=2)), {}, "/ttlMs"),
        (terms(enter=Hold(0)), {}, "/forRuns"),
        (terms(enter=Hold(1, timedelta(days=8))), {}, "/forMs"),
        (terms(leave=Hold(1001)), {}, "/untilRuns"),
        (terms(leave=Hold(1, timedelta(-1))), {}, "/untilMs"),
        (terms(every_s=20), {"authority": Authority(relax=True)}, "/intervalMs"),
        (terms(every_s=90), {"authority": Authority(tighten=True)}, "/intervalMs"),
        (terms(every_s=90, kind=HintKind.PAUSE), {"authority": Authority(tighten=True)}, "/pauseMs"),
        (terms(every_s=90_000, kind=HintKind.PAUSE), {}, "/pauseMs"),
        (terms(every_s=90, kind=HintKind.PAUSE, ttl=timedelta(seconds=91)), {}, "/ttlMs"),
        (terms(), {"baseline": OnceBaseline(START + timedelta(hours=1))}, "/intervalMs"),
    ],
)
async def test_a_rule_that_could_do_nothing_is_refused_by_field(
    made: Terms, fields: dict[str, Any], pointer: str
) -> None:
    house = House()
    job = await house.register(definition(**fields))
    with pytest.raises(InvalidInput) as refusal:
        await house.rules.create(TENANT, job.id, RuleDraft(made))
    assert [issue.pointer for issue in refusal.value.issues] == [pointer]
    assert issues_of(terms(), definition(), Limits()) == []


async def test_a_draft_is_tried_on_the_past_and_says_what_it_could_not_judge() -> None:
    house = House()
    cut = json.dumps({"padding": "x" * 5000, "queue_depth": 900})
    house.answers(
        3, 900, 900, 3, 3, HttpResult(200, 5, body=cut, body_bytes=len(cut)), HttpResult(200, 5, body="?"), {}
    )
    job = await house.register()
    await house.live(job, 8)
    before = await house.job(job)
    trial = await house.rules.try_out(TENANT, job.id, RuleDraft(terms()))
    told = [(each.matched, each.is_active, each.why_not) for each in trial.runs][::-1]
    assert told == [
        (False, False, None),
        (True, True, None),
        (True, True, None),
        (False, True, None),
        (False, False, None),
        (None, False, "truncated"),
        (None, False, "not_json"),
        (None, False, "nothing_there"),
    ]
    assert await house.job(job) == before
    assert await house.store.rules(TENANT, job.id) == []


async def test_matches_and_hints_of_rules_are_counted() -> None:
    house = House()
    house.answers(900)
    job = await house.ruled(terms())
    await house.live(job, 3)
    assert [event.count for event in house.events.of(RulesMatched)] == [1, 1, 1]  # type: ignore[attr-defined]
    (written,) = house.events.of(HintWritten)
    assert (written.author, written.outcome) == ("rule", "active")  # type: ignore[attr-defined]
