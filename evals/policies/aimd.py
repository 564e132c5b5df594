"""Additive increase, multiplicative decrease of the interval (Chiu and Jain, 1989, turned from rates to intervals)."""

from dataclasses import dataclass

from evals.policies.policy import Look, Setting

STEP = 0.25  # of the baseline, after an answer that is as before
CUT = 0.5  # after one that changed


@dataclass
class Aimd:
    """The knob is the step."""

    setting: Setting
    interval: float = 0.0

    def next_interval(self, look: Look) -> float:
        """Halve after a change, else add a step."""
        present = self.interval or self.setting.every
        step = STEP * self.setting.knob * self.setting.every
        self.interval = self.setting.clip(present * CUT if look.changed else present + step)
        return self.interval
