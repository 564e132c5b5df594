"""The API over PostgreSQL, served on loopback by a thread, with things in it that have ids."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.live import Live
from api.paging import Cursors
from api.services import Identity, Services
from core.entities import (
    Authority,
    Definition,
    HintKind,
    HttpAction,
    IntervalBaseline,
    PlannerMode,
    RunStatus,
    TargetAction,
)
from core.notices import WATCHED, ChannelKind
from core.ports.accounts import Principal, Provider
from core.ports.store import JobRef
from core.predicates import Comparison, Op
from core.rules import RuleDraft, Terms
from core.usecases.begin import Beginning, begin
from core.usecases.bulk import Bulk
from core.usecases.explain import Explain
from core.usecases.manage_channels import ChannelDraft, ManageChannels
from core.usecases.manage_hints import HintDraft, ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.plan_due import PlanDue
from core.usecases.settle import Finished, settle
from core.usecases.turn_switches import TurnSwitches
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.http.guard import AddressPolicy, check_url
from rubato.adapters.http.message import check_headers
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres import access
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.audit import PostgresAudit
from rubato.adapters.postgres.definitions import PostgresDefinitions
from rubato.adapters.postgres.engine import Engine, connect
from rubato.adapters.postgres.feed import PostgresFeed
from rubato.adapters.postgres.flags import PostgresFlags
from rubato.adapters.postgres.glances import PostgresGlances
from rubato.adapters.postgres.insights import PostgresInsights
from rubato.adapters.postgres.keys import PostgresKeys
from rubato.adapters.postgres.members import PostgresMembers
from rubato.adapters.postgres.notices import PostgresNotices
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.replies import PostgresReplies
from rubato.adapters.postgres.sign_ins import PostgresSignIns
from rubato.adapters.postgres.signing import PostgresSigningSecrets
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.postgres.tenant_data import PostgresTenantData
from rubato.adapters.postgres.usage import PostgresUsage
from rubato.adapters.targets.registry import Registry
from rubato.adapters.targets.shipped import log_message
from rubato.adapters.telemetry import Telemetry
from rubato.adapters.vault import Vault, new_encryption_key
from tests.unit.fakes import ScriptedPlanner

KEY = "cron_fuzz_0123456789abcdef0123456789"
PEPPER = b"p" * 32


@dataclass
class Served:
    """A served API. `faults`: what it logged of requests that failed unexpectedly.

    `services` see one tenant at a time, as in production; `worker` is the store as workers have it.
    """

    url: str
    loop: asyncio.AbstractEventLoop
    services: Services
    worker: PostgresStore
    vault: Vault
    tenant: str
    plans: PlanDue
    planner: ScriptedPlanner
    app: FastAPI = field(default_factory=FastAPI)
    client: httpx2.Client = field(default_factory=partial(httpx2.Client, timeout=20, trust_env=False))
    faults: list[str] = field(default_factory=list)

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Carry out something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def populate(self) -> dict[str, str]:
        """Make a job with a run, a hint and a session; return their ids by the name of the path parameter."""
        ids: dict[str, str] = self.wait(self._populate())
        return ids

    async def _populate(self) -> dict[str, str]:
        given, worker = self.services, self.worker
        access.act_for(self.tenant)
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
        claims = await worker.claim("w1", limit=100, lease=timedelta(seconds=30))
        claim = next(claim for claim in claims.jobs if claim.ref == ref)
        begun = Beginning(claim.token, "w1", timedelta(hours=1))
        await worker.change(ref, lambda seen: begin(seen, begun, cron=cron, ids=ids))
        done = Finished(RunStatus.SUCCEEDED, status_code=200, duration_ms=3, response_excerpt="ok", response_bytes=2)
        await worker.change(ref, lambda seen: settle(seen, token=claim.token, finished=done, cron=cron, ids=ids))
        hint = await given.hints.write(
            self.tenant, job.id, HintDraft(HintKind.INTERVAL, "why", interval=timedelta(seconds=30))
        )
        session = await self.plans.plan_now(self.tenant, job.id)
        minute = timedelta(minutes=1)
        terms = Terms(Comparison("/queue_depth", Op.GT, 500), HintKind.INTERVAL, minute / 2, minute * 10, "it is long")
        rule = await given.rules.create(self.tenant, job.id, RuleDraft(terms))
        told = ChannelDraft("on call", ChannelKind.WEBHOOK, "https://example.com/hook", WATCHED)
        known = await given.channels.kept.channels(self.tenant)
        channel = known[-1] if len(known) > 3 else await given.channels.add(self.tenant, told)
        member, *_ = (await given.identity.members.list(Principal(self.tenant, "", "admin")))[0]
        made = {"job_id": job.id, "run_id": claim.run_id, "hint_id": hint.id, "session_id": session.id}
        called = replace(definition, action=TargetAction("system.log_message"), planner=PlannerMode.OFF)
        called_job, _ = await given.jobs.register(self.tenant, called)
        called_run = await given.jobs.run_now(self.tenant, called_job.id)
        made |= {"cron_job_id": called_job.id, "cron_run_id": called_run.id}
        secret, _ = await given.signing.rotate(self.tenant, overlap=timedelta(hours=1))
        made |= {"secret_id": secret.id, "key": "a-key"}
        return {**made, "rule_id": rule.id, "channel_id": channel.id, "member_id": member.id, "name": "planner"}


@contextmanager
def served(database_url: str, *, provider: Callable[[str], Provider] | None = None) -> Iterator[Served]:
    """Serve until the block ends. `provider`: makes the one that people sign in with, for the API's address."""
    loop, bound = asyncio.new_event_loop(), socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()  # who comes before the server is up waits
    port = bound.getsockname()[1]
    engines = {role: connect(database_url, application="served api", role=role) for role in access.ROLES}
    url = f"http://127.0.0.1:{port}"
    house = loop.run_until_complete(_furnished(engines, url, loop, provider(url) if provider else None))
    house.app = create_app(house.services)
    server = uvicorn.Server(uvicorn.Config(house.app, log_config=None, lifespan="off"))

    async def serve() -> None:
        await server.serve([bound])
        for engine in engines.values():
            await engine.dispose()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="served api")
    thread.start()
    try:
        yield house
    finally:
        house.client.close()
        server.should_exit = True
        thread.join(30)
        loop.close()
        bound.close()


async def _furnished(
    engines: dict[str, Engine], url: str, loop: asyncio.AbstractEventLoop, provider: Provider | None
) -> Served:
    clock, ids, cron = SystemClock(), SystemIds(), CroniterCron()
    tenant, credentials = engines[access.TENANT], engines[access.IDENTITY]
    store, quota = PostgresStore(tenant, ids), PostgresQuota(tenant, ids)
    accounts = PostgresAccounts(credentials, ids, pepper=PEPPER)
    owner = await accounts.bootstrap(KEY, tenant="fuzz", user="fuzz")
    telemetry, planner, vault = Telemetry(clock), ScriptedPlanner(), Vault([new_encryption_key()])
    plans = PlanDue(store, planner, quota, cron, clock, ids, telemetry)
    identity = Identity(
        keys=PostgresKeys(tenant, ids, pepper=PEPPER, prefix="cron_"),
        sign_ins=PostgresSignIns(credentials, ids, pepper=PEPPER),
        members=PostgresMembers(tenant, ids, pepper=PEPPER),
        audit=PostgresAudit(tenant, ids),
        tenant=PostgresTenantData(tenant),
        act_for=access.act_for,
        origin=url,
        provider=provider,
    )
    services = Services(
        jobs=ManageJobs(store, cron, ids),
        hints=ManageHints(store, cron, ids),
        rules=ManageRules(store, cron, ids),
        bulk=Bulk(store, cron),
        explain=Explain(store, cron),
        channels=ManageChannels(
            store, PostgresNotices(tenant), ids, partial(check_url, policy=AddressPolicy()), has_mail=True
        ),
        store=store,
        quota=quota,
        flags=(flags := PostgresFlags(tenant)),
        switches=TurnSwitches(store, flags, cron),
        accounts=accounts,
        identity=identity,
        clock=clock,
        definitions=PostgresDefinitions(tenant, store),
        targets=Registry([log_message]),
        planner=plans,
        check_url=partial(check_url, policy=AddressPolicy()),
        check_headers=check_headers,
        seal=vault.seal,
        metrics=telemetry.exposition(store.backlog),
        observe=telemetry.observe_http,
        replies=PostgresReplies(tenant, ids),
        usage=PostgresUsage(tenant),
        insights=PostgresInsights(tenant),
        glances=PostgresGlances(tenant),
        live=Live(PostgresFeed(tenant), every_s=0.05, longest_s=0.1),  # so that a walk over every route goes on
        signing=PostgresSigningSecrets(tenant, ids, clock, seal=vault.seal, opener=vault.open),
        cursors=Cursors(b"c" * 32),
    )
    worker = PostgresStore(engines[access.ENGINE], ids)
    return Served(url, loop, services, worker, vault, owner.tenant_id, plans, planner)
