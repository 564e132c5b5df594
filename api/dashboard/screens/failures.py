"""Failures: how runs failed lately, grouped by class and message, with counts and the last of each."""

from typing import Annotated

from fastapi import Query, Response

from api.dashboard.drawing.failures import by_class
from api.dashboard.drawing.filters import SPANS
from api.dashboard.shell import Viewing, page_router

USUAL = "24h"
NEWEST = 20_000  # runs that are looked at, so that a busy tenant's page stays quick
NAMED = 3  # jobs of a group that are named; the others are counted

router = page_router()


@router.get("/failures")
async def index(view: Viewing, since: Annotated[str, Query(max_length=10)] = USUAL) -> Response:
    """Show the classes."""
    span = since if since in SPANS else USUAL
    tenant, insights = view.who.tenant_id, view.given.insights
    found = await insights.failures(tenant, view.now - SPANS[span][1], newest=NEWEST)
    named = {job_id for group in found.groups for job_id in group.job_ids[:NAMED]}
    return view.page(
        "failures.html",
        active="Failures",
        classes=by_class(found.groups),
        failed=sum(group.count for group in found.groups),
        found=found,
        names=await insights.names(tenant, named),
        named=NAMED,
        span=span,
        spans=SPANS,
    )
