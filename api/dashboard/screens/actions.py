"""What a person does to a job from its page: each form goes through the use case that its API route goes through."""

from datetime import timedelta

from fastapi import Response

from api.dashboard.reading import duration_in, instant_in, text_in
from api.dashboard.shell import Form, Viewing, page_router
from api.problems import Problem, invalid
from core.entities import HintKind, RunStatus
from core.usecases.manage_hints import HintDraft

router = page_router()

LONGEST_REASON = 300
HOLDS = {"1h": timedelta(hours=1), "8h": timedelta(hours=8), "24h": timedelta(hours=24)}


@router.post("/jobs/{job_id}/pause", operation_id="pauseJob")
async def pause(view: Viewing, job_id: str, form: Form) -> Response:
    """Pause, with a reason, for a while or until resumed."""
    hold = HOLDS.get(form.get("for", ""))
    until = view.now + hold if hold is not None else None
    reason = text_in(form, "reason", most=LONGEST_REASON)
    await view.given.jobs.pause(view.who.tenant_id, job_id, until=until, reason=reason, by=view.who.user_id)
    return view.go(f"/jobs/{job_id}", done="paused")


@router.post("/jobs/{job_id}/resume", operation_id="resumeJob")
async def resume(view: Viewing, job_id: str) -> Response:
    """End every pause."""
    await view.given.jobs.resume(view.who.tenant_id, job_id, by=view.who.user_id)
    return view.go(f"/jobs/{job_id}", done="resumed")


@router.post("/jobs/{job_id}/run", operation_id="runJob")
async def run(view: Viewing, job_id: str) -> Response:
    """Ask for a run at once."""
    asked = await view.given.jobs.run_now(view.who.tenant_id, job_id, by=view.who.user_id)
    return view.go(f"/jobs/{job_id}", done="overlapped" if asked.status is RunStatus.SKIPPED else "asked")


@router.post("/jobs/{job_id}/plan", operation_id="planJob")
async def plan(view: Viewing, job_id: str) -> Response:
    """Ask the planner now, and show its session."""
    if view.given.planner is None:
        raise Problem(409, "planner_off", "Planning is switched off on this installation (RUBATO_PLANNER).")
    await view.given.store.job(view.who.tenant_id, job_id)
    session = await view.given.planner.plan_now(view.who.tenant_id, job_id)
    return view.go(f"/sessions/{session.id}")


@router.post("/jobs/{job_id}/hints", operation_id="createHint")
async def hint(view: Viewing, job_id: str, form: Form) -> Response:
    """Propose a tempo or an instant as a person; a pin stays until it is cleared."""
    kind = form.get("kind", HintKind.INTERVAL)
    if kind not in (HintKind.INTERVAL, HintKind.NEXT_TIME):
        raise invalid("/kind", "unknown_kind", "A hint from this page sets an interval or the next time.")
    lasts = form.get("for", "")
    draft = HintDraft(
        kind=HintKind(kind),
        reason=text_in(form, "reason", most=LONGEST_REASON),
        interval=duration_in(form, "every") if kind == HintKind.INTERVAL else None,
        at=instant_in(form, "at") if kind == HintKind.NEXT_TIME else None,
        ttl=HOLDS.get(lasts),
        forever=lasts == "pin",
    )
    await view.given.hints.write(view.who.tenant_id, job_id, draft)
    return view.go(f"/jobs/{job_id}", done="pinned" if draft.forever else "hinted")


@router.post("/jobs/{job_id}/hints/clear", operation_id="clearHints")
async def clear(view: Viewing, job_id: str, form: Form) -> Response:
    """Clear one active hint, or every one but a person's pause."""
    await view.given.hints.clear(view.who.tenant_id, job_id, form.get("hint") or None)
    return view.go(f"/jobs/{job_id}", done="cleared")
