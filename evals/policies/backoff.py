"""Exponential backoff: double after every answer that brings nothing, start again after one that does."""

from dataclasses import dataclass

from evals.policies.policy import Look, Setting


@dataclass
class Backoff:
    """The knob is the first interval, as a multiple of the baseline."""

    setting: Setting
    doublings: int = 0

    def next_interval(self, look: Look) -> float:
        """Start again after a change or after success, else double."""
        self.doublings = 0 if look.changed else min(self.doublings + 1, 30)
        return self.setting.clip(self.setting.knob * self.setting.every * 2.0**self.doublings)
