"""An exponentially weighted rate of change, and the square-root rule."""

import math
from dataclasses import dataclass

from evals.policies.policy import Look, Setting

MEMORY = 16.0  # baselines


@dataclass
class Ewma:
    """Changes over time looked at, both forgotten alike. The knob multiplies the interval."""

    setting: Setting
    changes: float = 0.0
    exposure: float = 0.0

    def next_interval(self, look: Look) -> float:
        """Update, then apply the root rule."""
        kept = math.exp(-look.gap / (MEMORY * self.setting.every))
        self.changes = self.changes * kept + look.changed
        self.exposure = self.exposure * kept + look.gap
        prior = 0.5
        return self.setting.root_rule((self.changes + prior) / (self.exposure + MEMORY * self.setting.every / 4))
