"""Composition roots: what each process is made of. Only the command line imports this."""

import asyncio
import contextlib
import gc
import hmac
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from api.app import create_app
from api.paging import Cursors
from api.services import Identity, Services
from core.errors import ConfigurationError, Unavailable
from core.ports.planner import Planner
from core.ports.targets import SYSTEM_TENANT
from core.quota import Price
from core.usecases.bulk import Bulk
from core.usecases.explain import Explain
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.plan_due import PlanDue
from core.usecases.reap import ReapStale
from core.usecases.run_due import RunDue
from core.usecases.switch_planner import SwitchPlanner
from planner.llm import LlmPlanner, OfflinePlanner
from planner.models import openai_model
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.github import GitHub
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy, check_url
from rubato.adapters.http.isolated import IsolatedDispatcher
from rubato.adapters.http.message import check_headers
from rubato.adapters.http.signing import SigningDispatcher
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres import access
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.audit import PostgresAudit
from rubato.adapters.postgres.definitions import PostgresDefinitions
from rubato.adapters.postgres.embedded import EmbeddedPostgres
from rubato.adapters.postgres.engine import CALL_S, IDLE_IN_TRANSACTION_S, Engine, connect, wait_until_ready
from rubato.adapters.postgres.flags import PostgresFlags
from rubato.adapters.postgres.keys import PostgresKeys, new_key
from rubato.adapters.postgres.members import PostgresMembers
from rubato.adapters.postgres.migrate import ensure_partitions, migrate, require_schema
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.rates import PostgresRates
from rubato.adapters.postgres.replies import PostgresReplies
from rubato.adapters.postgres.sign_ins import PostgresSignIns
from rubato.adapters.postgres.signing import PostgresSigningSecrets
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.postgres.tenant_data import (
    PostgresTenantData,
    remove_deleted_tenants,
    remove_old_audit_entries,
)
from rubato.adapters.postgres.usage import PostgresUsage, hold_to_runs_per_day
from rubato.adapters.postgres.wake import WakeListener
from rubato.adapters.targets.discovery import discover
from rubato.adapters.targets.isolated import IsolatedTargets
from rubato.adapters.targets.registry import Registry
from rubato.adapters.targets.runner import LocalTargets
from rubato.adapters.telemetry import Telemetry
from rubato.adapters.vault import Vault, new_encryption_key
from rubato.demo.jobs import register_demo
from rubato.demo.target import DemoTarget
from rubato.maintenance import register_system_jobs, system_targets
from rubato.serving import bind, port_of, serving, worker_socket
from rubato.settings import Settings
from worker.loops import (
    allowance_service,
    lease_service,
    maintenance_service,
    plan_service,
    reap_service,
    renew_service,
    run_service,
)
from worker.service import Service
from worker.status import StatusApp
from worker.supervisor import Signals, Supervisor, signals

CLAIM_AHEAD = timedelta(milliseconds=500)
IDLES_A_LEASE = 5  # a stopped process lets go of its locks while the others can still renew their leases
WHOLES_A_LEASE = 4  # nor does any other transaction keep them for longer
ADMISSION_RAMP = timedelta(seconds=1)
log = structlog.get_logger("rubato")


@dataclass(frozen=True, slots=True)
class Core:
    """What every process shares."""

    settings: Settings
    url: str
    login: Engine  # of whoever logs in: migrations, and a look whether this process may start
    engine: Engine  # of the worker's role
    open: Callable[..., Engine]  # another one, with the same limits
    store: PostgresStore
    quota: PostgresQuota
    flags: PostgresFlags
    cron: CroniterCron
    clock: SystemClock
    ids: SystemIds
    telemetry: Telemetry
    policy: AddressPolicy
    vault: Callable[[], Vault]

    def seal(self, plain: str) -> str:
        """Encrypt a job's secret."""
        return self.vault().seal(plain)

    def unseal(self, sealed: str) -> str:
        """Decrypt one. Raises SecretLostError."""
        return self.vault().open(sealed)


@asynccontextmanager
async def core(settings: Settings, url: str, *, application: str) -> AsyncIterator[Core]:
    """Connect, waiting for the database as long as the settings say."""
    policy, vault = AddressPolicy(settings.egress_allow), cache(partial(vault_of, settings))
    lease_s = settings.lock_ttl_ms / 1000
    idle_s, whole_s = min(IDLE_IN_TRANSACTION_S, lease_s / IDLES_A_LEASE), min(CALL_S, lease_s / WHOLES_A_LEASE)
    limited = partial(connect, url, idle_s=idle_s, whole_s=whole_s)
    login = limited(application=application)
    engine = limited(application=application, role=access.ENGINE)
    loop_engine = limited(application=f"{application} loop", pool_size=4, keyed=True, role=access.ENGINE)
    renewal_engine = limited(application=f"{application} renewals", pool_size=1, keyed=True, role=access.ENGINE)
    engines = (login, engine, loop_engine, renewal_engine)  # none of them opens a connection before it needs one
    try:
        await wait_until_ready(login, url, timeout_s=settings.database_wait_ms / 1000)
        ids, clock = SystemIds(), SystemClock()
        minimum = timedelta(milliseconds=settings.min_interval_ms)
        yield Core(
            settings=settings,
            url=url,
            login=login,
            engine=engine,
            open=limited,
            store=PostgresStore(
                engine,
                ids,
                operator_minimum=minimum,
                loop_engine=loop_engine,
                renewal_engine=renewal_engine,
                clock=clock,
            ),
            quota=PostgresQuota(engine, ids),
            flags=PostgresFlags(engine),
            cron=CroniterCron(),
            clock=clock,
            ids=ids,
            telemetry=Telemetry(clock),
            policy=policy,
            vault=vault,
        )
    finally:
        for each in engines:
            await each.dispose()


def report_errors(settings: Settings, process: str) -> None:
    """Report this process's errors, if the settings say where to. Raises ConfigurationError."""
    if settings.sentry_dsn is not None:
        from rubato.adapters import sentry  # it takes a tenth of a second to import, and most do without

        sentry.report_errors(settings.sentry_dsn.get_secret_value(), environment=settings.environment, process=process)


async def run_migrations(settings: Settings) -> None:
    """Bring the schema up to date and end."""
    async with core(settings, database_url(settings), application="rubato migrate") as shared:
        await migrate(shared.login)
        await register_system_jobs(ManageJobs(shared.store, shared.cron, shared.ids), shared.store)
        log.info("The schema is up to date.")


@asynccontextmanager
async def reached(settings: Settings, role: str | None) -> AsyncIterator[Engine]:
    """Connect for one errand, as whoever logs in or in a role, waiting for the database."""
    url = database_url(settings)
    engine = connect(url, application="rubato", role=role, pool_size=1)
    try:
        await wait_until_ready(engine, url, timeout_s=settings.database_wait_ms / 1000)
        yield engine
    finally:
        await engine.dispose()


async def run_api(settings: Settings) -> None:
    """Serve the API until a signal."""
    pepper = pepper_of(settings)
    _require_keys(settings)
    origin = settings.public_url or f"http://{settings.host}:{settings.port}"
    async with (
        core(settings, database_url(settings), application="rubato api") as shared,
        _front(shared, pepper, origin) as front,
        signals() as taken,
    ):
        await require_schema(shared.login, access.TENANT, access.IDENTITY)
        if settings.bootstrap_api_key is not None:
            key = settings.bootstrap_api_key.get_secret_value()
            await front.accounts.bootstrap(key, tenant="default", user="bootstrap")
        if settings.operator_api_key is not None:
            key = settings.operator_api_key.get_secret_value()
            await front.accounts.bootstrap(key, tenant=SYSTEM_TENANT, user="operator", tenant_id=SYSTEM_TENANT)
        planner = _planner(settings)
        app = create_app(_services(shared, front, planner, anonymous_tenant=None))
        try:
            async with serving(app, bind(settings.host, settings.port, "PORT")):
                log.info("API is up", url=origin)
                await taken.stop.wait()
        finally:
            await _close(planner)


def _collect_garbage_seldom() -> None:
    """Leave what is loaded by now out of collections, and make them rarer: the run loop makes no cycles, and looking
    for them after every 700 new objects took a fifth of a busy worker's time (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def run_worker(settings: Settings, *, only: str | None) -> None:
    """Run what is due, and plan, until a signal; `only`: `run` or `plan`."""
    _collect_garbage_seldom()
    _require_keys(settings)
    async with (
        core(settings, database_url(settings), application="rubato worker") as shared,
        _worker(shared, only=only) as supervisor,
        signals() as taken,
    ):
        await require_schema(shared.login, access.ENGINE)

        async def is_ready() -> bool:
            try:
                await shared.store.now()
            except Unavailable:
                return False
            return supervisor.is_ready

        app = StatusApp(
            is_ready, shared.telemetry.exposition(shared.store.backlog), metrics_public=settings.metrics_public
        )
        bound = worker_socket(settings)
        async with serving(app, bound):
            await supervisor.start()
            url = f"http://{settings.host}:{port_of(bound)}/readyz"
            log.info("worker is up", only=only or "run and plan", status=url)
            await taken.stop.wait()
            await supervisor.stop(taken.force)


@dataclass(frozen=True, slots=True)
class DevOptions:
    """How `rubato dev` is started."""

    port: int
    demo: bool = True


async def run_dev(settings: Settings, url: str, options: DevOptions, announce: Callable[[str, str, str], None]) -> None:
    """Everything in one process: API, page, worker, demo target. `announce(link, key, planner)` is called when it is
    up. Raises ConfigurationError outside development, where its page would show a tenant to whoever asks."""
    if settings.environment != "development":
        raise ConfigurationError(
            f"RUBATO_ENV is {settings.environment}, and `rubato dev` is for development. "
            "Run `rubato migrate`, `rubato api` and `rubato worker`, or leave RUBATO_ENV out."
        )
    settings = settings.model_copy(update={"egress_allow": [*settings.egress_allow, "loopback"]})
    data = settings.data_dir
    bound = bind("127.0.0.1", options.port, "PORT")
    async with AsyncExitStack() as stack:
        stack.callback(bound.close)
        shared = await stack.enter_async_context(core(settings, url, application="rubato dev"))
        await migrate(shared.login)
        await register_system_jobs(ManageJobs(shared.store, shared.cron, shared.ids), shared.store)
        pepper = kept_secret(data / "secret", lambda: secrets.token_hex(32)).encode()
        origin = settings.public_url or f"http://127.0.0.1:{options.port}"
        front = await stack.enter_async_context(_front(shared, pepper, origin))
        key = (
            settings.bootstrap_api_key.get_secret_value()
            if settings.bootstrap_api_key is not None
            else kept_secret(data / "api_key", lambda: new_key(settings.api_key_prefix))
        )
        owner = await front.accounts.bootstrap(key, tenant="demo", user="developer")
        supervisor = await stack.enter_async_context(_worker(shared, only=None))
        planner = _planner(settings)
        stack.push_async_callback(_close, planner)
        services = _services(shared, front, planner, anonymous_tenant=owner.tenant_id)
        taken = await stack.enter_async_context(signals())
        await stack.enter_async_context(serving(create_app(services), bound))
        if options.demo:
            base_url = await _demo_target(stack, shared, data)
            jobs = ManageJobs(shared.store, shared.cron, shared.ids)
            await register_demo(jobs, shared.store, owner.tenant_id, base_url)
        await supervisor.start()
        announce(f"http://127.0.0.1:{options.port}/", key, _describe(planner))
        await taken.stop.wait()
        await _stop_quickly(supervisor, taken)


async def run_demo_target(port: int) -> None:
    """Serve the demo's target until a signal; its day begins now."""
    clock = SystemClock()
    async with signals() as taken, serving(DemoTarget(clock, clock.now()), bind("127.0.0.1", port, "--port")):
        log.info("the demo target is up", url=f"http://127.0.0.1:{port}/queue")
        await taken.stop.wait()


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the address of the database: DATABASE_URL if it is set, else a server of our own in the data folder."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    settings.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    try:
        yield server.start()
    finally:
        server.stop()


def database_url(settings: Settings) -> str:
    """Return DATABASE_URL. Raises ConfigurationError when it is not set."""
    if settings.database_url is None:
        raise ConfigurationError(
            "DATABASE_URL is not set. Give the address of a PostgreSQL 15 or newer, such as "
            "postgresql://user:password@host:5432/database; only `rubato dev` brings its own server."
        )
    return settings.database_url.get_secret_value()


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret kept in a file, made at the first call, readable by its owner only.

    The file appears whole or not at all: a process killed while it writes must not leave an empty secret behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(make())
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # another process was first; its secret is the one
        os.link(draft, path)
    draft.unlink()
    return path.read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True)
class Front:
    """What stands before the API: credentials under one role, one tenant's rows under another."""

    store: PostgresStore
    definitions: PostgresDefinitions
    quota: PostgresQuota
    flags: PostgresFlags
    accounts: PostgresAccounts
    identity: Identity
    replies: PostgresReplies
    usage: PostgresUsage
    signing: PostgresSigningSecrets
    rates: PostgresRates
    cursors: Cursors


@asynccontextmanager
async def _front(shared: Core, pepper: bytes, origin: str) -> AsyncIterator[Front]:
    """Build it; nothing is opened before it is needed."""
    settings, ids = shared.settings, shared.ids
    tenant = shared.open(application="rubato api", role=access.TENANT)
    credentials = shared.open(application="rubato api sign-in", pool_size=5, role=access.IDENTITY)
    minimum = timedelta(milliseconds=settings.min_interval_ms)
    store = PostgresStore(tenant, ids, operator_minimum=minimum, clock=shared.clock)
    try:
        yield Front(
            store=store,
            definitions=PostgresDefinitions(tenant, store),
            quota=PostgresQuota(tenant, ids),
            flags=PostgresFlags(tenant),
            accounts=PostgresAccounts(credentials, ids, pepper=pepper),
            identity=Identity(
                keys=PostgresKeys(tenant, ids, pepper=pepper, prefix=settings.api_key_prefix),
                sign_ins=PostgresSignIns(credentials, ids, pepper=pepper),
                members=PostgresMembers(tenant, ids, pepper=pepper),
                audit=PostgresAudit(tenant, ids),
                tenant=PostgresTenantData(tenant),
                act_for=access.act_for,
                origin=origin.rstrip("/"),
                provider=_provider(settings, origin.rstrip("/")),
            ),
            replies=PostgresReplies(tenant, ids),
            usage=PostgresUsage(tenant),
            signing=_signing(shared, tenant),
            rates=PostgresRates(tenant, shared.clock),
            cursors=Cursors(hmac.digest(pepper, b"rubato cursors", "sha256")),
        )
    finally:
        await tenant.dispose()
        await credentials.dispose()


def _provider(settings: Settings, origin: str) -> GitHub | None:
    """Return how people sign in. Raises ConfigurationError where it could not be safe, or would let nobody in."""
    if settings.github_client_id is None or settings.github_client_secret is None:
        return None
    parts = urlsplit(origin)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigurationError(
            f"Sign-in needs HTTPS, and browsers reach this API at {origin}. Set RUBATO_PUBLIC_URL to its https address."
        )
    return GitHub(
        settings.github_client_id,
        settings.github_client_secret.get_secret_value(),
        callback=f"{origin}/api/auth/callback/github",
        url=settings.github_url,
        allow=settings.github_allow,
    )


def _services(shared: Core, front: Front, planner: Planner | None, *, anonymous_tenant: str | None) -> Services:
    settings, store = shared.settings, front.store
    return Services(
        jobs=ManageJobs(store, shared.cron, shared.ids),
        hints=ManageHints(store, shared.cron, shared.ids),
        rules=ManageRules(store, shared.cron, shared.ids),
        bulk=Bulk(store, shared.cron),
        explain=Explain(store, shared.cron),
        store=store,
        quota=front.quota,
        flags=front.flags,
        switches=SwitchPlanner(store, front.flags, shared.cron),
        accounts=front.accounts,
        identity=front.identity,
        clock=shared.clock,
        definitions=front.definitions,
        targets=_targets(shared),
        planner=_plan_due(shared, planner, store, front.quota) if planner is not None else None,
        check_url=lambda url: check_url(url, shared.policy),
        check_headers=check_headers,
        seal=shared.seal,
        metrics=shared.telemetry.exposition(store.backlog),
        observe=shared.telemetry.observe_http,
        replies=front.replies,
        usage=front.usage,
        signing=front.signing,
        cursors=front.cursors,
        rates=front.rates,
        metrics_public=settings.metrics_public,
        cors_origins=tuple(settings.cors_origins),
        anonymous_tenant=anonymous_tenant,
    )


def _signing(shared: Core, engine: Engine) -> PostgresSigningSecrets:
    return PostgresSigningSecrets(engine, shared.ids, shared.clock, seal=shared.seal, opener=shared.unseal)


def _targets(shared: Core) -> Registry:
    """Return every target there is: ours, those of installed packages, and those that the settings name."""
    lease = timedelta(milliseconds=shared.settings.lock_ttl_ms)
    own = system_targets(shared.url, cron=shared.cron, ids=shared.ids, events=shared.telemetry, lease=lease)
    return discover(shared.settings.targets, own)


@asynccontextmanager
async def _worker(shared: Core, *, only: str | None) -> AsyncIterator[Supervisor]:
    """Build a worker's services; they are stopped with the block at the latest."""
    settings = shared.settings
    poll, lease = timedelta(milliseconds=settings.poll_interval_ms), timedelta(milliseconds=settings.lock_ttl_ms)
    targets = LocalTargets(_targets(shared), shared.clock)
    signing_secrets = _signing(shared, shared.engine)
    dispatcher = SigningDispatcher(HttpDispatcher(shared.policy, opener=shared.unseal), signing_secrets, shared.clock)
    isolated = SigningDispatcher(IsolatedDispatcher(shared.policy, opener=shared.unseal), signing_secrets, shared.clock)
    services: list[Service] = []
    runs: RunDue | None = None
    planner = _planner(settings) if only != "run" else None
    async with WakeListener(shared.url) as listener:
        plans: Service | None = None
        if planner is not None:
            plans = plan_service(_plan_due(shared, planner, shared.store, shared.quota), shared.telemetry, poll=poll)
            services.append(plans)
        if only != "plan":
            runs = RunDue(
                shared.store,
                dispatcher,
                shared.cron,
                shared.clock,
                shared.ids,
                shared.telemetry,
                worker_id=_worker_id(shared),
                batch_size=settings.batch_size,
                host_limit=settings.host_in_flight,
                ahead=CLAIM_AHEAD,
                ramp=ADMISSION_RAMP,
                lease=lease,
                misfire_grace=timedelta(milliseconds=settings.misfire_grace_ms),
                isolated=isolated,
                targets=targets,
                isolated_targets=IsolatedTargets(settings.targets, targets),
            )
            reap = ReapStale(shared.store, shared.cron, shared.ids, shared.telemetry, lease)
            with contextlib.suppress(Unavailable):  # its service tries again
                await reap.run_once()  # what is stale first, then what is pending and what is due
            runner = run_service(runs, shared.clock, shared.telemetry, poll=poll)
            listener.subscribe(runner.wake)
            services.append(runner)
            services.append(renew_service(runs, shared.telemetry))
            services.append(lease_service(runs, shared.telemetry))
            services.append(maintenance_service(partial(_maintain, shared), shared.telemetry))
            services.append(reap_service(reap.run_once, shared.telemetry))
            services.append(allowance_service(partial(hold_to_runs_per_day, shared.engine), shared.telemetry))
            if plans is not None:
                runs.on_passed = plans.wake  # within one process it need not wait for the plan loop's next look
        supervisor = Supervisor(services, runs)
        try:
            yield supervisor
        finally:
            await supervisor.stop()
            await targets.close()
            await dispatcher.close()
            await _close(planner)


async def _maintain(shared: Core) -> None:
    """Make the coming days' partitions, charge what planners that died had reserved, forget jobs' closed hours, and
    remove what deleted tenants and old entries of the audit left."""
    await ensure_partitions(shared.engine)
    await shared.quota.charge_lost()
    await shared.quota.forget_closed()
    await remove_deleted_tenants(shared.engine)
    await remove_old_audit_entries(shared.engine)


def _plan_due(shared: Core, planner: Planner, store: PostgresStore, quota: PostgresQuota) -> PlanDue:
    if isinstance(planner, LlmPlanner):
        shared.telemetry.watch_breakers(planner.open_breakers)
    return PlanDue(
        store,
        planner,
        quota,
        shared.cron,
        shared.clock,
        shared.ids,
        shared.telemetry,
        prices={name: Price(*price) for name, price in shared.settings.prices.items()},
    )


def _planner(settings: Settings) -> Planner | None:
    """Return the planner that the settings ask for; None: planning is off."""
    has_model = settings.openai_api_key is not None
    if settings.planner == "off":
        return None
    if settings.planner == "offline" or (settings.planner == "auto" and not has_model):
        return OfflinePlanner()
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    return LlmPlanner(openai_model(settings.model, api_key=key, base_url=settings.openai_base_url))


def _describe(planner: Planner | None) -> str:
    if planner is None:
        return "planning is off"
    return f"planning with {planner.model.model_name}" if isinstance(planner, LlmPlanner) else "planning offline"


async def _close(planner: Planner | None) -> None:
    if isinstance(planner, LlmPlanner):
        await planner.close()


async def _stop_quickly(supervisor: Supervisor, taken: Signals) -> None:
    """A developer's Ctrl-C: runs in flight get a moment, not the whole drain."""
    asyncio.get_running_loop().call_later(3, taken.force.set)
    await supervisor.stop(taken.force)


async def _demo_target(stack: AsyncExitStack, shared: Core, data: Path) -> str:
    """Serve the demo target, on the port it had before if that is free; its day began at its first start."""
    kept = data / "demo"
    port, _, origin = kept.read_text(encoding="ascii").partition(" ") if kept.is_file() else ("0", "", "")
    try:
        bound = bind("127.0.0.1", int(port), "PORT")
    except Unavailable:
        bound = bind("127.0.0.1", 0, "PORT")
    origin = kept_secret(kept, lambda: f"{port_of(bound)} {shared.clock.now().isoformat()}").partition(" ")[2]
    await stack.enter_async_context(serving(DemoTarget(shared.clock, datetime.fromisoformat(origin)), bound))
    return f"http://127.0.0.1:{port_of(bound)}"


def _worker_id(shared: Core) -> str:
    """Return an id of this boot: a restarted worker is another worker."""
    return f"wrk_{socket.gethostname()[:40]}_{os.getpid()}_{shared.ids.entropy()[:8]}"


def _require_keys(settings: Settings) -> None:
    """Refuse a start that could not seal or open secrets; development makes its key when a secret first needs one."""
    if settings.environment != "development":
        vault_of(settings)


def encryption_key() -> str:
    """Return a fresh key for RUBATO_ENCRYPTION_KEYS."""
    return new_encryption_key()


def vault_of(settings: Settings) -> Vault:
    """Return what seals and opens jobs' secrets. Development makes a key of its own, beside its other secrets."""
    if settings.encryption_keys is not None:
        keys = settings.encryption_keys.get_secret_value().split(",")
        return Vault([key.strip() for key in keys if key.strip()])
    if settings.environment != "development":
        raise ConfigurationError(
            f"RUBATO_ENCRYPTION_KEYS is not set, and RUBATO_ENV is {settings.environment}: API and worker need it for "
            "jobs' secrets. Make a key with: rubato admin new-encryption-key"
        )
    return Vault([kept_secret(settings.data_dir / "encryption_key", new_encryption_key)])


def pepper_of(settings: Settings) -> bytes:
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    if settings.environment != "development":
        raise ConfigurationError(
            f"RUBATO_SECRET is not set, and RUBATO_ENV is {settings.environment}. "
            "Set 32 characters or more; make them with: openssl rand -hex 32"
        )
    return kept_secret(settings.data_dir / "secret", lambda: secrets.token_hex(32)).encode()
