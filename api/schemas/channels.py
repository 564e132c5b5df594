"""Channels and notices on the wire."""

from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field

from api.wire import Instant, Wire
from core.notices import Channel, ChannelKind, Notice, NoticeKind, summary
from core.usecases.manage_channels import ChannelDraft

Event = Literal["failing", "recovered", "parked", "paused", "slowed", "quota"]
EVENTS: tuple[Event, ...] = get_args(Event)


class ChannelIn(Wire):
    """Where to tell, and of what. `address`: a URL for `webhook` and `slack`, a mail address for `email`; `jobId`: of
    this job only; `failureStreak`: how many runs must fail in a row."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    kind: Literal["webhook", "slack", "email"]
    address: Annotated[str, Field(min_length=1, max_length=2048)]
    job_id: str | None = None
    events: Annotated[list[Event], Field(min_length=1, max_length=20, default_factory=lambda: list(EVENTS))]
    failure_streak: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3

    def draft(self) -> ChannelDraft:
        """Return it as core takes it."""
        return ChannelDraft(
            name=self.name,
            kind=ChannelKind(self.kind),
            address=self.address,
            events=[NoticeKind(event) for event in self.events],
            job_id=self.job_id,
            failure_streak=self.failure_streak,
        )


class ChannelOut(Wire):
    """A channel. Of a URL only the host is shown: whoever knows the rest of a chat's address can write there."""

    id: str
    name: str
    kind: str
    address: str
    job_id: str | None
    events: list[str]
    failure_streak: int
    created_at: Instant


class NoticeOut(Wire):
    """A notice, and how far it came. `closedAt`: when what it tells of was over; `nextAt`: when it is tried again."""

    id: str
    channel_id: str
    job_id: str | None
    kind: str
    summary: str
    facts: dict[str, Any]
    opened_at: Instant
    closed_at: Instant | None
    attempts: int
    next_at: Instant | None
    delivered_at: Instant | None
    last_error: str | None


def channel_out(channel: Channel) -> ChannelOut:
    """Return it as it travels."""
    parts = urlsplit(channel.address)
    is_mail = channel.kind is ChannelKind.EMAIL
    return ChannelOut(
        id=channel.id,
        name=channel.name,
        kind=channel.kind.value,
        address=channel.address if is_mail else f"{parts.scheme}://{parts.hostname or ''}/…",
        job_id=channel.job_id,
        events=[event.value for event in channel.events],
        failure_streak=channel.failure_streak,
        created_at=channel.created_at,
    )


def notice_out(notice: Notice) -> NoticeOut:
    """Return it as it travels."""
    return NoticeOut(
        id=notice.id,
        channel_id=notice.channel_id,
        job_id=notice.job_id,
        kind=notice.kind.value,
        summary=summary(notice),
        facts=dict(notice.facts),
        opened_at=notice.opened_at,
        closed_at=notice.closed_at,
        attempts=notice.attempts,
        next_at=notice.next_at,
        delivered_at=notice.delivered_at,
        last_error=notice.last_error,
    )
