"""What a world is: jobs, the targets they call, and what waiting and asking cost there.

A target is a pure function of (seed, time): it is drawn whole before the first request and never learns that it was
asked. Seconds count from the world's beginning; durations in YAML are ISO 8601 (PT2H, P60D).
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import ClassVar

import orjson
from pydantic import BaseModel, ConfigDict

from core.ports.dispatcher import HttpResult

Stretch = tuple[float, float]  # [from, to) in seconds


class Strict(BaseModel):
    """A part of worlds.yaml: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Costs(Strict):
    """What a world charges: a request, a second of one event's delay, a violation (a run where none may be, a window
    without one), a token."""

    request: float = 1.0
    delay: float = 0.0
    violation: float = 0.0
    token: float = 0.0


class Terms(Strict):
    """How a world's jobs are registered: baseline, bounds and intent."""

    every: timedelta
    least: timedelta
    most: timedelta
    description: str | None = None

    def at(self, every: timedelta) -> "Terms":
        """Return the terms with another baseline. The bounds stand, unless the baseline leaves them."""
        return self.model_copy(update={"every": every, "least": min(self.least, every), "most": max(self.most, every)})


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint as it will be.

    `events`: instants worth noticing; the delay of one is the time until the first run at or after it. `forbidden`: a
    run inside is a violation, but the first where the target does not announce the stretch (`announces`): being refused
    is how one learns of it. `wanted`: a stretch without a run inside is a violation. `mean_root_rate`: the mean over
    time of the root of the events' rate a second, where there is such a law: what the informed bound needs.
    """

    events: tuple[float, ...]
    answer: Callable[[float], HttpResult]
    forbidden: tuple[Stretch, ...] = ()
    announces: bool = True
    wanted: tuple[Stretch, ...] = ()
    mean_root_rate: float | None = None


class Law(Strict):
    """How targets come about. `is_swept`: planners are played at other baselines, too, for their cost-delay curve."""

    is_swept: ClassVar[bool] = False

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Return the targets, one a job. The same seed, the same targets."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class World:
    """A law with its costs and its jobs' terms. `is_null`: a fixed interval is optimal, and harm is all one can do.
    `twin_of`: the world that says the same in numbers."""

    name: str
    why: str
    law: Law
    terms: Terms
    costs: Costs
    horizon_s: float
    suites: frozenset[str] = frozenset()
    is_null: bool = False
    twin_of: str | None = None

    def draw(self, seed: int) -> Sequence[Target]:
        """Return the targets of one realisation."""
        return self.law.draw(seed, self.horizon_s, self.terms)


def reply(body: object, status: int = 200, retry_after: str | None = None) -> HttpResult:
    """Return an answer as the dispatcher would: text as it is, everything else as JSON."""
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    kind = "text/plain" if isinstance(body, str) else "application/json"
    return HttpResult(status, 5, 4, text, len(text), retry_after=retry_after, content_type=kind)


@dataclass
class Revisions:
    """A body that is another one after each event and says nothing else: neither when it changed nor how often."""

    events: Sequence[float]
    mark: str
    _made: dict[int, HttpResult] = field(default_factory=dict)

    def __call__(self, second: float) -> HttpResult:
        """Answer."""
        index = bisect_right(self.events, second)
        made = self._made.get(index)
        if made is None:
            content = hashlib.blake2b(f"{self.mark}/{index}".encode(), digest_size=6).hexdigest()
            made = self._made[index] = reply({"content": f"r-{content}", "status": "ok"})
        return made


def stream(*parts: object) -> Random:
    """Return the random numbers of one part of a world: the same whatever a policy does (common random numbers)."""
    return Random("/".join(map(str, parts)))  # noqa: S311 - a simulation


def poisson(random: Random, rate: float, from_s: float, until_s: float) -> list[float]:
    """Draw a Poisson process of `rate` a second."""
    instants: list[float] = []
    at = from_s
    while rate > 0:
        at += random.expovariate(rate)
        if at >= until_s:
            break
        instants.append(at)
    return instants


def stretches(
    random: Random, *, mean_gap_s: float, mean_s: float, horizon_s: float, least_s: float = 0.0
) -> list[Stretch]:
    """Draw stretches that come after exponential gaps and last exponentially, `least_s` at least."""
    found: list[Stretch] = []
    at = random.expovariate(1 / mean_gap_s)
    while at < horizon_s:
        end = at + max(least_s, random.expovariate(1 / mean_s))
        found.append((at, end))
        at = end + random.expovariate(1 / mean_gap_s)
    return found


def stretch_at(found: Sequence[Stretch], second: float) -> Stretch | None:
    """Return the stretch that holds an instant."""
    index = bisect_right(found, (second, float("inf"))) - 1
    return found[index] if index >= 0 and found[index][0] <= second < found[index][1] else None
