"""From proposals to hints: what a session asked for, written under the job's lock, or not at all."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from core.entities import Author, Hint, HintKind, HintState, PlannerMode, RuleState, Slot
from core.errors import LeaseLostError
from core.gate import AFTER_FAILURE, ANALYSIS_EVERY, LONGEST_ANALYSIS
from core.grid import later
from core.hints import end, supersede
from core.ids import hint_id
from core.modes import mode_of
from core.ports.cron import Cron
from core.ports.ids import Ids
from core.ports.store import Change, Snapshot
from core.record import evolve
from core.reschedule import steer
from core.rules import Rule, is_known, issues_of, room_for
from core.sessions import Outcome, Plan, Proposal, Session
from core.usecases.manage_hints import AFTER_NEXT_TIME, DEFAULT_INTERVAL_TTL, asked
from core.usecases.manage_rules import new_rule


def commit_plan(
    snapshot: Snapshot, *, token: int, seq: int, session: Session, last_run_at: datetime | None, cron: Cron, ids: Ids
) -> Change:
    """Store a session and its hints, clear the seq it read, and decide again.

    Fenced by the planning lease and the job's version, never by a run's token: a job faster than its model stays
    plannable. `last_run_at`: the start of the newest run it saw; without a newer one than the session before, its
    hints are rejected, so that none can prolong itself. Raises LeaseLostError when the lease was superseded.
    """
    job, now = snapshot.job, snapshot.now
    if job.schedule.planning.token != token or job.deleted_at is not None:
        raise LeaseLostError("The planning lease on this job is no longer held.")
    refusal = _refusal(snapshot, session, last_run_at)
    shadow = mode_of(job.definition, snapshot.limits) is PlannerMode.SHADOW
    state = HintState.REJECTED if refusal else HintState.SHADOW if shadow else HintState.ACTIVE
    new = _hints(snapshot, session, state, refusal, ids)
    changed = (*_replaced(snapshot, session.plan.proposals, new), *new)
    snapshot = _seq_cleared(snapshot, seq, last_run_at, session.plan)
    if any(hint.state is not HintState.REJECTED and hint.state is not HintState.SHADOW for hint in changed):
        change = steer(snapshot, changed, cause="plan", cron=cron)
    else:
        change = Change(snapshot.job, "plan", hints=changed)
    hints = tuple(_with_outcome(hint, change) for hint in change.hints)
    change = _with_rules(change, snapshot, session, refusal, ids)
    stale = refusal is not None and bool(session.plan.proposals or session.plan.rules)
    session = evolve(
        session,
        plan=evolve(session.plan, outcome=Outcome.STALE, error=refusal) if stale else session.plan,
        finished_at=now,
        hint_ids=tuple(hint.id for hint in new),
        decision=change.decision,
    )
    return evolve(change, hints=hints, session=session)


def _refusal(snapshot: Snapshot, session: Session, last_run_at: datetime | None) -> str | None:
    job = snapshot.job
    if job.definition.version != session.job_version:
        return "the job was edited while it was being planned"
    if mode_of(job.definition, snapshot.limits) is PlannerMode.OFF:
        return "planning was switched off meanwhile"
    stood_on = job.schedule.planning.last_run_at
    if last_run_at is None or (stood_on is not None and last_run_at <= stood_on):
        return "there is no run newer than the last session's; a hint cannot prolong itself"
    return None


def _hints(snapshot: Snapshot, session: Session, state: HintState, refusal: str | None, ids: Ids) -> list[Hint]:
    now, hints = snapshot.now, []
    for proposal in session.plan.proposals:
        if proposal.clear or proposal.kind is None:
            continue
        hint = Hint(
            id=hint_id(now, ids.entropy()),
            tenant_id=snapshot.job.tenant_id,
            job_id=snapshot.job.id,
            kind=proposal.kind,
            author=Author.PLANNER,
            created_at=now,
            expires_at=_expiry(snapshot, proposal),
            interval=proposal.interval,
            at=proposal.at,
            until=proposal.until,
            reason=proposal.reason,
            session_id=session.id,
        )
        hint = evolve(hint, proposed=asked(snapshot, hint))
        hints.append(hint if state is HintState.ACTIVE else end(hint, state, now, refusal or "shadow mode"))
    return hints


def _with_rules(change: Change, snapshot: Snapshot, session: Session, refusal: str | None, ids: Ids) -> Change:
    """Add the session's rules: they wait for a person's word, unless the tenant wants none. What the job has already,
    has rejected before, has no room for or cannot have is left out."""
    job, limits = snapshot.job, snapshot.limits
    waiting = not limits.auto_accept_rules
    state = RuleState.PROPOSED if waiting else RuleState.ACCEPTED
    new: list[Rule] = []
    for draft in () if refusal is not None else session.plan.rules:
        rules = (*snapshot.rules, *new)
        unfit = is_known(draft.terms, rules) or room_for(rules, waiting=waiting) is not None
        if not unfit and not issues_of(draft.terms, job.definition, limits):
            new.append(new_rule(snapshot, draft, Author.PLANNER, state, ids, session_id=session.id))
    if not new:
        return change
    schedule = evolve(change.job.schedule, rules_seq=change.job.schedule.rules_seq + 1)
    return evolve(change, job=evolve(change.job, schedule=schedule), rules=tuple(new))


def _expiry(snapshot: Snapshot, proposal: Proposal) -> datetime:
    """Return when a planner's hint ends: as asked, its kind's default, and never beyond the tenant's limit."""
    now = snapshot.now
    latest = later(now, snapshot.limits.hint_lifetime)
    if proposal.ttl is not None:
        wanted = later(now, proposal.ttl)
    elif proposal.kind is HintKind.NEXT_TIME and proposal.at is not None:
        wanted = later(proposal.at, AFTER_NEXT_TIME)
    elif proposal.kind is HintKind.PAUSE and proposal.until is not None:
        wanted = proposal.until
    else:
        wanted = later(now, DEFAULT_INTERVAL_TTL)
    return min(wanted, latest)


def _replaced(snapshot: Snapshot, proposals: Sequence[Proposal], new: Sequence[Hint]) -> list[Hint]:
    """End what the session's hints supersede, and what it asked to clear: the planner's own only."""
    now, ended = snapshot.now, {}
    for hint in new:
        if hint.state is HintState.ACTIVE:
            ended.update({old.id: old for old in supersede(snapshot.hints, hint, now)})
    if mode_of(snapshot.job.definition, snapshot.limits) is not PlannerMode.ON:
        return list(ended.values())
    for proposal in (proposal for proposal in proposals if proposal.clear):
        for old in snapshot.hints:
            mine = old.author is Author.PLANNER and old.state is HintState.ACTIVE
            if mine and old.id not in ended and (proposal.kind is None or proposal.kind is old.kind):
                ended[old.id] = end(old, HintState.CLEARED, now, proposal.reason)
    return list(ended.values())


def stand_down(snapshot: Snapshot, *, token: int, seq: int) -> Change:
    """Clear a seq without a session: planning is off, or there is no run newer than the last session's.

    A look is due at the next run that settles, so that nothing is missed when planning is switched on again. Raises
    LeaseLostError when the lease was superseded.
    """
    if snapshot.job.schedule.planning.token != token or snapshot.job.deleted_at is not None:
        raise LeaseLostError("The planning lease on this job is no longer held.")
    return Change(_with_planning(snapshot, done_seq=seq, ready_at=None, next_analysis_at=snapshot.now).job, "plan")


def _seq_cleared(snapshot: Snapshot, seq: int, last_run_at: datetime | None, plan: Plan) -> Snapshot:
    """Clear the seq that was read. A server that asked to be left alone, and whom nobody stood in for, is asked again
    later: the seq stays, and so does the evidence."""
    planning, now = snapshot.job.schedule.planning, snapshot.now
    if plan.retry_in is not None and plan.outcome is not Outcome.COMPLETED:
        return _with_planning(snapshot, ready_at=later(now, plan.retry_in))
    is_off = mode_of(snapshot.job.definition, snapshot.limits) is PlannerMode.OFF
    seen = [at for at in (planning.last_run_at, last_run_at) if at is not None]
    return _with_planning(
        snapshot,
        done_seq=seq,
        ready_at=now if planning.seq > seq and not is_off else None,
        last_run_at=max(seen, default=None),
        next_analysis_at=later(now, _next_look(plan)),
    )


def _next_look(plan: Plan) -> timedelta:
    """Return after how long a run is planned even if nothing has changed."""
    if plan.outcome is Outcome.COMPLETED:
        wanted = plan.retry_in or plan.next_analysis_in or ANALYSIS_EVERY
    else:
        wanted = plan.next_analysis_in or AFTER_FAILURE
    return min(wanted, LONGEST_ANALYSIS)


def _with_planning(snapshot: Snapshot, **changes: Any) -> Snapshot:
    planning = evolve(snapshot.job.schedule.planning, **changes)
    schedule = evolve(snapshot.job.schedule, planning=planning)
    return evolve(snapshot, job=evolve(snapshot.job, schedule=schedule))


def _with_outcome(hint: Hint, change: Change) -> Hint:
    slot: Slot | None = change.decision.slot if change.decision is not None else None
    won = change.decision is not None and change.decision.hint_id == hint.id and hint.state is HintState.ACTIVE
    return evolve(hint, applied=slot.at) if won and slot is not None else hint
