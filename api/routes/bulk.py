"""One action on many jobs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Response
from pydantic import Field, StrictStr, model_validator

from api.acting import Act
from api.auth import Who
from api.idempotency import ONCE
from api.problems import invalid
from api.routes.documented import CHANGING, problems
from api.wire import Instant, Wire
from core.entities import JobStatus
from core.ports.store import JobFilter, Transition
from core.usecases.bulk import Outcome
from core.usecases.manage_jobs import ManageJobs

router = APIRouter(tags=["jobs"])

Text = Annotated[str, Field(strict=True, min_length=1, max_length=255)]
EXAMPLE = {"action": "pause", "filter": {"group": "payments", "labels": {"tier": "batch"}}, "reason": "a migration"}


class FilterIn(Wire):
    """Which jobs: all given conditions hold. Empty: every job of the tenant."""

    status: JobStatus | None = None
    group: Text | None = None
    key: Text | None = None
    labels: Annotated[dict[Text, StrictStr] | None, Field(max_length=50)] = None

    def to_core(self) -> JobFilter:
        """Return it as the store takes it."""
        return JobFilter(self.status, self.group, self.key, self.labels or {})


class BulkIn(Wire):
    """What to do, and to which jobs. `until` and `reason` go with a pause."""

    action: Literal["pause", "resume", "run"]
    filter: FilterIn
    until: Instant | None = None
    reason: Annotated[str | None, Field(strict=True, max_length=300)] = None

    @model_validator(mode="after")
    def _pauses_only(self) -> "BulkIn":
        if self.action != "pause" and (self.until is not None or self.reason is not None):
            raise ValueError("until and reason go with the action pause only")
        return self


class RefusalOut(Wire):
    """A job that the action was refused for."""

    job_id: str
    code: str
    detail: str


class BulkOut(Wire):
    """What came of it. `failed`: the first hundred of those that it was refused for."""

    action: str
    matched: int
    changed: int
    failed: list[RefusalOut]


class BulkPreview(BulkOut):
    """What would come of it, and the earliest five runs then."""

    next_runs: list[Instant]


@router.post(
    "/jobs:bulk",
    operation_id="changeJobs",
    response_model=BulkOut | BulkPreview,
    responses=problems(413, 415, *CHANGING),
    summary="Pause, resume or run every job that a filter finds",
    dependencies=ONCE,
)
async def change(
    body: Annotated[BulkIn, Body(openapi_examples={"pause": {"value": EXAMPLE}})], act: Act, who: Who
) -> BulkOut | Response:
    """Carry it out job by job: where it is refused, the others go on."""
    if act.versions is not None:
        raise invalid("?If-Match", "not_here", "If-Match names one job's version; leave it out here.")
    transition, where = _transition(act.given.jobs, body), body.filter.to_core()
    if act.rehearsal is None:
        return _out(body.action, await act.given.bulk.apply(who.tenant_id, where, transition))
    outcome = await act.given.bulk.rehearse(who.tenant_id, where, transition)
    return act.preview(_out(body.action, outcome), next_runs=outcome.next_runs)


def _transition(jobs: ManageJobs, body: BulkIn) -> Transition:
    if body.action == "pause":
        return jobs.pausing(until=body.until, reason=body.reason)
    return jobs.resuming() if body.action == "resume" else jobs.running()


def _out(action: str, outcome: Outcome) -> BulkOut:
    failed = [RefusalOut(job_id=each.job_id, code=each.code, detail=each.detail) for each in outcome.refusals]
    return BulkOut(action=action, matched=outcome.matched, changed=outcome.changed, failed=failed)
