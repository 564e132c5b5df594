"""Worlds of content that changes: at one rate, at many, by the hour, in bursts, from a trace, or never."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import timedelta
from statistics import NormalDist
from typing import ClassVar, Literal

from evals.worlds.world import Law, Revisions, Target, Terms, poisson, stream, stretches

DAY_S = 86400.0


class Poisson(Law):
    """Changes at one rate: the null world. No policy can beat the best fixed interval; it can only do harm."""

    is_swept: ClassVar[bool] = True
    kind: Literal["poisson"]
    changes_a_day: float

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw one target."""
        rate = self.changes_a_day / DAY_S
        events = tuple(poisson(stream("poisson", seed), rate, 0.0, horizon_s))
        return [Target(events, Revisions(events, f"poisson/{seed}"), mean_root_rate=math.sqrt(rate))]


class Portfolio(Law):
    """Jobs of one group whose rates are lognormal: the same law for all would ask too often here, too rarely there."""

    is_swept: ClassVar[bool] = True
    kind: Literal["portfolio"]
    jobs: int
    median_changes_a_day: float
    sigma: float

    def rates(self) -> list[float]:
        """Return the rates a second: the quantiles of the law, so that every seed has the same jobs."""
        normal = NormalDist(0.0, self.sigma)
        middles = [(index + 0.5) / self.jobs for index in range(self.jobs)]
        return [self.median_changes_a_day / DAY_S * math.exp(normal.inv_cdf(middle)) for middle in middles]

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw a target for each job."""
        targets = []
        for index, rate in enumerate(self.rates()):
            events = tuple(poisson(stream("portfolio", seed, index), rate, 0.0, horizon_s))
            targets.append(Target(events, Revisions(events, f"{seed}/{index}"), mean_root_rate=math.sqrt(rate)))
        return targets


class Diurnal(Law):
    """Changes at `rate (1 + swing sin)`, a day long: what happens happens at the same hours."""

    is_swept: ClassVar[bool] = True
    kind: Literal["diurnal"]
    changes_a_day: float
    swing: float

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw by thinning."""
        random, top = stream("diurnal", seed), self.changes_a_day / DAY_S * (1 + self.swing)
        events = tuple(
            at for at in poisson(random, top, 0.0, horizon_s) if random.random() * (1 + self.swing) < self.share(at)
        )
        steps = 1440
        mean_root = sum(math.sqrt(self.share(DAY_S * step / steps)) for step in range(steps)) / steps
        root = math.sqrt(self.changes_a_day / DAY_S) * mean_root
        return [Target(events, Revisions(events, f"diurnal/{seed}"), mean_root_rate=root)]

    def share(self, second: float) -> float:
        """Return the rate at that second over its mean."""
        return 1 + self.swing * math.sin(2 * math.pi * second / DAY_S)


class Burst(Law):
    """Quiet, and now and then `times` as lively, for `lasting` on the average and a share `share` of the time."""

    is_swept: ClassVar[bool] = True
    kind: Literal["burst"]
    quiet_changes_a_day: float
    times: float
    share: float
    lasting: timedelta

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the bursts, then what changes in and between them."""
        random, lasting_s = stream("burst", seed), self.lasting.total_seconds()
        gap_s = lasting_s * (1 - self.share) / self.share
        bursts = stretches(random, mean_gap_s=gap_s, mean_s=lasting_s, horizon_s=horizon_s)
        quiet = self.quiet_changes_a_day / DAY_S
        events: list[float] = []
        roots, at = 0.0, 0.0
        for begin, end in [*bursts, (horizon_s, horizon_s)]:
            begin, end = min(begin, horizon_s), min(end, horizon_s)
            for rate, upto in ((quiet, begin), (quiet * self.times, end)):
                events += poisson(random, rate, at, upto)
                roots += math.sqrt(rate) * (upto - at)
                at = upto
        return [Target(tuple(events), Revisions(events, f"burst/{seed}"), mean_root_rate=roots / horizon_s)]


class Silent(Law):
    """Nothing ever changes: every request beyond the fewest allowed is wasted."""

    kind: Literal["silent"]

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw one target."""
        return [Target((), Revisions((), f"silent/{seed}"))]


class Trace(Law):
    """Changes as they were recorded. There is one realisation; seeds cut it at other beginnings of the day's length."""

    is_swept: ClassVar[bool] = True
    kind: Literal["trace"]
    changes_s: tuple[float, ...]

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Return the recorded changes within the horizon."""
        events = self.changes_s[: bisect_right(self.changes_s, horizon_s)]
        return [Target(events, Revisions(events, "trace"))]
