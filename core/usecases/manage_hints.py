"""A person's hints: written, previewed, cleared."""

from datetime import datetime, timedelta

from core.entities import Author, Hint, HintKind, HintState, JobStatus, OnceBaseline
from core.errors import Conflict, InvalidInput, Issue, NotFound
from core.grid import later
from core.hints import end, is_active, supersede, with_outcome
from core.ids import hint_id
from core.ports.cron import Cron
from core.ports.ids import Ids
from core.ports.store import Change, Changes, JobRef, Snapshot
from core.record import evolve, record
from core.registration import LONGEST
from core.reschedule import steer
from core.usecases.manage_jobs import alive, impose_pause, lift_pauses
from core.wording import instant

DEFAULT_INTERVAL_TTL = timedelta(hours=1)
AFTER_NEXT_TIME = timedelta(hours=1)  # a next_time lives on this long after its instant


@record
class HintDraft:
    """What somebody proposes. `ttl` None takes the kind's default; `forever` asks for a pin."""

    kind: HintKind
    reason: str | None = None
    interval: timedelta | None = None
    at: datetime | None = None
    until: datetime | None = None
    ttl: timedelta | None = None
    forever: bool = False


@record
class ManageHints:
    """What a person says about a job's tempo. It outranks rules and planners, and obeys the bounds."""

    store: Changes
    cron: Cron
    ids: Ids

    async def write(self, tenant_id: str, job_id: str, draft: HintDraft) -> Hint:
        """Store a hint and decide again. The newer of a kind replaces the older. Raises InvalidInput, Conflict."""
        identity: list[str] = []

        def transition(snapshot: Snapshot) -> Change:
            hint = draw_up(snapshot, draft, hint_id(snapshot.now, self.ids.entropy()))
            identity[:] = [hint.id]
            return write_hint(snapshot, hint, cron=self.cron, ids=self.ids)

        change = await self.store.change(JobRef(tenant_id, job_id), transition)
        return next(hint for hint in change.hints if hint.id == identity[0])

    async def clear(self, tenant_id: str, job_id: str, hint_id: str | None = None) -> int:
        """Clear one active hint, or every one but a person's pause (which `resume` ends). Returns how many.

        Raises NotFound when the named hint is not an active one of this job.
        """
        cleared: list[Hint] = []

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            now = snapshot.now
            cleared[:] = [
                end(hint, HintState.CLEARED, now, "cleared by a person")
                for hint in snapshot.hints
                if is_active(hint, now) and (hint.id == hint_id if hint_id is not None else not _is_persons_pause(hint))
            ]
            if hint_id is not None and not cleared:
                raise NotFound(f"The job has no active hint {hint_id}.")
            if any(hint.kind is HintKind.PAUSE for hint in cleared):
                return lift_pauses(snapshot, cleared, cron=self.cron, ids=self.ids)
            if not cleared:
                return Change(snapshot.job, "hint")
            return steer(snapshot, cleared, cause="hint", cron=self.cron)

        await self.store.change(JobRef(tenant_id, job_id), transition)
        return len(cleared)


def draw_up(snapshot: Snapshot, draft: HintDraft, identity: str) -> Hint:
    """Return the hint that a person's draft amounts to now. Raises InvalidInput, Conflict, NotFound."""
    alive(snapshot)
    now = snapshot.now
    if snapshot.job.schedule.status is JobStatus.RETIRED:
        raise Conflict("job_not_active", "The job is retired; a hint cannot move it.")
    issues = list(_issues(snapshot, draft))
    if issues:
        raise InvalidInput(issues)
    return Hint(
        id=identity,
        tenant_id=snapshot.job.tenant_id,
        job_id=snapshot.job.id,
        kind=draft.kind,
        author=Author.USER,
        created_at=now,
        expires_at=expiry(draft, now),
        interval=draft.interval,
        at=draft.at,
        until=draft.until,
        reason=draft.reason,
    )


def expiry(draft: HintDraft, now: datetime) -> datetime | None:
    """Return when the hint ends: its lifetime, or what its kind implies. None: never."""
    if draft.forever:
        return None
    if draft.ttl is not None:
        return later(now, draft.ttl)
    if draft.kind is HintKind.INTERVAL:
        return later(now, DEFAULT_INTERVAL_TTL)
    if draft.kind is HintKind.NEXT_TIME and draft.at is not None:
        return later(draft.at, AFTER_NEXT_TIME)
    return draft.until


def write_hint(snapshot: Snapshot, hint: Hint, *, cron: Cron, ids: Ids) -> Change:
    """Return the change that stores an active hint, with what it asked for and what it got."""
    if _is_persons_pause(hint):
        return impose_pause(snapshot, evolve(hint, proposed=hint.until, applied=hint.until), cron=cron, ids=ids)
    hint = evolve(hint, proposed=asked(snapshot, hint))
    change = steer(snapshot, (*supersede(snapshot.hints, hint, snapshot.now), hint), cause="hint", cron=cron)
    return evolve(change, hints=tuple(with_outcome(written, change.decision) for written in change.hints))


def asked(snapshot: Snapshot, hint: Hint) -> datetime | None:
    """Return the instant a hint asks for, before any bound."""
    if hint.interval is not None:
        return later(snapshot.last_start_at or snapshot.job.schedule.created_at, hint.interval)
    return hint.at or hint.until


def _is_persons_pause(hint: Hint) -> bool:
    return hint.kind is HintKind.PAUSE and hint.author is Author.USER


def _issues(snapshot: Snapshot, draft: HintDraft) -> list[Issue]:
    now, issues = snapshot.now, []
    given = {"intervalMs": draft.interval, "at": draft.at, "until": draft.until}
    wanted = {HintKind.INTERVAL: "intervalMs", HintKind.NEXT_TIME: "at", HintKind.PAUSE: "until"}[draft.kind]
    for name, value in given.items():
        if name != wanted and value is not None:
            issues.append(Issue(f"/{name}", "not_for_this_kind", f"A hint of kind {draft.kind} takes no {name}."))
    if given[wanted] is None and draft.kind is not HintKind.PAUSE:
        issues.append(Issue(f"/{wanted}", "required", f"A hint of kind {draft.kind} needs {wanted}."))
    if draft.interval is not None and not timedelta(0) < draft.interval <= LONGEST:
        issues.append(Issue("/intervalMs", "out_of_range", "intervalMs must be positive and at most ten years."))
    if draft.kind is HintKind.INTERVAL and isinstance(snapshot.job.definition.baseline, OnceBaseline):
        issues.append(
            Issue("/kind", "not_for_this_job", "A job that runs once takes no interval hints; use next_time.")
        )
    for name, at in (("at", draft.at), ("until", draft.until)):
        if at is not None and at <= now:
            issues.append(Issue(f"/{name}", "in_the_past", f"{name} lies in the past; it is {instant(now)} now."))
    if draft.ttl is not None and draft.ttl <= timedelta(0):
        issues.append(Issue("/ttlMs", "out_of_range", "ttlMs must be positive."))
    ends = expiry(draft, now)
    if draft.at is not None and ends is not None and ends <= draft.at:
        issues.append(Issue("/ttlMs", "expires_too_early", "The hint would expire before its instant; raise ttlMs."))
    return issues
