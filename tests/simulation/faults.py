"""What goes wrong between a process and everything outside it: delays, crashes, lost answers, outages."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from core.errors import Unavailable
from tests.simulation.loop import Process, VirtualLoop
from tests.unit.fakes import START

QUICK_S = 0.0003  # the fastest answer: beyond what the fastest drifting clock gains within the time claimed ahead
USUAL_S = 0.006
SPIKE_S = 2.5
REFUSED_AFTER_S = 2.0  # at the most: how long a call hangs before an outage is noticed
DRIFT = 0.0002  # a host's clock gains or loses at the most 200 ppm


@dataclass
class Rates:
    """How probable each fault is, at each call. All 0: fair weather."""

    crash: float = 0.0
    lost_request: float = 0.0
    lost_answer: float = 0.0
    spike: float = 0.0


@dataclass
class Faults:
    """The weather between processes and the store. `observe` is told of each call that took effect."""

    loop: VirtualLoop
    rng: Random
    rates: Rates
    note: Callable[..., None]
    observe: Callable[[str, Process | None, tuple[Any, ...], Any], None]
    on_crash: Callable[[Process], None]
    outage_until: float = 0.0
    cut_until: dict[Process, float] = field(default_factory=dict)
    crashes: int = 0

    def is_away(self, process: Process | None) -> bool:
        """Tell whether the store cannot be reached: by nobody, or by this process."""
        cut_until = self.cut_until.get(process, 0.0) if process is not None else 0.0
        return self.loop.time() < max(self.outage_until, cut_until)

    async def maybe_crash(self, process: Process | None, where: str) -> None:
        """Let the process die here, once in a while; what is dead goes no further in any case."""
        if process is None:
            return
        if process.is_alive and self.rates.crash and self.rng.random() < self.rates.crash:
            self.crash(process, where)
        if not process.is_alive:
            raise asyncio.CancelledError

    def crash(self, process: Process, where: str) -> None:
        """Kill a process."""
        self.crashes += 1
        self.note("crash", process.name, where)
        process.kill()
        self.on_crash(process)

    async def travel(self) -> None:
        """Let a message take its time."""
        rng = self.rng
        delay_s = QUICK_S + rng.random() * USUAL_S
        if self.rates.spike and rng.random() < self.rates.spike:
            delay_s += rng.random() * SPIKE_S
        arrived = self.loop.create_future()
        self.loop.call_later(delay_s, _arrive, arrived)
        await arrived

    async def call(self, process: Process | None, name: str, method: Any, args: Any, kwargs: Any) -> Any:
        """Carry one call to the store and its answer back; anything may happen on either way."""
        rng, rates = self.rng, self.rates
        await self.maybe_crash(process, name)
        if rng.random() < 0.3:  # else it arrives at once
            await self.travel()
            await self.maybe_crash(process, name)
        if self.is_away(process) or (rates.lost_request and rng.random() < rates.lost_request):
            await asyncio.sleep(rng.random() * REFUSED_AFTER_S)
            raise Unavailable("the store is away")
        answer: Any = None
        error: Exception | None = None
        try:
            answer = await method(*args, **kwargs)
        except Exception as raised:  # noqa: BLE001 - it is the caller's, after the way back
            error = raised
        self.observe(name, process, args, answer)
        await self.maybe_crash(process, name)
        await self.travel()
        await self.maybe_crash(process, name)
        if self.is_away(process) or (rates.lost_answer and rng.random() < rates.lost_answer):
            self.note("answer lost", process.name if process else "api", name)
            raise Unavailable("the answer was lost")
        if error is not None:
            raise error
        return answer


def _arrive(arrived: "asyncio.Future[None]") -> None:
    if not arrived.done():
        arrived.set_result(None)


class FarStore:
    """The store as one process sees it, through the weather."""

    def __init__(self, store: Any, faults: Faults, process: Process | None) -> None:
        self._store, self._faults, self._process = store, faults, process

    def __getattr__(self, name: str) -> Any:
        method, faults, process = getattr(self._store, name), self._faults, self._process

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await faults.call(process, name, method, args, kwargs)

        setattr(self, name, call)
        return call


@dataclass
class StoreClock:
    """The database's clock: the only one that decides."""

    loop: VirtualLoop

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time())

    def monotonic(self) -> float:
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class HostClock:
    """A worker's clocks: a wall clock that is wrong and jumps, a monotonic one that drifts a little."""

    loop: VirtualLoop
    rng: Random
    rate: float = field(init=False)
    origin_s: float = field(init=False)
    wrong_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.rate = 1 + DRIFT * (2 * self.rng.random() - 1)
        self.origin_s = self.rng.random() * 1e5
        self.wrong_s = (self.rng.random() - 0.5) * 600

    def now(self) -> datetime:
        if self.rng.random() < 0.01:
            self.wrong_s += (self.rng.random() - 0.5) * 120
        return START + timedelta(seconds=self.loop.time() + self.wrong_s)

    def monotonic(self) -> float:
        return self.origin_s + self.loop.time() * self.rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds / self.rate))
