"""Worlds whose targets speak: of deadlines and updates to come, in fields or in sentences, truly or with intent."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal

import orjson
from pydantic import Field

from core.ports.dispatcher import HttpResult
from evals.worlds.changes import Poisson
from evals.worlds.trouble import Incident, Maintenance, RateLimit, iso
from evals.worlds.world import Law, Stretch, Target, Terms, reply, stream


class NextUpdate(Law):
    """Data that change at irregular instants; each answer names the next one. Worth noticing: each change."""

    kind: Literal["next_update"]
    mean_gap: timedelta
    says: Literal["fields", "prose", "nothing"] = "fields"

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the updates: whole seconds, half the mean apart at least."""
        random, mean_s = stream("next_update", seed), self.mean_gap.total_seconds()
        events: list[float] = []
        at = 0.0
        while at < horizon_s:
            at = float(math.ceil(at + mean_s / 2 + random.expovariate(2 / mean_s)))
            events.append(at)

        def answer(second: float) -> HttpResult:
            index = bisect_right(events, second)
            following = events[min(index, len(events) - 1)]
            body: dict[str, object] = {"edition": index}
            if self.says == "fields":
                body["next_update_at"] = iso(following)
            elif self.says == "prose":
                body["message"] = f"Figures of edition {index}. Next update expected at {iso(following)}."
            return reply(body)

        return [Target(tuple(at for at in events if at < horizon_s), answer)]


class Deadline(Law):
    """Something closes at irregular instants D; a run must lie in the last `before` of each. Answers name D."""

    kind: Literal["deadline"]
    mean_gap: timedelta
    before: timedelta
    says: Literal["fields", "prose"] = "fields"

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the deadlines: whole seconds, half the mean apart at least."""
        random, mean_s = stream("deadline", seed), self.mean_gap.total_seconds()
        ends: list[float] = []
        at = 0.0
        while at < horizon_s:
            at = float(math.ceil(at + mean_s / 2 + random.expovariate(2 / mean_s)))
            ends.append(at)

        def answer(second: float) -> HttpResult:
            following = ends[min(bisect_right(ends, second), len(ends) - 1)]
            if self.says == "fields":
                return reply({"status": "open", "deadline_at": iso(following)})
            return reply({"message": f"Entries are open. They close at {iso(following)}; deadline {iso(following)}."})

        wanted: tuple[Stretch, ...] = tuple((end - self.before.total_seconds(), end) for end in ends if end < horizon_s)
        return [Target((), answer, wanted=wanted)]


TruthfulLaw = Annotated[Poisson | Incident | RateLimit | Maintenance, Field(discriminator="kind")]


class Hostile(Law):
    """A truthful world whose bodies also carry an injection. Scored against the same world without it."""

    kind: Literal["hostile"]
    clean: TruthfulLaw
    says: str
    field: str = "note"

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the truthful world and put the words in."""
        targets = []
        for target in self.clean.draw(seed, horizon_s, terms):

            def answer(second: float, target: Target = target) -> HttpResult:
                clean = target.answer(second)
                try:
                    body = orjson.loads(clean.body or "")
                except orjson.JSONDecodeError:
                    body = {"text": clean.body}
                text = orjson.dumps({**body, self.field: self.says}).decode()
                return clean._replace(body=text, body_bytes=len(text))

            targets.append(replace(target, answer=answer))
        return targets
