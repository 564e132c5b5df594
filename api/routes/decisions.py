"""Why it runs then, when after that, and what a hint would change."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Given, Who
from api.routes.documented import problems
from api.routes.hints import HintBody
from api.schemas.decisions import (
    BoundsOut,
    ExplanationOut,
    ForecastItemOut,
    ForecastOut,
    ShadowOut,
    SimulationOut,
    decision_fields,
    decision_out,
)
from api.schemas.hints import hint_out
from api.schemas.jobs import baseline_out
from api.wire import MS, ms
from core.governor import effective_bounds
from core.usecases.explain import Explanation
from core.usecases.manage_jobs import visible_status

router = APIRouter(tags=["decisions"])

LONGEST_FORECAST_H = 24 * 31


@router.get(
    "/jobs/{job_id}/explanation",
    operation_id="explainJob",
    response_model=ExplanationOut,
    responses=problems(404),
    summary="Why will it run then?",
)
async def explanation(job_id: str, given: Given, who: Who) -> ExplanationOut:
    """Return the decision in force: every candidate, the winner, each clamp, one sentence."""
    return explanation_out(await given.explain.explanation(who.tenant_id, job_id))


def explanation_out(found: Explanation) -> ExplanationOut:
    """Write an explanation."""
    definition = found.job.definition
    bounds = effective_bounds(definition, found.limits)
    return ExplanationOut(
        **decision_fields(found.decision),
        job_id=found.job.id,
        now=found.now,
        status=visible_status(found.job, found.now).value,
        baseline={name: value for name, value in baseline_out(definition.baseline).items() if value is not None},
        bounds=BoundsOut(
            min_interval_ms=bounds.floor // MS, max_interval_ms=ms(bounds.maximum), minimum_from=bounds.floor_bound
        ),
        active_hints=[hint_out(hint, found.now) for hint in found.hints],
        planner_mode=found.mode,
        shadow=_shadow(found),
    )


def _shadow(found: Explanation) -> ShadowOut | None:
    if found.shadow is None:
        return None
    return ShadowOut(
        hints=[hint_out(hint, found.now) for hint in found.shadow_hints], decision=decision_out(found.shadow)
    )


@router.get(
    "/jobs/{job_id}/forecast",
    operation_id="forecastJob",
    response_model=ForecastOut,
    responses=problems(404),
    summary="When will it run?",
)
async def forecast(
    job_id: str,
    given: Given,
    who: Who,
    hours: Annotated[int, Query(ge=1, le=LONGEST_FORECAST_H)] = 24,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> ForecastOut:
    """Return the coming runs, if each succeeds at its slot and no new hint comes."""
    told = await given.explain.forecast(who.tenant_id, job_id, hours=hours, limit=limit)
    items = [ForecastItemOut(at=item.at, source=item.source, hint_id=item.hint_id) for item in told.items]
    return ForecastOut(job_id=job_id, until=told.until, data=items, truncated=told.truncated)


@router.post(
    "/jobs/{job_id}/simulate-hint",
    operation_id="simulateHint",
    response_model=SimulationOut,
    responses=problems(404, 409, 415),
    summary="What would a hint change?",
)
async def simulate(job_id: str, body: HintBody, given: Given, who: Who) -> SimulationOut:
    """Decide with and without a person's hint. Nothing is written."""
    before, after = await given.explain.simulate(who.tenant_id, job_id, body.draft())
    return SimulationOut(job_id=job_id, before=decision_out(before), after=decision_out(after))
