"""Changes to jobs as a request asks for them: carried out or only rehearsed, and held to a version if it names one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Query
from fastapi.responses import JSONResponse

from api.auth import Given
from api.problems import Problem
from api.services import Services
from api.wire import Wire, rfc3339
from core.errors import Issue, VersionMismatch
from core.ports.store import Changes
from core.record import evolve
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.rehearsal import Expecting, Rehearsal

NO_STORE = {"Cache-Control": "no-store"}
_ETAGS = re.compile(r'\s*(?:W/)?"[^"]*"\s*(?:,\s*(?:W/)?"[^"]*"\s*)*')
_STRONG = re.compile(r'(?<!W/)"(\d{1,9})"')

ValidateOnly = Annotated[
    bool, Query(alias="validateOnly", description="Answer 200 with what would be, and change nothing.")
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=1000, description="Only if the job's `ETag` is this one; otherwise 412."),
]


@dataclass(frozen=True, slots=True)
class Acting:
    """The use cases that a request goes through. `rehearsal` is set when nothing may be written; `versions`: those that
    the job may be at (None: any)."""

    given: Services
    jobs: ManageJobs
    hints: ManageHints
    rules: ManageRules
    rehearsal: Rehearsal | None
    versions: frozenset[int] | None

    def expect(self, version: int) -> None:
        """Raise VersionMismatch, for what does not go through the use cases."""
        if self.versions is not None and version not in self.versions:
            raise VersionMismatch(version)

    def preview(self, out: Wire | None = None, *, next_runs: Sequence[datetime] | None = None) -> JSONResponse:
        """Return what would be, with the instants of the next runs: the rehearsal's, unless others are given."""
        if next_runs is None:
            next_runs = self.rehearsal.next_runs(self.given.jobs.cron) if self.rehearsal is not None else ()
        body: dict[str, Any] = out.model_dump(mode="json", by_alias=True) if out is not None else {}
        return JSONResponse({**body, "nextRuns": [rfc3339(at) for at in next_runs]}, headers=NO_STORE)


async def acting(given: Given, validate_only: ValidateOnly = False, if_match: IfMatch = None) -> Acting:
    """Return the use cases as the request wants them."""
    rehearsal = Rehearsal(given.store) if validate_only else None
    changes: Changes = rehearsal if rehearsal is not None else given.store
    versions = _versions(if_match)
    if versions is not None:
        changes = Expecting(changes, versions)
    return Acting(
        given,
        evolve(given.jobs, store=changes),
        evolve(given.hints, store=changes),
        replace(given.rules, changes=changes),
        rehearsal,
        versions,
    )


Act = Annotated[Acting, Depends(acting)]


def _versions(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that If-Match names; None for every one. Weak tags never match (RFC 9110, 13.1.1)."""
    if if_match is None or if_match.strip() == "*":
        return None
    if not _ETAGS.fullmatch(if_match):
        detail = 'If-Match takes ETags, such as "3", separated by commas, or *.'
        raise Problem(400, "invalid_input", detail, issues=[Issue("?If-Match", "invalid_etag", detail)])
    return frozenset(int(tag) for tag in _STRONG.findall(if_match))
