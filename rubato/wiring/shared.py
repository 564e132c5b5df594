"""What every process shares: connections in their roles, clock, ids, telemetry, traces."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING

from core.errors import ConfigurationError, RubatoError
from core.ports.store import Backlog
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.http.guard import AddressPolicy
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres import access
from rubato.adapters.postgres.duties import Duties
from rubato.adapters.postgres.embedded import EmbeddedPostgres
from rubato.adapters.postgres.engine import CALL_S, IDLE_IN_TRANSACTION_S, Engine, close, connect, wait_until_ready
from rubato.adapters.postgres.flags import PostgresFlags
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.signing import PostgresSigningSecrets
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.targets.discovery import discover
from rubato.adapters.targets.registry import Registry
from rubato.adapters.telemetry import Telemetry
from rubato.adapters.vault import Vault
from rubato.maintenance import system_targets
from rubato.settings import Settings

if TYPE_CHECKING:
    from rubato.adapters.tracing.setup import Tracing
from rubato.wiring.secrets import vault_of

IDLES_A_LEASE = 5  # a stopped process lets go of its locks while the others can still renew their leases
WHOLES_A_LEASE = 4  # nor does any other transaction keep them for longer
SHOWS_GAUGES = timedelta(seconds=90)  # after a scrape; the next one comes within a minute


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
    duties: Duties
    process: str
    tracing: "Tracing | None"
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
        process = process_id(ids)
        duties = Duties(engine, process)
        tracing = _tracing(settings, clock, role=application.removeprefix("rubato "), process=process)
        make_store: Callable[..., PostgresStore] = PostgresStore
        if tracing is not None:
            from rubato.adapters.tracing.store import TracedStore

            make_store = partial(TracedStore, traces=tracing.runs)
        yield Core(
            settings=settings,
            url=url,
            login=login,
            engine=engine,
            open=limited,
            store=make_store(
                engine,
                ids,
                operator_minimum=timedelta(milliseconds=settings.min_interval_ms),
                loop_engine=loop_engine,
                renewal_engine=renewal_engine,
                clock=clock,
            ),
            quota=PostgresQuota(engine, ids),
            flags=PostgresFlags(engine),
            cron=CroniterCron(),
            clock=clock,
            ids=ids,
            telemetry=Telemetry(clock, tracing.trace_of if tracing is not None else None),
            policy=policy,
            duties=duties,
            process=process,
            tracing=tracing,
            vault=vault,
        )
        await dropped(duties)
        if tracing is not None:
            await asyncio.to_thread(tracing.close)
    finally:
        await close(*engines)


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


async def dropped(duties: Duties) -> None:
    """Leave a process's duties to the others, if the database is there to be told."""
    with contextlib.suppress(RubatoError):
        await duties.drop()


async def figures(duties: Duties, store: PostgresStore) -> Backlog | None:
    """Return the installation's figures if it is this process that shows them."""
    return await store.backlog() if await duties.take("gauges", lasting=SHOWS_GAUGES) else None


def _tracing(settings: Settings, clock: SystemClock, *, role: str, process: str) -> "Tracing | None":
    """Return what traces this process; None, and nothing imported, unless a collector is set."""
    if settings.otlp_endpoint is None:
        return None
    from rubato.adapters.tracing.provider import otlp_processor
    from rubato.adapters.tracing.setup import tracing

    processor = otlp_processor(settings.otlp_endpoint)
    return tracing(processor, clock, role=role, process=process, ratio=settings.trace_ratio)


def process_id(ids: SystemIds) -> str:
    """Return an id of this boot of this process."""
    return f"{socket.gethostname()[:40]}_{os.getpid()}_{ids.entropy()[:8]}"


def targets_of(shared: Core) -> Registry:
    """Return every target there is: ours, those of installed packages, and those that the settings name."""
    lease = timedelta(milliseconds=shared.settings.lock_ttl_ms)
    own = system_targets(shared.url, cron=shared.cron, ids=shared.ids, events=shared.telemetry, lease=lease)
    return discover(shared.settings.targets, own)


def signing_secrets(shared: Core, engine: Engine) -> PostgresSigningSecrets:
    """Return what outgoing requests are signed with, by an engine of any role."""
    return PostgresSigningSecrets(engine, shared.ids, shared.clock, seal=shared.seal, opener=shared.unseal)
