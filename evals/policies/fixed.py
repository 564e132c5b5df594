"""A fixed interval: the knob times the baseline. Optimal where events come at one rate."""

from dataclasses import dataclass

from evals.policies.policy import Look, Setting


@dataclass
class Fixed:
    """Never changes its mind."""

    setting: Setting

    def next_interval(self, look: Look) -> float:
        """Return the same as ever."""
        return self.setting.clip(self.setting.every * self.setting.knob)


@dataclass
class AlwaysLeast:
    """Asks as often as the owner allows: the least delay that money can buy."""

    setting: Setting

    def next_interval(self, look: Look) -> float:
        """Return the minimum."""
        return self.setting.least
