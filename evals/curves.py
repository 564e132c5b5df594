"""Cost-delay curves: requests against mean delay while a policy's knob is swept, and requests at an equal delay."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Point:
    """One knob's mean figures: requests a day, seconds of delay."""

    knob: float
    requests: float
    delay_s: float


def requests_at(points: Sequence[Point], delay_s: float) -> float | None:
    """Return the fewest requests at which a curve has that delay, straight lines between logarithms; None: it has not.

    A knob need not be monotone: of several crossings the best counts, for every policy alike.
    """
    found: list[float] = []
    for one, other in pairwise(sorted(points, key=lambda point: point.knob)):
        low, high = sorted((one, other), key=lambda point: point.delay_s)
        if not low.delay_s <= delay_s <= high.delay_s or low.delay_s <= 0:
            continue
        if high.delay_s == low.delay_s:
            found.append(min(low.requests, high.requests))
            continue
        share = math.log(delay_s / low.delay_s) / math.log(high.delay_s / low.delay_s)
        found.append(math.exp(math.log(low.requests) * (1 - share) + math.log(high.requests) * share))
    return min(found, default=None)
