"""Channels: registered, listed, tried, removed."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import Conflict, InvalidInput, Issue
from core.notices import Channel, ChannelKind, Notice, NoticeKind
from core.ports.ids import Ids
from core.ports.notices import Channels
from core.ports.store import Store
from core.record import record

MOST_CHANNELS = 20  # of a tenant: each is looked at with every look for what is wrong
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", re.ASCII)


@record
class ChannelDraft:
    """What somebody wants a channel to be."""

    name: str
    kind: ChannelKind
    address: str
    events: Sequence[NoticeKind]
    job_id: str | None = None
    failure_streak: int = 3


@dataclass(slots=True)
class ManageChannels:
    """The verbs. `check_url` judges an address as it judges a job's; `has_mail`: a mail server is set."""

    store: Store
    kept: Channels
    ids: Ids
    check_url: Callable[[str], Sequence[Issue]]
    has_mail: bool

    async def add(self, tenant_id: str, draft: ChannelDraft) -> Channel:
        """Return the new channel. Raises what `rehearse` raises."""
        channel = await self.rehearse(tenant_id, draft)
        await self.kept.add_channel(channel)
        return channel

    async def rehearse(self, tenant_id: str, draft: ChannelDraft) -> Channel:
        """Return what would be added. Raises InvalidInput, NotFound for its job, Conflict("too_many_channels")."""
        issues = self._issues(draft)
        if issues:
            raise InvalidInput(issues)
        if len(await self.kept.channels(tenant_id)) >= MOST_CHANNELS:
            raise Conflict("too_many_channels", f"A tenant may have {MOST_CHANNELS} channels; remove one first.")
        if draft.job_id is not None:
            await self.store.job(tenant_id, draft.job_id)
        return Channel(
            id=f"chn_{self.ids.entropy()}",
            tenant_id=tenant_id,
            name=draft.name,
            kind=draft.kind,
            address=draft.address,
            created_at=await self.store.now(),
            job_id=draft.job_id,
            events=tuple(dict.fromkeys(draft.events)),
            failure_streak=draft.failure_streak,
        )

    async def test(self, tenant_id: str, channel_id: str) -> Notice:
        """Send a test through it, with the retries of any other notice; return the notice. Raises NotFound."""
        channel = await self.kept.channel(tenant_id, channel_id)
        notice = Notice(
            id=f"ntc_{self.ids.entropy()}",
            tenant_id=tenant_id,
            channel_id=channel.id,
            kind=NoticeKind.TEST,
            opened_at=await self.store.now(),
            facts={},
        )
        await self.kept.add(notice)
        return notice

    def _issues(self, draft: ChannelDraft) -> list[Issue]:
        if draft.kind is not ChannelKind.EMAIL:
            return [Issue("/address", issue.code, issue.detail) for issue in self.check_url(draft.address)]
        if not _MAIL.fullmatch(draft.address):
            return [
                Issue("/address", "invalid_address", "address must be one e-mail address, such as ops@example.com.")
            ]
        if not self.has_mail:
            detail = "This installation sends no e-mail; its operator must set RUBATO_SMTP_URL and RUBATO_SMTP_FROM."
            return [Issue("/kind", "no_mail_server", detail)]
        return []
