"""How much a worker takes on: few at a start or after an outage, growing to all; and, ahead of free places, as many
claims as will get one soon at the present rate."""

from dataclasses import dataclass
from datetime import timedelta

from core.ports.clock import Clock

FIRST_SHARE = 0.25  # of the places, at a start or after an outage
LEAD_S = 0.1  # claimed beyond the places that are free: what gets one within this time at the present rate
LONGEST_LEAD = 10  # times the places
STALE_S = 1.0  # without a run that ends, after which the rate is not believed
MEASURED_S = 0.2  # the rate is an average over stretches of at least this, each worth half of all before


@dataclass(slots=True)
class Pace:
    """`places`: all there are. `ahead`: how long before its slot a job may be claimed. `ramp`: how long it grows."""

    clock: Clock
    places: int
    ahead: timedelta
    ramp: timedelta
    _began: float | None = None
    _rate: float = 0.0
    _counted: int = 0
    _counted_from: float | None = None

    def start_again(self) -> None:
        """Begin with few once more: everybody comes back from an outage at the same moment."""
        self._began = None

    def admitted(self) -> int:
        """Return how many may be out at present."""
        now, ramp_s = self.clock.monotonic(), self.ramp.total_seconds()
        if self._began is None:
            self._began = now
        if ramp_s <= 0:
            return self.places
        share = FIRST_SHARE + (now - self._began) / ramp_s
        return self.places if share >= 1 else max(1, int(self.places * share))

    def lead(self) -> int:
        """Return how many claims to hold beyond the places."""
        rate = self._rate
        if self._counted_from is not None and (waited_s := self.clock.monotonic() - self._counted_from) > STALE_S:
            rate = min(rate, self._counted / waited_s)  # nothing ends any more: targets hang
        return min(LONGEST_LEAD * self.places, int(rate * (self.ahead.total_seconds() + LEAD_S)))

    def count(self, runs: int) -> None:
        """Count runs that ended; their rate is what `lead` goes by."""
        now = self.clock.monotonic()
        self._counted += runs
        if self._counted_from is None:
            self._counted_from = now
        elapsed = now - self._counted_from
        if elapsed >= MEASURED_S:
            self._rate = 0.5 * self._rate + 0.5 * self._counted / elapsed
            self._counted, self._counted_from = 0, now
