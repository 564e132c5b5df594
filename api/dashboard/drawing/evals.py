"""What `rubato eval` left behind, read with care: the file may be of another release, or half of one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PLANNER = "offline"  # the policy whose figures a row shows, where the report has it
WIDTH, HALF = 220.0, 100.0  # of an interval's drawing; so much is on either side of zero
_SPAN = 1.0  # relative cost at the drawing's ends: twice as dear, and free


class Interval(BaseModel):
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float


class Policy(BaseModel):
    """A policy in a world."""

    model_config = ConfigDict(extra="ignore")

    against_fixed: Interval
    cost: Interval
    figures: dict[str, Interval] = Field(default_factory=dict)
    closed: Interval | None = None


class World(BaseModel):
    """A world with its policies."""

    model_config = ConfigDict(extra="ignore")

    why: str = ""
    is_null: bool = False
    seeds: int
    policies: dict[str, Policy]


class Report(BaseModel):
    """A report as `rubato eval --json` writes it."""

    model_config = ConfigDict(extra="ignore")

    command: str = "rubato eval"
    when: str = ""
    stopped: bool = False
    worlds: dict[str, World]


@dataclass(frozen=True, slots=True)
class Row:
    """A world for the list. `tone`: ok where it pays, bad where it does harm, calm where chance may explain it.

    `low`, `mean` and `high`: places along the drawing; `cut`: part of the interval lies beyond it.
    """

    name: str
    world: World
    policy: str
    against: Interval
    closed: Interval | None
    tone: str
    verdict: str
    low: float
    mean: float
    high: float
    cut: bool


def read_report(raw: bytes) -> Report | None:
    """Return the report, or None when it is none that this release can read."""
    try:
        return Report.model_validate(json.loads(raw))
    except (ValueError, RecursionError, ValidationError):
        return None


def rows_of(report: Report) -> Sequence[Row]:
    """Return a row a world: the planner against the best fixed interval, or the best other policy where it is not."""
    return [_row(name, world) for name, world in report.worlds.items() if world.policies]


def _row(name: str, world: World) -> Row:
    candidates = {policy: found for policy, found in world.policies.items() if policy.startswith(PLANNER)}
    policy, found = next(iter((candidates or world.policies).items()))
    against = found.against_fixed
    if against.low > 0:
        tone, verdict = "bad", "does harm"
    elif against.high < 0:
        tone, verdict = "ok", "pays"
    else:
        tone, verdict = "calm", "no difference beyond chance"
    return Row(
        name=name,
        world=world,
        policy=policy,
        against=against,
        closed=found.closed,
        tone=tone,
        verdict=verdict,
        low=_x(against.low),
        mean=_x(against.mean),
        high=_x(against.high),
        cut=against.high > _SPAN or against.low < -_SPAN,
    )


def _x(relative: float) -> float:
    return WIDTH / 2 + HALF * min(_SPAN, max(-_SPAN, relative)) / _SPAN
