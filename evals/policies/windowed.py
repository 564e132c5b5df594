"""A rate estimated over a window of looks, and the square-root rule: Cho's estimator, polls as the root of the rate."""

from collections import deque
from dataclasses import dataclass, field

from evals.policies.policy import Look, Setting
from evals.policies.rates import uneven_rate

WINDOW = 20  # looks
PRIOR = 0.5  # changes in the window when none were seen


@dataclass
class Windowed:
    """The knob multiplies the interval."""

    setting: Setting
    looks: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def next_interval(self, look: Look) -> float:
        """Estimate, then apply the root rule."""
        if look.gap > 0:
            self.looks.append((look.gap, look.changed))
        if not self.looks:
            return self.setting.clip(self.setting.every * self.setting.knob)
        rate = uneven_rate(self.looks) or PRIOR / sum(gap for gap, _ in self.looks)
        return self.setting.root_rule(rate)
