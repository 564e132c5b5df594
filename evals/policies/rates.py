"""Estimating a rate of change from looks that only say "changed" or "the same".

Cho and Garcia-Molina, "Estimating frequency of change" (ACM TOIT 3(3), 2003). For even gaps T with X changes in n
looks: -ln((n - X + 1/2) / (n + 1/2)) / T, which corrects the bias of X / nT and is finite for X = n. For uneven gaps
the maximum-likelihood rate is the root of sum over changed d / (e^(rate d) - 1) = sum over unchanged d.
"""

import math
from collections.abc import Sequence


def even_rate(changed: int, looks: int, gap: float) -> float:
    """Return the rate for even gaps. Looks >= 1."""
    return -math.log((looks - changed + 0.5) / (looks + 0.5)) / gap


def uneven_rate(looks: Sequence[tuple[float, bool]]) -> float:
    """Return the maximum-likelihood rate for (gap, changed). 0 when nothing changed; where everything changed there
    is no finite root, and half a look that did not is added."""
    changed = [gap for gap, was in looks if was]
    same = math.fsum(gap for gap, was in looks if not was)
    if not changed:
        return 0.0
    if same == 0:
        same = 0.5 * math.fsum(changed) / len(changed)
    low, high = 0.0, len(changed) / same
    for _ in range(30):  # to a billionth of the bracket
        middle = (low + high) / 2
        pull = math.fsum(gap / math.expm1(min(middle * gap, 700.0)) for gap in changed)
        low, high = (middle, high) if pull > same else (low, middle)
    return (low + high) / 2
