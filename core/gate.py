"""Is a session worth a model call? Judged for every settled run whose job may be planned; see docs/planning.md.

Pure and cheap: the answer is held against a small state of the answers before (`core.fingerprint`). An answer equal
to the last costs one checksum. Only a run that passes raises the job's planning sequence; every verdict is kept with
its run.
"""

import struct
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zlib import crc32

from core.entities import Author, Hint, HintKind, RunStatus, Slot, SlotKind, Source
from core.fingerprint import ERROR, LATENCY, STATUS, Compared, compare, fields_of, shows_same_signs, signs_of
from core.hints import is_active
from core.record import record

FIRST_RUNS = 3
STREAK = 3  # failures in a row that are worth a look, and then each doubling of them
RENEW_BELOW = 0.25  # of a hint's life left: time to ask whether it is still needed
ANALYSIS_EVERY = timedelta(hours=6)  # without a wish of the planner's own
LONGEST_ANALYSIS = timedelta(hours=24)
AFTER_FAILURE = timedelta(minutes=5)  # what woke a session that failed is looked at again after this long

_VERSION = 1
_HEAD = struct.Struct("<BHBBHI?")  # layout, job version, runs, streak, hint looked at, checksum of the body, restless
_LONGEST_NAME = 60


class GateVerdict(StrEnum):
    """What the gate said. All but the first two ask for a session."""

    STEADY = "steady"
    COVERED = "covered"  # something changed, and a rule has an answer to it
    FIRST_RUNS = "first_runs"
    HINT_RAN = "hint_ran"  # the run that a planner's next time or pause asked for
    STATUS_CHANGED = "status_changed"
    FAILING = "failing"
    RESPONSE_CHANGED = "response_changed"
    LATENCY_CHANGED = "latency_changed"
    SETTLED = "settled"  # what had been restless stands still
    HINT_ENDING = "hint_ending"
    ANALYSIS_DUE = "analysis_due"
    ASKED = "asked"  # a person wants a session

    @property
    def passes(self) -> bool:
        """Tell whether a session is asked for."""
        return self not in (GateVerdict.STEADY, GateVerdict.COVERED)


@record
class Answer:
    """What the gate looks at of a run that ended. `slot` None: it was asked for by hand."""

    status: RunStatus
    status_code: int | None
    duration_ms: int | None
    body: str | None
    slot: Slot | None


class Judgement(NamedTuple):
    """`why` names what changed, in a few words. It may hold a target's words: it is shown, never prompted."""

    verdict: GateVerdict
    why: str
    state: bytes

    @property
    def note(self) -> str:
        """Return what is kept with the run."""
        return f"{self.verdict}: {self.why}" if self.why else str(self.verdict)


class _Head(NamedTuple):
    layout: int = _VERSION
    job_version: int = 0
    runs: int = 0
    streak: int = 0
    hint: int = 0
    body: int = 0
    restless: bool = False


def judge_run(
    state: bytes,
    answer: Answer,
    *,
    job_version: int,
    hints: Iterable[Hint],
    next_analysis_at: datetime | None,
    now: datetime,
    covered: bool = False,
) -> Judgement:
    """Judge one settled run, and return the state to keep. Total: never raises, whatever a target answered.

    `covered`: an accepted rule speaks for this answer, so that a change in it wakes nobody. An edited job begins anew.
    """
    head, fields = _unpack(state, job_version & 0xFFFF)
    checksum = crc32(answer.body.encode("utf-8", "replace")) if answer.body is not None else 0
    ending, streak = _ending(hints, now), _streak(head.streak, answer.status)
    status, latency_ms = f"{answer.status}:{answer.status_code}", answer.duration_ms or 0
    if checksum == head.body and fields and not head.restless and shows_same_signs(fields, status, latency_ms):
        seen = Compared(fields, (), (), restless=False)
    else:
        is_failure = answer.status is not RunStatus.SUCCEEDED
        seen = compare(fields, [*signs_of(status, latency_ms), *_said(answer.body, is_failure)], is_failure=is_failure)
    verdict, why = _verdict(head, answer, seen.moved, seen.stilled, streak, ending, next_analysis_at, now, covered)
    after = _Head(_VERSION, head.job_version, min(head.runs + 1, FIRST_RUNS), streak, ending, checksum, seen.restless)
    is_same = after == head and seen.fields is fields
    return Judgement(verdict, why, state if is_same else _HEAD.pack(*after) + seen.fields)


def _said(body: str | None, is_failure: bool) -> Iterable[tuple[str, object]]:
    if not body:
        return ()
    return ((ERROR, body),) if is_failure else fields_of(body)


def _unpack(state: bytes, job_version: int) -> tuple[_Head, bytes]:
    if len(state) < _HEAD.size or state[0] != _VERSION:
        return _Head(job_version=job_version), b""
    head = _Head(*_HEAD.unpack_from(state))
    return (head, state[_HEAD.size :]) if head.job_version == job_version else (_Head(job_version=job_version), b"")


def _verdict(
    head: _Head,
    answer: Answer,
    moved: tuple[str, ...],
    stilled: tuple[str, ...],
    streak: int,
    ending: int,
    next_analysis_at: datetime | None,
    now: datetime,
    covered: bool,
) -> tuple[GateVerdict, str]:
    if head.runs < FIRST_RUNS:
        return GateVerdict.FIRST_RUNS, ""
    slot = answer.slot
    if slot is not None and (slot.kind is SlotKind.PROBE or slot.source is Source.HINT_NEXT_TIME):
        return GateVerdict.HINT_RAN, ""
    if STATUS in moved:
        return GateVerdict.STATUS_CHANGED, ""
    if streak != head.streak and _is_milestone(streak):
        return GateVerdict.FAILING, f"{streak} in a row"
    content = [name for name in moved if name != LATENCY]
    if content and not covered:
        return GateVerdict.RESPONSE_CHANGED, _names(content)
    if LATENCY in moved:
        return GateVerdict.LATENCY_CHANGED, ""
    if stilled:
        return GateVerdict.SETTLED, _names(stilled)
    if ending and ending != head.hint:
        return GateVerdict.HINT_ENDING, ""
    if next_analysis_at is not None and next_analysis_at <= now:
        return GateVerdict.ANALYSIS_DUE, ""
    return (GateVerdict.COVERED, _names(content)) if content else (GateVerdict.STEADY, "")


def _streak(before: int, status: RunStatus) -> int:
    if status is RunStatus.FAILED:
        return min(before + 1, 255)
    return 0 if status is RunStatus.SUCCEEDED else before


def _is_milestone(streak: int) -> bool:
    """Tell whether a streak is 3, 6, 12, 24, ... long."""
    times, rest = divmod(streak, STREAK)
    return rest == 0 and times > 0 and times & (times - 1) == 0


def _ending(hints: Iterable[Hint], now: datetime) -> int:
    """Name the planner's hint whose life is nearly over, or ends before it would run again, in 16 bits; 0: none. A
    pause ends with its probe."""
    for hint in hints:
        if hint.author is Author.PLANNER and hint.kind is HintKind.INTERVAL and is_active(hint, now):
            ends, every = hint.expires_at, hint.interval
            if ends is None or every is None:
                continue
            if ends - now < max((ends - hint.created_at) * RENEW_BELOW, every):
                return crc32(hint.id.encode()) & 0xFFFF or 1
    return 0


def _names(names: Iterable[str]) -> str:
    """Name what changed: printable, short, at most three."""
    shown = []
    for name in names:
        clean = "".join(char for char in name.lstrip("/") if char.isprintable())[:_LONGEST_NAME]
        shown.append(clean or "the answer")
        if len(shown) == 3:
            break
    return ", ".join(shown)
