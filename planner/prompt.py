"""What a model is shown of a job: intent first, numbers before text, the target's words last, quoted and capped.

What a model wrote (reasons) is never shown to one again, nor a decision's sentence, which quotes them. No address,
header or secret is shown. Whatever the target answers, the prompt keeps to PROMPT_BYTES.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files

from core.entities import CronBaseline, Decision, Hint, HintState, IntervalBaseline, RuleState, Run
from core.gate import GateVerdict
from core.governor import effective_bounds
from core.modes import mode_of
from core.sessions import PlanningContext, RunWindow
from core.wording import duration, instant
from tools.reading import EXCERPT_BYTES, LONGEST_NAME, WARNING, describe
from tools.redaction import cut, redact

PROMPT_BYTES = 6_000  # no tokenizer makes more tokens than bytes
INTENT_BYTES = 1_500
_MOST_HINTS, _MOST_SIBLINGS = 6, 6
_NONE = timedelta(0)


@cache
def _prompt(name: str) -> str:
    return files("planner").joinpath("prompts", name).read_text(encoding="utf-8")


def instructions() -> str:
    """Return the standing instructions, a file of this package."""
    return _prompt("planner.md")


@cache
def prompt_hash() -> str:
    """Return the fingerprint of the prompts, kept with every session."""
    return hashlib.sha256(f"{instructions()}\0{_prompt('job.md')}".encode()).hexdigest()[:16]


def describe_job(context: PlanningContext) -> str:
    """Return the user prompt."""
    start = context.job.schedule.last_start_at
    fields = {
        "now": instant(context.now),
        "intent": cut(redact(context.job.definition.description or "none given"), INTENT_BYTES),
        "baseline": _baseline(context),
        "bounds": _bounds(context),
        "grants": _grants(context),
        "mode": mode_of(context.job.definition, context.limits).value,
        "woken_by": _woken_by(context.runs),
        "last_start": instant(start) if start else "never",
        "decision": _decision(context.decision),
        "hints": "\n".join(_hint(hint, context.now) for hint in context.hints[:_MOST_HINTS]) or "- none",
        "rules": _rules(context),
        "past_hints": _past_hints(context),
        "windows": "\n".join(map(_window, context.windows)) or "- none yet",
        "siblings": _siblings(context.siblings),
        "warning": WARNING,
    }
    head = _prompt("job.md").format(**fields, latest="{latest}").strip()
    room = PROMPT_BYTES - len(head.encode())
    return head.removesuffix("{latest}") + _latest(context.runs, min(EXCERPT_BYTES, room - 400))


def _baseline(context: PlanningContext) -> str:
    baseline = context.job.definition.baseline
    if isinstance(baseline, CronBaseline):
        return f"cron {baseline.expression} in {baseline.timezone}"
    if isinstance(baseline, IntervalBaseline):
        return f"every {duration(baseline.every)} ({baseline.every.total_seconds() * 1000:.0f} ms)"
    return f"once at {instant(baseline.run_at)}"


def _bounds(context: PlanningContext) -> str:
    bounds = effective_bounds(context.job.definition, context.limits)
    most = duration(bounds.maximum) if bounds.maximum is not None else "none"
    return f"at least {duration(bounds.floor)} apart, at most {most}"


def _grants(context: PlanningContext) -> str:
    authority = context.job.definition.authority
    words = (("tighten", authority.tighten), ("relax", authority.relax), ("pause", authority.pause))
    return ", ".join(word for word, granted in words if granted) or "none: nothing can be proposed"


def _woken_by(runs: Sequence[Run]) -> str:
    """Name the gate's verdict; what it names of the answer are a target's words, and stay out."""
    for run in runs:
        verdict = GateVerdict(run.gate.partition(":")[0]) if run.gate else None
        if verdict is not None and verdict.passes:
            return verdict.value.replace("_", " ")
    return "a person, or a look that was due"


def _decision(decision: Decision | None) -> str:
    if decision is None:
        return "none yet"
    at = f"next run at {instant(decision.next_run_at)}" if decision.next_run_at else "nothing scheduled"
    held = "".join(f"; held by {clamp.bound.replace('_', ' ')}" for clamp in decision.clamps)
    return f"{at}, by {decision.source.replace('_', ' ')}{held}"


def _hint(hint: Hint, now: datetime) -> str:
    ends = f"ends in {duration(max(hint.expires_at - now, _NONE))}" if hint.expires_at else "for good"
    return f"- {hint.author}: {_what(hint)}, {ends}"


def _what(hint: Hint) -> str:
    if hint.interval is not None:
        return f"every {duration(hint.interval)}"
    if hint.at is not None:
        return f"a run at {instant(hint.at)}"
    return f"pause until {instant(hint.until)}" if hint.until else "pause"


def _past_hints(context: PlanningContext) -> str:
    """Say what came of the planner's latest hints."""
    lines = []
    for hint in [each for each in context.past_hints if each.session_id is not None][:_MOST_HINTS]:
        ended = hint.ended_at or hint.expires_at or context.now
        unheeded = "on paper only" if hint.state is HintState.SHADOW else "never won"
        came = "was followed" if hint.applied else unheeded
        after = f" after {duration(ended - hint.created_at)}" if ended > hint.created_at else ""
        ago = duration(max(context.now - ended, _NONE))
        lines.append(f"- {_what(hint)}: {hint.state}{after}, {ago} ago; {came}")
    return "\n".join(lines) or "- none"


def _rules(context: PlanningContext) -> str:
    """Count the rules, without a word of them: what a model wrote is never prompted again."""
    states = [rule.state for rule in context.rules]
    accepted, waiting = states.count(RuleState.ACCEPTED), states.count(RuleState.PROPOSED)
    return f"{accepted} in force, {waiting} proposed and waiting for a person"


def _window(window: RunWindow) -> str:
    more = f" (of the newest {window.ended})" if window.more else ""
    if not window.ended:
        return f"- {window.name}: no run"
    share = f"{window.failed / window.ended:.0%} failed, {window.changed / window.ended:.0%} brought a change"
    latency = f", p50 {window.p50_ms} ms, p95 {window.p95_ms} ms" if window.p50_ms is not None else ""
    return f"- {window.name}: {window.ended} runs{more}, {share}{latency}"


def _siblings(siblings: Sequence[tuple[str, Run]]) -> str:
    if not siblings:
        return "none"
    counts: dict[str, int] = {}
    for _, run in siblings:
        counts[run.status.value] = counts.get(run.status.value, 0) + 1
    unwell = [redact(name)[:LONGEST_NAME] for name, run in siblings if run.status.value == "failed"][:_MOST_SIBLINGS]
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return cut(summary + (f"; failed: {json.dumps(unwell, ensure_ascii=False)}" if unwell else ""), 600)


def _latest(runs: Sequence[Run], size: int) -> str:
    run = next((run for run in runs if run.finished_at is not None and run.skip_reason is None), None)
    return "none yet" if run is None else json.dumps(describe(run, max(0, size)), ensure_ascii=False)
