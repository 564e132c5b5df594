"""Rules as people manage them: written, tried on past runs, edited, accepted, rejected, deleted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from core.entities import Author, HintKind, HintState, RuleProgress, RuleState, Run, RunStatus, Trigger
from core.errors import Conflict, InvalidInput, NotFound
from core.hints import end, is_active
from core.ids import rule_id
from core.ports.cron import Cron
from core.ports.ids import Ids
from core.ports.store import Change, Changes, JobRef, RunFilter, Snapshot, Store
from core.predicates import read_run
from core.record import evolve
from core.reschedule import steer
from core.rules import Rule, RuleDraft, Terms, advance, is_known, issues_of, room_for
from core.transitions import RULE
from core.usecases.manage_jobs import alive, lift_pauses

TRIED_RUNS = 200  # past runs that a draft is tried on
NOTHING_THERE = "nothing_there"


@dataclass(frozen=True, slots=True)
class TriedRun:
    """A past run under a draft. `matched` None: it could not be judged, and `why_not` says why.

    `is_active`: the rule would have been in effect after it.
    """

    run: Run
    matched: bool | None
    is_active: bool
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a draft would have made of the past, newest run first. The tempo of the past was another than the rule's."""

    draft: RuleDraft
    runs: tuple[TriedRun, ...]


@dataclass(frozen=True, slots=True)
class ManageRules:
    """What people do to rules. A rule's own hint goes when the rule changes; everything else is left alone.

    `changes`: what is written to instead of the store, such as a rehearsal.
    """

    store: Store
    cron: Cron
    ids: Ids
    changes: Changes | None = None

    async def create(self, tenant_id: str, job_id: str, draft: RuleDraft) -> Rule:
        """Store a rule that a person wrote: it is accepted. Raises InvalidInput, Conflict("too_many_rules")."""
        written: list[Rule] = []

        def transition(snapshot: Snapshot) -> Change:
            check(snapshot, draft)
            refusal = room_for(snapshot.rules, waiting=False)
            if refusal is not None:
                raise Conflict("too_many_rules", refusal)
            if is_known(draft.terms, snapshot.rules):
                raise Conflict("rule_exists", "The job has a rule with this condition and this effect already.")
            written[:] = [new_rule(snapshot, draft, Author.USER, RuleState.ACCEPTED, self.ids)]
            return with_rules(snapshot, written)

        await (self.changes or self.store).change(JobRef(tenant_id, job_id), transition)
        return written[0]

    async def edit(self, tenant_id: str, identity: str, patch: Callable[[RuleDraft], RuleDraft]) -> Rule:
        """Change a rule; one in effect begins anew. Raises NotFound, InvalidInput."""

        def changed(snapshot: Snapshot, rule: Rule) -> Rule:
            draft = patch(RuleDraft(rule.terms, rule.description))
            check(snapshot, draft)
            return evolve(rule, terms=draft.terms, description=draft.description)

        return await self._replace(tenant_id, identity, changed)

    async def accept(self, tenant_id: str, identity: str) -> Rule:
        """Let a rule take effect, from the next response on. Raises NotFound, InvalidInput when it no longer fits."""

        def accepted(snapshot: Snapshot, rule: Rule) -> Rule:
            check(snapshot, RuleDraft(rule.terms, rule.description))
            return evolve(rule, state=RULE.get((rule.state, "accept"), rule.state))

        return await self._replace(tenant_id, identity, accepted)

    async def reject(self, tenant_id: str, identity: str) -> Rule:
        """Turn a rule down, or off; its hint goes. It is kept, so that it is not proposed again. Raises NotFound."""

        def rejected(snapshot: Snapshot, rule: Rule) -> Rule:
            alive(snapshot)
            return evolve(rule, state=RULE.get((rule.state, "reject"), rule.state))

        return await self._replace(tenant_id, identity, rejected)

    async def delete(self, tenant_id: str, identity: str) -> None:
        """Delete a rule, and its hint with it. Raises NotFound."""
        rule = await self.store.rule(tenant_id, identity)

        def transition(snapshot: Snapshot) -> Change:
            alive(snapshot)
            _find(snapshot, identity)
            return self._without_effect(with_rules(snapshot, (), removed=(identity,)), snapshot, identity)

        await (self.changes or self.store).change(JobRef(tenant_id, rule.job_id), transition)

    async def try_out(self, tenant_id: str, job_id: str, draft: RuleDraft, *, limit: int = TRIED_RUNS) -> Trial:
        """Say which past runs a draft would have matched; nothing is written. Raises NotFound, InvalidInput."""
        snapshot = await self.store.snapshot(tenant_id, job_id)
        check(snapshot, draft)
        page = await self.store.runs(tenant_id, RunFilter(job_id=job_id), limit=limit)
        return Trial(draft, tuple(try_on(draft.terms, page.items)))

    async def try_out_edit(self, tenant_id: str, identity: str, patch: Callable[[RuleDraft], RuleDraft]) -> Trial:
        """The same for an edit."""
        rule = await self.store.rule(tenant_id, identity)
        return await self.try_out(tenant_id, rule.job_id, patch(RuleDraft(rule.terms, rule.description)))

    async def _replace(self, tenant_id: str, identity: str, changed: Callable[[Snapshot, Rule], Rule]) -> Rule:
        found = await self.store.rule(tenant_id, identity)
        answer: list[Rule] = []

        def transition(snapshot: Snapshot) -> Change:
            old = _find(snapshot, identity)
            new = changed(snapshot, old)
            answer[:] = [old]
            if new == old:
                return Change(snapshot.job, "rule")
            answer[:] = [evolve(new, updated_at=snapshot.now)]
            change = with_rules(snapshot, answer)
            if (new.terms, new.state) == (old.terms, old.state):
                return change
            return self._without_effect(change, snapshot, identity)

        await (self.changes or self.store).change(JobRef(tenant_id, found.job_id), transition)
        return answer[0]

    def _without_effect(self, change: Change, snapshot: Snapshot, identity: str) -> Change:
        """Take a rule's progress and its hint back, and decide again if there was one."""
        now, schedule = snapshot.now, change.job.schedule
        progress = {each: way for each, way in schedule.rule_progress.items() if each != identity}
        job = evolve(change.job, schedule=evolve(schedule, rule_progress=progress))
        own = [hint for hint in snapshot.hints if hint.rule_id == identity and is_active(hint, now)]
        if not own:
            return evolve(change, job=job)
        ended = [end(hint, HintState.CLEARED, now, "its rule was changed by a person") for hint in own]
        after = evolve(snapshot, job=job)
        if any(hint.kind is HintKind.PAUSE for hint in ended):
            decided = lift_pauses(after, ended, cron=self.cron, ids=self.ids)
        else:
            decided = steer(after, ended, cause="rule", cron=self.cron)
        return evolve(decided, rules=change.rules, removed_rules=change.removed_rules)


def check(snapshot: Snapshot, draft: RuleDraft) -> None:
    """Raise InvalidInput, naming each field, for a rule that this job cannot have; NotFound for a deleted job."""
    alive(snapshot)
    issues = issues_of(draft.terms, snapshot.job.definition, snapshot.limits)
    if issues:
        raise InvalidInput(issues)


def new_rule(
    snapshot: Snapshot, draft: RuleDraft, author: Author, state: RuleState, ids: Ids, *, session_id: str | None = None
) -> Rule:
    """Return a draft as a rule, under a new id."""
    now = snapshot.now
    return Rule(
        id=rule_id(now, ids.entropy()),
        tenant_id=snapshot.job.tenant_id,
        job_id=snapshot.job.id,
        state=state,
        author=author,
        terms=draft.terms,
        created_at=now,
        updated_at=now,
        description=draft.description,
        session_id=session_id,
    )


def with_rules(snapshot: Snapshot, rules: Iterable[Rule], *, removed: Sequence[str] = ()) -> Change:
    """Return the change that writes rules, and tells every worker's memory of them so."""
    job = snapshot.job
    schedule = evolve(job.schedule, rules_seq=job.schedule.rules_seq + 1)
    return Change(evolve(job, schedule=schedule), "rule", rules=tuple(rules), removed_rules=tuple(removed))


def try_on(terms: Terms, runs: Iterable[Run]) -> list[TriedRun]:
    """Evaluate terms over past runs, as they would have been; newest first, as they come."""
    begun = [run for run in runs if run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)]
    tried: list[TriedRun] = []
    progress: RuleProgress | None = None
    for run in reversed([run for run in begun if run.trigger is not Trigger.TEST and run.finished_at is not None]):
        at, response = run.finished_at or run.created_at, read_run(run)
        step = advance(terms, progress, response, at)
        progress = step.progress
        why_not = (response.unread or NOTHING_THERE) if step.matched is None else None
        tried.append(TriedRun(run, step.matched, step.is_active, why_not))
    return tried[::-1]


def _find(snapshot: Snapshot, identity: str) -> Rule:
    alive(snapshot)
    for rule in snapshot.rules:
        if rule.id == identity:
            return rule
    raise NotFound(f"There is no rule {identity}.")
