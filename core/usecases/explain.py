"""Why will it run then, and when after that: the governor asked, nothing written."""

from datetime import datetime, timedelta

from core.entities import Author, Decision, Hint, HintKind, HintState, Job, Limits, PlannerMode, RunStatus, Source
from core.errors import NotFound
from core.governor import decide
from core.hints import end, is_active, supersede
from core.ids import hint_id
from core.modes import mode_of
from core.ports.cron import Cron
from core.ports.store import JobRef, Snapshot, Store
from core.record import evolve, record
from core.usecases.manage_hints import HintDraft, draw_up
from core.usecases.settle import after_run

FORECAST_LIMIT = 500
SHADOWS_READ = 50  # hints looked through for those that would be in force


@record
class Explanation:
    """The decision in force and what it stands on. `hints`: the active ones. In shadow mode `shadow_hints` are what
    would be in force, and `shadow` is what would be decided now."""

    job: Job
    decision: Decision
    hints: tuple[Hint, ...]
    limits: Limits
    now: datetime
    mode: PlannerMode = PlannerMode.ON
    shadow_hints: tuple[Hint, ...] = ()
    shadow: Decision | None = None


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
        mode = mode_of(snapshot.job.definition, snapshot.limits)
        told = Explanation(snapshot.job, decision, active, snapshot.limits, snapshot.now, mode)
        return await self._with_shadow(told, snapshot) if mode is PlannerMode.SHADOW else told

    async def _with_shadow(self, told: Explanation, snapshot: Snapshot) -> Explanation:
        """Add what would happen if the planner were on: the newest shadow hint of each kind, as if it were active."""
        job, now = snapshot.job, snapshot.now
        page = await self.store.hints(job.tenant_id, job_id=job.id, limit=SHADOWS_READ)
        newest: dict[HintKind, Hint] = {}
        for hint in page.items:
            alive = hint.state is HintState.SHADOW and (hint.expires_at is None or now < hint.expires_at)
            if alive and hint.kind not in newest:
                newest[hint.kind] = hint
        shadows = tuple(newest.values())
        believed_hints = [evolve(hint, state=HintState.ACTIVE, ended_at=None) for hint in shadows]
        believed = evolve(job, definition=evolve(job.definition, planner=PlannerMode.ON))
        limits = evolve(snapshot.limits, planner=PlannerMode.ON)
        people = tuple(hint for hint in snapshot.hints if hint.author is Author.USER)
        decision = decide(believed, (*people, *believed_hints), limits, now=now, cron=self.cron)
        return evolve(told, shadow_hints=shadows, shadow=decision)

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
