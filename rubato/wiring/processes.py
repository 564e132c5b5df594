"""Composition roots: what each process is made of, from its start to its signal."""

import asyncio
import gc
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from api.app import create_app
from core.errors import ConfigurationError, Unavailable
from core.ports.accounts import Principal
from core.ports.targets import SYSTEM_TENANT
from core.usecases.manage_jobs import ManageJobs
from rubato.adapters.clock import SystemClock
from rubato.adapters.postgres import access
from rubato.adapters.postgres.keys import new_key
from rubato.adapters.postgres.migrate import migrate, require_schema
from rubato.demo.jobs import register_demo
from rubato.demo.target import DemoTarget
from rubato.maintenance import register_system_jobs
from rubato.serving import bind, port_of, serving, worker_socket
from rubato.settings import Settings
from rubato.wiring.back import worker
from rubato.wiring.front import front_of, services_of
from rubato.wiring.planning import close, describe, planner_of
from rubato.wiring.secrets import kept_secret, pepper_of, require_keys
from rubato.wiring.shared import Core, core, database_url, figures
from worker.status import StatusApp
from worker.supervisor import Signals, Supervisor, signals

log = structlog.get_logger("rubato")


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


async def run_api(settings: Settings) -> None:
    """Serve the API until a signal."""
    pepper = pepper_of(settings)
    require_keys(settings)
    origin = settings.public_url or f"http://{settings.host}:{settings.port}"
    async with (
        core(settings, database_url(settings), application="rubato api") as shared,
        front_of(shared, pepper, origin) as front,
        signals() as taken,
    ):
        await require_schema(shared.login, access.TENANT, access.IDENTITY)
        if settings.bootstrap_api_key is not None:
            key = settings.bootstrap_api_key.get_secret_value()
            await front.accounts.bootstrap(key, tenant="default", user="bootstrap")
        if settings.operator_api_key is not None:
            key = settings.operator_api_key.get_secret_value()
            await front.accounts.bootstrap(key, tenant=SYSTEM_TENANT, user="operator", tenant_id=SYSTEM_TENANT)
        planner = planner_of(settings)
        services = services_of(shared, front, planner, local_owner=None)
        app = create_app(services)
        try:
            async with serving(app, bind(settings.host, settings.port, "PORT")):
                log.info("API is up", url=origin)
                await taken.stop.wait()
                services.live.close()
        finally:
            await close(planner)


def _collect_garbage_seldom() -> None:
    """Leave what is loaded by now out of collections, and make them rarer: the run loop makes no cycles, and looking
    for them after every 700 new objects took a fifth of a busy worker's time (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def run_worker(settings: Settings, *, only: str | None) -> None:
    """Run what is due, and plan, until a signal; `only`: `run` or `plan`."""
    _collect_garbage_seldom()
    require_keys(settings)
    async with core(settings, database_url(settings), application="rubato worker") as shared:
        await require_schema(shared.login, access.ENGINE)
        async with worker(shared, only=only) as supervisor, signals() as taken:
            await _work(shared, supervisor, taken, only=only)


async def _work(shared: Core, supervisor: Supervisor, taken: Signals, *, only: str | None) -> None:
    settings = shared.settings

    async def is_ready() -> bool:
        try:
            await shared.store.now()
        except Unavailable:
            return False
        return supervisor.is_ready

    app = StatusApp(
        is_ready,
        shared.telemetry.exposition(partial(figures, shared.duties, shared.store)),
        metrics_public=settings.metrics_public,
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
        front = await stack.enter_async_context(front_of(shared, pepper, origin))
        key = (
            settings.bootstrap_api_key.get_secret_value()
            if settings.bootstrap_api_key is not None
            else kept_secret(data / "api_key", lambda: new_key(settings.api_key_prefix))
        )
        owner = await front.accounts.bootstrap(key, tenant="demo", user="developer")
        supervisor = await stack.enter_async_context(worker(shared, only=None))
        planner = planner_of(settings)
        stack.push_async_callback(close, planner)
        developer = Principal(owner.tenant_id, owner.user_id, owner.role)
        services = services_of(shared, front, planner, local_owner=developer)
        taken = await stack.enter_async_context(signals())
        await stack.enter_async_context(serving(create_app(services), bound))
        if options.demo:
            base_url = await _demo_target(stack, shared, data)
            jobs = ManageJobs(shared.store, shared.cron, shared.ids)
            await register_demo(jobs, shared.store, owner.tenant_id, base_url)
        await supervisor.start()
        announce(f"http://127.0.0.1:{options.port}/", key, describe(planner))
        await taken.stop.wait()
        services.live.close()
        await _stop_quickly(supervisor, taken)


async def run_demo_target(port: int) -> None:
    """Serve the demo's target until a signal; its day begins now."""
    clock = SystemClock()
    async with signals() as taken, serving(DemoTarget(clock, clock.now()), bind("127.0.0.1", port, "--port")):
        log.info("the demo target is up", url=f"http://127.0.0.1:{port}/queue")
        await taken.stop.wait()


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
