"""Rules: those that a job's intent amounts to, what each would have made of the past, and a person's word on them."""

import hashlib
from collections.abc import Iterator
from typing import Any

from fastapi import Response

from api.dashboard.shell import Form, View, Viewing, page_router
from core.errors import NotFound
from core.intent import rules_from
from core.ports.store import RunFilter
from core.predicates import in_words, read_run
from core.rules import RuleDraft, is_known
from core.usecases.manage_rules import Trial

READ_RUNS = 20  # newest answers that a field is looked for in, as the offline planner does
SHOWN_RUNS = 40
router = page_router()


@router.get("/jobs/{job_id}/rules")
async def from_intent(view: Viewing, job_id: str) -> Response:
    """Show the rules that the job's intent amounts to, with their matches in history."""
    tenant = view.who.tenant_id
    job = await view.given.store.job(tenant, job_id)
    known = await view.given.store.rules(tenant, job_id)
    drafts = []
    for draft in await _drafts(view, job_id):
        trial = await view.given.rules.try_out(tenant, job_id, draft)
        drafts.append({"name": name_of(draft), "has": is_known(draft.terms, known), **_told(trial)})
    return view.page("intent.html", active="Overview", job=job, drafts=drafts)


@router.post("/jobs/{job_id}/rules", operation_id="createRule")
async def create(view: Viewing, job_id: str, form: Form) -> Response:
    """Make a rule of one that the intent amounts to; it is named by what it says, so that no other is made."""
    draft = next((each for each in await _drafts(view, job_id) if name_of(each) == form.get("draft")), None)
    if draft is None:
        raise NotFound("The intent or the answers have changed, and this rule is no longer in them; look again.")
    await view.given.rules.create(view.who.tenant_id, job_id, draft)
    return view.go(f"/jobs/{job_id}", done="accepted")


@router.get("/rules/{rule_id}")
async def rule(view: Viewing, rule_id: str) -> Response:
    """Show one rule, and which past runs it matches."""
    tenant = view.who.tenant_id
    found = await view.given.store.rule(tenant, rule_id)
    job = await view.given.store.job(tenant, found.job_id)
    trial = await view.given.rules.try_out(tenant, found.job_id, RuleDraft(found.terms, found.description))
    progress = job.schedule.rule_progress.get(rule_id)
    in_effect = progress is not None and progress.is_active
    return view.page("rule.html", active="Overview", rule=found, job=job, in_effect=in_effect, **_told(trial))


@router.post("/rules/{rule_id}/accept", operation_id="acceptRule")
async def accept(view: Viewing, rule_id: str) -> Response:
    """Let a rule take effect."""
    found = await view.given.rules.accept(view.who.tenant_id, rule_id)
    return view.go(f"/jobs/{found.job_id}", done="accepted")


@router.post("/rules/{rule_id}/reject", operation_id="rejectRule")
async def reject(view: Viewing, rule_id: str) -> Response:
    """Turn a rule down, or off."""
    found = await view.given.rules.reject(view.who.tenant_id, rule_id)
    return view.go(f"/jobs/{found.job_id}", done="rejected")


@router.post("/rules/{rule_id}/delete", operation_id="deleteRule")
async def delete(view: Viewing, rule_id: str) -> Response:
    """Delete a rule and its hint."""
    found = await view.given.store.rule(view.who.tenant_id, rule_id)
    await view.given.rules.delete(view.who.tenant_id, rule_id)
    return view.go(f"/jobs/{found.job_id}", done="deleted")


def name_of(draft: RuleDraft) -> str:
    """Return what names a draft: a digest of what it says."""
    return hashlib.sha256(repr(draft.terms.essence).encode()).hexdigest()[:24]


async def _drafts(view: View, job_id: str) -> list[RuleDraft]:
    snapshot = await view.given.store.snapshot(view.who.tenant_id, job_id)
    runs = await view.given.store.runs(view.who.tenant_id, RunFilter(job_id=job_id), limit=READ_RUNS)
    documents = (read_run(run) for run in runs.items)
    return rules_from(snapshot.job.definition, snapshot.limits, list(_present(each.document for each in documents)))


def _present(documents: Iterator[Any]) -> Iterator[Any]:
    return (each for each in documents if each is not None)


def _told(trial: Trial) -> dict[str, Any]:
    terms = trial.draft.terms
    return {
        "terms": terms,
        "words": trial.draft.description,
        "condition": in_words(terms.when),
        "until": in_words(terms.until) if terms.until is not None else None,
        "tried": len(trial.runs),
        "matched": sum(1 for each in trial.runs if each.matched),
        "unjudged": sum(1 for each in trial.runs if each.matched is None),
        "runs": trial.runs[:SHOWN_RUNS],
    }
