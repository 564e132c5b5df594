"""The offline planner: a fixed policy that goes down the same path of agent and tools as a model does.

It is the default without a key, and answers while a model's server is down. A pure function of the context.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_ai import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from core.entities import Author, CronBaseline, Hint, HintKind, IntervalBaseline, OnceBaseline, Run, RunStatus
from core.gate import ANALYSIS_EVERY
from core.governor import effective_bounds
from core.sessions import PlanningContext
from core.wording import duration, instant
from planner.evidence import (
    Notice,
    Threshold,
    elevated,
    holds,
    is_unwell,
    notices,
    rests_when_calm,
    rising,
    same_answer,
    threshold_of,
)
from planner.intent import rule_proposals
from planner.recollection import in_trouble, rhythm_of
from planner.rhythm import Rhythm

OFFLINE = "offline-1"

FEW_RUNS = 5  # back to the last healthy answer, for what it announced
CALM_RUNS = 4  # equal, healthy answers in a row before the tempo is relaxed
GIVE_UP_AFTER = 12  # failures in a row; asking a dead target more often helps nobody
GIVE_UP_BASELINES = 8  # and as long as so many baseline intervals
TREND_BASELINES = 2  # over how many baseline intervals a level must have grown
WELL_RUNS = 2  # healthy answers in a row before a tightened tempo is given up
TIGHTEN_BY, RELAX_BY = 4, 2
LIVES = 8  # a hint lives this many of its intervals, between the two below
SHORTEST_LIFE, LONGEST_LIFE = timedelta(seconds=45), timedelta(minutes=30)
RENEW_BELOW = 0.25  # of its life left, and a hint that is still right is renewed
DEADLINE_LEAD, DEADLINE_SHARE = timedelta(minutes=5), 10  # before a deadline; at most so much of the baseline
RECOVERY_SHARE = 8  # a look in an outage comes after so much of its age, until what troubles have taught is slower
DRIFT = 1.4  # by this factor the rate may drift before a tempo follows: turning it back and forth gains nothing
LONGEST_STEP = 0.95  # of a hint's life: a run must come before it ends
CRON_STEP = timedelta(seconds=30)  # between extra runs of a cron job in trouble that names no minimum
SOON = timedelta(seconds=1)  # the next run, at the operator's minimum between two
REST_INTERVALS = 8
CONFIDENCE = 0.7  # a fixed policy knows no doubt; the figure is a constant
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Advice:
    """What the policy would do: a tool and its arguments, or nothing, and why."""

    words: str
    tool: str | None = None
    arguments: dict[str, Any] | None = None


def offline_model(context: PlanningContext, rhythm: Rhythm | None = None) -> FunctionModel:
    """Return the policy as a model that has seen this context (and, given, the job's rhythm in it)."""

    known = rhythm or rhythm_of(context)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked_before = any(isinstance(message, ModelResponse) for message in messages)
        advice = advise(context, known)
        parts = [ToolCallPart("conclude", _conclusion(advice, context, known))]
        if not asked_before:
            proposals = [ToolCallPart("propose_rule", each) for each in rule_proposals(context)]
            if advice.tool is not None:
                proposals.append(ToolCallPart(advice.tool, advice.arguments or {}))
            parts = [*proposals, *parts]
        return ModelResponse(parts, model_name=OFFLINE)

    return FunctionModel(answer, model_name=OFFLINE)


def _conclusion(advice: Advice, context: PlanningContext, rhythm: Rhythm | None) -> dict[str, Any]:
    look = next_look(context, rhythm)
    return {"reasoning": advice.words[:600], "confidence": CONFIDENCE, "next_analysis_in_ms": look // _MS}


def next_look(context: PlanningContext, rhythm: Rhythm | None) -> timedelta:
    """Return when to look again although nothing may have changed: at the next run, unless all is at rest."""
    steady = rhythm is None or rhythm.is_steady
    waits = any(True for _ in _announced(context))
    return _rest(context) if steady and not waits and _is_at_rest(context) else SOON


def _announced(context: PlanningContext) -> Iterator[Notice]:
    """Yield what the newest answer announces; if it is a failure, what the last healthy one of a few said before it."""
    runs = [run for run in context.runs[:FEW_RUNS] if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)]
    told = runs[:1]
    if told and told[0].status is RunStatus.FAILED:
        told += [run for run in runs if run.status is RunStatus.SUCCEEDED][:1]
    for run in told:
        yield from notices(run, context.now)


def _is_at_rest(context: PlanningContext) -> bool:
    """Tell whether nothing is going on: then the gate says when something has changed, and no run need be looked at."""
    runs = [run for run in context.runs if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)][:CALM_RUNS]
    mine = _own_interval(context)
    is_calm = all(_trouble(runs[at:], _trend_window(context)) is None for at in range(len(runs)))
    is_steady = len(runs) == CALM_RUNS and all(same_answer(runs[0], run) for run in runs[1:])
    return is_calm and is_steady and (mine is None or not _is_tight(context, mine))


def _rest(context: PlanningContext) -> timedelta:
    """Return when to look again although nothing changes: what does not happen is evidence too, and costs nothing
    here."""
    baseline = context.job.definition.baseline
    every = baseline.every if isinstance(baseline, IntervalBaseline) else ANALYSIS_EVERY
    return min(every * REST_INTERVALS, ANALYSIS_EVERY)


def advise(context: PlanningContext, rhythm: Rhythm | None) -> Advice:
    """Return the policy's advice: notices first, then the owner's own rule, then trouble, recovery and calm."""
    runs = [run for run in context.runs if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)]
    if not runs:
        return Advice("The job has not been answered yet; there is nothing to go by.")
    for notice in _announced(context):
        advice = _before(context, notice) if notice.is_deadline else _heed(context, notice)
        if advice is not None:
            return advice
    if isinstance(context.job.definition.baseline, OnceBaseline):
        return Advice("A job that runs once keeps its time.")
    rule = threshold_of(context.job.definition.description)
    if rule is not None and (held := holds(rule, runs[0])) is not None:
        return _obey(context, rule, held=held)
    return _by_trend(context, runs, rhythm)


def _by_trend(context: PlanningContext, runs: list[Run], rhythm: Rhythm | None) -> Advice:
    if _is_given_up(context, runs):
        return Advice("The target has been failing for long; the baseline and its backoff are the better pace.")
    over = _trend_window(context)
    trouble = _trouble(runs, over)
    mine = _own_interval(context)
    if trouble is not None:
        return _tighten(
            context, trouble, mine, rhythm if in_trouble(runs[0]) else None, is_rising=not in_trouble(runs[0])
        )
    well = len(runs) >= WELL_RUNS and all(_trouble(runs[at:], over) is None for at in range(WELL_RUNS))
    if mine is not None and _is_tight(context, mine):
        high = elevated(runs)
        if high is not None:
            return _tighten(context, f"{high} is still high", mine, None)
        if well and any(in_trouble(run) for run in runs[: WELL_RUNS + 1]):
            return Advice("recovered", "clear_hints", {"reason": "the answers are healthy and steady again"})
        if not well:
            return Advice("It looks better; one more healthy answer before the tempo goes back.")
    may_rest = rests_when_calm(context.job.definition.description)
    if may_rest and well and len(runs) >= CALM_RUNS and all(same_answer(runs[0], run) for run in runs[1:CALM_RUNS]):
        return _relax(context, mine)
    return _by_rhythm(context, mine, rhythm)


def _is_given_up(context: PlanningContext, runs: list[Run]) -> bool:
    """Tell whether the target has been failing for long, by count and by the baseline's clock: a dozen looks a minute
    apart are no long time for a job of every quarter of an hour."""
    baseline = context.job.definition.baseline
    failing = len(runs) >= GIVE_UP_AFTER and all(run.status is RunStatus.FAILED for run in runs[:GIVE_UP_AFTER])
    age = baseline.every * GIVE_UP_BASELINES if isinstance(baseline, IntervalBaseline) else timedelta(0)
    return failing and _trouble_age(context) >= age


def _by_rhythm(context: PlanningContext, mine: Hint | None, rhythm: Rhythm | None) -> Advice:
    """Follow the rate at which answers change, where there is evidence that it varies; else stand still."""
    definition = context.job.definition
    if rhythm is None:
        return Advice("Nothing has changed that asks for another tempo.")
    every = timedelta(seconds=rhythm.every)
    bounds = effective_bounds(definition, context.limits)
    wanted = timedelta(seconds=rhythm.tempo(context.now.timestamp()))
    wanted = min(max(wanted, bounds.floor), bounds.maximum or wanted, context.limits.hint_lifetime * LONGEST_STEP)
    is_granted = definition.authority.tighten if wanted < every else definition.authority.relax
    if wanted == every or not is_granted:
        return _as_usual(mine, "Nothing has changed that asks for another tempo")
    times = (every / wanted) ** 2
    words = f"{times:.2g} times" if times >= 1 else f"1/{1 / times:.2g}"
    return _interval(context, wanted, f"the answers change about {words} as often as usual", alike=DRIFT)


def _as_usual(mine: Hint | None, words: str) -> Advice:
    """Go back to the baseline, if there is anything to go back from."""
    if mine is None:
        return Advice(f"{words}.")
    return Advice(f"{words}.", "clear_hints", {"reason": "the baseline is the right pace again"})


def _trend_window(context: PlanningContext) -> timedelta:
    baseline = context.job.definition.baseline
    return baseline.every * TREND_BASELINES if isinstance(baseline, IntervalBaseline) else CRON_STEP


def _trouble(runs: list[Run], over: timedelta) -> str | None:
    """Name what is wrong in the newest of these answers, if anything is. Who says 429 must not be asked more often."""
    if runs[0].status_code == 429:
        return None
    if runs[0].status is RunStatus.FAILED:
        return f"the target is failing ({runs[0].error_message or 'no answer'})"[:200]
    unwell = is_unwell(runs[0])
    if unwell is not None:
        return f"the target reports {unwell}"
    grown = rising(runs, over)
    return f"{grown} is rising" if grown is not None else None


def _tighten(
    context: PlanningContext, why: str, mine: Hint | None, rhythm: Rhythm | None, *, is_rising: bool = False
) -> Advice:
    """Run sooner: while a level rises, a quarter of the tempo in force; in trouble, as its troubles have taught."""
    definition = context.job.definition
    if not definition.authority.tighten:
        return Advice(f"Although {why}: running sooner is not granted.")
    floor = effective_bounds(definition, context.limits).floor
    if isinstance(definition.baseline, IntervalBaseline):
        present = mine.interval if mine is not None and mine.interval is not None else definition.baseline.every
        if rhythm is not None:
            taught = timedelta(seconds=rhythm.tempo_in_trouble())
            held = max(present, _trouble_age(context) / RECOVERY_SHARE)  # what was tight before it began eases with it
            wanted = max(floor, min(taught, held))
            is_backing_off = context.runs[0].status is RunStatus.FAILED  # a tempo in force holds the backoff off
            if wanted >= definition.baseline.every and not is_backing_off:
                return _as_usual(mine, f"Although {why}: its troubles last, and the baseline is the better pace")
        else:
            wanted = max(floor, min(present, definition.baseline.every) / (TIGHTEN_BY if is_rising else 1))
    else:
        wanted = max(floor, definition.bounds.min_interval or CRON_STEP)
    return _interval(context, wanted, why)


def _trouble_age(context: PlanningContext) -> timedelta:
    """Return how long the trouble that the newest answer tells of has been seen."""
    began = context.now
    for run in context.runs:
        if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
            if not in_trouble(run):
                break
            began = run.started_at or run.scheduled_for
    return context.now - began


def _relax(context: PlanningContext, mine: Hint | None) -> Advice:
    """Double the tempo in force, up to the maximum, and only when the last step has been lived with."""
    definition = context.job.definition
    bounds = effective_bounds(definition, context.limits)
    if not isinstance(definition.baseline, IntervalBaseline) or not definition.authority.relax:
        return Advice("All is calm; the baseline is right as it is.")
    present = mine.interval if mine is not None and mine.interval is not None else definition.baseline.every
    if mine is not None and not _is_ending(context, mine):
        return Advice(f"All is calm; every {duration(present)} is still in force.")
    wanted = min(present * RELAX_BY, bounds.maximum or present * RELAX_BY)
    if wanted <= definition.baseline.every:
        return Advice("All is calm; the bounds leave no room for a slower tempo than the baseline.")
    return _interval(context, wanted, f"the last {CALM_RUNS} answers were healthy and the same")


def _obey(context: PlanningContext, rule: Threshold, *, held: bool) -> Advice:
    words = f"{rule.field} is {'' if held else 'no longer '}{rule.comparison} {rule.number:g}"
    if held:
        return _interval(context, rule.interval, f"{words}, as the owner asked")
    if _own_interval(context) is not None:
        return Advice(words, "clear_hints", {"reason": words})
    return Advice(f"{words[0].upper()}{words[1:]}; the baseline is right.")


def _before(context: PlanningContext, notice: Notice) -> Advice | None:
    """Run shortly before a deadline, when the next run would come too late for it. What stands already, stands."""
    definition = context.job.definition
    if not isinstance(definition.baseline, IntervalBaseline) or not definition.authority.tighten:
        return None
    at = notice.at - min(definition.baseline.every / DEADLINE_SHARE, DEADLINE_LEAD)
    following = context.decision.next_run_at if context.decision is not None else None
    mine = any(hint.kind is HintKind.NEXT_TIME and hint.author is Author.PLANNER for hint in context.hints)
    if mine or at <= context.now or following is None or following <= at:
        return None
    words = f"{notice.words}, {instant(notice.at)}"
    return Advice(words, "propose_next_time", {"at": _rfc3339(at), "reason": words})


def _heed(context: PlanningContext, notice: Notice) -> Advice | None:
    """Do not run before an announced instant: a next time where later is granted, else a pause, else nothing."""
    definition = context.job.definition
    following = context.decision.next_run_at if context.decision is not None else None
    if notice.begins is not None and following is not None and following < notice.begins:
        return None  # there is a run to come before it begins
    if any(_stands_for(hint, notice) for hint in context.hints):
        return Advice(f"Already waiting: {notice.words}.")
    start = context.job.schedule.last_start_at or context.now
    maximum = effective_bounds(definition, context.limits).maximum
    reachable = maximum is None or notice.at <= start + maximum
    at = _rfc3339(notice.at)
    if notice.at - context.now > context.limits.hint_lifetime:
        return None
    if definition.authority.relax and reachable and isinstance(definition.baseline, IntervalBaseline):
        return Advice(notice.words, "propose_next_time", {"at": at, "reason": notice.words})
    if definition.authority.pause:
        return Advice(notice.words, "pause_until", {"until": at, "reason": notice.words})
    return None


def _rfc3339(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _stands_for(hint: Hint, notice: Notice) -> bool:
    aimed = hint.at or hint.until
    return hint.author is Author.PLANNER and aimed is not None and abs(aimed - notice.at) <= timedelta(seconds=2)


def _interval(context: PlanningContext, wanted: timedelta, why: str, *, alike: float = 1.1) -> Advice:
    """Propose a tempo; one in force within a factor `alike` of it stays, and is renewed as it is when it ends."""
    mine = _own_interval(context)
    if mine is not None and mine.interval is not None and 1 / alike <= mine.interval / wanted <= alike:
        if not _is_ending(context, mine):
            return Advice(f"Every {duration(mine.interval)} is in force until {_end(mine)}, and still right: {why}.")
        wanted = mine.interval
    life = min(max(wanted * LIVES, SHORTEST_LIFE), max(LONGEST_LIFE, wanted * 2), context.limits.hint_lifetime)
    arguments = {"interval_ms": max(1, wanted // _MS), "ttl_ms": life // _MS, "reason": why[:300]}
    return Advice(why, "propose_interval", arguments)


def _own_interval(context: PlanningContext) -> Hint | None:
    return next((h for h in context.hints if h.author is Author.PLANNER and h.kind is HintKind.INTERVAL), None)


def _is_tight(context: PlanningContext, hint: Hint) -> bool:
    baseline = context.job.definition.baseline
    if isinstance(baseline, CronBaseline):
        return True
    return isinstance(baseline, IntervalBaseline) and hint.interval is not None and hint.interval < baseline.every


def _is_ending(context: PlanningContext, hint: Hint) -> bool:
    if hint.expires_at is None:
        return False
    left = hint.expires_at - context.now
    outlived = hint.interval is not None and left < hint.interval
    return outlived or left < (hint.expires_at - hint.created_at) * RENEW_BELOW


def _end(hint: Hint) -> str:
    return instant(hint.expires_at) if hint.expires_at is not None else "further notice"
