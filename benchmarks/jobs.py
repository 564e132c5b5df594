"""Jobs by the hundred thousand: rows as a registration would write them, made by the server itself."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
from sqlalchemy import Table

from core.entities import (
    Authority,
    Bounds,
    Definition,
    HttpAction,
    IntervalBaseline,
    PlannerMode,
    Schedule,
    Slot,
    SlotKind,
    Source,
)
from core.ids import BUCKETS, job_id
from rubato.adapters.postgres import tables
from rubato.adapters.postgres.codec import definition_to, schedule_to

BUCKET = f"(crc32(convert_to(ids.id, 'UTF8')) % {BUCKETS})::smallint"  # as core.ids.bucket_of has it
SLOT = "statement_timestamp() + $4::interval + ids.place * $5::interval / $2::integer"
IDS = "(SELECT place, $3::text || lpad(place::text, 9, '0') AS id FROM generate_series(0, $2::integer - 1) place) ids"

_numbers = itertools.count(10)


@dataclass(frozen=True)
class Load:
    """`count` jobs of one tenant, every `every`; their first slots lie `after` their making, over `spread` in all."""

    url: str
    count: int
    every: timedelta
    after: timedelta = timedelta(0)
    spread: timedelta = timedelta(0)
    tenant: str = "ten_bench"
    planner: PlannerMode = PlannerMode.ON

    def definition(self) -> Definition:
        """Return what the jobs of this load were registered as."""
        return Definition(
            name="measured",
            action=HttpAction(self.url),
            baseline=IntervalBaseline(self.every),
            bounds=Bounds(self.every / 2, self.every * 2),
            authority=Authority(tighten=True, relax=True, pause=True),
            splay=False,
            planner=self.planner,
        )


async def insert(connection: "asyncpg.Connection", *loads: Load) -> None:
    """Put loads into a migrated database, and let the server look at what it has."""
    for load in loads:
        await connection.execute(
            "INSERT INTO tenants (id, name, tokens_per_day, tokens_per_month, sessions_per_day, sessions_per_job_hour) "
            "VALUES ($1, $1, 1000000000000, 1000000000000, 1000000000000, 1000000000) ON CONFLICT DO NOTHING",
            load.tenant,
        )
        made = await connection.fetchval("SELECT clock_timestamp() - interval '1 hour'")
        prefix = job_id(made, f"{next(_numbers):07d}")
        slot = Slot(made, Source.BASELINE_INTERVAL, SlotKind.BASELINE, handles_through=made)
        schedule = schedule_to(replace(Schedule(created_at=made, grid_epoch=made), slot=slot), 1)
        own = {"tenant_id": "p.tenant_id", "bucket": BUCKET, "job_id": "ids.id"}
        slots = dict.fromkeys(("ready_at", "slot_at", "slot_handles_through", "grid_epoch"), SLOT)
        head = {"name": "measured", "labels": {}, "created_at": made, "updated_at": made}
        version = {**definition_to(load.definition()), "created_at": made}
        for table, row, computed in (
            (tables.jobs, head, {"tenant_id": "p.tenant_id", "bucket": BUCKET, "id": "ids.id"}),
            (tables.job_versions, version, own),
            (tables.schedules, schedule, {**own, **slots}),
        ):
            prototype = orjson.dumps({**row, "tenant_id": load.tenant}, default=_hex).decode()
            values = (prototype, load.count, prefix, load.after, load.spread)
            await connection.execute(_insert(table, computed), *values, timeout=300)
    await connection.execute("VACUUM ANALYZE jobs, job_versions, schedules", timeout=300)


def _hex(value: object) -> str:
    """Write bytes as PostgreSQL reads them from text."""
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    raise TypeError


def _insert(table: Table, computed: Mapping[str, Any]) -> str:
    """Return the statement that copies one prototype row, given as JSON, with the computed columns in place of its."""
    names = [column.name for column in table.columns]
    values = ", ".join(computed.get(name, f'p."{name}"') for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    typed = "$4::interval IS NOT NULL AND $5::interval IS NOT NULL"  # every statement takes every parameter
    prototype = f"jsonb_populate_record(NULL::{table.name}, $1::jsonb) p"
    return f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM {IDS}, {prototype} WHERE {typed}"  # noqa: S608 - names of our own tables
