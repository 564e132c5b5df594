"""Changes as server-sent events, with ids to go on from."""

import json
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent

from api.live import Live
from api.wire import rfc3339


def stream(live: Live, tenant_id: str, last_event_id: str | None) -> EventSourceResponse:
    """Answer with the events: `ready` says where the reader stands, `changed` names the jobs that changed."""
    return EventSourceResponse(_events(live, tenant_id, last_event_id or None))


async def _events(live: Live, tenant_id: str, position: str | None) -> AsyncIterator[ServerSentEvent]:
    is_first = True
    async for news in live.follow(tenant_id, position):
        has_changed = news.job_ids is None or len(news.job_ids) > 0
        if has_changed or is_first:
            data = json.dumps({"jobIds": news.job_ids, "now": rfc3339(news.now)})
            yield ServerSentEvent(data, event="changed" if has_changed else "ready", id=news.position)
        is_first = False
