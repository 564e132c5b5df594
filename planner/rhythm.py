"""The rhythm of a target's changes, told from looks that only say "another answer" or "the same".

Some experts each predict the rate at which answers change: one that it never varies, some that remember the last hours
or days (in units of the baseline), each of these also by the hour of the day. Bayes' rule weighs them by how well they
foretold every look so far, old merit fading. The first has nearly all the weight beforehand: where nothing but chance
is at work it keeps it, and the tempo stands still; a policy that follows its estimate there only adds requests.

The tempo is the baseline times sqrt(usual rate / present rate): a fixed interval that suits its owner at the usual rate
suits at another rate in that proportion (Cho and Garcia-Molina; evals/bounds.py). Parameters were tuned on the training
seeds of the evals' worlds (docs/evals.md). A look costs some microseconds; what is remembered is about 75 numbers.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

SCALES = (0.5, 2.0, 8.0, 32.0)  # baselines that the experts remember
LIFETIME = 1e4  # baselines that the usual rate and the hours remember: not a season, but years of a job
MERIT = 1000.0  # baselines after which an expert's merit has faded to a third
STEADY = 0.99  # the weight, beforehand, of the expert who says that nothing varies
SURE = 0.95  # of the steady expert: then only a change is worth a look
PRIOR = 0.2  # changes that every estimate is born with, at the usual rate
HOUR_PRIOR = 4.0  # changes an hour of the day is born with
DEAD_ZONE = 1.15  # a tempo within this factor of the baseline is the baseline
SLOWEST, FASTEST = 12.0, 1 / 30  # of the baseline
CHANGED_EXPOSURE = 0.45  # of a look's gap, when it changed: part of it lies after the change
TROUBLE_TIMES = 16.0  # as likely to change is an answer that tells of trouble, before anything is known
TROUBLE_ZONE = 1.4  # troubles are few, and their rate is known less well
TROUBLES = 300.0  # baselines that are remembered of troubles
TROUBLE_PRIOR = 1.0  # changes that this is worth
FIRST_GUESS = 3.0  # baselines between two changes, before anything is known
_HOURS = 24
_LAYOUT = 1


class Look(NamedTuple):
    """One look: when (seconds of the epoch), how long after the one before, whether the answer was another one, and
    whether the one before told of trouble."""

    at: float
    gap: float
    changed: bool
    in_trouble: bool = False


@dataclass(slots=True)
class Tally:
    """Changes seen and time looked at, both forgotten alike."""

    changes: float = 0.0
    seconds: float = 0.0

    def add(self, look: Look, memory: float) -> None:
        """Forget by the look's gap, then count it."""
        kept = math.exp(-look.gap / memory)
        self.changes = self.changes * kept + look.changed
        self.seconds = self.seconds * kept + exposure(look)

    def rate(self, expected: float, prior: float) -> float:
        """Return the rate, drawn towards what was expected by `prior` changes."""
        return (self.changes + prior) / (self.seconds + prior / expected)


@dataclass(slots=True)
class Rhythm:
    """What is remembered of a job's looks. `every`: its baseline in seconds. `group_rate`: the mean rate of the jobs
    that share its group and baseline; it is then the measure, and lively jobs get looks from quiet ones."""

    every: float
    through: float | None = None
    looks: int = 0
    usual: Tally = field(default_factory=Tally)
    lately: list[Tally] = field(default_factory=lambda: [Tally() for _ in SCALES])
    hours: list[Tally] = field(default_factory=lambda: [Tally() for _ in range(_HOURS)])
    trouble: Tally = field(default_factory=Tally)
    merits: list[float] = field(default_factory=lambda: [0.0] * (2 * len(SCALES) + 3))
    group_rate: float | None = None

    def add(self, look: Look) -> None:
        """Let the experts be judged by a look, then learn from it."""
        if look.gap > 0:
            self._judge(look)
            self.usual.add(look, LIFETIME * self.every)
            for tally, scale in zip(self.lately, SCALES, strict=True):
                tally.add(look, scale * self.every)
            if look.in_trouble:
                self.trouble.add(look, TROUBLES * self.every)
            hour = self.hours[_hour(look.at - look.gap / 2)]
            hour.changes += look.changed
            hour.seconds += exposure(look)
            self.looks += 1
        self.through = look.at

    @property
    def is_steady(self) -> bool:
        """Tell whether hardly anything speaks for a rate that varies."""
        return self.weights()[0] > SURE

    def usual_rate(self) -> float:
        """Return the job's own rate over all that is remembered."""
        guess = 1 / (FIRST_GUESS * self.every)
        return self.usual.rate(self.group_rate or guess, PRIOR)

    def present_rate(self, at: float) -> float:
        """Return what the experts, by their merit, say of the rate at an instant."""
        weights = self.weights()
        return math.fsum(weight * rate for weight, rate in zip(weights, self._rates(at), strict=True))

    def tempo(self, at: float) -> float:
        """Return the interval in seconds that suits at an instant: the baseline itself, unless there is evidence."""
        measure = self.group_rate or self.usual_rate()
        factor = math.sqrt(measure / self.present_rate(at + self.every / 2))
        if 1 / DEAD_ZONE < factor < DEAD_ZONE:
            return self.every
        return self.every * min(max(factor, FASTEST), SLOWEST)

    def tempo_in_trouble(self) -> float:
        """Return the interval that suits while the target is in trouble: a quarter of the baseline to begin with, and
        what its troubles so far have taught. Never slower than the baseline; near it, the baseline."""
        usual = self.usual_rate()
        rate = self.trouble.rate(TROUBLE_TIMES * usual, TROUBLE_PRIOR)
        factor = math.sqrt(usual / rate)
        return self.every if factor > 1 / TROUBLE_ZONE else self.every * max(factor, FASTEST)

    def weights(self) -> list[float]:
        """Return the experts' weights: the steady one first."""
        others = (1 - STEADY) / (len(self.merits) - 1)
        best = max(self.merits)
        raw = [(STEADY if index == 0 else others) * math.exp(merit - best) for index, merit in enumerate(self.merits)]
        total = math.fsum(raw)
        return [weight / total for weight in raw]

    def _judge(self, look: Look) -> None:
        faded = math.exp(-look.gap / (MERIT * self.every))
        for index, rate in enumerate(self._rates(look.at)):
            likelihood = -math.expm1(-rate * look.gap)
            likelihood = min(max(likelihood if look.changed else 1 - likelihood, 1e-6), 1.0)
            self.merits[index] = self.merits[index] * faded + math.log(likelihood)
        best = max(self.merits)
        self.merits = [merit - best for merit in self.merits]

    def _rates(self, at: float) -> list[float]:
        """Return each expert's rate: the group's, or the usual one; the job's own usual; lately; all by the hour."""
        own = self.usual_rate()
        steady = self.group_rate or own
        plain = [own, *(tally.rate(own, PRIOR) for tally in self.lately)]
        share = self._hour_share(at)
        return [steady, *plain, *(rate * share for rate in plain)]

    def _hour_share(self, at: float) -> float:
        """Return how lively an hour of the day is, with its neighbours, over the mean."""
        hour = _hour(at)
        near = [self.hours[(hour + step) % _HOURS] for step in (-1, 0, 1)]
        mean = math.fsum(tally.changes for tally in self.hours) / max(1e-9, sum(tally.seconds for tally in self.hours))
        expected = mean * math.fsum(tally.seconds for tally in near)
        return (math.fsum(tally.changes for tally in near) + HOUR_PRIOR) / (expected + HOUR_PRIOR)

    def to_notes(self) -> dict[str, Any]:
        """Return all as plain numbers, to be kept until the next session."""
        tallies = (self.usual, *self.lately, self.trouble, *self.hours)
        return {
            "layout": _LAYOUT,
            "every": self.every,
            "through": self.through,
            "looks": self.looks,
            "usual_rate": _short(self.usual_rate()),
            "changes": [_short(tally.changes) for tally in tallies],
            "seconds": [_short(tally.seconds) for tally in tallies],
            "merits": [_short(merit) for merit in self.merits],
        }


def exposure(look: Look) -> float:
    """Return the time that a look tells of."""
    return look.gap * (CHANGED_EXPOSURE if look.changed else 1.0)


def from_notes(notes: Mapping[str, Any] | None, every: timedelta) -> Rhythm:
    """Return what was remembered; a new rhythm if there is nothing, or the baseline is another one now."""
    rhythm = Rhythm(every / timedelta(seconds=1))
    if not notes or notes.get("layout") != _LAYOUT or notes.get("every") != rhythm.every:
        return rhythm
    tallies = [rhythm.usual, *rhythm.lately, rhythm.trouble, *rhythm.hours]
    changes, seconds, merits = notes.get("changes", ()), notes.get("seconds", ()), notes.get("merits", ())
    if not len(changes) == len(seconds) == len(tallies) or len(merits) != len(rhythm.merits):
        return rhythm
    for tally, changed, looked in zip(tallies, changes, seconds, strict=True):
        tally.changes, tally.seconds = float(changed), float(looked)
    rhythm.merits = [float(merit) for merit in merits]
    rhythm.through, rhythm.looks = notes.get("through"), int(notes.get("looks", 0))
    return rhythm


def group_rate(rhythm: Rhythm, siblings: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the mean usual rate of a job and its siblings of the same baseline; None when it has none."""
    rates = [
        float(notes["usual_rate"])
        for notes in siblings
        if notes.get("layout") == _LAYOUT and notes.get("every") == rhythm.every and notes.get("usual_rate")
    ]
    return math.fsum([rhythm.usual_rate(), *rates]) / (1 + len(rates)) if rates else None


def _hour(at: float) -> int:
    return int(at // 3600) % _HOURS


def _short(value: float) -> float:
    """Six digits are enough, and a third of the room."""
    return float(f"{value:.6g}")
