"""The proposing tools: validate, stage, and answer in words that a model can act on. They never write.

Bounds do not refuse a proposal, they clamp it, later, in the governor; grants refuse it here already. The order of the
checks is the order in which a model can mend them.
"""

import unicodedata
from datetime import UTC, datetime, timedelta

from core.entities import Author, HintKind, IntervalBaseline, OnceBaseline, PlannerMode, Source
from core.governor import effective_bounds
from core.grid import later
from core.hints import is_active
from core.sessions import Proposal, Verdict
from core.wording import duration, instant
from tools.workbench import Answer, Workbench

LONGEST_REASON = 300  # characters
LONGEST_INTERVAL_MS = 2_592_000_000  # 30 days
SHORTEST_TTL_MS, LONGEST_TTL_MS = 1_000, 86_400_000
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
    refusal = _beyond_grants(bench, at, interval)
    if refusal is not None:
        return refusal
    bench.stage(Proposal(HintKind.INTERVAL, clean(reason), call_id, interval=interval, ttl=ttl_ms * _MS))
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
    bench.stage(Proposal(HintKind.NEXT_TIME, clean(reason), call_id, at=moment))
    return _within_bounds(bench, moment - (context.job.schedule.last_start_at or context.now))


def pause_until(bench: Workbench, call_id: str, *, until: str | None, reason: str) -> Answer:
    """Stop running until an instant; one probe run follows. null ends a pause that the planner made itself.

    Args:
        until: The instant, RFC 3339 with its offset, at most a day ahead; or null.
        reason: The evidence in one sentence, at most 300 characters.
    """
    context = bench.context
    if until is None:
        bench.stage(Proposal(HintKind.PAUSE, clean(reason), call_id, clear=True))
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
    bench.stage(Proposal(HintKind.PAUSE, clean(reason), call_id, until=moment))
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
    bench.stage(Proposal(None, clean(reason), call_id, clear=True))
    return _yes(f"{len(mine)} hint(s) of the planner will be cleared.")


def _refused(bench: Workbench, ttl_ms: int | None) -> Answer | None:
    context = bench.context
    if context.job.definition.planner is PlannerMode.OFF:
        return _no("The job's owner has switched the planner off.")
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


def clean(reason: str) -> str:
    """Cut a reason to its length, without control and invisible characters."""
    kept = "".join(" " if char in "\r\n\t" else char for char in reason)
    return (
        "".join(char for char in kept if unicodedata.category(char)[0] != "C")[:LONGEST_REASON].strip() or "none given"
    )


def _yes(message: str) -> Answer:
    return Answer(Verdict.ACCEPTED, message)


def _no(message: str) -> Answer:
    return Answer(Verdict.REJECTED, message)
