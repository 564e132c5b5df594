"""The pages' live updates: the events of the API, for whoever may look."""

from fastapi import Response

from api.auth import Given
from api.dashboard.access import Member
from api.dashboard.shell import page_router
from api.routes.events import LastEventId
from api.streaming import stream

router = page_router()


@router.get("/events")
async def events(given: Given, who: Member, last_event_id: LastEventId = None) -> Response:
    """Stream which jobs have changed; the pages ask again for what shows them."""
    return stream(given.live, who.tenant_id, last_event_id)
