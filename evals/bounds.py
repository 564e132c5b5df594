"""How well anybody could do: informed bounds (the laws known, the future not) and the clairvoyant (the future known).

x = rate x interval throughout. Each formula is checked against Monte Carlo or brute force in tests/unit/test_bounds.py.
"""

import math
from collections.abc import Sequence
from functools import cache


def freshness(x: float) -> float:
    """Return the share of time in which a copy polled every T is up to date, changes being Poisson."""
    return 1.0 if x == 0 else -math.expm1(-x) / x


def mean_age(x: float, interval: float) -> float:
    """Return the mean age of a copy (0 while it is up to date), in the interval's unit."""
    if x < 1e-3:
        return interval * x / 6  # the series: the closed form cancels
    return interval * (0.5 - 1 / x - math.expm1(-x) / x**2)


def best_interval(rate: float, *, request: float, delay: float) -> float:
    """Return T* = sqrt(2c / (w rate)): where requests cost as much as the delays of the events."""
    return math.sqrt(2 * request / (delay * rate))


def best_cost(rate: float, *, request: float, delay: float) -> float:
    """Return J* = sqrt(2 c w rate), a second, for Poisson events of one rate: a fixed interval attains it."""
    return math.sqrt(2 * request * delay * rate)


def root_cost(mean_root_rate: float, *, request: float, delay: float) -> float:
    """Return J when the rate changes and is always known: polls as dense as its square root."""
    return math.sqrt(2 * request * delay) * mean_root_rate


def requests_at_equal_delay(rates: Sequence[float], weights: Sequence[float]) -> float:
    """Return requests of the square-root rule over those of a fixed interval at the same delay: (E root)^2 / E rate.

    `weights`: the share of time (or of jobs) that each rate has.
    """
    total = sum(weights)
    root = sum(weight * math.sqrt(rate) for rate, weight in zip(rates, weights, strict=True)) / total
    return root**2 / (sum(weight * rate for rate, weight in zip(rates, weights, strict=True)) / total)


def shared_budget(rates: Sequence[float], weights: Sequence[float], budget: float) -> list[float]:
    """Return each job's requests a second for the least weighted delay: in proportion to sqrt(w rate)."""
    roots = [math.sqrt(weight * rate) for rate, weight in zip(rates, weights, strict=True)]
    return [budget * root / sum(roots) for root in roots]


def freshest_budget(rates: Sequence[float], budget: float) -> list[float]:
    """Return each job's requests a second for the greatest mean freshness when polls are evenly spaced.

    Water-filling: the gain of one more request, d/dr of (r/rate)(1 - e^(-rate/r)), is the same for all that get any.
    """

    def gain(rate: float, r: float) -> float:
        x = rate / r
        return (1 - math.exp(-x) * (1 + x)) / rate

    def wanted(rate: float, price: float) -> float:
        if price * rate >= 1:
            return 0.0
        low, high = 1e-12 * rate, 1e6 * rate
        for _ in range(100):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if gain(rate, middle) > price else (low, middle)
        return low

    dear, cheap = 1 / min(rates), 1e-15 / max(rates)
    for _ in range(100):
        price = math.sqrt(dear * cheap)
        over = sum(wanted(rate, price) for rate in rates) > budget
        dear, cheap = (dear, price) if over else (price, cheap)
    return [wanted(rate, math.sqrt(dear * cheap)) for rate in rates]


def random_polling(rates: Sequence[float], weights: Sequence[float], price: float) -> list[float]:
    """Return r = max(0, sqrt(w rate / price) - rate): the freshest budget when polls are themselves Poisson."""
    return [max(0.0, math.sqrt(weight * rate / price) - rate) for rate, weight in zip(rates, weights, strict=True)]


def wrong_belief(flips: float, interval: float) -> float:
    """Return the share of time in the wrong belief about a state that flips at rate q each way, looked at every T."""
    x = 2 * flips * interval
    return 0.0 if x == 0 else 0.5 * (1 + math.expm1(-x) / x)


def clairvoyant(events: Sequence[float], *, request: float, delay: float) -> float:
    """Return the least cost of requests and delays when every event is known beforehand and no interval is bounded.

    Then polls at events only are best, and f(j) = min over i<j of f(i) + c + w sum_(k=i+1..j) (t_j - t_k): each i is a
    line in t_j, and the lines come in order of slope, so that the lower hull gives all in O(n).
    """
    hull: list[tuple[float, float]] = []  # (events served, value at 0): lines cut = value - w x served x t
    best = total = 0.0
    pointer = 0
    for served, at in enumerate(events):
        line = (float(served), best + delay * total)
        while len(hull) >= 2 and _is_idle(hull[-2], hull[-1], line):
            hull.pop()
        hull.append(line)
        pointer = min(pointer, len(hull) - 1)
        total += at
        while pointer + 1 < len(hull) and _value(hull[pointer + 1], at, delay) <= _value(hull[pointer], at, delay):
            pointer += 1
        best = request + delay * ((served + 1) * at - total) + _value(hull[pointer], at, delay)
    return best


def clairvoyant_spaced(events: Sequence[float], *, request: float, delay: float, least: float) -> float:
    """Return the same when polls must lie `least` apart (counted from 0), over all instants, exactly; for few events.

    A poll of a best plan stands at an event, or `least` after the poll before: else it could come sooner at no cost.
    """
    times = tuple(events)

    @cache
    def from_poll(at: float, served: int) -> float:
        """Return the least further cost after a poll at `at` with the first `served` events seen."""
        if served == len(times):
            return 0.0
        earliest = at + least
        options = {max(earliest, times[index]) for index in range(served, len(times))}
        costs = []
        for option in options:
            seen = sum(time <= option + 1e-9 for time in times)
            waited = sum(option - time for time in times[served:seen])
            costs.append(request + delay * max(0.0, waited) + from_poll(option, seen))
        return min(costs)

    return from_poll(0.0, 0)


def _value(line: tuple[float, float], at: float, delay: float) -> float:
    return line[1] - delay * line[0] * at


def _is_idle(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Tell whether the middle line is nowhere below the other two."""
    return (right[1] - left[1]) * (middle[0] - left[0]) <= (middle[1] - left[1]) * (right[0] - left[0])
