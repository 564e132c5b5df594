"""Multiplicative increase and decrease of the interval, the usual adaptive polling of crawlers."""

from dataclasses import dataclass

from evals.policies.policy import Look, Setting

GROWTH = 0.25  # after an answer that is as before
CUT = 0.5  # after one that changed


@dataclass
class Mimd:
    """The knob is the growth."""

    setting: Setting
    interval: float = 0.0

    def next_interval(self, look: Look) -> float:
        """Halve after a change, else grow by a share."""
        present = self.interval or self.setting.every
        grown = present * (1 + GROWTH * self.setting.knob)
        self.interval = self.setting.clip(present * CUT if look.changed else grown)
        return self.interval
