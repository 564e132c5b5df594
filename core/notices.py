"""Notices: what a tenant wants to be told of, on which channel, and how often a channel is tried. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from core.record import record
from core.wording import duration

SLOWDOWN = 4  # times the baseline's interval, from which on a planner's hint is worth a notice
QUIET = timedelta(minutes=15)  # after a notice, until another of its kind about the same job goes to the same channel
LEASE = timedelta(seconds=60)  # of one try; a mail server may take its time
RETRIES = tuple(timedelta(seconds=s) for s in (10, 60, 300, 1800, 7200, 21_600, 43_200))  # a day in all
LONGEST_TEXT = 300  # characters of what a planner or a target said


class NoticeKind(StrEnum):
    """What a notice is about."""

    FAILING = "failing"  # so many runs failed in a row
    RECOVERED = "recovered"  # one succeeded after that
    PARKED = "parked"  # set aside, since it could not be run or decided
    PAUSED = "paused"  # by the planner
    SLOWED = "slowed"  # by the planner, to a quarter of its baseline or less
    QUOTA = "quota"  # a session was refused: an allowance is used up
    TEST = "test"  # somebody asked for it


WATCHED = tuple(kind for kind in NoticeKind if kind is not NoticeKind.TEST)


class ChannelKind(StrEnum):
    """How a notice travels."""

    WEBHOOK = "webhook"  # JSON by POST
    SLACK = "slack"  # {"text": ...} by POST, which others understand too
    EMAIL = "email"


@record
class Channel:
    """Where a tenant is told. `job_id`: of this job only; None: of every job. `address`: a URL, or a mail address."""

    id: str
    tenant_id: str
    name: str
    kind: ChannelKind
    address: str
    created_at: datetime
    job_id: str | None = None
    events: tuple[NoticeKind, ...] = WATCHED
    failure_streak: int = 3


@record
class Notice:
    """One thing to tell on one channel. `job_id` None: about the tenant. `attempts`: begun so far."""

    id: str
    tenant_id: str
    channel_id: str
    kind: NoticeKind
    opened_at: datetime
    facts: Mapping[str, Any]
    job_id: str | None = None
    attempts: int = 0
    next_at: datetime | None = None
    delivered_at: datetime | None = None
    closed_at: datetime | None = None
    last_error: str | None = None


def retry_in(attempts: int) -> timedelta | None:
    """Return how long to wait after so many tries; None: it is given up."""
    return RETRIES[attempts - 1] if attempts <= len(RETRIES) else None


def is_slowdown(baseline: timedelta, hinted: timedelta) -> bool:
    """Tell whether a hint is worth a notice."""
    return hinted >= SLOWDOWN * baseline


def summary(notice: Notice) -> str:
    """Return it in one sentence."""
    facts = notice.facts
    job = _text(facts.get("job_name")) or notice.job_id or "a job"
    because = f": {_text(facts['reason'])}" if facts.get("reason") else "."
    match notice.kind:
        case NoticeKind.FAILING:
            return f"{job} has failed {facts.get('failures', 0)} times in a row{because}"
        case NoticeKind.RECOVERED:
            return f"{job} has recovered."
        case NoticeKind.PARKED:
            return f"{job} is set aside for an hour{because}"
        case NoticeKind.PAUSED:
            until = f" until {_text(facts['until'])}" if facts.get("until") else ""
            return f"The planner has paused {job}{until}{because}"
        case NoticeKind.SLOWED:
            every = duration(timedelta(milliseconds=int(facts.get("interval_ms", 0))))
            return f"The planner has slowed {job} to a run every {every}{because}"
        case NoticeKind.QUOTA:
            return f"An allowance of the planner is used up{because}"
        case NoticeKind.TEST:
            return "This is a test of a channel of Rubato."


def webhook_body(notice: Notice) -> dict[str, Any]:
    """Return what a webhook is sent."""
    return {
        "type": f"notice.{notice.kind}",
        "id": notice.id,
        "timestamp": notice.opened_at.isoformat(),
        "data": {"jobId": notice.job_id, "summary": summary(notice), **dict(notice.facts)},
    }


def slack_body(notice: Notice) -> dict[str, Any]:
    """Return what a Slack-compatible address is sent; nothing in it is markup, since part of it others wrote."""
    text = summary(notice).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text}


def _text(value: object) -> str:
    """Return one line of bounded length."""
    line = " ".join(str(value).split()) if value is not None else ""
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 1]}…"
