"""Jobs kept in files: what would have to change on a service so that it has them, and nothing else of their owner's.

A job of a file belongs to the file's owner by a label. What belongs to somebody else, or to nobody, is not touched
unless it is adopted; what belongs to the owner and stands in no file any more is deleted only when asked to prune.
Every job is validated by the service before the first one is changed, and each change is held to the compared version.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import InvalidInput, Issue
from rubato.client import ApiError, Client, Conflict, Forbidden, InvalidRequest, Job, JobSpec, VersionChanged

OWNER_LABEL = "rubato-owner"
FIELDS = tuple(str(each.alias) for each in JobSpec.model_fields.values())
_REFUSALS = (InvalidRequest, Conflict, Forbidden, VersionChanged)
Kind = Literal["create", "update", "delete", "same"]


class KeyedJob(JobSpec):
    """A job in a file: its key says which one it is."""

    key: Annotated[str, Field(min_length=1, max_length=255, description="Which job it is, for ever.")]


class JobsFile(BaseModel):
    """Jobs and who keeps them."""

    model_config = ConfigDict(extra="forbid", title="Rubato jobs")

    owner: Annotated[
        str, Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$", description="Who keeps these jobs.")
    ]
    jobs: list[KeyedJob]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, as it is and as it will be."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one job. `sends_secrets`: it carries values that nobody can compare, so it is sent every time."""

    kind: Kind
    key: str
    spec: JobSpec | None = None
    current: Job | None = None
    fields: Sequence[FieldChange] = ()
    sends_secrets: bool = False

    def wire(self) -> dict[str, Any]:
        """Return it for programs."""
        changed = [{"field": each.field, "old": each.old, "new": each.new} for each in self.fields]
        return {
            "change": self.kind,
            "key": self.key,
            "jobId": self.current.id if self.current else None,
            "fields": changed,
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """One job that the service, or its owner, would not have."""

    key: str
    error: ApiError | None
    reason: str


@dataclass(slots=True)
class Plan:
    """Every change, in the order of the files, deletions last. Nothing may be applied while something is refused."""

    changes: list[Change] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def differences(self) -> list[Change]:
        """The changes that change something."""
        return [each for each in self.changes if each.kind != "same"]

    def count(self, kind: Kind) -> int:
        """Return how many changes are of a kind."""
        return sum(each.kind == kind for each in self.changes)


def gather(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> JobsFile:
    """Return the jobs of all files together. Raises InvalidInput for two owners, or one key twice."""
    files = [(where, JobsFile.model_validate(document)) for where, document in documents]
    if not files:
        raise _invalid("The files hold no document.")
    owners = sorted({each.owner for _, each in files})
    if len(owners) > 1:
        raise _invalid(f"The files have {len(owners)} owners ({', '.join(owners)}); apply one owner's files at a time.")
    seen: dict[str, str] = {}
    for where, each in files:
        for job in each.jobs:
            if job.key in seen:
                raise _invalid(f"The key {job.key} stands in {seen[job.key]} and again in {where}.")
            if OWNER_LABEL in (job.labels or {}):
                raise _invalid(
                    f"{where}: {job.key} must not set the label {OWNER_LABEL}; `owner` is where that stands."
                )
            seen[job.key] = where
    return JobsFile(owner=owners[0], jobs=[job for _, each in files for job in each.jobs])


def plan(client: Client, wanted: JobsFile, *, prune: bool, adopt: bool) -> Plan:
    """Compare what is wanted with what the service has. Changes nothing."""
    if prune and not wanted.jobs:
        raise _invalid("The files hold no job: pruning would delete all that there are. Delete them by name instead.")
    listed = client.list_jobs(labels={OWNER_LABEL: wanted.owner})
    owned = {job.key: job for job in listed if job.key is not None}
    made = Plan()
    for job in wanted.jobs:
        current = owned.get(job.key) or next(client.list_jobs(key=job.key), None)
        owner = current.labels.get(OWNER_LABEL) if current else None
        if current is not None and owner != wanted.owner and not adopt:
            whose = f"belongs to {owner}" if owner else "belongs to no file"
            made.refused.append(Refused(job.key, None, f"{whose}; --adopt takes it over."))
            continue
        try:
            made.changes.append(_compared(client, _labelled(job, wanted.owner), current))
        except _REFUSALS as error:
            made.refused.append(Refused(job.key, error, str(error)))
    kept = {job.key for job in wanted.jobs}
    if prune:
        made.changes += [Change("delete", key, current=job) for key, job in owned.items() if key not in kept]
    return made


def carry_out(client: Client, changes: Iterable[Change]) -> Iterator[Change]:
    """Make each change, and yield it when it is made. Raises VersionChanged for a job edited since it was compared."""
    for change in changes:
        current, spec = change.current, change.spec
        if current is None and spec is not None:
            client.create_job(spec)
        elif current is not None and change.kind == "delete":
            client.delete_job(current.id, if_version=current.version)
        elif current is not None and spec is not None and (change.kind == "update" or change.sends_secrets):
            client.update_job(current.id, _whole(spec, current), if_version=current.version)
        yield change


def exported(jobs: Iterable[Job]) -> Iterator[dict[str, Any]]:
    """Yield each job as a file has it: what is not a default, without its owner's label, secrets as null."""
    for job in jobs:
        written = job.wire()
        written["labels"] = {name: value for name, value in job.labels.items() if name != OWNER_LABEL}
        defaults = _defaults(job)
        kept = {name: written.get(name) for name in ("key", "name", *FIELDS)}
        yield {name: value for name, value in kept.items() if value is not None and value != defaults.get(name)}


def _compared(client: Client, spec: JobSpec, current: Job | None) -> Change:
    key, sent = str(spec.key), spec.wire()
    if current is None:
        client.create_job(spec, validate_only=True)
        return Change("create", key, spec)
    whole = _whole(spec, current)
    would_be = client.update_job(current.id, whole, if_version=current.version, validate_only=True).wire()
    was = current.wire()
    names = (name for name in FIELDS if was.get(name) != would_be.get(name))
    changed = [FieldChange(name, was.get(name), would_be.get(name)) for name in names]
    has_values = any(value is not None for value in (sent.get("secretHeaders") or {}).values())
    sends_secrets = has_values or (sent.get("bodySecret") is True and sent.get("bodyJson") is not None)
    return Change("update" if changed else "same", key, spec, current, changed, sends_secrets)


def _whole(spec: JobSpec, current: Job) -> dict[str, Any]:
    """Return the merge-patch that makes a job be what a file says: what the file leaves out is emptied.

    Only fields that the service knows are emptied. PUT would say the same in one word, but it drops stored secrets.
    """
    sent, known = spec.wire(), current.wire()
    return {name: sent.get(name) for name in FIELDS if name in sent or name in known}


def _labelled(job: KeyedJob, owner: str) -> JobSpec:
    return JobSpec.model_validate({**job.wire(), "labels": {**(job.labels or {}), OWNER_LABEL: owner}})


def _defaults(job: Job) -> dict[str, Any]:
    """Return what the service fills in for such a job; a test compares it with what the service does fill in."""
    is_interval = job.baseline_interval_ms is not None
    return {
        "labels": {},
        "metadata": {},
        "method": "GET",
        "headersJson": {},
        "timezone": "UTC",
        "timeoutMs": 30_000,
        "overlap": "skip",
        "catchup": "latest" if is_interval else "skip",
        "delivery": "at_least_once",
        "authority": {
            "tighten": is_interval or job.baseline_cron is not None,
            "relax": is_interval,
            "pause": is_interval,
        },
        "planner": "on" if job.target is None else "off",
        "storeResponses": True,
        "splay": True,
        "secretHeaders": {},
        "bodySecret": False,
    }


def _invalid(detail: str) -> InvalidInput:
    return InvalidInput([Issue("", "invalid_files", detail)])
