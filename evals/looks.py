"""From runs to looks: whether an answer was another one, whether it failed, what level it reported."""

from functools import lru_cache

import orjson

from core.entities import Run, RunStatus
from core.ports.dispatcher import HttpResult
from evals.policies.policy import Look
from evals.virtual import second_of


def look_of(run: Run, before: Run | None) -> Look:
    """Return the look that a run was."""
    at = second_of(run.started_at or run.scheduled_for)
    if before is None:
        return Look(at, 0.0, changed=False, failed=run.status is RunStatus.FAILED, level=level(run.response_excerpt))
    changed = (run.status_code, run.response_excerpt) != (before.status_code, before.response_excerpt)
    gap = at - second_of(before.started_at or before.scheduled_for)
    return Look(at, gap, changed, run.status is RunStatus.FAILED, level(run.response_excerpt))


def look_at(result: HttpResult, at: float, before: HttpResult | None, before_at: float) -> Look:
    """Return the same look straight from a target's answer."""
    failed = result.status_code is None or not 200 <= result.status_code < 300
    if before is None:
        return Look(at, 0.0, changed=False, failed=failed, level=level(result.body))
    changed = (result.status_code, result.body) != (before.status_code, before.body)
    return Look(at, at - before_at, changed, failed, level(result.body))


@lru_cache(maxsize=4096)
def level(body: str | None) -> float | None:
    """Return the share of a thousand that a body's queue depth is, if it has one."""
    if not body or "queue_depth" not in body:
        return None
    try:
        value = orjson.loads(body).get("queue_depth")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return value / 1000 if isinstance(value, int | float) else None
