"""Connections: how they are made, how long anything may take, and what their failures mean."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import orjson
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from core.errors import ConfigurationError, Conflict, Unavailable
from rubato.adapters.postgres import access

Engine = AsyncEngine  # what the wiring holds on to, without importing SQLAlchemy


class LostRaceError(Unavailable):
    """A transaction lost against another one; the same again may well succeed."""


class Link(Protocol):
    """The driver's own connection: rows and arrays at its speed."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """Return all rows."""
        ...

    async def fetchrow(self, query: str, *args: object) -> Any:
        """Return the first row, or None."""
        ...

    async def fetchval(self, query: str, *args: object) -> Any:
        """Return the first value of the first row."""
        ...

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement for its effect."""
        ...

    def transaction(self) -> Any:
        """Return a transaction that was not begun."""
        ...

    def is_closed(self) -> bool:
        """Tell whether the connection is gone."""
        ...

    def terminate(self) -> None:
        """Drop the connection without a word."""
        ...


STATEMENT_S = 5  # on the server; a claim over a million jobs takes a hundredth of it
LOCK_S = 2
IDLE_IN_TRANSACTION_S = 10
CALL_S = 15.0  # on the client, for one whole call: connection, statements, commit
CONNECT_S = 5.0
POOL_WAIT_S = 5.0
CLOSE_S = 3.0
OLDEST_SERVER = 150000  # PostgreSQL 15
KEY_TAKEN = "Another job has this key; choose another, or edit that job."
_LOST = ("40001", "40P01")  # serialization failure, deadlock
_CUT_OFF = (asyncio.CancelledError, TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_AWAY = ("08", "57P", "53", "25006", "25P03", "25P04", "58")  # connection, shutdown, full, read-only, limits, system


_NAME_TENANT = text(access.NAME_TENANT.format(":tenant"))

# Servers before 17 do not know the setting, and would refuse a connection that names it.
_LIMIT_WHOLE = (
    "SELECT set_config(name, '{limit_ms}', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'"
)

# Statements over arrays of keys are nested loops over primary keys, whatever the statistics say at the moment; one plan
# serves every batch, since planning a partitioned table costs more than running the statement.
_KEYED = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}


def connect(
    url: str,
    *,
    application: str,
    pool_size: int = 10,
    keyed: bool = False,
    idle_s: float = IDLE_IN_TRANSACTION_S,
    whole_s: float = CALL_S,
    role: str | None = None,
) -> AsyncEngine:
    """Return an engine for a `postgresql://` URL. Nothing is opened yet. Raises ConfigurationError.

    `role`: the role that its connections step into (`access`); None: whoever logs in.
    `keyed`: its statements go by key only, as the run loop's do; they are planned once. `idle_s` and `whole_s`: how
    long a transaction may idle, and last. The locks of a process that was stopped keep the others from renewing and
    settling; one that was stopped while a statement was being prepared does not count as idle (PostgreSQL 17 and newer
    end it; older ones wait for its return).
    """
    engine = create_async_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_WAIT_S,
        pool_pre_ping=not keyed,
        pool_recycle=1800,
        json_serializer=to_json,
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": CONNECT_S,
            "command_timeout": CALL_S,
            "server_settings": {
                "application_name": application,
                "timezone": "UTC",
                "statement_timeout": str(STATEMENT_S * 1000),
                "lock_timeout": str(LOCK_S * 1000),
                "idle_in_transaction_session_timeout": str(int(idle_s * 1000)),
                "jit": "off",
                **(_KEYED if keyed else {}),
                **({"role": role} if role else {}),
            },
        },
        execution_options={access.SCOPED: role == access.TENANT},
    )

    def limit(connection: Any, _: object) -> None:
        connection.run_async(lambda link: link.execute(_LIMIT_WHOLE.format(limit_ms=int(whole_s * 1000))))

    event.listen(engine.sync_engine, "connect", limit)
    return engine


async def close(*engines: AsyncEngine) -> None:
    """Close their connections. Lines that nobody answers on any more are left behind: each would be waited for as long
    as a statement, and a process that was told to end has no time for that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await asyncio.gather(*(engine.dispose() for engine in engines))


@asynccontextmanager
async def patient(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """Yield an engine to the same database whose statements may take as long as they do; for migrations."""
    arguments = {"timeout": CONNECT_S, "server_settings": {"application_name": "rubato migrate", "timezone": "UTC"}}
    own = create_async_engine(engine.url, poolclass=NullPool, connect_args=arguments)
    try:
        yield own
    finally:
        await own.dispose()


def driver_url(url: str) -> str:
    """Return a `postgres://` or `postgresql://` URL as the driver wants it. Raises ConfigurationError."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql", "postgresql+asyncpg") or not parts.hostname:
        raise ConfigurationError(
            "DATABASE_URL is not a PostgreSQL address; it looks like postgresql://user:password@host:5432/database."
        )
    query = dict(parse_qsl(parts.query))
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return urlunsplit(("postgresql+asyncpg", parts.netloc, parts.path, urlencode(query), ""))


def place(url: str) -> str:
    """Return host, port and database of a URL, fit to be shown: no user, no password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


async def wait_until_ready(engine: AsyncEngine, url: str, *, timeout_s: float) -> None:
    """Wait for the database to answer, trying again with growing pauses.

    Raises Unavailable when it does not within `timeout_s`, ConfigurationError when it is too old.
    """
    waiting = AsyncRetrying(
        stop=stop_after_delay(timeout_s),
        wait=wait_exponential_jitter(multiplier=0.1, max=2),
        retry=retry_if_exception_type(Unavailable),
        reraise=True,
    )
    number = "0"
    try:
        async for attempt in waiting:
            with attempt:
                async with transaction(engine) as connection:
                    number = (await connection.execute(text("SHOW server_version_num"))).scalar_one()
    except Unavailable as error:
        raise Unavailable(
            f"The database at {place(url)} did not answer within {timeout_s:g} s ({error}). "
            "Check that it runs and that DATABASE_URL is right."
        ) from error
    if int(number) < OLDEST_SERVER:
        raise ConfigurationError(f"DATABASE_URL leads to PostgreSQL {int(number) // 10000}; Rubato needs 15 or newer.")


@asynccontextmanager
async def transaction(engine: AsyncEngine, *, deadline_s: float = CALL_S) -> AsyncIterator[AsyncConnection]:
    """One transaction under a deadline; what the driver raises becomes core's Unavailable or Conflict."""
    with _translated():
        async with asyncio.timeout(deadline_s), engine.begin() as connection:
            if access.is_scoped(engine):  # through SQLAlchemy, which begins at its first statement
                await connection.execute(_NAME_TENANT, {"tenant": access.acting_for.get()})
            yield connection


@asynccontextmanager
async def linked(engine: AsyncEngine, *, deadline_s: float = CALL_S) -> AsyncIterator[Link]:
    """One transaction on the driver's own connection; otherwise as `transaction`.

    A connection goes back to its pool only when its transaction is known to be over. A statement that was cut off may
    arrive later: after a BEGIN all that followed on it would be savepoints that nobody commits, locks kept for good.
    Nor is there a point in rolling back over a dead line, which would outlast the deadline.
    """
    with _translated():
        async with asyncio.timeout(deadline_s):
            connection = await engine.connect()
            try:
                link = await link_of(connection)
                async with _whole(connection, link):
                    if access.is_scoped(engine):
                        await link.execute(access.NAME_TENANT.format("$1"), access.acting_for.get())
                    yield link
            finally:
                await connection.close()


@asynccontextmanager
async def _whole(connection: AsyncConnection, link: Link) -> AsyncIterator[None]:
    """A transaction that is known to be over at the end of the block, or else its connection is thrown away."""
    begun: Any = None
    is_begun = is_ending = is_over = False
    try:
        begun = link.transaction()  # refused by a connection that is closed
        await begun.start()
        is_begun = True
        yield
        is_ending = True
        await begun.commit()
        is_over = True
    except BaseException as error:
        if is_begun and not is_ending and not link.is_closed() and not isinstance(error, _CUT_OFF):
            await begun.rollback()
            is_over = True
        raise
    finally:
        if not is_over:
            link.terminate()
            await connection.invalidate()


async def link_of(connection: AsyncConnection) -> Link:
    """Return the driver's connection beneath SQLAlchemy's; it shares the transaction that is open on it."""
    raw = await connection.get_raw_connection()
    link: Any = raw.driver_connection
    return cast("Link", link)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if "uq_jobs_key" in str(error.orig):
            raise Conflict("key_taken", KEY_TAKEN) from error
        raise
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "uq_jobs_key":
            raise Conflict("key_taken", KEY_TAKEN) from error
        raise
    except (OperationalError, InterfaceError, PoolTimeoutError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"the database cannot be used now: {_brief(error)}") from error
    except asyncpg.InternalClientError as error:  # a server's last word came between two statements
        raise Unavailable(f"the database cannot be used now: {_brief(error)}") from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated:
            raise Unavailable(f"the database cannot be used now: {_brief(error)}") from error
        _judge(state, error)
        raise
    except asyncpg.PostgresError as error:
        _judge(error.sqlstate or "", error)
        raise
    except (TimeoutError, OSError) as error:
        raise Unavailable(f"the database cannot be reached: {_brief(error)}") from error


def _judge(state: str, error: Exception) -> None:
    """Raise what an SQLSTATE means to the core, if anything."""
    if state in _LOST:
        raise LostRaceError(f"the database is too busy with the same rows: {_brief(error)}") from error
    if _is_away(state):
        raise Unavailable(f"the database cannot be used now: {_brief(error)}") from error


def _is_away(state: str) -> bool:
    """Tell whether an SQLSTATE says that the server cannot serve now, or that a wait was cut off."""
    return state.startswith(_AWAY) or state in ("57014", "55P03")


def _brief(error: BaseException) -> str:
    """Name an error without statement, parameters or address."""
    cause = getattr(error, "orig", None) or error
    message = str(cause).splitlines()[0][:200] if str(cause) else ""
    return f"{type(cause).__name__} {message}".strip()


def to_json(value: object) -> str:
    """Serialise for jsonb, which refuses the NUL character."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode().replace("\\u0000", "\\ufffd")
