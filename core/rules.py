"""Rules: reviewed predicates over responses that write ordinary hints without a model. Pure; see docs/rules.md.

A rule takes effect when its condition has held for so many runs and so long, and lets go when it has not, and another
condition has, for so many runs and so long. What lies between changes nothing: a rule cannot flap. Answers that cannot
be judged never make it take effect, and count towards letting go: it acts on what it sees only.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from core.entities import (
    Author,
    CronBaseline,
    Definition,
    HintKind,
    IntervalBaseline,
    Limits,
    OnceBaseline,
    RuleProgress,
    RuleState,
    RunStatus,
)
from core.errors import Issue
from core.predicates import OUTCOME, STATUS_CODE, Predicate, Response, comparisons, in_words, judge
from core.record import record
from core.wording import duration

MOST_RULES = 32  # a job, rejected ones counted
MOST_WAITING = 8  # proposals that wait for a person's word
MOST_RUNS = 1000
LONGEST_HOLD = timedelta(days=7)
LONGEST_REASON = 300
LEAVE_RUNS = 2  # one odd answer does not end a rule
TTL_INTERVALS, SHORTEST_DEFAULT_TTL = 10, timedelta(minutes=10)


@record
class Hold:
    """How long a condition must hold: for so many runs in a row, and from the first to the last of them so long."""

    runs: int = 1
    time: timedelta = timedelta(0)


@record
class Terms:
    """What a rule says. `kind` is interval or pause, `length` the interval, or how long a pause lasts.

    `until`: what lets it go once `when` no longer holds; None: nothing more. `ttl`: how long one hint lives; while the
    rule holds it is renewed.
    """

    when: Predicate
    kind: HintKind
    length: timedelta
    ttl: timedelta
    reason: str
    enter: Hold = Hold()
    until: Predicate | None = None
    leave: Hold = Hold(LEAVE_RUNS)

    @property
    def essence(self) -> tuple[object, ...]:
        """Return what makes two rules the same proposal: their conditions and their effect."""
        return (self.when, self.enter, self.until, self.kind, self.length)


@record
class Rule:
    """A rule of one job. `author`: a person, or the planner in a session. `description`: in the author's words."""

    id: str
    tenant_id: str
    job_id: str
    state: RuleState
    author: Author
    terms: Terms
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    session_id: str | None = None


@record
class RuleDraft:
    """What somebody proposes."""

    terms: Terms
    description: str | None = None


@record
class Step:
    """What one response did to a rule. `progress` None: at rest. `matched`: whether its condition held;
    None: this response does not say.

    `is_backed`: the rule is in effect and this response speaks for it, so that its hint may be renewed.
    """

    progress: RuleProgress | None
    matched: bool | None
    is_backed: bool = False

    @property
    def is_active(self) -> bool:
        """Tell whether the rule is in effect after this response."""
        return self.progress is not None and self.progress.is_active


def advance(terms: Terms, progress: RuleProgress | None, response: Response, now: datetime) -> Step:
    """Return where a rule with these terms stands after a response that came at `now`."""
    matched = judge(terms.when, response)
    if progress is None or not progress.is_active:
        if not matched:
            return Step(None, matched)
        held = _longer(progress or RuleProgress(is_active=False), terms.enter, now)
        if held is not None:
            return Step(held, matched)
        return Step(RuleProgress(is_active=True), matched, is_backed=True)
    if matched or (terms.until is not None and judge(terms.until, response) is False):
        return Step(RuleProgress(is_active=True), matched, is_backed=True)
    return Step(_longer(progress, terms.leave, now), matched)


def _longer(progress: RuleProgress, hold: Hold, now: datetime) -> RuleProgress | None:
    """Count one more run; None: it has held for long enough."""
    runs, since = min(progress.runs + 1, hold.runs), progress.since or now
    if runs >= hold.runs and now - since >= hold.time:
        return None
    return RuleProgress(progress.is_active, runs, since)


def accepted(rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules that are evaluated, in order: of two that want the same kind of hint the older comes first."""
    return sorted((rule for rule in rules if rule.state is RuleState.ACCEPTED), key=lambda rule: rule.id)


def covers(rule: Rule, before: RuleProgress | None, step: Step, response: Response) -> bool:
    """Tell whether a rule answers this response, so that no planner need be asked about it.

    It does when it is in effect, or has just let go, and could judge the response; of a failed run only when it speaks
    of failures.
    """
    was_active = before is not None and before.is_active
    if not (was_active or step.is_active) or (step.matched is None and not step.is_backed):
        return False
    named = {each.field for part in (rule.terms.when, rule.terms.until) for each in comparisons(part)}
    return response.outcome is RunStatus.SUCCEEDED or bool(named & {OUTCOME, STATUS_CODE})


def default_ttl(kind: HintKind, length: timedelta, limits: Limits) -> timedelta:
    """Return how long one hint of a rule lives when nobody says: ten intervals, ten minutes at least."""
    if kind is HintKind.PAUSE:
        return length
    return min(max(length * TTL_INTERVALS, SHORTEST_DEFAULT_TTL), limits.hint_lifetime)


def default_reason(when: Predicate) -> str:
    """Return the reason that a rule's hints give when nobody says: its condition."""
    return in_words(when)[:LONGEST_REASON]


def issues_of(terms: Terms, definition: Definition, limits: Limits) -> list[Issue]:
    """Say what is wrong with a rule for this job. Bounds refuse nothing: the governor holds every hint within them."""
    found = [*_hold_issues(terms.enter, "for"), *_hold_issues(terms.leave, "until")]
    lifetime = limits.hint_lifetime
    if terms.kind is HintKind.PAUSE:
        found += _pause_issues(terms, definition, lifetime)
    else:
        found += _interval_issues(terms, definition, lifetime)
    if not 1 <= len(terms.reason) <= LONGEST_REASON:
        found.append(Issue("/reason", "out_of_range", f"A reason has 1 to {LONGEST_REASON} characters."))
    return found


def _hold_issues(hold: Hold, name: str) -> list[Issue]:
    found = []
    if not 1 <= hold.runs <= MOST_RUNS:
        found.append(Issue(f"/{name}Runs", "out_of_range", f"{name}Runs is 1 to {MOST_RUNS}."))
    if not timedelta(0) <= hold.time <= LONGEST_HOLD:
        found.append(Issue(f"/{name}Ms", "out_of_range", f"{name}Ms is 0 to {_ms(LONGEST_HOLD)} (a week)."))
    return found


def _pause_issues(terms: Terms, definition: Definition, lifetime: timedelta) -> list[Issue]:
    found = []
    if not timedelta(0) < terms.length <= lifetime:
        found.append(Issue("/pauseMs", "out_of_range", f"pauseMs is 1 to {_ms(lifetime)}."))
    if terms.ttl != terms.length:
        found.append(Issue("/ttlMs", "not_for_this_kind", "A pause lives as long as it lasts; leave ttlMs out."))
    if not definition.authority.pause:
        detail = "The job's authority does not grant `pause`; grant it first, or give an interval."
        found.append(Issue("/pauseMs", "not_granted", detail))
    return found


def _interval_issues(terms: Terms, definition: Definition, lifetime: timedelta) -> list[Issue]:
    if isinstance(definition.baseline, OnceBaseline):
        return [Issue("/intervalMs", "not_for_this_job", "A job that runs once takes no interval hints.")]
    if not timedelta(0) < terms.length <= lifetime / 2:
        detail = f"intervalMs is 1 to {_ms(lifetime / 2)}: half of the longest life of a hint."
        return [Issue("/intervalMs", "out_of_range", detail)]
    found = []
    if not terms.length * 2 <= terms.ttl <= lifetime:
        detail = f"ttlMs is at least twice the interval ({_ms(terms.length * 2)}), at most {_ms(lifetime)}."
        found.append(Issue("/ttlMs", "out_of_range", detail))
    missing = _missing_grant(terms.length, definition)
    if missing is not None:
        found.append(Issue("/intervalMs", "not_granted", missing))
    return found


def _missing_grant(interval: timedelta, definition: Definition) -> str | None:
    authority, baseline = definition.authority, definition.baseline
    if isinstance(baseline, CronBaseline):
        granted = authority.tighten or authority.relax
        return None if granted else "The job's authority grants neither `tighten` nor `relax`; grant one first."
    if not isinstance(baseline, IntervalBaseline):
        return None
    words = f"every {duration(interval)} is {{}} than the baseline of {duration(baseline.every)}"
    if interval < baseline.every and not authority.tighten:
        return f"{words.format('sooner')}, and the job's authority does not grant `tighten`."
    if interval > baseline.every and not authority.relax:
        return f"{words.format('later')}, and the job's authority does not grant `relax`."
    return None


def is_known(terms: Terms, rules: Sequence[Rule]) -> bool:
    """Tell whether a job has such a rule already, in whatever state: what was rejected is not proposed again."""
    return any(rule.terms.essence == terms.essence for rule in rules)


def room_for(rules: Sequence[Rule], *, waiting: bool) -> str | None:
    """Say why a job takes no further rule; None: it does. `waiting`: it is a proposal."""
    if len(rules) >= MOST_RULES:
        return f"The job has {MOST_RULES} rules already; delete one first."
    if waiting and sum(rule.state is RuleState.PROPOSED for rule in rules) >= MOST_WAITING:
        return f"{MOST_WAITING} proposed rules wait for a person's word already."
    return None


def _ms(value: timedelta) -> int:
    return value // timedelta(milliseconds=1)
