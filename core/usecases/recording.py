"""From answers to rows: settled in batches, kept while the store is away, refused by the fence and by nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from core.entities import RunStatus
from core.errors import NotFound, RubatoError, Unavailable
from core.events import LoopFailed, StaleWriteRefused
from core.ports.clock import Clock
from core.ports.cron import Cron
from core.ports.events import Events
from core.ports.ids import Ids
from core.ports.store import Change, Snapshot, Store
from core.usecases.flights import Flight
from core.usecases.reporting import report
from core.usecases.settle import Finished, settle

BATCH = 200  # settled in one transaction; more brings nothing (docs/performance.md)
RETRY_S = 0.5  # between attempts while the store is away


@dataclass(slots=True)
class Recorder:
    """Records answers. `on_settled(change)`: told of every run that ended and whose job goes on."""

    store: Store
    cron: Cron
    clock: Clock
    ids: Ids
    events: Events
    worker_id: str
    on_settled: Callable[[Change], None]
    on_recorded: Callable[[Sequence[Flight]], None]
    _waiting: list[Flight] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """How many answers are not recorded yet."""
        return len(self._waiting)

    def add(self, flight: Flight) -> None:
        """Keep an answer until it is recorded."""
        self._waiting.append(flight)

    async def run(self) -> None:
        """Record what waits, batch by batch; what comes during one batch goes into the next.

        While the store is away answers are kept: the fence refuses them if another worker has the job by then, no
        clock does.
        """
        while self._waiting:
            batch = self._next_batch()
            try:
                await self._record(batch)
            except Unavailable:
                for flight in batch:
                    flight.was_unsure = True
                await self.clock.sleep(RETRY_S)
                continue
            except Exception as error:  # noqa: BLE001 - one answer that cannot be stored must not keep the others
                self.events.emit(LoopFailed("settle", f"{type(error).__name__}: {error}"))
                if not await self._record_singly(batch):
                    await self.clock.sleep(RETRY_S)
                    continue
            del self._waiting[: len(batch)]
            self.on_recorded(batch)

    def _next_batch(self) -> list[Flight]:
        """Return the first that wait, each job once: a worker that was held up may have flown one twice."""
        batch: dict[str, Flight] = {}
        for flight in self._waiting[:BATCH]:
            if flight.job.id in batch:
                break
            batch[flight.job.id] = flight
        return list(batch.values())

    async def _record(self, batch: Sequence[Flight]) -> None:
        answers = await self.store.change_many(
            [(flight.ref, partial(self._settle, flight=flight)) for flight in batch],
            known={flight.ref: flight.known for flight in batch},
        )
        refused = []
        for flight, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Change):
                report(answer, self.events)
                self.on_settled(answer)
            else:
                refused.append(flight)
        if refused:
            await self._keep_refused(refused)

    def _settle(self, snapshot: Snapshot, *, flight: Flight) -> Change:
        finished = flight.finished or Finished(RunStatus.FAILED, error_message="The run ended without an answer")
        flight.tried.add(finished.status)
        settled = partial(settle, snapshot, token=flight.token, finished=finished, cron=self.cron, ids=self.ids)
        try:
            return settled(park_because=flight.park_because)
        except RubatoError:
            raise
        except Exception as error:  # noqa: BLE001 - one row that cannot be settled must not abort its batch
            return settled(park_because=f"it could not be settled: {error}")

    async def _record_singly(self, batch: Sequence[Flight]) -> bool:
        """Record a batch one by one; what cannot be stored as it is, is stored without its answer. False: not now."""
        for flight in batch:
            try:
                await self._record([flight])
            except Unavailable:
                flight.was_unsure = True
                return False
            except Exception as error:  # noqa: BLE001 - see above
                reason = f"The answer could not be stored: {type(error).__name__}"
                flight.finished = Finished(RunStatus.FAILED, error_message=reason)
                try:
                    await self._record([flight])
                except Unavailable:
                    flight.was_unsure = True
                    return False
                except Exception as last:  # noqa: BLE001 - its lease ends, and it is taken over
                    self.events.emit(LoopFailed("settle", f"{type(last).__name__}: {last}"))
            flight.was_unsure = True  # a second pass over this batch finds it recorded
        return True

    async def _keep_refused(self, refused: Sequence[Flight]) -> None:
        """Keep what came under a lease that had gone, as attempts that were discarded."""
        refused = [flight for flight in refused if not (flight.was_unsure and await self._was_recorded(flight))]
        if not refused:
            return
        now = await self.store.now()
        try:
            await self.store.add_attempts([flight.discarded(self.worker_id, now) for flight in refused])
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - what cannot be stored of a refused answer must not keep the others
            self.events.emit(LoopFailed("settle", f"{type(error).__name__}: {error}"))
        for flight in refused:
            self.events.emit(StaleWriteRefused(flight.job.tenant_id, flight.job.id, "settle"))

    async def _was_recorded(self, flight: Flight) -> bool:
        """Tell whether an earlier try, whose answer never came, was carried out after all."""
        try:
            run = await self.store.run(flight.run.tenant_id, flight.run.id)
        except NotFound:
            return False
        mine = (run.worker_id, run.attempt) == (self.worker_id, flight.run.attempt)
        return mine and run.status in flight.tried
