"""A worker process as the wiring makes it, with everything outside it behind the weather."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from core.entities import HintKind
from core.events import Event, LoopFailed, LoopTurned, StaleWriteRefused
from core.ports.quota import Denial, QuotaWindow, Reservation
from core.sessions import Outcome, Plan, PlanningContext, Proposal, Usage
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from tests.simulation.faults import FarStore, Faults, HostClock
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.target import Target
from tests.unit.fakes import START
from worker.loops import lease_service, plan_service, renew_service, run_service
from worker.supervisor import Supervisor

LEASE = timedelta(seconds=10)
POLL = timedelta(seconds=2)
EXPECTED = ("Unavailable:", "LeaseLostError:")  # what a loop may fail with


@dataclass(frozen=True)
class Traits:
    """How the workers of a scenario are set."""

    batch_size: int
    host_limit: int
    ahead: timedelta
    ramp: timedelta
    grace: timedelta
    plans: bool


@dataclass
class Witness:
    """The events of one process: counted, and searched for what must not be."""

    name: str
    complaints: list[str]
    counts: Counter[str] = field(default_factory=Counter)

    def emit(self, event: Event) -> None:
        if isinstance(event, LoopTurned):
            self.counts[event.role] += 1
        elif isinstance(event, StaleWriteRefused):
            self.counts["refused"] += 1
        elif isinstance(event, LoopFailed) and not event.error.startswith(EXPECTED):
            self.complaints.append(f"{self.name}: the loop {event.role} failed with {event.error}")


@dataclass
class Mind:
    """A planner: slow, hasty, absurd or raising, as the lot has it."""

    rng: Random
    is_calm: bool = False
    worst_case_tokens: int = 100

    async def plan(self, context: PlanningContext) -> Plan:
        rng = self.rng
        draw = rng.random()
        slow = draw < 0.15 and not self.is_calm
        await asyncio.sleep(5 + 20 * rng.random() if slow else 0.02 + 1.5 * rng.random())
        if rng.random() < 0.08 and not self.is_calm:
            raise ZeroDivisionError("a bug in a planner")
        count = int(rng.random() * 3)
        proposals = tuple(self._proposal(context, f"call_{index}") for index in range(count))
        nosy = timedelta(seconds=1) if draw < 0.9 else None  # it wants to see the next run, whatever that brings
        return Plan(
            Outcome.COMPLETED,
            "simulated",
            "lot",
            "",
            proposals=proposals,
            usage=Usage(1, 10, 5),
            reasoning="by lot",
            next_analysis_in=nosy,
        )

    def _proposal(self, context: PlanningContext, call: str) -> Proposal:
        rng = self.rng
        draw = rng.random()
        wild = rng.random() < 0.15
        seconds = (rng.random() - 0.5) * 1e6 if wild else 0.5 + rng.random() * 25
        span = timedelta(seconds=seconds)
        ttl = timedelta(seconds=1 + rng.random() * 40) if rng.random() < 0.7 else None
        if draw < 0.45:
            return Proposal(HintKind.INTERVAL, "by lot", call, interval=span, ttl=ttl)
        if draw < 0.75:
            at = context.now + span
            return Proposal(HintKind.NEXT_TIME, "by lot", call, at=at, ttl=None if ttl is None else span + ttl)
        if draw < 0.92:
            return Proposal(HintKind.PAUSE, "by lot", call, until=context.now + span)
        return Proposal(None if wild else HintKind.INTERVAL, "by lot", call, clear=True)


@dataclass
class Purse:
    """The quota guard: it refuses now and then."""

    rng: Random

    async def can_proceed(self, tenant_id: str, job_id: str, *, tokens: int) -> Reservation | Denial:
        if self.rng.random() < 0.05:
            return Denial("tokens_per_day", "spent")
        return Reservation("reservation", tenant_id, job_id, tokens, START)

    async def settle(self, reservation: Reservation, *, tokens: int) -> None:
        return None

    async def windows(self, tenant_id: str) -> list[QuotaWindow]:
        return []


class Worker:
    """One boot of a worker: its process, its run loop and its supervisor."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        rng: Random,
        *,
        store: Any,
        faults: Faults,
        target: Target,
        shared: Any,
        traits: Traits,
        complaints: list[str],
    ) -> None:
        self.process = Process(name, loop)
        self.events = Witness(name, complaints)
        self.mind = Mind(rng)
        self.ending: asyncio.Task[None] | None = None
        clock, far = HostClock(loop, rng), FarStore(store, faults, self.process)
        sender = target.seen_by(self.process)
        self.runs = RunDue(
            far,
            sender,
            shared.cron,
            clock,
            shared.ids,
            self.events,
            worker_id=name,
            batch_size=traits.batch_size,
            host_limit=traits.host_limit,
            lease=LEASE,
            misfire_grace=traits.grace,
            ahead=traits.ahead,
            ramp=traits.ramp,
            isolated=target.seen_by(self.process),
        )
        self.runner = run_service(self.runs, clock, self.events, poll=POLL)
        services = [self.runner, renew_service(self.runs, self.events), lease_service(self.runs, self.events)]
        if traits.plans:
            plans = PlanDue(far, self.mind, Purse(rng), shared.cron, clock, shared.ids, self.events, lease=LEASE)
            planner = plan_service(plans, self.events, poll=POLL)
            services.insert(0, planner)
            self.runs.on_passed = planner.wake
        self.supervisor = Supervisor(services, self.runs)
        self.process.spawn(self.supervisor.start())

    def stop(self, forced: asyncio.Event | None = None) -> "asyncio.Task[None]":
        """SIGTERM; `forced` set: the second one."""
        self.ending = self.process.spawn(self.supervisor.stop(forced))
        return self.ending

    def leftovers(self) -> str:
        """Say what a worker that has stopped still counts; empty when nothing."""
        runs = self.runs
        left = {
            "in_flight": runs.in_flight,
            "held": runs.held,
            "places": runs._places.taken,
            "queued": runs._queue.size,
            "unrecorded": runs._recorder.waiting,
            "stages": len(runs._stages.tasks),
        }
        return ", ".join(f"{name} {count}" for name, count in left.items() if count)
