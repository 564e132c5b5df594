"""The planner's quota: allowances and what is left of them."""

from fastapi import APIRouter

from api.auth import Given, Who
from api.routes.documented import problems
from api.wire import Instant, Wire

router = APIRouter(tags=["quota"])


class WindowOut(Wire):
    """One allowance: tokens or sessions of a day or month."""

    name: str
    opened_at: Instant
    closes_at: Instant
    limit: int
    used: int
    reserved: int
    remaining: int


class AllowanceOut(Wire):
    """One allowance that has no window of its own. `limit` null: the tenant has none; `used` null: not counted here."""

    name: str
    limit: int | None
    used: int | None


class QuotaOut(Wire):
    """The tenant's open windows, and what else its row allows."""

    data: list[WindowOut]
    limits: list[AllowanceOut]


@router.get("/quota", operation_id="getQuota", response_model=QuotaOut, responses=problems(), summary="Read the quota")
async def show(given: Given, who: Who) -> QuotaOut:
    """Return how much planning the tenant may still do today and this month, and its other allowances."""
    allowed = await given.usage.allowances(who.tenant_id)
    windows = await given.quota.windows(who.tenant_id)
    return QuotaOut(
        data=[
            WindowOut(
                name=each.name,
                opened_at=each.opened_at,
                closes_at=each.closes_at,
                limit=each.limit,
                used=each.used,
                reserved=each.reserved,
                remaining=max(0, each.limit - each.used - each.reserved),
            )
            for each in windows
        ],
        limits=[
            AllowanceOut(name="jobs", limit=allowed.max_jobs, used=allowed.jobs),
            AllowanceOut(name="runs_per_day", limit=allowed.runs_per_day, used=allowed.runs_today),
            AllowanceOut(name="requests_per_minute", limit=allowed.requests_per_minute, used=None),
            AllowanceOut(name="min_interval_ms", limit=allowed.min_interval_ms, used=None),
        ],
    )
