"""The breaker: a server that fails is left alone for a while, for each tenant and model by itself.

Closed: everything passes. Five failures in a row open it, for 30 s and then twice as long each time, up to ten
minutes; a Retry-After opens it at once, for as long as it says. When that is over one session is let through (half
open): its success closes the breaker, its failure opens it again. Times are seconds of a monotonic clock.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

FAILURES = 5
FIRST_S, LONGEST_S = 30.0, 600.0
LONGEST_RETRY_AFTER_S = 3600.0
MOST_KEYS = 10_000
PROBE_S = 60.0  # a probe that nobody heard of again blocks no longer than this

Key = tuple[str, str]  # tenant, model


@dataclass(slots=True)
class _State:
    failures: int = 0
    openings: int = 0
    open_until_s: float = 0.0
    probe_until_s: float = 0.0


@dataclass(slots=True)
class Breaker:
    """Remembers failures by key; the oldest keys are forgotten."""

    _states: OrderedDict[Key, _State] = field(default_factory=OrderedDict)

    def wait_s(self, key: Key, now_s: float) -> float:
        """Return 0 if a session may ask the server, else for how long it may not. A 0 after an opening is the one
        probe."""
        state = self._states.get(key)
        if state is None or not state.open_until_s:
            return 0.0
        if now_s < state.open_until_s:
            return state.open_until_s - now_s
        if now_s < state.probe_until_s:
            return state.probe_until_s - now_s
        state.probe_until_s = now_s + PROBE_S
        return 0.0

    def succeeded(self, key: Key) -> None:
        """Close it."""
        self._states.pop(key, None)

    def failed(self, key: Key, now_s: float, *, retry_after_s: float | None = None) -> None:
        """Count a failure; `retry_after_s`: what the server asked for."""
        state = self._states.setdefault(key, _State())
        self._states.move_to_end(key)
        if len(self._states) > MOST_KEYS:
            self._states.popitem(last=False)
        state.failures += 1
        was_probe = state.open_until_s > 0 and now_s >= state.open_until_s
        state.probe_until_s = 0.0
        if retry_after_s is not None:
            state.open_until_s = max(state.open_until_s, now_s + min(retry_after_s, LONGEST_RETRY_AFTER_S))
        elif was_probe or (state.failures >= FAILURES and now_s >= state.open_until_s):
            state.open_until_s = now_s + min(FIRST_S * 2**state.openings, LONGEST_S)
            state.openings = min(state.openings + 1, 10)

    def open_count(self, now_s: float) -> int:
        """Return how many are open."""
        return sum(state.open_until_s > now_s for state in self._states.values())
