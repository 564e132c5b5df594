"""Learn, then crawl: look at the baseline for a while, estimate the rate, keep the best interval for it for good."""

from dataclasses import dataclass, field

from evals.policies.policy import Look, Setting
from evals.policies.rates import even_rate

LEARNING = 50  # looks


@dataclass
class LearnAndCrawl:
    """The knob multiplies the interval that was learnt."""

    setting: Setting
    looks: int = 0
    changed: int = 0
    elapsed: float = 0.0
    interval: float | None = field(default=None)

    def next_interval(self, look: Look) -> float:
        """Learn, or keep what was learnt."""
        if self.interval is None and look.gap > 0:
            self.looks, self.changed, self.elapsed = (
                self.looks + 1,
                self.changed + look.changed,
                self.elapsed + look.gap,
            )
            if self.looks == LEARNING:
                rate = even_rate(self.changed, self.looks, self.elapsed / self.looks) or 0.5 / self.elapsed
                self.interval = self.setting.root_rule(rate)
        return self.interval if self.interval is not None else self.setting.clip(self.setting.every * self.setting.knob)
