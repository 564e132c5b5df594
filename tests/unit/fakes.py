"""Fakes for use-case tests: a clock that only moves when told, ids that count, a cron of whole minutes, a dispatcher
that answers what a function says, a quota that says yes or no, a planner that follows a script."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from core.errors import CronError, NotFound
from core.events import Event
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.quota import Denial, QuotaWindow, Reservation
from core.ports.signing import SigningSecret
from core.sessions import Outcome, Plan, PlanningContext, Proposal, Usage

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass
class FakeClock:
    """Moves only when told; a sleep moves it, and lets others run."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class SequentialIds:
    """Counts, in the shape of real entropy, so that ids sort by their making."""

    count: int = 0

    def entropy(self) -> str:
        self.count += 1
        value, chars = self.count, []
        for _ in range(16):
            value, digit = divmod(value, 32)
            chars.append(_ALPHABET[digit])
        return "".join(reversed(chars))


class FakeCron:
    """`every N` fires at the multiples of N seconds of the epoch; everything else is refused."""

    tzdata_version = "fake"

    def validate(self, expression: str, timezone: str) -> None:
        self._step(expression)
        if timezone != "UTC":
            raise CronError(f'Unknown time zone "{timezone}".', field="/timezone")

    def next_after(self, expression: str, timezone: str, after: datetime) -> datetime | None:
        step = self._step(expression)
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        try:
            return epoch + ((after - epoch) // step + 1) * step
        except OverflowError:
            return None

    def shortest_gap(self, expression: str, timezone: str) -> timedelta:
        return self._step(expression)

    def _step(self, expression: str) -> timedelta:
        word, _, number = expression.partition(" ")
        if word != "every" or not number.isdigit() or not int(number):
            raise CronError(f'The cron expression "{expression}" is not valid.')
        return timedelta(seconds=int(number))


OK = HttpResult(status_code=200, duration_ms=5, headers_ms=4, body='{"status":"ok"}', body_bytes=15)


def _answering() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class FakeDispatcher:
    """Answers what `plan` says of a request, and keeps the requests. `takes_s` passes on the clock meanwhile.
    While `answers` is not set, nothing is answered."""

    plan: Callable[[HttpRequest], HttpResult] = lambda request: OK
    clock: FakeClock | None = None
    takes_s: float = 0.0
    answers: asyncio.Event = field(default_factory=_answering)
    sent: list[HttpRequest] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpResult:
        self.sent.append(request)
        if self.clock is not None:
            self.clock.advance(self.takes_s)
        await self.answers.wait()
        await asyncio.sleep(0)
        return self.plan(request)

    async def close(self) -> None:
        return None


@dataclass
class FakeSigning:
    """Signing secrets of everybody together, in a list."""

    made: list[tuple[SigningSecret, str]] = field(default_factory=list)

    async def values(self, tenant_id: str) -> tuple[str, ...]:
        return tuple(value for _, value in self.made)

    async def listed(self, tenant_id: str) -> list[SigningSecret]:
        return [secret for secret, _ in self.made]

    async def rotate(self, tenant_id: str, *, overlap: timedelta) -> tuple[SigningSecret, str]:
        self.made.insert(0, (SigningSecret(f"whs_{len(self.made)}", START, None), "whsec_dGVzdA=="))
        return self.made[0]

    async def end(self, tenant_id: str, secret_id: str) -> None:
        if secret_id not in {secret.id for secret, _ in self.made}:
            raise NotFound(f"There is no signing secret {secret_id}.")
        self.made = [each for each in self.made if each[0].id != secret_id]


@dataclass
class FakeQuota:
    """Says yes unless `denial` is set; keeps what was settled."""

    denial: Denial | None = None
    settled: list[int] = field(default_factory=list)

    async def can_proceed(self, tenant_id: str, job_id: str, *, tokens: int) -> Reservation | Denial:
        return self.denial or Reservation("reservation", tenant_id, job_id, tokens, START)

    async def settle(self, reservation: Reservation, *, tokens: int) -> None:
        self.settled.append(tokens)

    async def windows(self, tenant_id: str) -> list[QuotaWindow]:
        return []


@dataclass
class ScriptedPlanner:
    """Stages the next proposals of its script at each session; none when the script is over."""

    script: list[Sequence[Proposal]] = field(default_factory=list)
    contexts: list[PlanningContext] = field(default_factory=list)
    worst_case_tokens: int = 100

    async def plan(self, context: PlanningContext) -> Plan:
        self.contexts.append(context)
        proposals = tuple(self.script.pop(0)) if self.script else ()
        return Plan(
            outcome=Outcome.COMPLETED,
            planner="scripted",
            model="script",
            input_summary="a script",
            proposals=proposals,
            usage=Usage(requests=1, input_tokens=10, output_tokens=2),
        )


@dataclass
class EventLog:
    """Keeps every event."""

    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]
