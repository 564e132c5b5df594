"""Why it runs next when it does: the candidates in their order, the winner, each clamp, one sentence."""

from typing import Any

from fastapi import Response

from api.dashboard.drawing import hints
from api.dashboard.shell import Viewing, page_router
from api.routes.decisions import explanation_out
from core.entities import Candidate, Decision
from core.governor import effective_bounds
from core.usecases.manage_jobs import visible_status

SHOWN_HOURS, SHOWN_RUNS = 24, 10
router = page_router()


@router.get("/jobs/{job_id}/why")
async def why(view: Viewing, job_id: str) -> Response:
    """Show the decision in force, as GET /api/v1/jobs/{id}/explanation has it."""
    explained = await view.given.explain.explanation(view.who.tenant_id, job_id)
    told = await view.given.explain.forecast(view.who.tenant_id, job_id, hours=SHOWN_HOURS, limit=SHOWN_RUNS)
    definition = explained.job.definition
    return view.page(
        "why.html",
        active="Overview",
        job=explained.job,
        stands=visible_status(explained.job, view.now),
        decision=explained.decision,
        candidates=ranked(explained.decision),
        bounds=effective_bounds(definition, explained.limits),
        baseline=hints.baseline(definition),
        hints=explained.hints,
        mode=explained.mode,
        shadow=explained.shadow,
        shadow_candidates=ranked(explained.shadow) if explained.shadow is not None else [],
        forecast=told.items,
        json=explanation_out(explained).model_dump(mode="json", by_alias=True),
    )


def ranked(decision: Decision) -> list[dict[str, Any]]:
    """Return the candidates with the winner first, the others in the order in which the governor looked at them."""
    ordered = sorted(decision.candidates, key=lambda each: not _has_won(each, decision))
    return [{"rank": rank, "of": each, "won": _has_won(each, decision)} for rank, each in enumerate(ordered, 1)]


def _has_won(candidate: Candidate, decision: Decision) -> bool:
    return candidate.source is decision.source and candidate.hint_id == decision.hint_id
