"""More processes: two on two cores at full speed, and four that wait for slow endpoints."""

from benchmarks.figures import Figure, at_least, reference
from benchmarks.measuring import Bench, saturated
from benchmarks.worker import Setup

GROUP = "scaling"
SKETCH_GAIN = 9_500 / 8_099  # of a second process on two cores, in the sketch
SLOW_IN_FLIGHT = 8  # so few that four processes that wait leave the cores room


def measure(bench: Bench) -> list[Figure]:
    """Return gains within each round."""
    one, two, waiting, four = [], [], [], []
    for _ in range(bench.rounds):
        one.append(saturated(bench, Setup()).per_s)
        two.append(saturated(bench, Setup(processes=2)).per_s)
        slow = Setup(batch_size=SLOW_IN_FLIGHT)
        waiting.append(saturated(bench, slow, path="wait/50", count=20_000).per_s)
        slow = Setup(batch_size=SLOW_IN_FLIGHT, processes=4)
        four.append(saturated(bench, slow, path="wait/50", count=20_000).per_s)
    gain = [after / before for before, after in zip(one, two, strict=True)]
    linear = [100 * after / before / 4 for before, after in zip(waiting, four, strict=True)]
    return [
        reference(GROUP, "one process", one, "runs/s"),
        reference(GROUP, "two processes", two, "runs/s"),
        at_least(GROUP, "1 -> 2 processes", gain, round(SKETCH_GAIN, 2), "x"),
        reference(GROUP, f"one process, 50 ms endpoints, {SLOW_IN_FLIGHT} in flight", waiting, "runs/s"),
        reference(GROUP, f"four processes, 50 ms endpoints, {SLOW_IN_FLIGHT} in flight each", four, "runs/s"),
        at_least(GROUP, "1 -> 4 processes, of linear", linear, 85, "%"),
    ]
