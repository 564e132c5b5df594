"""Worlds of trouble: incidents that announce themselves, rate limits, maintenance, flapping."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Literal

from core.ports.dispatcher import HttpResult
from evals.virtual import instant_at
from evals.worlds.world import Law, Stretch, Target, Terms, poisson, reply, stream, stretch_at, stretches

DAY_S = 86400.0


def iso(second: float) -> str:
    """Return an instant as targets write it."""
    return instant_at(round(second)).isoformat().replace("+00:00", "Z")


class Incident(Law):
    """Now and then a level rises for `precursor`, then the target fails until it has recovered. Worth noticing:
    the beginning and the end of each outage."""

    kind: Literal["incident"]
    incidents_a_day: float
    precursor: timedelta
    outage: timedelta

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the outages."""
        random, lead_s = stream("incident", seed), self.precursor.total_seconds()
        mean_s = self.outage.total_seconds()
        outages = [
            (begin, end)
            for begin, end in stretches(
                random, mean_gap_s=DAY_S / self.incidents_a_day, mean_s=mean_s, horizon_s=horizon_s, least_s=mean_s / 4
            )
            if begin > 2 * lead_s
        ]
        apart = [outages[0]] if outages else []
        for each in outages[1:]:
            if each[0] - apart[-1][1] > 2 * lead_s:
                apart.append(each)
        begins = [begin for begin, _ in apart]

        def answer(second: float) -> HttpResult:
            if stretch_at(apart, second) is not None:
                return reply({"error": "upstream unavailable"}, status=503)
            following = bisect_right(begins, second)
            ahead_s = begins[following] - second if following < len(begins) else math.inf
            risen = max(0.0, 1 - ahead_s / lead_s)
            return reply({"status": "ok", "queue_depth": round(20 + 980 * risen)})

        events = tuple(at for stretch in apart for at in stretch if at < horizon_s)
        return [Target(events, answer)]


class RateLimit(Law):
    """Now and then the target answers 429 with a Retry-After until a reset; worth noticing is the reset.

    The first 429 of a stretch is how one learns of it; each further run before the reset is a violation.
    """

    kind: Literal["rate_limit"]
    limits_a_day: float
    lasting: timedelta
    says: Literal["header", "date", "prose"] = "header"

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the stretches."""
        mean_s = self.lasting.total_seconds()
        closed = [
            (float(math.ceil(begin)), float(math.ceil(end)))
            for begin, end in stretches(
                stream("rate_limit", seed),
                mean_gap_s=DAY_S / self.limits_a_day,
                mean_s=mean_s,
                horizon_s=horizon_s,
                least_s=mean_s / 4,
            )
        ]

        def answer(second: float) -> HttpResult:
            stretch = stretch_at(closed, second)
            if stretch is None:
                return reply({"status": "ok", "remaining": 100})
            left = math.ceil(stretch[1] - second)
            if self.says == "prose":
                return reply(f"Too many requests. Please retry after {iso(stretch[1])}.", status=429)
            if self.says == "date":
                when = instant_at(stretch[1]).strftime("%a, %d %b %Y %H:%M:%S GMT")
                return reply({"error": "rate limited"}, status=429, retry_after=when)
            return reply({"error": "rate limited"}, status=429, retry_after=str(left))

        resets = tuple(end for _, end in closed if end < horizon_s)
        return [Target(resets, answer, forbidden=tuple(closed), announces=False)]


class Maintenance(Law):
    """Windows that are announced `notice` before; inside, no run may be. Worth noticing: that it is over.

    `says`: in fields of the body, in a sentence of it, or in neither: then only the job's own description tells.
    """

    kind: Literal["maintenance"]
    windows_a_week: float
    lasting: timedelta
    notice: timedelta
    says: Literal["fields", "prose"] = "fields"

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the windows."""
        random, lasting_s = stream("maintenance", seed), self.lasting.total_seconds()
        notice_s = self.notice.total_seconds()
        windows: list[Stretch] = []
        for at in poisson(random, self.windows_a_week / (7 * DAY_S), 2 * notice_s, horizon_s):
            begin = math.floor(at / 60) * 60.0
            if not windows or begin - windows[-1][1] > notice_s:
                windows.append((begin, begin + lasting_s))

        def answer(second: float) -> HttpResult:
            if stretch_at(windows, second) is not None:
                return reply({"error": "unavailable"}, status=503)
            ahead = next((each for each in windows if each[0] - notice_s <= second < each[0]), None)
            body: dict[str, object] = {"status": "ok"}
            if ahead is not None and self.says == "fields":
                body |= {"maintenance_from": iso(ahead[0]), "maintenance_until": iso(ahead[1])}
            elif ahead is not None:
                body["notice"] = f"Scheduled maintenance from {iso(ahead[0])} until {iso(ahead[1])}."
            return reply(body)

        ends = tuple(end for _, end in windows if end < horizon_s)
        return [Target(ends, answer, forbidden=tuple(windows))]


class Flapping(Law):
    """Up and down at one rate each way, for no reason: looking more often after a change gains nothing."""

    is_swept: ClassVar[bool] = True
    kind: Literal["flapping"]
    flips_a_day: float

    def draw(self, seed: int, horizon_s: float, terms: Terms) -> Sequence[Target]:
        """Draw the flips."""
        rate = self.flips_a_day / DAY_S
        flips = tuple(poisson(stream("flapping", seed), rate, 0.0, horizon_s))

        def answer(second: float) -> HttpResult:
            return reply({"status": "down" if bisect_right(flips, second) % 2 else "up"})

        return [Target(flips, answer, mean_root_rate=math.sqrt(rate))]
