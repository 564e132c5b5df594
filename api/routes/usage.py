"""What a tenant used, day by day."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from api.auth import Given, Who
from api.problems import invalid
from api.routes.documented import problems
from api.wire import Instant, Wire
from core.entities import RunStatus
from core.ports.usage import UsageDay

router = APIRouter(tags=["quota"])

USUAL, LONGEST = timedelta(days=30), timedelta(days=92)


class CountsOut(Wire):
    """Runs by how they stand, planner sessions, and the tokens these took."""

    runs: dict[str, int]
    sessions: int
    input_tokens: int
    output_tokens: int


class DayOut(CountsOut):
    """One UTC day, as 2026-01-31."""

    date: str


class UsageOut(Wire):
    """Days on which nothing was used are left out."""

    since: Annotated[Instant, Field(alias="from")]
    until: Annotated[Instant, Field(alias="to")]
    total: CountsOut
    data: list[DayOut]


@router.get(
    "/usage", operation_id="getUsage", response_model=UsageOut, responses=problems(), summary="Read what was used"
)
async def show(
    given: Given,
    who: Who,
    since: Annotated[
        Instant | None, Query(alias="from", description="The first instant; 30 days back unless given.")
    ] = None,
    until: Annotated[Instant | None, Query(alias="to", description="The end, not included; now unless given.")] = None,
) -> UsageOut:
    """Count runs by the day of their slot, sessions by the day they began. At most 92 days at once."""
    end = until or await given.store.now()
    begin = since or end - USUAL
    if not timedelta(0) < end - begin <= LONGEST:
        raise invalid("?from", "out_of_range", f"from must lie before to, by {LONGEST.days} days at the most.")
    days = await given.usage.days(who.tenant_id, begin, end)
    data = [DayOut(date=day.isoformat(), **_counts(days[day])) for day in sorted(days)]
    return UsageOut(since=begin, until=end, total=_total(data), data=data)


def _counts(day: UsageDay) -> dict[str, Any]:
    runs = {status.value: day.runs.get(status, 0) for status in RunStatus}
    tokens = {"input_tokens": day.input_tokens, "output_tokens": day.output_tokens}
    return {"runs": runs, "sessions": day.sessions, **tokens}


def _total(days: list[DayOut]) -> CountsOut:
    return CountsOut(
        runs={status.value: sum(day.runs[status.value] for day in days) for status in RunStatus},
        sessions=sum(day.sessions for day in days),
        input_tokens=sum(day.input_tokens for day in days),
        output_tokens=sum(day.output_tokens for day in days),
    )
