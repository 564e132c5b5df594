"""The offline planner's rules: the intent's common forms, as calls of the tool that a model would use."""

import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from core.entities import HintKind
from core.intent import rules_from
from core.predicates import plain
from core.rules import RuleDraft, is_known, room_for
from core.sessions import PlanningContext

READ_RUNS = 20  # newest answers that a field is looked for in
_MS = timedelta(milliseconds=1)


def rule_proposals(context: PlanningContext) -> list[dict[str, Any]]:
    """Return the arguments of `propose_rule` for each rule in the owner's intent that the job does not have yet."""
    if room_for(context.rules, waiting=True) is not None:
        return []
    drafts = rules_from(context.job.definition, context.limits, list(_documents(context)))
    return [_arguments(draft) for draft in drafts if not is_known(draft.terms, context.rules)]


def _documents(context: PlanningContext) -> Iterator[Any]:
    for run in context.runs[:READ_RUNS]:
        if run.response_excerpt and not run.truncated:
            with contextlib.suppress(ValueError, RecursionError):
                yield json.loads(run.response_excerpt)


def _arguments(draft: RuleDraft) -> dict[str, Any]:
    terms = draft.terms
    length = terms.length // _MS
    is_pause = terms.kind is HintKind.PAUSE
    return {
        "conditions": [{"value": None, **plain(terms.when)}],
        "match": "all",
        "until": None,
        "for_runs": terms.enter.runs,
        "for_ms": terms.enter.time // _MS,
        "interval_ms": None if is_pause else length,
        "pause_ms": length if is_pause else None,
        "reason": (draft.description or terms.reason)[:300],
    }
