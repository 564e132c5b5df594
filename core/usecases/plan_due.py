"""The plan loop's one turn: take a job whose run has settled, ask the guard, ask the planner, write its hints.

Nothing here can delay, lose or double a run: the next one was set before planning began.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from core.entities import PlannerMode, Run
from core.errors import Conflict, LeaseLostError
from core.events import HintWritten, QuotaDenied, SessionEnded
from core.gate import GateVerdict
from core.ids import session_id
from core.modes import mode_of
from core.ports.clock import Clock
from core.ports.cron import Cron
from core.ports.events import Events
from core.ports.ids import Ids
from core.ports.planner import Planner
from core.ports.quota import Denial, Quota
from core.ports.store import JobRef, PlanClaim, Store
from core.quota import Price, cost_usd
from core.record import evolve
from core.sessions import Outcome, Plan, Session
from core.usecases.commit_plan import commit_plan, stand_down

RECENT_RUNS = 50  # how many runs a session sees at the most


@dataclass(slots=True)
class PlanDue:
    """Plans jobs whose runs have settled, up to `batch` sessions at once."""

    store: Store
    planner: Planner
    quota: Quota
    cron: Cron
    clock: Clock
    ids: Ids
    events: Events
    lease: timedelta = timedelta(seconds=60)
    batch: int = 16
    prices: Mapping[str, Price] = field(default_factory=dict)

    async def run_once(self) -> int:
        """Plan what is due and wait for it; return how many sessions there were."""
        claims = await self.store.claim_plans(limit=self.batch, lease=self.lease, recent_runs=RECENT_RUNS)
        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(self._guarded(claim))
        return len(claims)

    async def plan_now(self, tenant_id: str, job_id: str) -> Session:
        """Plan one job because a person asks. Raises NotFound, Conflict("planner_off" or "planning")."""
        job = await self.store.job(tenant_id, job_id)
        if job.definition.planner is PlannerMode.OFF:
            raise Conflict("planner_off", "The job's planner is off; set planner to on or shadow first.")
        if mode_of(job.definition, await self.store.limits(tenant_id)) is PlannerMode.OFF:
            raise Conflict("planner_off", "Planning is switched off for this tenant or for everybody; see GET /flags.")
        claims = await self.store.claim_plans(
            limit=1, lease=self.lease, recent_runs=RECENT_RUNS, only=JobRef(tenant_id, job_id)
        )
        if not claims:
            raise Conflict("planning", "The job is being planned at this moment; read its sessions in a while.")
        return await self._session(claims[0], GateVerdict.ASKED)

    async def _guarded(self, claim: PlanClaim) -> None:
        """Plan one job; what goes wrong with it is its own. Its lease ends by itself and it is planned later."""
        try:
            if self._is_worth_it(claim):
                await self._session(claim, _woken_by(claim))
            else:
                await self.store.change(claim.ref, partial(stand_down, token=claim.token, seq=claim.seq))
        except Exception as error:  # noqa: BLE001 - one job's planning must not end the others'
            job = claim.context.job
            self.events.emit(
                SessionEnded(
                    job.tenant_id,
                    job.id,
                    "",
                    Outcome.FAILED,
                    "",
                    0.0,
                    0,
                    0,
                    0,
                    error=f"{type(error).__name__}: {error}",
                )
            )

    def _is_worth_it(self, claim: PlanClaim) -> bool:
        """Tell whether planning is on, and there is a run that no session has stood on yet."""
        context = claim.context
        stood_on, newest = context.job.schedule.planning.last_run_at, _newest(claim)
        is_off = mode_of(context.job.definition, context.limits) is PlannerMode.OFF
        return not is_off and newest is not None and (stood_on is None or newest.started_at != stood_on)

    async def _session(self, claim: PlanClaim, woken_by: GateVerdict | None) -> Session:
        job = claim.context.job
        started = self.clock.monotonic()
        identity = session_id(claim.context.now, self.ids.entropy())
        plan = await self._plan(claim)
        newest = _newest(claim)
        session = Session(
            id=identity,
            tenant_id=job.tenant_id,
            job_id=job.id,
            job_version=job.definition.version,
            started_at=claim.context.now,
            finished_at=claim.context.now,
            plan=plan,
            run_id=newest.id if newest else None,
            woken_by=woken_by,
            mode=mode_of(job.definition, claim.context.limits),
            cost_usd=cost_usd(plan.usage, plan.charged_model or plan.model, self.prices),
        )
        transition = partial(
            commit_plan,
            token=claim.token,
            seq=claim.seq,
            session=session,
            last_run_at=newest.started_at if newest else None,
            cron=self.cron,
            ids=self.ids,
        )
        try:
            change = await self.store.change(claim.ref, transition)
        except LeaseLostError as error:
            lost = evolve(session, plan=evolve(plan, outcome=Outcome.STALE, error=str(error)))
            session = evolve(lost, finished_at=await self.store.now())
            await self.store.add_session(session)
        else:
            session = change.session or session
            for hint in change.hints:
                if hint.id in session.hint_ids:
                    self.events.emit(HintWritten(hint.tenant_id, hint.job_id, hint.kind, hint.author, hint.state))
        self._report(session, self.clock.monotonic() - started)
        return session

    async def _plan(self, claim: PlanClaim) -> Plan:
        """Ask the guard, then the planner. `can_proceed` is the reservation."""
        ref = claim.ref
        answer = await self.quota.can_proceed(ref.tenant_id, ref.job_id, tokens=self.planner.worst_case_tokens)
        if isinstance(answer, Denial):
            self.events.emit(QuotaDenied(ref.tenant_id, ref.job_id, answer.code))
            return Plan(
                outcome=Outcome.DENIED,
                planner="quota guard",
                model="none",
                input_summary="",
                next_analysis_in=answer.until - claim.context.now if answer.until else None,
                error=f"{answer.code}: {answer.reason}",
            )
        plan = await self.planner.plan(claim.context)
        await self.quota.settle(answer, tokens=plan.usage.tokens)
        return plan

    def _report(self, session: Session, duration_s: float) -> None:
        plan = session.plan
        self.events.emit(
            SessionEnded(
                session.tenant_id,
                session.job_id,
                session.id,
                outcome=plan.outcome,
                model=plan.charged_model or plan.model,
                duration_s=duration_s,
                requests=plan.usage.requests,
                input_tokens=plan.usage.input_tokens,
                output_tokens=plan.usage.output_tokens,
                tool_calls=tuple((call.tool, call.verdict) for call in plan.calls),
                error=plan.error,
                woken_by=session.woken_by,
                cost_usd=session.cost_usd,
            )
        )


def _newest(claim: PlanClaim) -> Run | None:
    """Return the run that began last."""
    begun = [(run.started_at, run) for run in claim.context.runs if run.started_at is not None]
    return max(begun, key=lambda each: each[0])[1] if begun else None


def _woken_by(claim: PlanClaim) -> GateVerdict | None:
    """Return what the gate said of the newest run that passed it."""
    for run in claim.context.runs:
        verdict = GateVerdict(run.gate.partition(":")[0]) if run.gate else None
        if verdict is not None and verdict.passes:
            return verdict
    return None
