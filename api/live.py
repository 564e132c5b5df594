"""Live updates: one look at the feed for all who follow a tenant. `api.streaming` makes events of it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from core.ports.feed import Feed, News

EVERY_S = 1.0  # between two looks at the database, for all who follow a tenant together
LONGEST_S = 900.0  # then a reader comes again, and says again who it is
REMEMBERED = 120  # looks that a slower follower can still catch up from without one of its own


@dataclass(slots=True)
class _Shared:
    """What those who follow a tenant share: whoever holds the lock looks for all."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    recent: deque[News] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    followers: int = 0

    def after(self, position: str) -> News | None:
        """Return what came after a position in one, or None when there is nothing yet."""
        places = [index for index, news in enumerate(self.recent) if news.position == position]
        later = list(self.recent)[places[-1] + 1 :] if places else []
        if not later:
            return None
        named = [news.job_ids for news in later]
        job_ids = None if None in named else tuple({each for ids in named for each in ids or ()})
        return News(later[-1].position, job_ids, later[-1].now)


class Live:
    """One look a second for each tenant that somebody follows, however many do. `close` ends every stream, so that a
    process that stops does not wait for its readers."""

    def __init__(self, feed: Feed, *, every_s: float = EVERY_S, longest_s: float = LONGEST_S) -> None:
        self._feed, self._every_s, self._longest_s = feed, every_s, longest_s
        self._tenants: dict[str, _Shared] = {}
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End every stream, and those to come at once."""
        self._closed.set()

    async def follow(self, tenant_id: str, position: str | None) -> AsyncIterator[News]:
        """Yield where the reader stands with what it missed, and then what changes, until closed or too long."""
        until = asyncio.get_running_loop().time() + self._longest_s
        shared = self._tenants.setdefault(tenant_id, _Shared())
        shared.followers += 1
        try:
            news = await self._feed.since(tenant_id, position)
            yield news
            while not self._closed.is_set() and asyncio.get_running_loop().time() < until:
                found = await self._next(tenant_id, shared, news.position)
                if found is not None:
                    news = found
                    yield news
        finally:
            shared.followers -= 1
            if not shared.followers:
                self._tenants.pop(tenant_id, None)

    async def _next(self, tenant_id: str, shared: _Shared, position: str) -> News | None:
        async with shared.lock:
            missed = shared.after(position)
            if missed is not None:
                return missed
            try:
                await asyncio.wait_for(self._closed.wait(), self._every_s)
            except TimeoutError:
                news = await self._feed.since(tenant_id, position)
                shared.recent.append(news)
                return news
            return None
