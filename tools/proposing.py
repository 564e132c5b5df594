"""The proposing tools: validate, stage, and answer in words that a model can act on. They never write.

Bounds do not refuse a proposal, they clamp it, later, in the governor; grants refuse it here already. The order of the
checks is the order in which a model can mend them.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from core.entities import Author, Hint, HintKind, HintState, IntervalBaseline, OnceBaseline, PlannerMode, Source
from core.governor import effective_bounds
from core.grid import later
from core.hints import is_active, pause_left
from core.modes import mode_of
from core.sessions import Proposal, Verdict
from core.wording import duration, instant
from tools.redaction import visible
from tools.workbench import Answer, Workbench

LONGEST_REASON = 300  # characters
LONGEST_INTERVAL_MS = 2_592_000_000  # 30 days
SHORTEST_TTL_MS, LONGEST_TTL_MS = 1_000, 86_400_000
MOST_TURNS = 4  # of the tempo's direction, within a while of so many baseline intervals:
DAMPED_OVER, SHORTEST_DAMPING, LONGEST_DAMPING = 24, timedelta(minutes=2), timedelta(hours=6)
_MS = timedelta(milliseconds=1)
_BASELINES = (Source.BASELINE_CRON, Source.BASELINE_INTERVAL, Source.BASELINE_ONCE)


def propose_interval(bench: Workbench, call_id: str, *, interval_ms: int, ttl_ms: int, reason: str) -> Answer:
    """Run every `interval_ms` milliseconds for the next `ttl_ms` milliseconds, then go back to the baseline.

    Args:
        interval_ms: Milliseconds from one start to the next, 1 to 2592000000.
        ttl_ms: For how long, in milliseconds, 1000 to 86400000. Keep it short; it can be renewed on new evidence.
        reason: The evidence in one sentence, at most 300 characters.
    """
    context, definition = bench.context, bench.context.job.definition
    if isinstance(definition.baseline, OnceBaseline):
        return _no("This job runs once; it takes no interval. Use propose_next_time if it may run earlier.")
    refusal = _refused(bench, ttl_ms)
    if refusal is not None:
        return refusal
    interval = interval_ms * _MS
    at = later(context.job.schedule.last_start_at or context.job.schedule.created_at, interval)
    refusal = _beyond_grants(bench, at, interval) or _beyond_budget(bench, interval) or _swinging(bench, interval)
    if refusal is not None:
        return refusal
    bench.stage(Proposal(HintKind.INTERVAL, _clean(reason), call_id, interval=interval, ttl=ttl_ms * _MS))
    return _within_bounds(bench, interval)


def propose_next_time(bench: Workbench, call_id: str, *, at: str, reason: str) -> Answer:
    """Run once at an instant, sooner or later than the baseline would; afterwards the baseline goes on.

    Args:
        at: The instant, RFC 3339 with its offset, such as 2026-01-31T12:00:00Z.
        reason: The evidence in one sentence, at most 300 characters.
    """
    context = bench.context
    moment = _instant(at)
    if moment is None:
        return _no("`at` is not an RFC 3339 instant with an offset, such as 2026-01-31T12:00:00Z.")
    if moment <= context.now:
        return _no(f"`at` lies in the past; it is {instant(context.now)} now.")
    if moment > later(context.now, context.limits.hint_lifetime):
        return _no(f"`at` lies too far ahead; a hint lives {duration(context.limits.hint_lifetime)} at most.")
    refusal = _refused(bench, None) or _beyond_grants(bench, moment, None)
    if refusal is not None:
        return refusal
    bench.stage(Proposal(HintKind.NEXT_TIME, _clean(reason), call_id, at=moment))
    return _within_bounds(bench, moment - (context.job.schedule.last_start_at or context.now))


def pause_until(bench: Workbench, call_id: str, *, until: str | None, reason: str) -> Answer:
    """Stop running until an instant; one probe run follows. null ends a pause that the planner made itself.

    Args:
        until: The instant, RFC 3339 with its offset, at most a day ahead; or null.
        reason: The evidence in one sentence, at most 300 characters.
    """
    context = bench.context
    if until is None:
        bench.stage(Proposal(HintKind.PAUSE, _clean(reason), call_id, clear=True))
        return _yes("The planner's own pause, if there is one, will end.")
    moment = _instant(until)
    if moment is None:
        return _no("`until` is not an RFC 3339 instant with an offset, such as 2026-01-31T12:00:00Z.")
    if moment <= context.now:
        return _no(f"`until` lies in the past; it is {instant(context.now)} now.")
    if moment > later(context.now, context.limits.hint_lifetime):
        return _no(f"`until` lies too far ahead; a pause lasts {duration(context.limits.hint_lifetime)} at most.")
    refusal = _refused(bench, None)
    if refusal is not None:
        return refusal
    if not context.job.definition.authority.pause:
        return _no("The job's owner has not granted `pause`. Propose an interval or a next time, or do nothing.")
    refusal = _beyond_pauses(bench, moment)
    if refusal is not None:
        return refusal
    bench.stage(Proposal(HintKind.PAUSE, _clean(reason), call_id, until=moment))
    return _yes(f"Paused until {instant(moment)}, then one probe run.")


def clear_hints(bench: Workbench, call_id: str, *, reason: str) -> Answer:
    """Take back every hint that the planner itself wrote; the job goes back to its baseline.

    Args:
        reason: Why they are no longer needed, at most 300 characters.
    """
    mine = [
        hint for hint in bench.context.hints if hint.author is Author.PLANNER and is_active(hint, bench.context.now)
    ]
    if not mine:
        return _no("The planner has no active hint on this job; nothing to clear.")
    bench.stage(Proposal(None, _clean(reason), call_id, clear=True))
    return _yes(f"{len(mine)} hint(s) of the planner will be cleared.")


def _refused(bench: Workbench, ttl_ms: int | None) -> Answer | None:
    context = bench.context
    if mode_of(context.job.definition, context.limits) is PlannerMode.OFF:
        return _no("Planning is switched off for this job.")
    if ttl_ms is not None and ttl_ms * _MS > context.limits.hint_lifetime:
        return _no(f"`ttl_ms` is too long; a hint lives {duration(context.limits.hint_lifetime)} at most.")
    return None


def _beyond_grants(bench: Workbench, at: datetime, interval: timedelta | None) -> Answer | None:
    """Refuse what the grants can never allow: an interval by the baseline's, an instant by its next run."""
    authority, baseline = bench.context.job.definition.authority, bench.context.job.definition.baseline
    words = f"Every {duration(interval)}" if interval is not None else f"At {instant(at)}"
    if interval is not None and isinstance(baseline, IntervalBaseline):
        sooner, later_on = interval < baseline.every, interval > baseline.every
        than = f"the baseline of {duration(baseline.every)}"
    else:
        regular = _next_baseline(bench)
        if regular is None:
            return None  # the governor will judge
        sooner, later_on = at < regular, at > regular
        than = f"the next baseline run at {instant(regular)}"
    if sooner and not authority.tighten:
        return _no(f"{words} is sooner than {than}, and the owner has not granted `tighten`.")
    if later_on and not authority.relax:
        return _no(f"{words} is later than {than}, and the owner has not granted `relax`.")
    return None


def _beyond_budget(bench: Workbench, interval: timedelta) -> Answer | None:
    """Refuse a faster tempo on a day whose accelerated runs are used up; the governor would drop it."""
    context = bench.context
    baseline, schedule = context.job.definition.baseline, context.job.schedule
    is_faster = not isinstance(baseline, IntervalBaseline) or interval < baseline.every
    used = schedule.accelerated_runs if schedule.accelerated_on == context.now.date() else 0
    if is_faster and used >= context.limits.accelerated_runs_per_day:
        return _no(f"The {used} accelerated runs of this UTC day are used up; the baseline goes on until midnight.")
    return None


def _beyond_pauses(bench: Workbench, until: datetime) -> Answer | None:
    """Refuse a pause that the week's allowance does not hold; the governor would drop it."""
    context, job = bench.context, bench.context.job
    pause = Hint("", job.tenant_id, job.id, HintKind.PAUSE, Author.PLANNER, context.now, until, until=until)
    others = [hint for hint in context.hints if hint.kind is not HintKind.PAUSE or hint.author is not Author.PLANNER]
    left = pause_left((*others, *context.past_hints), pause, context.limits, context.now)
    if left >= timedelta(0):
        return None
    longest = max(timedelta(0), until - context.now + left)
    return _no(f"The week's allowance of pauses leaves {duration(longest)}; pause for less, or do nothing.")


def _swinging(bench: Workbench, interval: timedelta) -> Answer | None:
    """Refuse another turn of a tempo that has been turned too often of late: faster, slower, faster, ..."""
    context = bench.context
    baseline = context.job.definition.baseline
    every = baseline.every if isinstance(baseline, IntervalBaseline) else timedelta(minutes=5)
    over = min(max(every * DAMPED_OVER, SHORTEST_DAMPING), LONGEST_DAMPING)
    mine = (
        hint
        for hint in (*context.hints, *context.past_hints)
        if hint.author is Author.PLANNER
        and hint.kind is HintKind.INTERVAL
        and hint.state is not HintState.REJECTED
        and hint.created_at > context.now - over
    )
    recent = sorted(mine, key=lambda hint: hint.created_at)
    tempos = [hint.interval for hint in recent if hint.interval is not None]
    ways = [after > before for before, after in pairwise([*tempos, interval]) if after != before]
    turns = sum(way != last for last, way in pairwise(ways))
    if turns < MOST_TURNS or (tempos and interval == tempos[-1]):
        return None
    calm_at = recent[0].created_at + over
    return _no(
        f"The tempo has been turned {turns} times within {duration(over)}. Leave it, or clear_hints; until "
        f"{instant(calm_at)} it is not turned again."
    )


def _next_baseline(bench: Workbench) -> datetime | None:
    """Return the baseline's next run as the decision in force names it."""
    decision = bench.context.decision
    for candidate in decision.candidates if decision is not None else ():
        if candidate.source in _BASELINES and candidate.at is not None:
            return max(candidate.at, bench.context.now)
    return None


def _within_bounds(bench: Workbench, interval: timedelta) -> Answer:
    bounds = effective_bounds(bench.context.job.definition, bench.context.limits)
    if interval < bounds.floor:
        held = f"it will be held to the minimum interval of {duration(bounds.floor)}"
        return Answer(Verdict.CLAMPED, f"Staged; {held}.")
    if bounds.maximum is not None and interval > bounds.maximum:
        held = f"it will be held to the maximum interval of {duration(bounds.maximum)}"
        return Answer(Verdict.CLAMPED, f"Staged; {held}.")
    return _yes("Staged.")


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def clean_text(text: str, longest: int) -> str:
    """Cut a model's words to a length in characters, without control and invisible characters."""
    return visible(text)[:longest].strip() or "none given"


def _clean(reason: str) -> str:
    return clean_text(reason, LONGEST_REASON)


def _yes(message: str) -> Answer:
    return Answer(Verdict.ACCEPTED, message)


def _no(message: str) -> Answer:
    return Answer(Verdict.REJECTED, message)
