"""Channels in memory, over the memory store's jobs."""

from core.errors import NotFound
from core.notices import Channel, Notice
from core.ports.store import Page
from rubato.adapters.memory.store import MemoryStore


class MemoryChannels:
    """The port of channels in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._channels: dict[str, Channel] = {}
        self._notices: dict[str, Notice] = {}

    async def add_channel(self, channel: Channel) -> None:
        """Store it."""
        if channel.job_id is not None:
            await self._store.job(channel.tenant_id, channel.job_id)
        self._channels[channel.id] = channel

    async def channels(self, tenant_id: str) -> list[Channel]:
        """Return a tenant's channels."""
        mine = [channel for channel in self._channels.values() if channel.tenant_id == tenant_id]
        return sorted(mine, key=lambda channel: (channel.created_at, channel.id))

    async def channel(self, tenant_id: str, channel_id: str) -> Channel:
        """Return one."""
        channel = self._channels.get(channel_id)
        if channel is None or channel.tenant_id != tenant_id:
            raise NotFound(f"There is no channel {channel_id}.")
        return channel

    async def remove_channel(self, tenant_id: str, channel_id: str) -> None:
        """Remove it with its notices."""
        await self.channel(tenant_id, channel_id)
        del self._channels[channel_id]
        self._notices = {key: each for key, each in self._notices.items() if each.channel_id != channel_id}

    async def add(self, notice: Notice) -> None:
        """Store a notice that is due at once."""
        self._notices[notice.id] = notice

    async def notices(
        self, tenant_id: str, *, channel_id: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Notice]:
        """Return notices, newest first."""
        mine = [
            notice
            for notice in self._notices.values()
            if notice.tenant_id == tenant_id and channel_id in (None, notice.channel_id)
        ]
        mine.sort(key=_place, reverse=True)
        found = [notice for notice in mine if after is None or _place(notice) < after]
        return Page(found[:limit], _place(found[limit - 1]) if len(found) > limit else None)


def _place(notice: Notice) -> tuple[str, ...]:
    return notice.opened_at.isoformat(), notice.id
