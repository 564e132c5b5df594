"""The API over PostgreSQL, served on loopback by a thread, with things in it that have ids."""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import uvicorn

from api.app import create_app
from api.services import Services
from core.entities import Authority, Definition, HintKind, HttpAction, IntervalBaseline, RunStatus
from core.ports.store import JobRef
from core.predicates import Comparison, Op
from core.rules import RuleDraft, Terms
from core.usecases.begin import Beginning, begin
from core.usecases.explain import Explain
from core.usecases.manage_hints import HintDraft, ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.plan_due import PlanDue
from core.usecases.settle import Finished, settle
from core.usecases.switch_planner import SwitchPlanner
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.http.guard import AddressPolicy, check_url
from rubato.adapters.http.message import check_headers
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.flags import PostgresFlags
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.telemetry import Telemetry
from tests.unit.fakes import ScriptedPlanner

KEY = "cron_fuzz_0123456789abcdef0123456789"


@dataclass
class Served:
    """A served API. `faults`: what it logged of requests that failed unexpectedly."""

    url: str
    loop: asyncio.AbstractEventLoop
    services: Services
    tenant: str
    plans: PlanDue
    planner: ScriptedPlanner
    faults: list[str] = field(default_factory=list)

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Carry out something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def populate(self) -> dict[str, str]:
        """Make a job with a run, a hint and a session; return their ids by the name of the path parameter."""
        ids: dict[str, str] = self.wait(self._populate())
        return ids

    async def _populate(self) -> dict[str, str]:
        given = self.services
        definition = Definition(
            "watched",
            HttpAction("https://example.com/"),
            IntervalBaseline(timedelta(minutes=1)),
            authority=Authority(tighten=True, relax=True, pause=True),
            splay=False,
        )
        job, _ = await given.jobs.register(self.tenant, definition)
        ref = JobRef(self.tenant, job.id)
        cron, ids = given.jobs.cron, given.jobs.ids
        claims = await given.store.claim("w1", limit=100, lease=timedelta(seconds=30))
        claim = next(claim for claim in claims.jobs if claim.ref == ref)
        begun = Beginning(claim.token, "w1", timedelta(hours=1))
        await given.store.change(ref, lambda seen: begin(seen, begun, cron=cron, ids=ids))
        done = Finished(RunStatus.SUCCEEDED, status_code=200, duration_ms=3, response_excerpt="ok", response_bytes=2)
        await given.store.change(ref, lambda seen: settle(seen, token=claim.token, finished=done, cron=cron, ids=ids))
        hint = await given.hints.write(
            self.tenant, job.id, HintDraft(HintKind.INTERVAL, "why", interval=timedelta(seconds=30))
        )
        session = await self.plans.plan_now(self.tenant, job.id)
        minute = timedelta(minutes=1)
        terms = Terms(Comparison("/queue_depth", Op.GT, 500), HintKind.INTERVAL, minute / 2, minute * 10, "it is long")
        rule = await given.rules.create(self.tenant, job.id, RuleDraft(terms))
        made = {"job_id": job.id, "run_id": claim.run_id, "hint_id": hint.id, "session_id": session.id}
        return {**made, "rule_id": rule.id}


@contextmanager
def served(database_url: str) -> Iterator[Served]:
    """Serve until the block ends."""
    loop, bound = asyncio.new_event_loop(), socket.socket()
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    engine = connect(database_url, application="served api")
    house = loop.run_until_complete(_furnished(engine, f"http://127.0.0.1:{port}", loop))
    server = uvicorn.Server(uvicorn.Config(create_app(house.services), log_config=None, lifespan="off"))

    async def serve() -> None:
        await server.serve([bound])
        await engine.dispose()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="served api")
    thread.start()
    try:
        yield house
    finally:
        server.should_exit = True
        thread.join(30)
        loop.close()
        bound.close()


async def _furnished(engine: Any, url: str, loop: asyncio.AbstractEventLoop) -> Served:
    clock, ids, cron = SystemClock(), SystemIds(), CroniterCron()
    store, quota = PostgresStore(engine, ids), PostgresQuota(engine, ids)
    accounts = PostgresAccounts(engine, ids, pepper=b"p" * 32)
    owner = await accounts.bootstrap(KEY, tenant="fuzz", user="fuzz")
    telemetry, planner = Telemetry(clock), ScriptedPlanner()
    plans = PlanDue(store, planner, quota, cron, clock, ids, telemetry)
    services = Services(
        jobs=ManageJobs(store, cron, ids),
        hints=ManageHints(store, cron, ids),
        rules=ManageRules(store, cron, ids),
        explain=Explain(store, cron),
        store=store,
        quota=quota,
        flags=(flags := PostgresFlags(engine)),
        switches=SwitchPlanner(store, flags, cron),
        accounts=accounts,
        clock=clock,
        planner=plans,
        check_url=partial(check_url, policy=AddressPolicy()),
        check_headers=check_headers,
        metrics=telemetry.exposition(store.backlog),
        observe=telemetry.observe_http,
    )
    return Served(url, loop, services, owner.tenant_id, plans, planner)
