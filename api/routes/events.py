"""What changes, as it changes: server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Header
from sse_starlette import EventSourceResponse

from api.auth import Given, Who
from api.routes.documented import problems
from api.streaming import stream

router = APIRouter(tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=4000, description="Where to go on from: the id of an event."),
]
EXAMPLE = 'id: 812:812:\nevent: changed\ndata: {"jobIds": ["job_1"], "now": "2026-01-31T12:00:00Z"}\n\n'


@router.get(
    "/events",
    operation_id="followEvents",
    response_class=EventSourceResponse,
    responses={
        **problems(),
        200: {"description": "The stream.", "content": {"text/event-stream": {"example": EXAMPLE}}},
    },
    summary="Follow changes",
)
async def follow(given: Given, who: Who, last_event_id: LastEventId = None) -> EventSourceResponse:
    """Stream which jobs have changed: `ready` first, then `changed`, once a second at the most. `jobIds` null: any may
    have. With `Last-Event-ID` it begins with what was missed. It ends after 15 minutes; ask again then."""
    return stream(given.live, who.tenant_id, last_event_id)
