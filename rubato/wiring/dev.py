"""What `rubato dev` is made of: everything in one process."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from api.app import create_app
from core.errors import ConfigurationError, Unavailable
from core.ports.accounts import Principal
from core.usecases.manage_jobs import ManageJobs
from rubato.adapters.postgres.keys import new_key
from rubato.adapters.postgres.migrate import migrate
from rubato.demo.jobs import register_demo
from rubato.demo.target import DemoTarget
from rubato.maintenance import register_system_jobs
from rubato.serving import bind, port_of, serving
from rubato.settings import Settings
from rubato.wiring.back import worker
from rubato.wiring.front import front_of, services_of
from rubato.wiring.planning import close, describe, planner_of
from rubato.wiring.secrets import kept_secret
from rubato.wiring.shared import Core, core
from worker.supervisor import Signals, Supervisor, signals


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
        stack.callback(services.live.close)
        if options.demo:
            base_url = await _demo_target(stack, shared, data)
            jobs = ManageJobs(shared.store, shared.cron, shared.ids)
            await register_demo(jobs, shared.store, owner.tenant_id, base_url)
        await supervisor.start()
        announce(f"http://127.0.0.1:{options.port}/", key, describe(planner))
        await taken.stop.wait()
        await _stop_quickly(supervisor, taken)


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
