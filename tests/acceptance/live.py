"""The loops in this process on a real PostgreSQL, real HTTP and a loopback model: for rows that need to stop the world."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic_ai.models import override_allow_model_requests

from core.entities import Authority, Bounds, Decision, Definition, Hint, HttpAction, IntervalBaseline, Job, Run
from core.ports.planner import Planner
from core.ports.store import RunFilter
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from planner.llm import LlmPlanner, OfflinePlanner
from planner.models import openai_model
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.store import PostgresStore
from tests.loopback_model import LoopbackModel, loopback_model
from tests.processes import Target, target
from tests.unit.fakes import EventLog


@dataclass
class Live:
    """A tenant on a real database, its target, and both loops."""

    tenant: str
    store: PostgresStore
    quota: PostgresQuota
    jobs: ManageJobs
    hints: ManageHints
    worker: RunDue
    plans: PlanDue
    target: Target
    model: LoopbackModel
    events: EventLog
    engine: Any

    async def job(self, **fields: Any) -> Job:
        """Register a job that starts at once and grants everything."""
        made: dict[str, Any] = {
            "name": "watched",
            "action": HttpAction(self.target.url),
            "baseline": IntervalBaseline(timedelta(seconds=60)),
            "bounds": Bounds(timedelta(seconds=2), timedelta(hours=1)),
            "authority": Authority(tighten=True, relax=True, pause=True),
            "splay": False,
        }
        job, _ = await self.jobs.register(self.tenant, Definition(**{**made, **fields}))
        return job

    async def run(self) -> None:
        """Run what is due to its end."""
        await self.worker.run_once()
        assert await self.worker.drain(20) == 0

    async def turn(self) -> None:
        """Run what is due, then plan."""
        await self.run()
        await self.plans.run_once()

    async def runs(self, job: Job) -> list[Run]:
        """Return a job's runs, oldest slot first."""
        page = await self.store.runs(self.tenant, RunFilter(job_id=job.id), limit=100)
        return list(reversed(page.items))

    async def decision(self, job: Job) -> Decision:
        """Return the decision in force."""
        found = await self.store.latest_decision(self.tenant, job.id)
        assert found is not None
        return found

    async def the_hint(self, job: Job) -> Hint:
        """Return the job's one hint."""
        (hint,) = (await self.store.hints(self.tenant, job_id=job.id, limit=9)).items
        return hint


@asynccontextmanager
async def live(database_url: str, *script: dict[str, Any], offline: bool = False) -> AsyncIterator[Live]:
    """Build it; `script` is what the model answers."""
    engine = connect(database_url, application="acceptance")
    clock, ids, cron, events = SystemClock(), SystemIds(), CroniterCron(), EventLog()
    with target() as served, loopback_model(list(script) or [{"text": "Nothing."}]) as model:
        owner = await PostgresAccounts(engine, ids, pepper=b"p" * 32).bootstrap("cron_x", tenant="t", user="u")
        store, quota = PostgresStore(engine, ids), PostgresQuota(engine, ids)
        asked = openai_model("loopback", api_key="none", base_url=model.url)
        planner: Planner = OfflinePlanner() if offline else LlmPlanner(asked, fall_back=False)
        dispatcher = HttpDispatcher(AddressPolicy(["loopback"]))
        worker = RunDue(store, dispatcher, cron, clock, ids, events, worker_id="w1")
        plans = PlanDue(store, planner, quota, cron, clock, ids, events)
        jobs, hints = ManageJobs(store, cron, ids), ManageHints(store, cron, ids)
        with override_allow_model_requests(True):
            yield Live(owner.tenant_id, store, quota, jobs, hints, worker, plans, served, model, events, engine)
        await LlmPlanner(asked).close()
        await dispatcher.close()
    await engine.dispose()
