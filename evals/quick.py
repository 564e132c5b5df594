"""The short way for policies that only name intervals: arithmetic instead of loops, stores and governor.

For such a policy, within bounds shorter than a hint's life, the governor's answer is last start + interval; a test
plays each policy both ways and compares every run. The offline planner and models are never played this way.
"""

from core.ports.dispatcher import HttpResult
from evals.engine import Play
from evals.looks import look_at
from evals.policies.policy import Policy
from evals.worlds.world import Target


def play_quickly(target: Target, policy: Policy, horizon_s: float) -> Play:
    """Return the runs of a policy at one target."""
    runs: list[float] = []
    at, before_at = 0.0, 0.0
    before: HttpResult | None = None
    while at < horizon_s:
        result = target.answer(at)
        runs.append(at)
        interval = policy.next_interval(look_at(result, at, before, before_at))
        before, before_at = result, at
        at = round(at + max(1, round(interval * 1000)) / 1000, 6)
    return Play(tuple(runs))
