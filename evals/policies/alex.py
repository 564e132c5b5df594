"""Adaptive time to live (Cate's Alex filesystem, 1992): what has long been the same will be so for long."""

from dataclasses import dataclass

from evals.policies.policy import Look, Setting

SHARE = 0.2  # of the age


@dataclass
class Alex:
    """Waits a share of the time since the last change was seen. The knob is the share."""

    setting: Setting
    changed_at: float = 0.0

    def next_interval(self, look: Look) -> float:
        """Return a share of the age."""
        if look.changed:
            self.changed_at = look.at
        return self.setting.clip(SHARE * self.setting.knob * (look.at - self.changed_at))
