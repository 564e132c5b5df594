"""Rules on the wire."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError, WithJsonSchema

from api.problems import invalid
from api.wire import MS, Instant, Milliseconds, Wire, ms
from core.entities import HintKind, Limits
from core.errors import InvalidInput, Issue
from core.predicates import Predicate, in_words, parse, plain
from core.rules import LEAVE_RUNS, Hold, Rule, RuleDraft, Terms, default_reason, default_ttl
from core.usecases.manage_rules import Trial, TriedRun

EXAMPLE_CONDITION = {"field": "/queue_depth", "op": "gt", "value": 500}
_CONDITION = {
    "type": "object",
    "description": "`field` (a JSON pointer into the response, `status_code`, `duration_ms` or `outcome`), `op` (eq ne "
    "gt ge lt le exists absent) and `value`; or `all` or `any` with a list of conditions.",
    "examples": [EXAMPLE_CONDITION],
}
Condition = Annotated[Any, WithJsonSchema(_CONDITION)]
MaybeCondition = Annotated[Any, WithJsonSchema({**_CONDITION, "type": ["object", "null"]})]
Runs = Annotated[int, Field(strict=True, ge=1, le=1000)]
Held = Annotated[int, Field(strict=True, ge=0, le=604_800_000)]


class RuleIn(Wire):
    """A rule as a person writes it. Exactly one of `intervalMs` and `pauseMs`.

    It takes effect when `when` has held for `forRuns` runs in a row and `forMs`; it lets go when it has not, and
    `until` (if given) has, for `untilRuns` and `untilMs`.
    """

    when: Condition
    for_runs: Runs = 1
    for_ms: Held = 0
    until: MaybeCondition = None
    until_runs: Runs = LEAVE_RUNS
    until_ms: Held = 0
    interval_ms: Milliseconds | None = None
    pause_ms: Milliseconds | None = None
    ttl_ms: Milliseconds | None = None
    reason: Annotated[str | None, Field(min_length=1, max_length=300)] = None
    description: Annotated[str | None, Field(max_length=1000)] = None

    def draft(self, limits: Limits) -> RuleDraft:
        """Return it as core takes it. Raises InvalidInput."""
        issues: list[Issue] = []
        when, found = parse(self.when, "/when")
        issues += found
        until: Predicate | None = None
        if self.until is not None:
            until, found = parse(self.until, "/until")
            issues += found
        given = self.interval_ms if self.interval_ms is not None else self.pause_ms
        if given is None or (self.interval_ms is not None and self.pause_ms is not None):
            issues.append(Issue("/intervalMs", "one_effect", "Give exactly one of intervalMs and pauseMs."))
        if issues or when is None or given is None:
            raise InvalidInput(issues)
        kind = HintKind.INTERVAL if self.interval_ms is not None else HintKind.PAUSE
        length = given * MS
        terms = Terms(
            when=when,
            kind=kind,
            length=length,
            ttl=self.ttl_ms * MS if self.ttl_ms is not None else default_ttl(kind, length, limits),
            reason=self.reason or default_reason(when),
            enter=Hold(self.for_runs, self.for_ms * MS),
            until=until,
            leave=Hold(self.until_runs, self.until_ms * MS),
        )
        return RuleDraft(terms, self.description)


class TermsOut(Wire):
    """What a rule says; `inWords` is its condition."""

    when: Condition
    for_runs: int
    for_ms: int
    until: MaybeCondition
    until_runs: int
    until_ms: int
    interval_ms: int | None
    pause_ms: int | None
    ttl_ms: int
    reason: str
    in_words: str
    description: str | None


class RuleOut(TermsOut):
    """A rule. `author` is `user` or `planner`; only an `accepted` one is evaluated. `inEffect`: as of the last run."""

    id: str
    job_id: str
    state: str
    author: str
    session_id: str | None
    in_effect: bool
    created_at: Instant
    updated_at: Instant


class TriedRunOut(Wire):
    """A past run under a rule. `matched` null: it could not be judged; `notJudged` says why: the body was `truncated`,
    there was `no_body`, it was `not_json`, or had `nothing_there`."""

    run_id: str
    scheduled_for: Instant
    matched: bool | None
    in_effect: bool
    not_judged: str | None


class RulePreview(RuleOut):
    """A rule as it would be, and the next five runs of its job then."""

    next_runs: list[Instant]


class TrialOut(Wire):
    """What a rule would have made of the newest runs, as they were kept; and the next five runs with it."""

    rule: TermsOut
    tried: int
    matched: int
    in_effect: int
    not_judged: dict[str, int]
    runs: list[TriedRunOut]
    next_runs: list[Instant]


def rule_out(rule: Rule, *, in_effect: bool) -> RuleOut:
    """Write a rule."""
    return RuleOut(
        **_terms(RuleDraft(rule.terms, rule.description)),
        id=rule.id,
        job_id=rule.job_id,
        state=rule.state,
        author=rule.author,
        session_id=rule.session_id,
        in_effect=in_effect,
        created_at=rule.created_at,
        updated_at=rule.updated_at,
    )


def trial_out(trial: Trial, next_runs: Sequence[datetime]) -> TrialOut:
    """Write what a draft would have made of the past, and what it leads to."""
    return TrialOut(
        rule=TermsOut(**_terms(trial.draft)),
        tried=len(trial.runs),
        matched=sum(each.matched is True for each in trial.runs),
        in_effect=sum(each.is_active for each in trial.runs),
        not_judged=dict(Counter(each.why_not for each in trial.runs if each.why_not is not None)),
        runs=[_tried(each) for each in trial.runs],
        next_runs=list(next_runs),
    )


def patched(draft: RuleDraft, patch: Mapping[str, Any], limits: Limits) -> RuleDraft:
    """Return a draft with a merge-patch applied: null clears, what is not named stays. What follows from the condition
    or the length, and was never given, follows the new ones. Raises InvalidInput, RequestValidationError."""
    written = {name: value for name, value in _terms(draft).items() if name != "in_words"}
    terms = draft.terms
    if terms.reason == default_reason(terms.when):
        written["reason"] = None
    if terms.ttl == default_ttl(terms.kind, terms.length, limits):
        written["ttl_ms"] = None
    fields = {field.alias or name: name for name, field in RuleIn.model_fields.items()}
    for name, value in patch.items():
        known = fields.get(name, name)
        if known != name and known in patch:
            raise invalid(f"/{known}", "given_twice", f"{name} is given twice; give it once.")
        if value is None and known in RuleIn.model_fields and known != "when":
            written.pop(known, None)
        else:
            written[known] = value
    try:
        return RuleIn.model_validate(written).draft(limits)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


def patch_schema() -> dict[str, Any]:
    """Return the JSON schema of a merge-patch: the fields of a rule, none of them required."""
    schema = RuleIn.model_json_schema(by_alias=True)
    return {name: value for name, value in schema.items() if name not in ("required", "title", "description")}


def _terms(draft: RuleDraft) -> dict[str, Any]:
    terms = draft.terms
    is_pause = terms.kind is HintKind.PAUSE
    return {
        "when": plain(terms.when),
        "for_runs": terms.enter.runs,
        "for_ms": _whole_ms(terms.enter.time),
        "until": plain(terms.until) if terms.until is not None else None,
        "until_runs": terms.leave.runs,
        "until_ms": _whole_ms(terms.leave.time),
        "interval_ms": None if is_pause else ms(terms.length),
        "pause_ms": ms(terms.length) if is_pause else None,
        "ttl_ms": _whole_ms(terms.ttl),
        "reason": terms.reason,
        "in_words": in_words(terms.when),
        "description": draft.description,
    }


def _tried(each: TriedRun) -> TriedRunOut:
    return TriedRunOut(
        run_id=each.run.id,
        scheduled_for=each.run.scheduled_for,
        matched=each.matched,
        in_effect=each.is_active,
        not_judged=each.why_not,
    )


def _whole_ms(value: timedelta) -> int:
    return value // MS
