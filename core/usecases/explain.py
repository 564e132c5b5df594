"""Why will it run then, and when after that: the governor asked, nothing written."""

from datetime import datetime, timedelta

from core.entities import Decision, Hint, HintKind, HintState, Job, Limits, RunStatus, Source
from core.errors import NotFound
from core.governor import decide
from core.hints import end, is_active, supersede
from core.ids import hint_id
from core.ports.cron import Cron
from core.ports.store import JobRef, Snapshot, Store
from core.record import evolve, record
from core.usecases.manage_hints import HintDraft, draw_up
from core.usecases.settle import after_run

FORECAST_LIMIT = 500


@record
class Explanation:
    """The decision in force and what it stands on. `hints`: the active ones."""

    job: Job
    decision: Decision
    hints: tuple[Hint, ...]
    limits: Limits
    now: datetime


@record
class ForecastItem:
    """One expected run."""

    at: datetime
    source: Source
    hint_id: str | None


@record
class Forecast:
    """Expected runs until `until`, if each succeeds at its slot and no new hint comes. `truncated`: there are more."""

    items: tuple[ForecastItem, ...]
    until: datetime
    truncated: bool


@record
class Explain:
    """Answers about the future, by the same function that decides it."""

    store: Store
    cron: Cron

    async def explanation(self, tenant_id: str, job_id: str) -> Explanation:
        """Return the decision in force. Raises NotFound."""
        snapshot = await self._snapshot(tenant_id, job_id)
        decision = await self.store.latest_decision(tenant_id, job_id)
        if decision is None:
            raise NotFound(f"There is no decision for job {job_id}.")
        active = tuple(hint for hint in snapshot.hints if is_active(hint, snapshot.now))
        return Explanation(snapshot.job, decision, active, snapshot.limits, snapshot.now)

    async def forecast(self, tenant_id: str, job_id: str, *, hours: int = 24, limit: int = FORECAST_LIMIT) -> Forecast:
        """Return the runs of the next `hours`, at most `limit`. Raises NotFound."""
        snapshot = await self._snapshot(tenant_id, job_id)
        until = snapshot.now + timedelta(hours=hours)
        return forecast(snapshot, until=until, limit=limit, cron=self.cron)

    async def simulate(self, tenant_id: str, job_id: str, draft: HintDraft) -> tuple[Decision, Decision]:
        """Return what the governor decides now without and with a person's hint. Writes nothing.

        Raises InvalidInput, Conflict, NotFound, as writing it would.
        """
        snapshot = await self._snapshot(tenant_id, job_id)
        hint = draw_up(snapshot, draft, hint_id(snapshot.now, "simulated"))
        gone = {old.id for old in supersede(snapshot.hints, hint, snapshot.now)}
        after = (*(old for old in snapshot.hints if old.id not in gone), hint)
        before, then = (
            decide(snapshot.job, hints, snapshot.limits, now=snapshot.now, cron=self.cron)
            for hints in (snapshot.hints, after)
        )
        return before, then

    async def _snapshot(self, tenant_id: str, job_id: str) -> Snapshot:
        snapshot = await self.store.snapshot(tenant_id, job_id)
        if snapshot.job.deleted_at is not None:
            raise NotFound(f"There is no job {JobRef(tenant_id, job_id).job_id}.")
        return snapshot


def forecast(snapshot: Snapshot, *, until: datetime, limit: int, cron: Cron) -> Forecast:
    """Iterate the governor, each run succeeding at its slot. The present slot comes first, due or not."""
    items: list[ForecastItem] = []
    job, hints, now = snapshot.job, snapshot.hints, snapshot.now
    slot = job.schedule.slot
    if slot is None or (snapshot.job.schedule.lease is not None and slot.at <= now):
        slot = decide(job, hints, snapshot.limits, now=now, cron=cron).slot
    while slot is not None and slot.at <= until:
        if len(items) >= limit:
            return Forecast(tuple(items), until, truncated=True)
        items.append(ForecastItem(slot.at, slot.source, slot.hint_id))
        now = max(now, slot.at)
        changes = after_run(job.definition, job.schedule, slot, RunStatus.SUCCEEDED, now)
        job = evolve(job, schedule=evolve(job.schedule, last_start_at=now, **changes))
        hints = tuple(
            end(hint, HintState.CONSUMED, now, "forecast")
            if hint.id == slot.hint_id and hint.kind is HintKind.NEXT_TIME
            else hint
            for hint in hints
        )
        slot = decide(job, hints, snapshot.limits, now=now, cron=cron).slot
    return Forecast(tuple(items), until, truncated=False)
