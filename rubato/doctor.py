"""Look an installation over and say what is wrong with it and what to do: one finding a thing that can be.

Changes nothing and starts nothing. What cannot be looked at, because what it stands on is broken or not configured, is
skipped, and says why.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx2

from core.errors import ConfigurationError, Unavailable
from core.ports.clock import Clock
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres import access
from rubato.adapters.postgres.engine import Engine, connect, wait_until_ready
from rubato.adapters.postgres.examination import has_partition_of_today
from rubato.adapters.postgres.migrate import require_schema
from rubato.adapters.postgres.store import PostgresStore
from rubato.client import AsyncClient, ClientError, Retries, Unauthenticated
from rubato.settings import Settings

PATIENCE_S = 5.0  # for anything that is asked over a network
LATE = timedelta(seconds=60)  # the oldest due run is this late: nobody works, or not enough do
SKEW = timedelta(seconds=2)  # between this host's clock and the database's


class Level(StrEnum):
    """How bad it is. A warning needs an eye, a fault a hand."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is set for warnings and faults."""

    about: str
    level: Level
    detail: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: the settings in force, where its API is, the key to it, and this host's clock."""

    settings: Settings
    url: str
    api_key: str | None
    clock: Clock


async def examine(patient: Patient) -> AsyncIterator[Finding]:
    """Yield a finding for each thing that can be wrong, in the order in which they stand on each other."""
    yield _settings(patient.settings)
    yield _data_folder(patient.settings)
    yield _zones()
    async for finding in _database(patient):
        yield finding
    async for finding in _service(patient):
        yield finding
    yield await _model(patient.settings)


def _settings(settings: Settings) -> Finding:
    """Outside development nothing makes secrets up."""
    needed = {
        "RUBATO_SECRET": (settings.secret, "openssl rand -hex 32"),
        "RUBATO_ENCRYPTION_KEYS": (settings.encryption_keys, "rubato admin new-encryption-key"),
    }
    missing = {name: how for name, (value, how) in needed.items() if value is None}
    if settings.environment != "development" and missing:
        remedy = "; ".join(f"set {name}, made with: {how}" for name, how in missing.items())
        detail = f"RUBATO_ENV is {settings.environment} without {' and '.join(missing)}"
        return Finding("settings", Level.FAULT, detail, remedy)
    return Finding("settings", Level.OK, f"valid for {settings.environment}")


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    standing = next(place for place in (folder, *folder.parents) if place.exists())
    if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
        detail = f"{settings.data_dir} cannot be written to"
        return Finding(
            "data folder", Level.FAULT, detail, "Make it writable, or set RUBATO_DATA_DIR to another folder."
        )
    return Finding("data folder", Level.OK, str(settings.data_dir))


def _zones() -> Finding:
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return Finding("time zones", Level.FAULT, "no time zone can be read", "Install the tzdata package.")
    return Finding("time zones", Level.OK, "readable")


async def _database(patient: Patient) -> AsyncIterator[Finding]:
    settings = patient.settings
    if settings.database_url is None:
        yield Finding("database", Level.SKIPPED, "DATABASE_URL is not set; `rubato dev` brings a server of its own")
        return
    url = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        login = connect(url, application="rubato doctor", pool_size=1)
        stack.push_async_callback(login.dispose)
        try:
            await wait_until_ready(login, url, timeout_s=PATIENCE_S)
        except (Unavailable, ConfigurationError) as error:
            remedy = "Start it, or set DATABASE_URL to a PostgreSQL 15 or newer that runs."
            yield Finding("database", Level.FAULT, str(error), remedy)
            return
        yield Finding("database", Level.OK, "answers")
        try:
            await require_schema(login)
        except ConfigurationError as error:
            yield Finding("tables", Level.FAULT, str(error), "Run: rubato migrate")
            return
        yield Finding("tables", Level.OK, "of this release, or newer")
        try:
            await require_schema(login, *access.ROLES)
        except ConfigurationError as error:
            yield Finding("roles", Level.FAULT, str(error), "Grant them, or run `rubato migrate` as the tables' owner.")
            return
        yield Finding("roles", Level.OK, "may be stepped into")
        engine = connect(url, application="rubato doctor", pool_size=1, role=access.ENGINE)
        stack.push_async_callback(engine.dispose)
        store = PostgresStore(engine, SystemIds())
        yield await _partitions(engine)
        yield await _clock(store, patient.clock)
        yield await _work(store)


async def _partitions(engine: Engine) -> Finding:
    if await has_partition_of_today(engine):
        return Finding("partitions", Level.OK, "made ahead")
    remedy = "Start a worker, which makes them, or run: rubato migrate"
    return Finding("partitions", Level.WARNING, "today's runs have no partition of their own", remedy)


async def _clock(store: PostgresStore, clock: Clock) -> Finding:
    """Due times are the database's; a host far off writes logs and signatures that nobody can place."""
    skew = clock.now() - await store.now()
    if abs(skew) > SKEW:
        detail = f"this host's clock is {skew.total_seconds():+.1f} s off the database's"
        return Finding("clock", Level.WARNING, detail, "Keep both hosts' clocks with NTP.")
    return Finding("clock", Level.OK, "agrees with the database's")


async def _work(store: PostgresStore) -> Finding:
    backlog = await store.backlog()
    if backlog.oldest_due_age_s > LATE.total_seconds():
        detail = f"{backlog.due_jobs} jobs are due, the oldest for {backlog.oldest_due_age_s:.0f} s"
        return Finding("work", Level.FAULT, detail, "Start a worker, or another one: rubato worker")
    if backlog.parked_jobs:
        detail = f"{backlog.parked_jobs} jobs are parked: they could not be carried out and wait to be looked at"
        return Finding("work", Level.WARNING, detail, "Look at them: rubato jobs list --status parked")
    return Finding("work", Level.OK, "nothing is late")


async def _service(patient: Patient) -> AsyncIterator[Finding]:
    async with AsyncClient(patient.url, patient.api_key, retries=Retries(attempts=1), timeout_s=PATIENCE_S) as client:
        try:
            await client.get_health()
        except ClientError as error:
            yield Finding("API", Level.FAULT, str(error), "Start it (rubato api), or set RUBATO_URL to where it is.")
            return
        yield Finding("API", Level.OK, f"answers at {patient.url}")
        if patient.api_key is None:
            yield Finding("key", Level.SKIPPED, "RUBATO_API_KEY is not set; only commands and the MCP server need it")
            return
        try:
            await client.get_quota()
        except Unauthenticated as error:
            yield Finding(
                "key", Level.FAULT, "RUBATO_API_KEY is no key of this service, or not any more", error.next_step
            )
        except ClientError as error:
            yield Finding("key", Level.FAULT, str(error), error.next_step)
        else:
            yield Finding("key", Level.OK, "valid")


async def _model(settings: Settings) -> Finding:
    if settings.planner in ("off", "offline") or (settings.planner == "auto" and settings.openai_api_key is None):
        return Finding("model", Level.SKIPPED, "no model plans here")
    base = (settings.openai_base_url or "https://api.openai.com/v1").rstrip("/")
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    remedy = "Check OPENAI_BASE_URL and OPENAI_API_KEY; until then jobs run on their baselines."
    try:
        async with httpx2.AsyncClient(timeout=PATIENCE_S) as client:
            answer = await client.get(f"{base}/models", headers={"authorization": f"Bearer {key}"})
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Finding("model", Level.FAULT, f"no answer from {base}: {type(error).__name__}", remedy)
    if answer.status_code in (401, 403):
        return Finding("model", Level.FAULT, f"{base} refuses the key ({answer.status_code})", remedy)
    if answer.status_code >= 500:
        return Finding("model", Level.FAULT, f"{base} is failing ({answer.status_code})", remedy)
    return Finding("model", Level.OK, f"{base} answers")
