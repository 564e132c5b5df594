"""Editing a job: a form, then what would change with the next runs of it, then the change."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError

from api.dashboard.drawing import definitions
from api.dashboard.reading import duration_in
from api.dashboard.shell import Form, Told, View, Viewing, page_router, told
from api.problems import Problem
from api.routes.jobs import check_action
from api.schemas.jobs import definition_out, patched
from core.entities import Definition, HttpAction, Job
from core.errors import Conflict, InvalidInput
from core.ports.store import Changes
from core.record import evolve
from core.usecases.rehearsal import SHOWN_RUNS, Expecting, Rehearsal

LOOKED_AHEAD_H = 24 * 366
_SPANS = ("every", "min", "max", "timeout")
router = page_router()


@router.get("/jobs/{job_id}/edit")
async def edit(view: Viewing, job_id: str) -> Response:
    """Show the form as the job stands."""
    job = await view.given.store.job(view.who.tenant_id, job_id)
    return _form(view, job, definitions.fields_of(job.definition))


@router.post("/jobs/{job_id}/edit", operation_id="updateJob")
async def change(view: Viewing, job_id: str, form: Form) -> Response:
    """Show what the form would change, or change it: the same code computes both, for the version that was shown."""
    tenant = view.who.tenant_id
    job = await view.given.store.job(tenant, job_id)
    rehearsal = Rehearsal(view.given.store)
    is_saved = form.get("do") == "save"
    changes: Changes = view.given.store if is_saved else rehearsal
    versions = {int(form["version"])} if form.get("version", "").isdecimal() else {job.definition.version}
    jobs = evolve(view.given.jobs, store=Expecting(changes, versions))
    try:
        spans = {name: duration_in(form, name) for name in _SPANS}
        patch = definitions.patch_of(form, spans, is_http=isinstance(job.definition.action, HttpAction))
        changed = await jobs.edit(tenant, job_id, lambda old: _applied(view, old, patch), by=view.who.user_id)
    except (RequestValidationError, InvalidInput, Conflict, Problem) as error:
        return _form(view, job, form, wrong=await told(view.request, error))
    if is_saved:
        return view.go(f"/jobs/{job_id}", done="saved")
    before = await view.given.explain.forecast(tenant, job_id, hours=LOOKED_AHEAD_H, limit=SHOWN_RUNS)
    return view.page(
        "edit_preview.html",
        active="Overview",
        job=job,
        form=form,
        difference=definitions.difference(definition_out(job.definition), definition_out(changed.definition)),
        before=[item.at for item in before.items],
        after=rehearsal.next_runs(view.given.jobs.cron),
    )


def _applied(view: View, old: Definition, patch: Mapping[str, Any]) -> Definition:
    new = patched(old, patch, view.given.seal)
    if new.action != old.action:
        check_action(view.given, view.who, new)
    return new


def _form(view: View, job: Job, fields: Mapping[str, str], wrong: Told | None = None) -> Response:
    return view.page(
        "edit.html",
        active="Overview",
        status=wrong.status if wrong is not None else 200,
        job=job,
        fields={**dict.fromkeys(definitions.fields_of(job.definition), ""), **fields},
        wrong=wrong or Told(200, "", "", ""),
        is_http=isinstance(job.definition.action, HttpAction),
    )
