"""What `rubato worker` is made of, from its start to its signal."""

import gc
from functools import partial

import structlog

from core.errors import Unavailable
from rubato.adapters.postgres import access
from rubato.adapters.postgres.migrate import require_schema
from rubato.serving import port_of, serving, worker_socket
from rubato.settings import Settings
from rubato.wiring.back import worker
from rubato.wiring.secrets import require_keys
from rubato.wiring.shared import Core, core, database_url, figures
from worker.status import StatusApp
from worker.supervisor import Signals, Supervisor, signals

log = structlog.get_logger("rubato")


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


def _collect_garbage_seldom() -> None:
    """Leave what is loaded by now out of collections, and make them rarer: the run loop makes no cycles, and looking
    for them after every 700 new objects took a fifth of a busy worker's time (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
