"""The API over the memory store, called through its ASGI face: a house for API tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
from pydantic import BaseModel

from api.app import create_app
from api.live import Live
from api.paging import Cursors
from api.services import Services
from core.ports.accounts import Principal
from core.ports.clock import Clock
from core.ports.store import JobFilter
from core.usecases.bulk import Bulk
from core.usecases.explain import Explain
from core.usecases.manage_channels import ManageChannels
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from core.usecases.turn_switches import TurnSwitches
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.http.guard import AddressPolicy, check_url
from rubato.adapters.http.message import check_headers
from rubato.adapters.ids import SystemIds
from rubato.adapters.memory.channels import MemoryChannels
from rubato.adapters.memory.definitions import MemoryDefinitions
from rubato.adapters.memory.feed import MemoryFeed
from rubato.adapters.memory.flags import MemoryFlags
from rubato.adapters.memory.glances import MemoryGlances
from rubato.adapters.memory.insights import MemoryInsights
from rubato.adapters.memory.replies import MemoryReplies
from rubato.adapters.memory.store import MemoryStore
from rubato.adapters.memory.usage import MemoryUsage
from rubato.adapters.targets.registry import Registry
from rubato.adapters.targets.runner import LocalTargets
from rubato.adapters.targets.shipped import log_message
from rubato.adapters.telemetry import Telemetry
from rubato.adapters.vault import Vault, new_encryption_key
from rubato.targets import Context, target
from tests.unit.fakes import FakeDispatcher, FakeQuota, FakeSigning, ScriptedPlanner
from tests.unit.identities import no_identity

KEYS = {
    "cron_a": Principal("ten_a", "usr_a", "admin", "key_a"),
    "cron_b": Principal("ten_b", "usr_b", "admin", "key_b"),
    "cron_member": Principal("ten_a", "usr_m", "member", "key_m"),
}
JOB = {"name": "Test Job", "url": "https://example.com", "baselineIntervalMs": 60000}


class Report(BaseModel):
    """The payload of a target."""

    region: str
    days: int = 1


@target("reports.daily", payload=Report)
def daily(report: Report, context: Context) -> dict[str, object]:
    """Write the day's report."""
    if report.region == "nowhere":
        raise ValueError("there is no such region")
    return {"region": report.region, "attempt": context.attempt}


TARGETS = Registry([log_message, daily])


class FixedAccounts:
    """Two tenants with a key each."""

    async def authenticate(self, api_key: str) -> Principal | None:
        return KEYS.get(api_key)

    async def bootstrap(self, api_key: str, *, tenant: str, user: str) -> Principal:
        return KEYS[api_key]


@dataclass
class Face:
    """An API and what stands behind it."""

    client: httpx2.AsyncClient
    store: MemoryStore
    worker: RunDue
    plans: PlanDue
    planner: ScriptedPlanner
    dispatcher: FakeDispatcher

    async def call(
        self, method: str, path: str, json: Any = None, *, key: str | None = "cron_a", **options: Any
    ) -> httpx2.Response:
        headers = {**({"x-api-key": key} if key else {}), **options.pop("headers", {})}
        body = {"json": json} if json is not None else {}
        return await self.client.request(method, path, headers=headers, **body, **options)

    async def job(self, **fields: Any) -> dict[str, Any]:
        """Register a job that starts at once."""
        answer = await self.call("POST", "/api/v1/jobs", {**JOB, "splay": False, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def run_due(self) -> None:
        """Run what is due to its end."""
        await self.worker.run_once()
        await self.worker.drain(5)

    async def count_jobs(self) -> int:
        return len((await self.store.jobs("ten_a", JobFilter(), limit=1000)).items)


@asynccontextmanager
async def face(*, client_host: str = "127.0.0.1", clock: Clock | None = None, **options: Any) -> AsyncIterator[Face]:
    """Build an API over fresh things. `clock`: the store's too."""
    clock, ids, cron = clock or SystemClock(), SystemIds(), CroniterCron()
    store = MemoryStore(clock, ids)
    for tenant in ("ten_a", "ten_b"):
        store.add_tenant(tenant)
    telemetry, planner, dispatcher = Telemetry(clock), ScriptedPlanner(), FakeDispatcher()
    plans = PlanDue(store, planner, FakeQuota(), cron, clock, ids, telemetry)
    worker = RunDue(
        store,
        dispatcher,
        cron,
        clock,
        ids,
        telemetry,
        worker_id="w1",
        targets=LocalTargets(TARGETS, clock),
    )
    made = {
        "jobs": ManageJobs(store, cron, ids),
        "hints": ManageHints(store, cron, ids),
        "rules": ManageRules(store, cron, ids),
        "bulk": Bulk(store, cron),
        "explain": Explain(store, cron),
        "channels": ManageChannels(
            store, MemoryChannels(store), ids, partial(check_url, policy=AddressPolicy()), has_mail=False
        ),
        "store": store,
        "quota": FakeQuota(),
        "flags": (flags := MemoryFlags(store)),
        "switches": TurnSwitches(store, flags, cron),
        "accounts": FixedAccounts(),
        "identity": no_identity(),
        "clock": clock,
        "definitions": MemoryDefinitions(store),
        "targets": TARGETS,
        "planner": plans,
        "check_url": partial(check_url, policy=AddressPolicy()),
        "check_headers": check_headers,
        "seal": Vault([new_encryption_key()]).seal,
        "metrics": telemetry.exposition(store.backlog),
        "observe": telemetry.observe_http,
        "replies": MemoryReplies(clock, ids),
        "usage": MemoryUsage(store),
        "insights": MemoryInsights(store),
        "glances": MemoryGlances(store),
        "live": Live(MemoryFeed(store), every_s=0.02, longest_s=0.1),
        "signing": FakeSigning(),
        "cursors": Cursors(b"c" * 32),
    }
    app = create_app(Services(**{**made, **options}))  # type: ignore[arg-type]  # fields by name
    transport = httpx2.ASGITransport(app=app, client=(client_host, 5000), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
        yield Face(client, store, worker, plans, planner, dispatcher)
