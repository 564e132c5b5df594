"""Hints: which count, which comes first, which a newer one replaces, and how much pausing they have used up."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import product

from core.entities import Author, Decision, Definition, Hint, HintKind, HintState, Limits, PlannerMode
from core.modes import mode_of
from core.record import evolve

PAUSE_WINDOW = timedelta(days=7)

_AUTHORS = (Author.USER, Author.RULE, Author.PLANNER)
_KINDS = (HintKind.PAUSE, HintKind.NEXT_TIME, HintKind.INTERVAL)
_RANK = {(author, kind): rank for rank, (author, kind) in enumerate(product(_AUTHORS, _KINDS))}


def is_active(hint: Hint, now: datetime) -> bool:
    """Tell whether a hint is in its life: active and `now < expires_at`."""
    return hint.state is HintState.ACTIVE and (hint.expires_at is None or now < hint.expires_at)


def counting(definition: Definition, hints: Iterable[Hint], limits: Limits, now: datetime) -> list[Hint]:
    """Return the hints that count at `now`, in order of precedence.

    The author ranks first, then the kind, then the newer one. What planners and rules wrote counts only while
    the planner is on, for the job, its tenant and everybody; what rules wrote, only while rules are on too.
    """
    steered = mode_of(definition, limits) is PlannerMode.ON
    alive = [hint for hint in hints if is_active(hint, now) and (steered or hint.author is Author.USER)]
    if not limits.rules:
        alive = [hint for hint in alive if hint.author is not Author.RULE]
    if len(alive) > 1:
        alive.sort(key=lambda hint: (hint.created_at, hint.id), reverse=True)
        alive.sort(key=lambda hint: _RANK[hint.author, hint.kind])
    return alive


def supersede(hints: Sequence[Hint], new: Hint, now: datetime) -> list[Hint]:
    """Return the active hints of the same author and kind as ended by `new`. Others are never touched."""
    return [
        end(hint, HintState.SUPERSEDED, now, f"replaced by {new.id}")
        for hint in hints
        if hint.state is HintState.ACTIVE and (hint.author, hint.kind) == (new.author, new.kind) and hint.id != new.id
    ]


def end(hint: Hint, state: HintState, at: datetime, reason: str) -> Hint:
    """Return the hint in a final state."""
    return evolve(hint, state=state, ended_at=at, end_reason=reason)


def with_outcome(hint: Hint, decision: Decision | None) -> Hint:
    """Return the hint with what it got, if the decision is its own."""
    won = decision is not None and decision.hint_id == hint.id and hint.state is HintState.ACTIVE
    return evolve(hint, applied=decision.next_run_at) if won and decision is not None else hint


def expired(hints: Iterable[Hint], now: datetime) -> list[Hint]:
    """Return the active hints whose life is over, as expired."""
    return [
        end(hint, HintState.EXPIRED, hint.expires_at, "its time was over")
        for hint in hints
        if hint.state is HintState.ACTIVE and hint.expires_at is not None and hint.expires_at <= now
    ]


def pause_end(hint: Hint) -> datetime | None:
    """Return when a pause ends; None: never."""
    ends = [instant for instant in (hint.until, hint.expires_at) if instant is not None]
    return min(ends, default=None)


def pause_left(hints: Iterable[Hint], pause: Hint, limits: Limits, now: datetime) -> timedelta:
    """Return how much of the weekly pause allowance is left after `pause` with its whole remainder.

    Counted is what planners and rules paused during the last seven days; an ended pause counts until its end.
    Negative: the pause does not fit.
    """
    opened = now - PAUSE_WINDOW
    used = timedelta(0)
    for hint in hints:
        if hint.kind is not HintKind.PAUSE or hint.author is Author.USER or hint.id == pause.id:
            continue
        if hint.state in (HintState.SHADOW, HintState.REJECTED):
            continue
        until = hint.ended_at or pause_end(hint) or now
        used += max(timedelta(0), min(until, now) - max(hint.created_at, opened))
    until = pause_end(pause) or now
    used += max(timedelta(0), until - max(pause.created_at, opened))
    return PAUSE_WINDOW * limits.pause_share - used
