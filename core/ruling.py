"""From a settled response to hints: the job's accepted rules, evaluated within the transition that settles its run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from core.entities import Author, Hint, HintKind, HintState, PlannerMode, RuleProgress
from core.grid import later
from core.hints import end, supersede
from core.ids import hint_id
from core.modes import mode_of
from core.ports.ids import Ids
from core.ports.store import Snapshot
from core.predicates import Response
from core.record import record
from core.reschedule import settle_hints
from core.rules import Rule, accepted, advance, covers

LET_GO = "its rule's condition no longer holds"


@record
class Ruling:
    """What rules make of a response. `hints`: to be written. `matches`: how many rules' conditions held.

    `is_covered`: a rule answers this response, so that no planner need be asked about it.
    """

    progress: Mapping[str, RuleProgress]
    hints: tuple[Hint, ...] = ()
    matches: int = 0
    is_covered: bool = False


def rule_on(snapshot: Snapshot, response: Response, *, ids: Ids) -> Ruling:
    """Evaluate the job's rules on the response of the run that settles.

    At most one hint of each kind is the rules'; of several in effect the oldest rule writes it. What they write obeys
    grants, bounds and budgets like any other hint: the governor decides.
    """
    job, now = snapshot.job, snapshot.now
    mode = mode_of(job.definition, snapshot.limits)
    if mode is PlannerMode.OFF or job.deleted_at is not None:
        return Ruling({})
    before = job.schedule.rule_progress
    work = _Work(snapshot, [*settle_hints(snapshot.hints, (), now)[0]], ids, is_shadow=mode is PlannerMode.SHADOW)
    steps = [(rule, advance(rule.terms, before.get(rule.id), response, now)) for rule in accepted(snapshot.rules)]
    for rule, step in steps:
        if not step.is_active:
            work.let_go(rule)
    for kind in (HintKind.PAUSE, HintKind.INTERVAL):
        first = next(((rule, step) for rule, step in steps if rule.terms.kind is kind and step.is_active), None)
        if first is not None and first[1].is_backed:
            work.see_to(first[0], is_new=not _was_active(before.get(first[0].id)))
    return Ruling(
        progress={rule.id: step.progress for rule, step in steps if step.progress is not None},
        hints=tuple(work.written.values()),
        matches=sum(step.matched is True for _, step in steps),
        is_covered=any(covers(rule, before.get(rule.id), step, response) for rule, step in steps),
    )


def _was_active(progress: RuleProgress | None) -> bool:
    return progress is not None and progress.is_active


@dataclass(slots=True)
class _Work:
    """Hints in the making. `hints` is what stands, with what was written already in its place."""

    snapshot: Snapshot
    hints: list[Hint]
    ids: Ids
    is_shadow: bool
    written: dict[str, Hint] = field(default_factory=dict)

    def let_go(self, rule: Rule) -> None:
        """End the rule's hint, if it has one."""
        own = self._own(rule)
        if own is not None:
            self._write(end(own, HintState.CLEARED, self.snapshot.now, LET_GO))

    def see_to(self, rule: Rule, *, is_new: bool) -> None:
        """Write the rule's hint, unless the one that stands will do."""
        own, now = self._own(rule), self.snapshot.now
        if self.is_shadow:
            if is_new:
                self._write(end(self._hint(rule), HintState.SHADOW, now, "shadow mode"))
            return
        if own is not None and not self._is_ending(own, rule):
            return
        hint = self._hint(rule)
        for old in supersede(self.hints, hint, now):
            self._write(old)
        self._write(hint)

    def _own(self, rule: Rule) -> Hint | None:
        return next((hint for hint in self.hints if hint.rule_id == rule.id and hint.state is HintState.ACTIVE), None)

    def _is_ending(self, hint: Hint, rule: Rule) -> bool:
        """A pause ends with its probe; an interval is renewed while it is sure to outlive the next run."""
        if hint.kind is HintKind.PAUSE or hint.expires_at is None:
            return False
        return hint.expires_at - self.snapshot.now < self._life(rule) / 2

    def _life(self, rule: Rule) -> timedelta:
        return min(rule.terms.ttl, self.snapshot.limits.hint_lifetime)

    def _hint(self, rule: Rule) -> Hint:
        job, now, terms = self.snapshot.job, self.snapshot.now, rule.terms
        expires_at = later(now, self._life(rule))
        is_pause = terms.kind is HintKind.PAUSE
        start = self.snapshot.last_start_at or job.schedule.created_at
        return Hint(
            id=hint_id(now, self.ids.entropy()),
            tenant_id=job.tenant_id,
            job_id=job.id,
            kind=terms.kind,
            author=Author.RULE,
            created_at=now,
            expires_at=expires_at,
            interval=None if is_pause else terms.length,
            until=expires_at if is_pause else None,
            reason=terms.reason,
            rule_id=rule.id,
            proposed=expires_at if is_pause else later(start, terms.length),
        )

    def _write(self, hint: Hint) -> None:
        self.written[hint.id] = hint
        self.hints = [*(other for other in self.hints if other.id != hint.id), hint]
