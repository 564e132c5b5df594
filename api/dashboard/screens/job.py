"""A job: its tempo on one time axis, the decision in force, its newest runs, hints, sessions, rules and history."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query, Response

from api.dashboard.drawing import band, hints, timeline, windows
from api.dashboard.drawing.timeline import Seen, Timeline
from api.dashboard.shell import View, Viewing, page_router
from core.entities import Hint, HttpAction, JobStatus, OnceBaseline, Run
from core.hints import is_active
from core.ports.store import RunFilter
from core.predicates import in_words
from core.rules import Rule
from core.usecases.explain import Explanation
from core.usecases.manage_jobs import visible_status

DRAWN_RUNS, DRAWN_HINTS, FORETOLD = 400, 200, 300
SHOWN_RUNS, SHOWN_SESSIONS, SHOWN_CHANGES, SHOWN_HINTS = 12, 8, 12, 8
router = page_router()

Span = Annotated[str | None, Query(max_length=3)]
Chosen = Annotated[str | None, Query(max_length=100)]


@router.get("/jobs/{job_id}")
async def job(view: Viewing, job_id: str, span: Span = None, hint: Chosen = None) -> Response:
    """Show one job."""
    store, tenant = view.given.store, view.who.tenant_id
    explained = await view.given.explain.explanation(tenant, job_id)
    runs = (await store.runs(tenant, RunFilter(job_id=job_id), limit=DRAWN_RUNS)).items
    all_hints = (await store.hints(tenant, job_id=job_id, limit=DRAWN_HINTS)).items
    sessions = await store.sessions(tenant, job_id=job_id, limit=SHOWN_SESSIONS)
    chosen = next((each for each in all_hints if each.id == hint), None)
    span = span if span in windows.SPANS else windows.fitting(runs, view.now)
    found, status = explained.job, visible_status(explained.job, view.now)
    in_effect = {rule_id for rule_id, each in found.schedule.rule_progress.items() if each.is_active}
    return view.page(
        "job.html",
        active="Overview",
        job=found,
        stands=status,
        decision=explained.decision,
        clamps=explained.decision.clamps,
        band=band.draw(found, explained.limits, _every(view, explained)),
        baseline=hints.baseline(found.definition),
        in_force=hints.in_force(explained.hints, found.schedule.slot),
        next_at=_next_at(explained, status),
        timeline=await _timeline(view, explained, runs, all_hints, span, hint),
        span=span,
        spans=windows.NAMES,
        chosen=chosen,
        chosen_runs=[run for run in runs if chosen is not None and _set_by(run, chosen)][:SHOWN_RUNS],
        runs=runs[:SHOWN_RUNS],
        more_runs=len(runs) > SHOWN_RUNS,
        hints=all_hints[:SHOWN_HINTS],
        clearable=any(is_active(each, view.now) for each in all_hints),
        sessions=sessions.items,
        rules=[(rule, _condition(rule), rule.id in in_effect) for rule in await store.rules(tenant, job_id)],
        history=await view.given.definitions.history(tenant, job_id, limit=SHOWN_CHANGES),
        target=_target(explained),
        is_once=isinstance(found.definition.baseline, OnceBaseline),
        mode=explained.mode,
        has_planner=view.given.planner is not None,
    )


def _every(view: View, explained: Explanation) -> timedelta | None:
    return band.baseline_interval(explained.job.definition, view.given.jobs.cron, view.now)


def _next_at(explained: Explanation, status: JobStatus) -> datetime | None:
    slot = explained.job.schedule.slot
    return slot.at if slot is not None and status is not JobStatus.PAUSED else None


async def _timeline(
    view: View, explained: Explanation, runs: Sequence[Run], all_hints: Sequence[Hint], span: str, chosen: str | None
) -> Timeline:
    begin, end = windows.window(span, view.now)
    hours = max(1, -(-(end - view.now) // timedelta(hours=1)))
    told = await view.given.explain.forecast(view.who.tenant_id, explained.job.id, hours=hours, limit=FORETOLD)
    since = [run for run in runs if (run.started_at or run.scheduled_for) >= begin]
    seen = Seen(
        job=explained.job,
        limits=explained.limits,
        now=view.now,
        runs=sorted(since, key=lambda run: run.started_at or run.scheduled_for),
        hints=all_hints,
        forecast=[item for item in told.items if item.at <= end],
        every=_every(view, explained),
    )
    return timeline.lay_out(seen, begin, end, chosen)


def _set_by(run: Run, hint: Hint) -> bool:
    """Tell whether a run began while a hint held, as far as its row tells: hints set slots until they end."""
    at = run.started_at or run.scheduled_for
    ends = hint.ended_at or hint.expires_at
    return hint.created_at <= at and (ends is None or at <= ends)


def _condition(rule: Rule) -> str:
    return in_words(rule.terms.when)


def _target(explained: Explanation) -> str:
    action = explained.job.definition.action
    return f"{action.method} {action.url}" if isinstance(action, HttpAction) else f"target {action.target}"
