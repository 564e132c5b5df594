"""Notices on PostgreSQL, delivered to loopback receivers: told once, until they arrive, of each kind of thing."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import text

from core.entities import CronBaseline, Definition, HttpAction, IntervalBaseline, Job
from core.errors import ConfigurationError, Conflict, InvalidInput, NotFound
from core.events import Event, NoticeOpened, NoticeSent
from core.notices import WATCHED, ChannelKind, Notice, NoticeKind
from core.usecases.manage_channels import MOST_CHANNELS, ChannelDraft, ManageChannels
from core.usecases.manage_jobs import ManageJobs
from core.usecases.notify import Notify
from rubato.adapters.cron import CroniterCron
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy, check_url
from rubato.adapters.ids import SystemIds
from rubato.adapters.mail import SmtpMail
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.engine import Engine
from rubato.adapters.postgres.notices import PostgresNotices
from rubato.adapters.postgres.store import PostgresStore
from tests.processes import Target, free_port, target


@dataclass
class House:
    """A tenant with a receiver, and the use cases on a real database."""

    engine: Engine
    tenant: str
    channels: ManageChannels
    jobs: ManageJobs
    notify: Notify
    notices: PostgresNotices
    receiver: Target
    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    async def channel(self, kind: str = "webhook", **fields: Any) -> Any:
        given = {
            "name": "on call",
            "kind": ChannelKind(kind),
            "address": f"{self.receiver.url}/hook",
            "events": WATCHED,
        }
        return await self.channels.add(self.tenant, ChannelDraft(**{**given, **fields}))

    async def job(self, **fields: Any) -> Job:
        given = {
            "name": "Order queue",
            "action": HttpAction(self.receiver.url),
            "baseline": IntervalBaseline(timedelta(minutes=1)),
        }
        job, _ = await self.jobs.register(self.tenant, Definition(**{**given, **fields}))
        return job

    async def sql(self, statement: str, **given: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement), given)

    async def schedule(self, job: Job, changes: str) -> None:
        await self.sql(f"UPDATE schedules SET {changes} WHERE job_id = :job", job=job.id)

    async def hint(self, job: Job, kind: str, **fields: Any) -> None:
        given = {"until": None, "interval_ms": None, **fields}
        await self.sql(
            "INSERT INTO hints (tenant_id, bucket, job_id, id, kind, author, state, created_at, expires_at, until, "
            "interval_ms, reason) SELECT tenant_id, bucket, job_id, 'hint_' || :kind, :kind, 'planner', 'active', now(), "
            "now() + interval '1 hour', now() + CAST(:until AS interval), CAST(:interval_ms AS bigint), 'all is calm' "
            "FROM schedules WHERE job_id = :job",
            job=job.id,
            kind=kind,
            **given,
        )

    async def turn(self) -> int:
        opened = await self.notify.find_once()
        await self.notify.deliver_once()
        return opened

    async def told(self) -> list[Notice]:
        page = await self.notices.notices(self.tenant, channel_id=None, limit=100, after=None)
        return list(reversed(page.items))

    def received(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, _, body in self.receiver.seen]


@pytest.fixture
async def house(engine: Engine) -> AsyncIterator[House]:
    async with built(engine) as made:
        yield made


@asynccontextmanager
async def built(engine: Engine, mail: SmtpMail | None = None) -> AsyncIterator[House]:
    ids, cron, policy = SystemIds(), CroniterCron(), AddressPolicy(["loopback"])
    store, notices, dispatcher = PostgresStore(engine, ids), PostgresNotices(engine), HttpDispatcher(policy)
    owner = await PostgresAccounts(engine, ids, pepper=b"p" * 32).bootstrap("cron_n", tenant="n", user="n")
    channels = ManageChannels(store, notices, ids, lambda url: check_url(url, policy), has_mail=mail is not None)
    with target() as receiver:
        events: list[Event] = []
        made = House(engine, owner.tenant_id, channels, ManageJobs(store, cron, ids), None, notices, receiver, events)  # type: ignore[arg-type]  # set below
        made.notify = Notify(notices, dispatcher, mail, cron, made)
        yield made
        await dispatcher.close()


async def test_a_streak_is_told_once_and_so_is_its_end(house: House) -> None:
    channel, job = await house.channel(failure_streak=3), await house.job()
    await house.schedule(job, "failures = 2")
    assert await house.turn() == 0
    await house.schedule(job, "failures = 3")
    assert [await house.turn() for _ in range(3)] == [1, 0, 0]
    await house.schedule(job, "failures = 9")
    assert await house.turn() == 0
    (body,) = house.received()
    assert (body["type"], body["data"]["jobId"]) == ("notice.failing", job.id)
    assert body["data"]["summary"].startswith("Order queue has failed 3 times in a row")
    await house.schedule(job, "failures = 0")
    assert [await house.turn() for _ in range(2)] == [1, 0]
    assert [each["type"] for each in house.received()] == ["notice.failing", "notice.recovered"]
    failing, recovered = await house.told()
    assert failing.closed_at is not None
    assert {failing.channel_id, recovered.channel_id} == {channel.id}
    assert all(each.delivered_at is not None and each.next_at is None for each in (failing, recovered))
    sent = [event for event in house.events if isinstance(event, NoticeSent)]
    assert [event.outcome for event in sent] == ["delivered", "delivered"]
    assert [event.kind for event in house.events if isinstance(event, NoticeOpened)] == ["failing", "recovered"]


async def test_a_streak_of_runs_that_hints_asked_for_is_told_too(house: House) -> None:
    await house.channel(events=[NoticeKind.FAILING, NoticeKind.RECOVERED])
    job = await house.job()
    for failures, failed_runs in ((1, 2), (1, 3), (0, 0)):
        await house.schedule(job, f"failures = {failures}, failed_runs = {failed_runs}")
        await house.turn()
    assert [each["type"] for each in house.received()] == ["notice.failing", "notice.recovered"]
    assert house.received()[0]["data"]["failures"] == 3


async def test_a_job_that_flaps_is_told_once_in_a_while(house: House) -> None:
    await house.channel(events=[NoticeKind.FAILING])
    job = await house.job()
    opened = []
    for failures in (3, 0, 3, 0, 3):
        await house.schedule(job, f"failures = {failures}")
        opened.append(await house.turn())
    assert opened == [1, 0, 0, 0, 0]
    await house.sql("UPDATE notices SET opened_at = opened_at - interval '16 minutes'")
    assert await house.turn() == 1


async def test_only_recoveries_may_be_asked_for(house: House) -> None:
    await house.channel(events=[NoticeKind.RECOVERED])
    job = await house.job()
    for failures in (5, 0):
        await house.schedule(job, f"failures = {failures}")
        await house.turn()
    assert [each["type"] for each in house.received()] == ["notice.recovered"]


async def test_a_parked_job_is_told_with_its_reason(house: House) -> None:
    await house.channel()
    job = await house.job()
    await house.schedule(job, "status = 'parked', parked_until = now() + interval '1 hour', parked_reason = 'poison'")
    assert await house.turn() == 1
    assert house.received()[0]["data"]["summary"] == "Order queue is set aside for an hour: poison"


async def test_a_planners_pause_is_told_and_a_persons_is_not(house: House) -> None:
    await house.channel()
    job = await house.job()
    await house.schedule(job, "paused_until = 'infinity', paused_by = 'user'")
    assert await house.turn() == 0
    await house.hint(job, "pause", until=timedelta(minutes=30))
    assert await house.turn() == 1
    summary = house.received()[0]["data"]["summary"]
    assert summary.startswith("The planner has paused Order queue until 20")
    assert summary.endswith(": all is calm")


@pytest.mark.parametrize(
    ("baseline", "seconds", "is_told"),
    [
        (IntervalBaseline(timedelta(minutes=1)), 239, False),
        (IntervalBaseline(timedelta(minutes=1)), 240, True),
        (CronBaseline("*/5 * * * *", "UTC"), 1199, False),
        (CronBaseline("*/5 * * * *", "UTC"), 1200, True),
    ],
    ids=["an interval just below", "an interval of four", "a cron just below", "a cron of four"],
)
async def test_a_slowdown_to_a_quarter_is_told(house: House, baseline: Any, seconds: int, is_told: bool) -> None:
    await house.channel()
    job = await house.job(baseline=baseline)
    await house.hint(job, "interval", interval_ms=seconds * 1000)
    assert await house.turn() == is_told
    assert [each["type"] for each in house.received()] == ["notice.slowed"] * is_told


async def test_an_allowance_that_is_used_up_is_told_to_the_tenant(house: House) -> None:
    await house.channel()
    job = await house.job()
    insert = (
        "INSERT INTO sessions (tenant_id, bucket, job_id, id, job_version, started_at, finished_at, outcome, planner, "
        "model, input_summary, calls, requests, input_tokens, output_tokens, estimated, hint_ids, error) "
        "SELECT tenant_id, bucket, job_id, :id, 1, now(), now(), 'denied', 'quota guard', 'none', '', '[]', 0, 0, 0, "
        "false, '[]', 'tokens_per_day: used up until 00:00' FROM schedules WHERE job_id = :job"
    )
    from core.ids import session_id

    store = house.channels.store
    await house.sql(insert, id=session_id(await store.now() - timedelta(hours=1), "0" * 16), job=job.id)
    assert await house.turn() == 0
    for entropy in ("1" * 16, "2" * 16):
        await house.sql(insert, id=session_id(await store.now(), entropy), job=job.id)
    assert [await house.turn(), await house.turn()] == [1, 0]
    (body,) = house.received()
    assert body["data"]["jobId"] is None
    assert body["data"]["summary"] == "An allowance of the planner is used up: tokens_per_day: used up until 00:00"


async def test_a_channel_of_one_job_hears_of_no_other(house: House) -> None:
    mine, other = await house.job(name="mine"), await house.job(name="other")
    await house.channel(job_id=mine.id)
    for job in (mine, other):
        await house.schedule(job, "failures = 7")
    assert await house.turn() == 1
    assert house.received()[0]["data"]["job_name"] == "mine"


async def test_what_does_not_arrive_is_tried_again_with_the_same_id_and_given_up_at_last(house: House) -> None:
    channel = await house.channel()
    notice = await house.channels.test(house.tenant, channel.id)
    house.receiver.reply = (503, {}, b"")
    for attempt in range(1, 9):
        assert await house.notify.deliver_once() == 1
        (kept,) = await house.told()
        assert (kept.attempts, kept.last_error) == (attempt, "HTTP 503")
        assert (kept.next_at is None) is (attempt == 8)
        assert await house.notify.deliver_once() == 0  # not due
        await house.sql("UPDATE notices SET next_at = now() WHERE next_at IS NOT NULL")
    assert {headers["webhook-id"] for _, _, headers, _ in house.receiver.seen} == {notice.id}
    outcomes = [event.outcome for event in house.events if isinstance(event, NoticeSent)]
    assert outcomes == ["failed"] * 7 + ["given_up"]


async def test_two_workers_deliver_each_notice_once(house: House) -> None:
    channel = await house.channel()
    for _ in range(30):
        await house.channels.test(house.tenant, channel.id)
    other = Notify(PostgresNotices(house.engine), house.notify.dispatcher, None, CroniterCron(), house)
    while sum(await asyncio.gather(house.notify.deliver_once(), other.deliver_once())):
        pass
    ids = [headers["webhook-id"] for _, _, headers, _ in house.receiver.seen]
    assert len(ids) == len(set(ids)) == 30


async def test_a_removed_channel_takes_its_notices_along(house: House) -> None:
    channel = await house.channel()
    await house.channels.test(house.tenant, channel.id)
    await house.notices.remove_channel(house.tenant, channel.id)
    assert await house.notify.deliver_once() == 0
    with pytest.raises(NotFound):
        await house.channels.test(house.tenant, channel.id)


async def test_slack_is_sent_text_that_cannot_mention_anybody(house: House) -> None:
    await house.channel("slack")
    job = await house.job(name="<!channel> & co")
    await house.schedule(job, "failures = 3")
    await house.turn()
    (body,) = house.received()
    assert body.keys() == {"text"}
    assert body["text"].startswith("&lt;!channel&gt; &amp; co has failed 3 times")


async def test_addresses_are_guarded_like_those_of_jobs(house: House) -> None:
    for address in ("http://10.0.0.8/hook", "ftp://example.com/", "https://user:password@example.com/"):
        with pytest.raises(InvalidInput) as refused:
            await house.channel(address=address)
        assert refused.value.issues[0].pointer == "/address"
    with pytest.raises(InvalidInput, match="RUBATO_SMTP_URL"):
        await house.channel("email", address="ops@example.com")
    with pytest.raises(NotFound):
        await house.channel(job_id="job_of_somebody_else")


async def test_a_tenant_has_a_bounded_number_of_channels(house: House) -> None:
    for _ in range(MOST_CHANNELS):
        await house.channel()
    with pytest.raises(Conflict, match="remove one"):
        await house.channel()


class Mailbox:
    """What an SMTP server on loopback has taken; it refuses while told to."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], str]] = []
        self.refuses = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuses:
            return "451 try again later"
        self.mails.append((envelope.rcpt_tos, envelope.content.decode()))
        return "250 taken"


@contextmanager
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    taken = Mailbox()
    controller = Controller(taken, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield taken, f"smtp://127.0.0.1:{controller.port}"
    finally:
        controller.stop()


async def test_a_mail_is_tried_until_the_server_takes_it(engine: Engine) -> None:
    with mailbox() as (taken, url):
        async with built(engine, SmtpMail(url, "Rubato <rubato@example.com>")) as house:
            await house.channel("email", address="ops@example.com")
            job = await house.job(name="Order queue\nBcc: everybody@example.com")
            await house.schedule(job, "failures = 4")
            taken.refuses = True
            await house.turn()
            assert (await house.told())[0].last_error == "the mail server did not take it: SMTPDataError 451"
            taken.refuses = False
            await house.sql("UPDATE notices SET next_at = now()")
            await house.notify.deliver_once()
            ((recipients, mail),) = taken.mails
            assert recipients == ["ops@example.com"]
            head, _, content = mail.partition("\r\n\r\n")
            assert "Subject: Order queue Bcc: everybody@example.com has failed 4 times in a row" in head
            assert not any(line.startswith("Bcc:") for line in head.splitlines())
            assert f"Message-ID: <{(await house.told())[0].id}@rubato>" in head
            assert "has failed 4 times in a row" in content.replace("=\r\n", "")


async def test_a_mail_server_that_is_away_is_a_failed_try() -> None:
    error = await SmtpMail("smtp://127.0.0.1:9", "rubato@example.com").send(
        to="ops@example.com", subject="x", text="x", message_id="ntc_a"
    )
    assert error == "the mail server did not take it: ConnectionRefusedError"


@pytest.mark.parametrize(("url", "sender"), [("http://h", "a@b.c"), ("smtp://", "a@b.c"), ("smtp://h", "nobody")])
def test_a_wrong_mail_server_is_named(url: str, sender: str) -> None:
    with pytest.raises(ConfigurationError, match="RUBATO_SMTP_"):
        SmtpMail(url, sender)
