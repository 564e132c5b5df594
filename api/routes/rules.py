"""Rules: what people and planners would have done about responses, without asking a model."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from fastapi.responses import JSONResponse

from api.acting import NO_STORE, Act, Acting
from api.auth import Given, Who
from api.idempotency import ONCE
from api.paging import Listed
from api.routes.documented import CHANGING, previewed, problems
from api.schemas.hints import NextRuns
from api.schemas.rules import (
    EXAMPLE_CONDITION,
    RuleIn,
    RuleOut,
    RulePreview,
    TrialOut,
    patch_schema,
    patched,
    rule_out,
    trial_out,
)
from api.services import Services
from core.entities import Job
from core.rules import Rule, RuleDraft
from core.usecases.manage_rules import Trial

router = APIRouter(tags=["rules"])


class RulesOut(Listed[RuleOut]):
    """A job's rules."""


_EXAMPLE = {
    "when": EXAMPLE_CONDITION,
    "until": {"field": "/queue_depth", "op": "lt", "value": 400},
    "intervalMs": 30000,
    "reason": "the queue is long",
}
RuleBody = Annotated[RuleIn, Body(openapi_examples={"interval": {"value": _EXAMPLE}})]
PatchBody = Annotated[dict[str, Any], Body()]
_TRIED: dict[int | str, dict[str, Any]] = {
    200: {"model": TrialOut, "description": "With `validateOnly`: what it would have made of the past."}
}


@router.get(
    "/jobs/{job_id}/rules",
    operation_id="listRules",
    responses=problems(404),
    response_model=RulesOut,
    summary="List a job's rules",
)
async def index(job_id: str, given: Given, who: Who) -> RulesOut:
    """Return a job's rules in every state, oldest first: of two in effect the older one sets the tempo."""
    progress = (await given.store.job(who.tenant_id, job_id)).schedule.rule_progress
    active = {rule_id for rule_id, each in progress.items() if each.is_active}
    rules = [rule_out(rule, in_effect=rule.id in active) for rule in await given.store.rules(who.tenant_id, job_id)]
    return RulesOut(data=rules, next_cursor=None)


@router.post(
    "/jobs/{job_id}/rules",
    operation_id="createRule",
    status_code=201,
    response_model=RuleOut,
    responses={**_TRIED, **problems(404, 412, 413, 415, *CHANGING)},
    summary="Write a rule",
    dependencies=ONCE,
)
async def create(job_id: str, body: RuleBody, act: Act, who: Who, response: Response) -> RuleOut | Response:
    """Store an accepted rule; it is evaluated on every response from the next one on."""
    draft = body.draft(await act.given.store.limits(who.tenant_id))
    rule = await act.rules.create(who.tenant_id, job_id, draft)
    if act.rehearsal is not None:
        return _tried(act, await act.rules.try_out(who.tenant_id, job_id, draft))
    response.headers["Location"] = f"/api/v1/rules/{rule.id}"
    return await _shown(act.given, rule)


@router.get(
    "/rules/{rule_id}", operation_id="getRule", response_model=RuleOut, responses=problems(404), summary="Read a rule"
)
async def show(rule_id: str, given: Given, who: Who) -> RuleOut:
    """Return one rule."""
    return await _shown(given, await given.store.rule(who.tenant_id, rule_id))


@router.patch(
    "/rules/{rule_id}",
    operation_id="updateRule",
    response_model=RuleOut | TrialOut,
    responses=problems(404, 412, 413, 415),
    summary="Edit a rule",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                media: {"schema": patch_schema(), "example": {"intervalMs": 60000}}
                for media in ("application/merge-patch+json", "application/json")
            },
        }
    },
)
async def update(rule_id: str, body: Annotated[dict[str, Any], Body()], act: Act, who: Who) -> RuleOut | Response:
    """Apply a merge-patch. A rule in effect lets go and begins anew when its terms change."""
    limits = await act.given.store.limits(who.tenant_id)

    def apply(old: RuleDraft) -> RuleDraft:
        return patched(old, body, limits)

    rule = await act.rules.edit(who.tenant_id, rule_id, apply)
    if act.rehearsal is not None:
        return _tried(act, await act.rules.try_out_edit(who.tenant_id, rule_id, apply))
    return await _shown(act.given, rule)


@router.delete(
    "/rules/{rule_id}",
    operation_id="deleteRule",
    status_code=204,
    responses={**problems(404, 412), **previewed(NextRuns)},
    summary="Delete a rule",
)
async def delete(rule_id: str, act: Act, who: Who) -> Response:
    """Delete a rule; its hint goes with it."""
    await act.rules.delete(who.tenant_id, rule_id)
    return act.preview() if act.rehearsal is not None else Response(status_code=204)


@router.post(
    "/rules/{rule_id}/accept",
    operation_id="acceptRule",
    response_model=RuleOut | RulePreview,
    responses=problems(404, 412, *CHANGING),
    summary="Accept a rule",
    dependencies=ONCE,
)
async def accept(rule_id: str, act: Act, who: Who) -> RuleOut | Response:
    """Let a proposed or rejected rule take effect, from the next response on."""
    return await _judged(act, await act.rules.accept(who.tenant_id, rule_id))


@router.post(
    "/rules/{rule_id}/reject",
    operation_id="rejectRule",
    response_model=RuleOut | RulePreview,
    responses=problems(404, 412, *CHANGING),
    summary="Reject a rule, or switch it off",
    dependencies=ONCE,
)
async def reject(rule_id: str, act: Act, who: Who) -> RuleOut | Response:
    """Turn a rule down; its hint goes. The same is not proposed again."""
    return await _judged(act, await act.rules.reject(who.tenant_id, rule_id))


async def _judged(act: Acting, rule: Rule) -> RuleOut | Response:
    if act.rehearsal is None or act.rehearsal.after is None:
        return await _shown(act.given, rule)
    return act.preview(_written(rule, act.rehearsal.after.job))


async def _shown(given: Services, rule: Rule) -> RuleOut:
    return _written(rule, await given.store.job(rule.tenant_id, rule.job_id))


def _written(rule: Rule, job: Job) -> RuleOut:
    progress = job.schedule.rule_progress.get(rule.id)
    return rule_out(rule, in_effect=progress is not None and progress.is_active)


def _tried(act: Acting, trial: Trial) -> Response:
    next_runs = act.rehearsal.next_runs(act.given.jobs.cron) if act.rehearsal is not None else []
    return JSONResponse(trial_out(trial, next_runs).model_dump(mode="json", by_alias=True), headers=NO_STORE)
