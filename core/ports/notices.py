"""The ports of notices: where they are kept, and how a mail leaves."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from core.notices import Channel, Notice
from core.ports.store import Page
from core.record import record


@record
class SlowHint:
    """A planner's interval in force on a job with a cron baseline, for which only the calendar knows what is slow."""

    tenant_id: str
    job_id: str
    expression: str
    timezone: str
    interval: timedelta
    since: datetime


@record
class Delivery:
    """A right to try one notice on its channel, until the lease ends."""

    notice: Notice
    channel: Channel


class Channels(Protocol):
    """A tenant's channels, and what was told on them. Every method raises `Unavailable` when the database is away."""

    async def add_channel(self, channel: Channel) -> None:
        """Store it. Raises NotFound when its job is none of the tenant's."""
        ...

    async def channels(self, tenant_id: str) -> list[Channel]:
        """Return a tenant's channels, oldest first."""
        ...

    async def channel(self, tenant_id: str, channel_id: str) -> Channel:
        """Return one. Raises NotFound."""
        ...

    async def remove_channel(self, tenant_id: str, channel_id: str) -> None:
        """Remove it; what was not delivered is dropped. Raises NotFound."""
        ...

    async def add(self, notice: Notice) -> None:
        """Store a notice that is due at once."""
        ...

    async def notices(
        self, tenant_id: str, *, channel_id: str | None, limit: int, after: tuple[str, ...] | None
    ) -> Page[Notice]:
        """Return notices, newest first."""
        ...


class Notices(Protocol):
    """What is to be told, over all tenants. Every method raises `Unavailable` when the database is away."""

    async def slow_hints(self) -> list[SlowHint]:
        """Return planners' intervals on cron baselines, of tenants with a channel for slowdowns."""
        ...

    async def find(self, slowed: Sequence[SlowHint], *, quiet: timedelta) -> dict[str, int]:
        """Open notices of what is wrong and not told yet, close those of what is over; return how many were opened, by
        kind. Of one thing at a time there is one open notice a channel."""
        ...

    async def claim(self, *, limit: int, lease: timedelta) -> list[Delivery]:
        """Take notices that are due; two claimers never get the same one while the lease lasts."""
        ...

    async def delivered(self, notice: Notice) -> None:
        """Record that it arrived."""
        ...

    async def failed(self, notice: Notice, error: str, *, again_in: timedelta | None) -> None:
        """Record that it did not, and when it is tried again; None: it is given up."""
        ...


class Mail(Protocol):
    """Sends one e-mail."""

    async def send(self, *, to: str, subject: str, text: str, message_id: str) -> str | None:
        """Send it within a deadline of its own; return why it could not be sent, or None."""
        ...
