"""Hints on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.wire import Instant, Milliseconds, Wire, ms, span
from core.entities import Hint, HintKind, HintState
from core.hints import is_active
from core.usecases.manage_hints import HintDraft


class HintIn(Wire):
    """A person's hint. Exactly the field of its kind is given: intervalMs, at, or until (a pause may have none).

    `ttlMs` 0 or null asks for the kind's default; `pin` makes a hint without expiry.
    """

    kind: Literal["interval", "next_time", "pause"]
    interval_ms: Milliseconds | None = None
    at: Instant | None = None
    until: Instant | None = None
    ttl_ms: Milliseconds | None = None
    pin: Annotated[bool, Field(strict=True)] = False
    reason: Annotated[str | None, Field(max_length=300)] = None

    def draft(self) -> HintDraft:
        """Return it as core takes it."""
        return HintDraft(
            kind=HintKind(self.kind),
            reason=self.reason,
            interval=span(self.interval_ms),
            at=self.at,
            until=self.until,
            ttl=span(self.ttl_ms),
            forever=self.pin,
        )


class HintOut(Wire):
    """A hint. `proposed` and `applied`: what it asked for, and what it got when it was written."""

    id: str
    job_id: str
    kind: str
    interval_ms: int | None
    at: Instant | None
    until: Instant | None
    ttl_ms: int | None
    reason: str | None
    author: str
    session_id: str | None
    rule_id: str | None
    state: str
    end_reason: str | None
    created_at: Instant
    expires_at: Instant | None
    ended_at: Instant | None
    proposed: Instant | None
    applied: Instant | None


class NextRuns(Wire):
    """What a change would lead to: the next five runs."""

    next_runs: list[Instant]


class HintPreview(HintOut):
    """A hint as it would be, and the next five runs of its job then."""

    next_runs: list[Instant]


def hint_out(hint: Hint, now: datetime) -> HintOut:
    """Write a hint as it is at `now`: one past its expiry is expired, though no transition has ended it yet."""
    over = hint.state is HintState.ACTIVE and not is_active(hint, now)
    return HintOut(
        id=hint.id,
        job_id=hint.job_id,
        kind=hint.kind,
        interval_ms=ms(hint.interval),
        at=hint.at,
        until=hint.until,
        ttl_ms=ms(hint.expires_at - hint.created_at) if hint.expires_at is not None else None,
        reason=hint.reason,
        author=hint.author,
        session_id=hint.session_id,
        rule_id=hint.rule_id,
        state=HintState.EXPIRED if over else hint.state,
        end_reason=hint.end_reason,
        created_at=hint.created_at,
        expires_at=hint.expires_at,
        ended_at=hint.ended_at,
        proposed=hint.proposed,
        applied=hint.applied,
    )
