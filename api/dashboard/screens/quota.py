"""Quota: each allowance of the planner as it burns down, when it will be used up, and the other allowances."""

from fastapi import Response

from api.dashboard.drawing.burndown import HEIGHT, WIDTH, draw
from api.dashboard.shell import Viewing, page_router

NAMES = {
    "tokens_per_day": "Tokens today",
    "tokens_per_month": "Tokens this month",
    "sessions_per_day": "Sessions today",
    "sessions_per_month": "Sessions this month",
}

router = page_router()


@router.get("/quota")
async def index(view: Viewing) -> Response:
    """Show the open windows. One that has not been opened yet has nothing spent in it."""
    given, tenant = view.given, view.who.tenant_id
    windows = await given.quota.windows(tenant)
    opened = min((each.opened_at for each in windows), default=view.now)
    hours = await given.insights.spent_hours(tenant, opened, view.now)
    return view.page(
        "quota.html",
        active="Quota",
        burndowns=[draw(each, hours, view.now) for each in windows],
        names=NAMES,
        allowed=await given.usage.allowances(tenant),
        width=WIDTH,
        height=HEIGHT,
    )
