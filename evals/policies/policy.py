"""What a policy sees and says."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from evals.worlds.world import Costs, Terms


@dataclass(frozen=True, slots=True)
class Look:
    """One answered run: when (seconds), how long after the one before, whether the answer was another one, whether it
    failed, and the level it reported, if any."""

    at: float
    gap: float
    changed: bool
    failed: bool = False
    level: float | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy is told: the owner's baseline and bounds in seconds, the world's costs, and its knob. 1 is each
    policy's own default; sweeping it draws the cost-delay curve."""

    every: float
    least: float
    most: float
    request: float = 1.0
    delay: float = 1.0
    knob: float = 1.0

    @classmethod
    def of(cls, terms: Terms, costs: Costs, knob: float = 1.0) -> "Setting":
        """Return the setting of a world's job."""
        second = timedelta(seconds=1)
        return cls(terms.every / second, terms.least / second, terms.most / second, costs.request, costs.delay, knob)

    def clip(self, interval: float) -> float:
        """Hold an interval within the bounds."""
        return min(max(interval, self.least), self.most)

    def root_rule(self, rate: float) -> float:
        """Return sqrt(2c / (w rate)), the best interval for that rate, times the knob."""
        if rate <= 0 or self.delay <= 0:
            return self.most
        return self.clip(self.knob * (2 * self.request / (self.delay * rate)) ** 0.5)


class Policy(Protocol):
    """Says how long to wait; may remember."""

    def next_interval(self, look: Look) -> float:
        """Return seconds until the next run, within the bounds."""
        ...
