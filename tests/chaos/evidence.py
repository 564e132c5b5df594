"""What was seen from outside: the target's ledger, the database's rows, the faults. Instants are aware, in UTC."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from core.ids import webhook_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TERMINAL = ("succeeded", "failed", "skipped", "unknown", "canceled")


@dataclass(frozen=True, slots=True)
class Request:
    """A line of the ledger. `launch`: who sent it, by its User-Agent; None: it did not say."""

    token: int
    webhook_id: str
    launch: int | None
    arrived_at: datetime
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """A job of the run: a grid of fires from `epoch` on. `is_planned`: a planner may add runs between the fires."""

    job_id: str
    epoch: datetime
    every: timedelta
    at_most_once: bool = False
    is_planned: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A run as the database has it. `token`: of the answer that was recorded. `is_given_up`: its job is set aside."""

    run_id: str
    job_id: str
    scheduled_for: datetime
    status: str
    trigger: str = "scheduled"
    kind: str = "baseline"
    attempt: int = 1
    worker_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    token: int | None = None
    skipped_count: int | None = None
    skipped_until: datetime | None = None
    is_given_up: bool = False

    @property
    def webhook_id(self) -> str:
        """Return what its requests carry."""
        return webhook_id(self.job_id, self.scheduled_for, self.trigger)

    @property
    def is_terminal(self) -> bool:
        """Tell whether it may never change again."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """A row of `attempts`. `status`: lost or discarded."""

    run_id: str
    worker_id: str
    attempt: int
    status: str
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """A run that a worker held a lease on when something was done to it."""

    run_id: str
    webhook_id: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something done to a worker (`kill`, `stop`) or to its lines (`cut`), from `at` to `until`.

    A kill has no end: `until` is its instant. `launch` None: to every worker.
    """

    kind: str
    at: datetime
    until: datetime
    launch: int | None = None
    held: tuple[Held, ...] = ()


@dataclass(slots=True)
class Evidence:
    """All of it. `pids`: of each launch. `changed`: ids of terminal rows seen to change, or to go."""

    jobs: Sequence[Watched]
    until: datetime
    requests: Sequence[Request]
    rows: Sequence[Row]
    attempts: Sequence[LostAttempt] = ()
    faults: Sequence[Fault] = ()
    pids: dict[int, int] = field(default_factory=dict)
    changed: Sequence[str] = ()


def read_ledger(path: Path) -> list[Request]:
    """Read the target's file."""
    requests: dict[int, Request] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        entry = json.loads(line)
        at = instant_of(entry["at"])
        if "asked" in entry:
            number = entry["asked"]
            requests[number] = Request(number, entry["id"] or "", launch_of(entry["by"]), at)
        else:
            asked = requests[entry["answered"]]
            requests[asked.token] = Request(asked.token, asked.webhook_id, asked.launch, asked.arrived_at, at)
    return list(requests.values())


def instant_of(nanoseconds: int) -> datetime:
    """Return an instant, cut to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def launch_of(user_agent: str | None) -> int | None:
    """Return the launch that a worker's made-up version names."""
    _, _, label = (user_agent or "").partition("+launch")
    return int(label) if label.isdigit() else None


async def read_rows(connection: asyncpg.Connection) -> list[Row]:
    """Read every run but tests."""
    return [row_from(found) for found in await connection.fetch("SELECT * FROM runs WHERE trigger <> 'test'")]


def row_from(found: Any) -> Row:
    """Read a run's row."""
    return Row(
        run_id=found["id"],
        job_id=found["job_id"],
        scheduled_for=found["scheduled_for"],
        status=found["status"],
        trigger=found["trigger"],
        kind=found["kind"],
        attempt=found["attempt"],
        worker_id=found["worker_id"],
        started_at=found["started_at"],
        finished_at=found["finished_at"],
        token=_token(found["response_excerpt"]),
        skipped_count=found["skipped_count"],
        skipped_until=found["skipped_until"],
        is_given_up=(found["error_message"] or "").startswith("Given up"),
    )


async def read_attempts(connection: asyncpg.Connection) -> list[LostAttempt]:
    """Read what did not become its run's outcome."""
    found = await connection.fetch("SELECT run_id, worker_id, attempt, status, started_at FROM attempts")
    return [LostAttempt(**dict(row)) for row in found]


async def read_held(connection: asyncpg.Connection, pid: int) -> tuple[Held, ...]:
    """Read what a process holds: a worker's id ends with its process id and something random."""
    found = await connection.fetch(
        "SELECT s.job_id, r.id, r.scheduled_for, r.trigger FROM schedules s "
        "JOIN runs r ON r.scheduled_for = s.slot_at AND r.tenant_id = s.tenant_id AND r.bucket = s.bucket "
        "AND r.id = s.lease_run_id "
        "WHERE s.lease_worker LIKE '%\\_' || $1::text || '\\_%' AND r.status IN ('claimed', 'running')",
        str(pid),
    )
    return tuple(Held(row["id"], webhook_id(row["job_id"], row["scheduled_for"], row["trigger"])) for row in found)


def pid_of(worker_id: str | None) -> int | None:
    """Return the process id within a worker's id."""
    parts = (worker_id or "").rsplit("_", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else None


def by_webhook(requests: Iterable[Request]) -> dict[str, list[Request]]:
    """Group requests by the slot they were for, in order of arrival."""
    grouped: dict[str, list[Request]] = {}
    for request in sorted(requests, key=lambda each: each.arrived_at):
        grouped.setdefault(request.webhook_id, []).append(request)
    return grouped


def _token(excerpt: str | None) -> int | None:
    if not excerpt:
        return None
    try:
        return int(json.loads(excerpt)["token"])
    except (ValueError, KeyError, TypeError):
        return None
