"""A job's history: one entry for each thing that a person did to it."""

from dataclasses import fields
from datetime import datetime

from core.entities import Definition, Entry, Job
from core.ids import entry_id
from core.ports.ids import Ids


def entry(
    job: Job,
    what: str,
    *,
    by: str | None,
    at: datetime,
    ids: Ids,
    reason: str | None = None,
    changed: tuple[str, ...] = (),
) -> Entry:
    """Return the entry of what was just done to `job`, as it is afterwards. `by`: a user's id."""
    version = job.definition.version
    return Entry(entry_id(at, ids.entropy()), job.tenant_id, job.id, at, what, version, by, reason, changed)


def changed_fields(old: Definition, new: Definition) -> tuple[str, ...]:
    """Name the fields in which two versions differ, by the definition's own names."""
    names = (field.name for field in fields(Definition) if field.name != "version")
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))
