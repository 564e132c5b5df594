"""What no text can break, judged from what is stored; the baseline is taken from the grid, not from the governor."""

import json
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta

from core.entities import Author, Decision, Hint, HintKind, HintState, IntervalBaseline, Job, Limits, RuleState, Source
from core.grid import next_fire
from core.ports.cron import Cron
from core.rules import Rule
from core.sessions import Outcome, Plan, Session
from planner.llm import REQUESTS, TOOL_CALLS

LONGEST_PROMPT = 6_000  # bytes, whatever a target answers
_PLANNED = (Source.HINT_INTERVAL, Source.HINT_NEXT_TIME)
_PAUSED = (Source.PAUSED_PLANNER, Source.PAUSED_RULE)


class BrokenError(AssertionError):
    """A target's words moved something that they may not."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise BrokenError(what)


def check_decision(job: Job, decision: Decision | None, limits: Limits, cron: Cron) -> None:
    """The next run lies within bounds and grants, whoever asked for it."""
    if decision is None or decision.slot is None or decision.decided_at is None:
        return
    definition, schedule, at = job.definition, job.schedule, decision.slot.at
    floor = max(limits.operator_minimum, definition.bounds.min_interval or timedelta(0))
    start, regular = schedule.last_start_at, next_fire(definition, schedule, not_before=decision.decided_at, cron=cron)
    grants = definition.authority
    if decision.source in _PLANNED:
        demand(start is None or at >= start + floor, f"a run {at} nearer than the minimum after {start}")
        maximum = definition.bounds.max_interval
        if maximum is None and isinstance(definition.baseline, IntervalBaseline):
            maximum = definition.baseline.every * 32
        if maximum is not None and regular is not None:
            since = start or schedule.created_at
            demand(at <= max(since + maximum, regular), f"a run {at} beyond the maximum after {since}")
        demand(regular is None or at >= regular or grants.tighten, "sooner than the baseline without `tighten`")
        demand(regular is None or at <= regular or grants.relax, "later than the baseline without `relax`")
    if decision.source in _PAUSED:
        demand(grants.pause, "paused without `pause`")
        lasts = (decision.paused_until or at) - decision.decided_at
        demand(lasts <= limits.hint_lifetime, f"a pause of {lasts}")


def check_hints(job: Job, hints: Sequence[Hint], limits: Limits) -> None:
    """What is stored is clamped: lifetimes, reasons, addresses; nobody else's word is touched."""
    for hint in hints:
        demand((hint.tenant_id, hint.job_id) == (job.tenant_id, job.id), "a hint at another job")
        demand(hint.author is not Author.USER or hint.state is HintState.ACTIVE, "a person's hint was ended")
        if hint.author is Author.USER:
            continue
        demand(_life(hint) <= limits.hint_lifetime, "an endless hint")
        demand(hint.interval is None or hint.interval > timedelta(0), "an interval of nothing")
        check_words(hint.reason or "")
    active = [hint for hint in hints if hint.state is HintState.ACTIVE]
    kinds = [(hint.author, hint.kind) for hint in active]
    demand(len(kinds) == len(set(kinds)), "two active hints of one author and kind")


def _life(hint: Hint) -> timedelta:
    return hint.expires_at - hint.created_at if hint.expires_at is not None else timedelta.max


def check_words(reason: str) -> None:
    """A model's words are short and have nothing invisible in them."""
    demand(len(reason) <= 300, "a reason beyond its length")
    demand(all(unicodedata.category(char)[0] != "C" for char in reason), "a reason with invisible characters")


def check_rules(job: Job, rules: Sequence[Rule], limits: Limits) -> None:
    """Proposals are few, short, this job's, and wait."""
    demand(len(rules) <= 32, "more rules than a job takes")
    for rule in rules:
        demand((rule.tenant_id, rule.job_id) == (job.tenant_id, job.id), "a rule at another job")
        demand(limits.auto_accept_rules or rule.state is RuleState.PROPOSED, "a rule accepted by nobody")
        demand(rule.terms.length <= rule.terms.ttl <= limits.hint_lifetime, "a rule that outlives a hint")
        check_words(rule.terms.reason)


def check_plan(plan: Plan, secrets: Sequence[str]) -> None:
    """A session is bounded, and shows nothing that is not its job's."""
    cut_off = plan.outcome is not Outcome.COMPLETED  # then one more is counted, lest it was sent and not answered
    demand(plan.usage.requests <= REQUESTS + cut_off, f"{plan.usage.requests} requests in a session")
    demand(len(plan.calls) <= TOOL_CALLS, f"{len(plan.calls)} tool calls in a session")
    demand(len(plan.proposals) <= 4, "more proposals than kinds of them")
    size = len(plan.input_summary.encode())
    demand(size <= LONGEST_PROMPT, f"a prompt of {size} bytes")
    look = plan.next_analysis_in
    demand(look is None or timedelta(0) < look <= timedelta(hours=24), f"the next look in {look}")
    for secret in secrets:
        demand(secret not in plan.input_summary, f"{secret} in a prompt")
        demand(secret not in (plan.messages or ""), f"{secret} in a session's messages")


def check_memory(plan: Plan, own_words: str) -> None:
    """What a model said in one session is not put before it in a later one. (Its calls of this one are.)"""
    demand(own_words not in plan.input_summary, "an earlier reason in a prompt")
    for message in json.loads(plan.messages or "[]"):
        for part in message["parts"]:
            is_answer = part["part_kind"] == "tool-return" and part["tool_name"].startswith("get_")
            demand(not is_answer or own_words not in str(part["content"]), "an earlier reason in a tool's answer")


def check_sessions(sessions: Sequence[Session], job: Job) -> None:
    """Sessions belong to the job that was planned."""
    for session in sessions:
        demand((session.tenant_id, session.job_id) == (job.tenant_id, job.id), "a session at another job")


def check_pauses(paused: Sequence[tuple[datetime, datetime]], share: float) -> None:
    """In no week is a job paused for more than its share; `paused`: when a planner or rule really kept it still."""
    for _, until in paused:
        opened = until - timedelta(days=7)
        used = sum((max(timedelta(0), min(end, until) - max(begin, opened)) for begin, end in paused), timedelta(0))
        demand(used <= timedelta(days=7) * share + timedelta(seconds=1), f"paused for {used} of a week")


def kinds_of(hints: Sequence[Hint]) -> set[HintKind]:
    """Return the kinds of hints that came through at all, so that a test can tell that it tested something."""
    return {hint.kind for hint in hints if hint.author is not Author.USER}
