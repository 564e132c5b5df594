"""The addresses that jobs call, in one: it answers late, wrongly or never, and keeps a ledger of its own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from core.ports.dispatcher import HttpRequest, HttpResult
from tests.simulation.faults import Faults
from tests.simulation.loop import Process, VirtualLoop

PLAIN = "http://plain.test/"  # answers at once, always well
MOODY = "http://moody.test/"

_BODIES = ('{"status":"ok"}', '{"status":"down"}', "", "[1, 2", "\x00" * 40, "null")


@dataclass(slots=True, eq=False)
class Request:
    """One request that arrived: when (seconds, by the loop), from whom, and what became of it."""

    webhook_id: str
    at: float
    process: Process
    is_out: bool = True


@dataclass
class Target:
    """Answers. `on_request` is told of each arrival at once. `hangs`: the share of requests that it keeps for longer
    than a lease. `is_kind`: it has become quick and well."""

    loop: VirtualLoop
    rng: Random
    faults: Faults
    on_request: Callable[[Request], None]
    requests: list[Request] = field(default_factory=list)
    hangs: float = 0.2
    is_kind: bool = False

    def __post_init__(self) -> None:
        self._mercy: asyncio.Future[None] = self.loop.create_future()

    def become_kind(self) -> None:
        """Answer quickly and well from now on, what has waited long too."""
        self.is_kind = True
        if not self._mercy.done():
            self._mercy.set_result(None)

    def seen_by(self, process: Process) -> "Sender":
        """Return the dispatcher of one process."""
        return Sender(self, process)

    async def take(self, process: Process, request: HttpRequest) -> HttpResult:
        """Note the request, and answer it within its deadline."""
        await self.faults.maybe_crash(process, "before sending")
        entry = Request(request.webhook_id or "", self.loop.time(), process)
        self.requests.append(entry)
        self.on_request(entry)
        limit_s = (request.timeout or timedelta(seconds=30)).total_seconds()
        takes_s = self._mood(request.url or "")
        try:
            await self.faults.maybe_crash(process, "sent")
            if takes_s > 1:
                await asyncio.wait([self._mercy], timeout=min(takes_s, limit_s))
            else:
                await asyncio.sleep(min(takes_s, limit_s))
        finally:
            entry.is_out = False
        await self.faults.maybe_crash(process, "answered")
        if takes_s > limit_s and not self.is_kind:
            return HttpResult(None, int(limit_s * 1000), error="timed out", error_code="timeout")
        return self._answer(request.url or "", takes_s)

    def _mood(self, url: str) -> float:
        """Return how long the answer takes: mostly a moment, at times longer than a lease."""
        rng = self.rng
        draw = rng.random()
        if url.startswith(PLAIN) or self.is_kind or draw < 0.75 - self.hangs:
            return 0.003 + rng.random() * 0.2
        return rng.random() * 4 if draw < 1 - self.hangs else 8 + rng.random() * 22

    def _answer(self, url: str, takes_s: float) -> HttpResult:
        rng = self.rng
        duration_ms = int(takes_s * 1000)
        if url.startswith(PLAIN):
            return HttpResult(200, duration_ms, duration_ms, '{"status":"ok"}', 15)
        draw = rng.random()
        if draw < 0.02:
            raise RuntimeError("the client broke")
        if draw < 0.06:
            return HttpResult(None, duration_ms, error="refused", error_code="connect")
        body = _BODIES[int(rng.random() * len(_BODIES))]
        return HttpResult(200 if draw < 0.7 else 503, duration_ms, duration_ms, body, len(body))


@dataclass
class Sender:
    """The dispatcher port of one process."""

    target: Target
    process: Process

    async def send(self, request: HttpRequest) -> HttpResult:
        return await self.target.take(self.process, request)

    async def close(self) -> None:
        return None
