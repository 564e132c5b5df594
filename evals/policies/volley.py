"""Volley (Meng and Liu, "Violation likelihood based approach", ICDCS 2012): lengthen while a violation is unlikely.

The level's step per baseline has a running mean and variance; Chebyshev's inequality (one-sided, Cantelli) bounds the
chance that the threshold is crossed within the next interval. Below the allowed miss rate for a number of looks in a
row, the interval grows by one baseline; above it, it falls back to the baseline at once. A change counts as a level
that jumps from 0 to the threshold 1.
"""

from dataclasses import dataclass

from evals.policies.policy import Look, Setting

MISS_RATE, SLACK, PATIENCE = 0.05, 0.2, 10
KEPT = 1000  # steps after which the statistics begin anew


@dataclass
class Volley:
    """The knob multiplies the allowed miss rate."""

    setting: Setting
    threshold: float = 1.0
    multiple: int = 1
    calm: int = 0
    steps: int = 0
    mean: float = 0.0
    spread: float = 0.0  # sum of squared distances
    last: float = 0.0

    def next_interval(self, look: Look) -> float:
        """Update the statistics, bound the chance of a miss, and lengthen or fall back."""
        value = look.level if look.level is not None else float(look.changed)
        if look.gap > 0:
            self._learn((value - self.last) / max(1.0, look.gap / self.setting.every))
        self.last = value
        allowed = MISS_RATE * self.setting.knob
        chance = self.chance(value, self.multiple)
        if chance > allowed:
            self.multiple, self.calm = 1, 0
        elif chance <= (1 - SLACK) * allowed:
            self.calm += 1
            if self.calm >= PATIENCE:
                self.multiple, self.calm = self.multiple + 1, 0
        else:
            self.calm = 0
        return self.setting.clip(self.multiple * self.setting.every)

    def chance(self, value: float, multiple: int) -> float:
        """Return the bound on the chance that the threshold is crossed within `multiple` steps."""
        if self.steps < 2:
            return 1.0
        variance, kept = self.spread / (self.steps - 1), 1.0
        for step in range(1, multiple + 1):
            room = (self.threshold - value - step * self.mean) / step
            kept *= 1 - (variance / (variance + room**2) if room > 0 else 1.0)
        return 1 - kept

    def _learn(self, step: float) -> None:
        if self.steps >= KEPT:
            self.steps, self.spread = 1, 0.0
        self.steps += 1
        before = step - self.mean
        self.mean += before / self.steps
        self.spread += before * (step - self.mean)
