"""What a model is shown of a job: intent first, numbers before text, the target's words last, quoted and capped."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib.resources import files

from core.entities import CronBaseline, Decision, IntervalBaseline, RuleState, Run, RunStatus
from core.governor import effective_bounds
from core.sessions import PlanningContext
from core.wording import duration, instant
from tools.reading import EXCERPT_CHARS, WARNING, describe

LONGEST_INTENT = 2000  # characters
WINDOWS = (("last 10 runs", None), ("last hour", timedelta(hours=1)), ("last 24 hours", timedelta(days=1)))


def instructions() -> str:
    """Return the standing instructions, a file of this package."""
    return files("planner").joinpath("prompts", "planner.md").read_text(encoding="utf-8")


def prompt_hash() -> str:
    """Return the fingerprint of the instructions, kept with every session."""
    return hashlib.sha256(instructions().encode()).hexdigest()[:16]


def describe_job(context: PlanningContext) -> str:
    """Return the user prompt. It names no URL, header or secret, and stays short whatever the target answers."""
    parts = [
        f"Now: {instant(context.now)}",
        f"Intent: {(context.job.definition.description or 'none given')[:LONGEST_INTENT]}",
        f"Baseline: {_baseline(context)}",
        f"Bounds: {_bounds(context)}",
        f"Grants: {_grants(context)}",
        f"Last start: {instant(start) if (start := context.job.schedule.last_start_at) else 'never'}",
        f"Decision in force: {_decision(context.decision)}",
        "Active hints:\n" + (_hints(context) or "none"),
        f"Rules: {_rules(context)}",
        "History:\n" + _windows(context.runs, context.now),
    ]
    if context.siblings:
        lines = [f"- {name}: {run.status} {run.status_code or ''}".rstrip() for name, run in context.siblings]
        parts.append("Other jobs of the group:\n" + "\n".join(lines))
    parts.append(_latest(context))
    return "\n".join(parts)


def _baseline(context: PlanningContext) -> str:
    baseline = context.job.definition.baseline
    if isinstance(baseline, CronBaseline):
        return f"cron {baseline.expression} in {baseline.timezone}"
    if isinstance(baseline, IntervalBaseline):
        return f"every {duration(baseline.every)} ({baseline.every // timedelta(milliseconds=1)} ms)"
    return f"once at {instant(baseline.run_at)}"


def _bounds(context: PlanningContext) -> str:
    bounds = effective_bounds(context.job.definition, context.limits)
    most = duration(bounds.maximum) if bounds.maximum is not None else "none"
    return f"at least {duration(bounds.floor)} apart, at most {most}"


def _grants(context: PlanningContext) -> str:
    authority = context.job.definition.authority
    words = (("tighten", authority.tighten), ("relax", authority.relax), ("pause", authority.pause))
    return ", ".join(word for word, granted in words if granted) or "none: nothing can be proposed"


def _decision(decision: Decision | None) -> str:
    """Name a decision without its sentence, which quotes the reason of the hint that won."""
    if decision is None:
        return "none yet"
    at = f"next run at {instant(decision.next_run_at)}" if decision.next_run_at else "nothing scheduled"
    return f"{at}, by {decision.source.replace('_', ' ')}"


def _hints(context: PlanningContext) -> str:
    """Name the active hints without their reasons: what a model wrote is never prompted again."""
    lines = []
    for hint in context.hints:
        what = (
            f"every {duration(hint.interval)}"
            if hint.interval
            else f"at {instant(hint.at)}"
            if hint.at
            else f"pause until {instant(hint.until)}"
            if hint.until
            else "pause"
        )
        ends = f"until {instant(hint.expires_at)}" if hint.expires_at else "for good"
        lines.append(f"- {hint.author} {hint.kind}: {what}, {ends}")
    return "\n".join(lines)


def _rules(context: PlanningContext) -> str:
    """Count the rules, without a word of them: what a model wrote is never prompted again."""
    states = [rule.state for rule in context.rules]
    accepted, waiting = states.count(RuleState.ACCEPTED), states.count(RuleState.PROPOSED)
    return f"{accepted} in force, {waiting} proposed and waiting for a person"


def _windows(runs: Sequence[Run], now: datetime) -> str:
    lines = []
    for name, span in WINDOWS:
        chosen = runs[:10] if span is None else [run for run in runs if run.scheduled_for >= now - span]
        ended = [run for run in chosen if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)]
        failed = sum(run.status is RunStatus.FAILED for run in ended)
        times = sorted(run.duration_ms for run in ended if run.duration_ms is not None)
        latency = f", p50 {times[len(times) // 2]} ms, p95 {times[int(len(times) * 0.95)]} ms" if times else ""
        lines.append(f"- {name}: {len(ended)} ended, {failed} failed{latency}")
    return "\n".join(lines)


def _latest(context: PlanningContext) -> str:
    run = next((run for run in context.runs if run.finished_at is not None and run.skip_reason is None), None)
    if run is None:
        return "Latest response: none yet"
    return f"Latest response ({WARNING}):\n{json.dumps(describe(run, EXCERPT_CHARS), ensure_ascii=True)}"
