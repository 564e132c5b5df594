"""Telling tenants: find what is wrong and not told yet, and deliver it, again and again until it has arrived.

Nothing of it is on a run's way: what is wrong is read from what runs and sessions have left behind. Requests go through
the same dispatcher as runs do, with its guard, deadlines and signatures; `webhook-id` is the notice's, at every try.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from core.errors import CronError, Unavailable
from core.events import NoticeOpened, NoticeSent
from core.notices import (
    LEASE,
    QUIET,
    Channel,
    ChannelKind,
    Notice,
    is_slowdown,
    retry_in,
    slack_body,
    summary,
    webhook_body,
)
from core.ports.cron import Cron
from core.ports.dispatcher import Dispatcher, HttpRequest
from core.ports.events import Events
from core.ports.notices import Delivery, Mail, Notices, SlowHint

AT_ONCE = 20
DEADLINE = timedelta(seconds=10)  # of one request; a receiver that takes longer is tried again


@dataclass(slots=True)
class Notify:
    """Finds and delivers notices. `mail` None: no mail server is set, and mails wait until one is."""

    notices: Notices
    dispatcher: Dispatcher
    mail: Mail | None
    cron: Cron
    events: Events
    quiet: timedelta = QUIET

    async def find_once(self) -> int:
        """Look for what is wrong; return how many notices were opened."""
        slowed = [hint for hint in await self.notices.slow_hints() if self._is_slow(hint)]
        opened = await self.notices.find(slowed, quiet=self.quiet)
        for kind, count in opened.items():
            self.events.emit(NoticeOpened(kind, count))
        return sum(opened.values())

    async def deliver_once(self) -> int:
        """Deliver what is due and wait for it; return how many tries there were."""
        due = await self.notices.claim(limit=AT_ONCE, lease=LEASE)
        async with asyncio.TaskGroup() as group:
            for delivery in due:
                group.create_task(self._deliver(delivery))
        return len(due)

    async def _deliver(self, delivery: Delivery) -> None:
        notice, channel = delivery.notice, delivery.channel
        try:
            error = await self._send(notice, channel)
        except Exception as failure:  # noqa: BLE001 - one channel's trouble must not keep the others from being told
            error = f"it could not be sent: {type(failure).__name__}"
        outcome = "delivered"
        try:
            if error is None:
                await self.notices.delivered(notice)
            else:
                again_in = retry_in(notice.attempts)
                outcome = "failed" if again_in is not None else "given_up"
                await self.notices.failed(notice, error, again_in=again_in)
        except Unavailable:  # its lease ends by itself, and it is tried again: a receiver may see it twice
            outcome = "unsure"
        self.events.emit(NoticeSent(notice.tenant_id, notice.id, channel.kind, outcome, error))

    async def _send(self, notice: Notice, channel: Channel) -> str | None:
        """Return why it did not arrive, or None."""
        if channel.kind is ChannelKind.EMAIL:
            if self.mail is None:
                return "no mail server is set (RUBATO_SMTP_URL)"
            text = summary(notice)
            return await self.mail.send(to=channel.address, subject=text[:120], text=text, message_id=notice.id)
        body = slack_body(notice) if channel.kind is ChannelKind.SLACK else webhook_body(notice)
        result = await self.dispatcher.send(
            HttpRequest(
                url=channel.address,
                method="POST",
                body_json=body,
                timeout=DEADLINE,
                tenant_id=notice.tenant_id,
                webhook_id=notice.id,
                keep_body=False,
            )
        )
        if result.error is not None:
            return result.error
        return None if 200 <= (result.status_code or 0) < 300 else f"HTTP {result.status_code}"

    def _is_slow(self, hint: SlowHint) -> bool:
        """Compare with the two fires that follow the hint."""
        try:
            first = self.cron.next_after(hint.expression, hint.timezone, hint.since)
            second = self.cron.next_after(hint.expression, hint.timezone, first) if first is not None else None
        except CronError:
            return False
        return first is not None and second is not None and is_slowdown(second - first, hint.interval)
