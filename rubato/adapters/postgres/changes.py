"""Lock, compute, write: how every change to jobs is carried out, many at a time, in a handful of statements."""

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from core.entities import Attempt, Decision, Definition, Entry, Hint, Job, Limits, Run
from core.errors import NotFound, RubatoError
from core.ids import bucket_of, slot_of
from core.ports.store import Change, JobRef, Known, Snapshot, Transition
from rubato.adapters.postgres import bulk, queries, tables
from rubato.adapters.postgres.codec import (
    Row,
    attempt_to,
    definition_from,
    definition_to,
    entry_to,
    hint_from,
    hint_to,
    key,
    limits_from,
    run_from,
    run_to,
    schedule_from,
    schedule_to,
)
from rubato.adapters.postgres.engine import Link, to_json
from rubato.adapters.postgres.rules import DELETE_RULES, PUT_RULES, Rulebooks, rule_to
from rubato.adapters.postgres.session_codec import session_to
from rubato.adapters.postgres.steps import is_step, write_steps

_QUIET = frozenset({"begin", "run", "misfire", "unpark", "park", "release"})  # the hot path never wakes anybody
_FIXED = frozenset({"tenant_id", "bucket", "job_id", "created_at"})  # of a schedule: never written again
_OF_TESTS = frozenset({"test_token", "test_lease_until"})  # of a run: written by the statements for tests alone

_ADD_JOB = bulk.insert(tables.jobs)
_ADD_VERSION = bulk.insert(
    tables.job_versions, only=[column.name for column in tables.job_versions.columns if column.name != "created_at"]
)
_ADD_SCHEDULE = bulk.insert(tables.schedules)
_PUT_SCHEDULE = bulk.update(
    tables.schedules, [column.name for column in tables.schedules.columns if column.name not in _FIXED]
)
_PUT_HEAD = bulk.update(tables.jobs, ["key", "name", "group_name", "labels", "updated_at", "deleted_at"])
_ADD_RUN = bulk.insert(tables.runs, only=[c.name for c in tables.runs.columns if c.name not in _OF_TESTS])
_RUN_KEY = ("scheduled_for", "tenant_id", "bucket", "job_id", "id")  # not the trigger: a run that catches up changes it
_PUT_RUN = bulk.update(
    tables.runs, [c.name for c in tables.runs.columns if c.name not in {*_OF_TESTS, *_RUN_KEY}], by=_RUN_KEY
)
_DELETE_RUN = bulk.delete(tables.runs, by=_RUN_KEY)
_PUT_HINT = bulk.upsert(tables.hints)
_ADD_SESSION = bulk.insert(tables.sessions)
_ADD_DECISION = bulk.insert(tables.decisions, or_nothing=True)
_ADD_ENTRY = bulk.insert(tables.job_history)
_ADD_ATTEMPT = bulk.insert(tables.attempts, or_nothing=True)
_PUT_ATTEMPT = bulk.upsert(tables.attempts)


class Definitions:
    """The definitions read last, and the rules. A version never changes, so none of them is ever out of date."""

    def __init__(self, size: int = 20_000, largest_bytes: int = 2048) -> None:
        """`largest_bytes`: of body, headers and metadata; what has more is read anew each time, and bounds memory."""
        self._size, self._largest_bytes = size, largest_bytes
        self._kept: OrderedDict[tuple[str, str, int], tuple[Definition, datetime]] = OrderedDict()
        self.rulebooks = Rulebooks()

    def get(self, row: Row) -> tuple[Definition, datetime] | None:
        """Return a schedule row's definition with the job's `updated_at`, or None."""
        key = (row["tenant_id"], row["job_id"], row["version"])
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, row: Row) -> tuple[Definition, datetime]:
        """Keep what READ_DEFINITIONS answered."""
        found = definition_from(row), row["updated_at"]
        free_form = [row[name] for name in ("body", "payload", "headers", "metadata", "labels", "description")]
        if len(to_json(free_form)) <= self._largest_bytes:
            self._kept[row["tenant_id"], row["job_id"], row["version"]] = found
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return found


async def read_snapshots(
    link: Link,
    refs: Sequence[JobRef],
    *,
    lock: bool,
    operator_minimum: timedelta,
    definitions: Definitions | None = None,
    known: Mapping[JobRef, Known] | None = None,
) -> dict[JobRef, Snapshot]:
    """Read what transitions see, for all jobs at once; unknown jobs are missing from the answer."""
    known = known or {}
    jobs = await _unwritten(link, known) if lock and known else {}
    rest = [ref for ref in refs if ref not in jobs]
    rows = []
    if rest:
        rows = await link.fetch(queries.LOCK_SCHEDULES if lock else queries.READ_SCHEDULES, *addresses(rest))
        defined = await read_definitions(link, rows, definitions or Definitions())
        for row in rows:
            ref = JobRef(row["tenant_id"], row["job_id"])
            jobs[ref] = job_from(row, defined[ref])
    if not jobs:
        return {}
    limits, now = await read_limits(link, {ref.tenant_id for ref in jobs}, operator_minimum)
    hints = await _read_hints(link, addresses(jobs))
    runs = {each.run.id: each.run for each in known.values()}
    runs |= await _read_runs(link, rows, runs)
    rules = await (definitions or Definitions()).rulebooks.of(link, jobs)
    answer = {}
    for ref, job in jobs.items():
        lease, manual = job.schedule.lease, job.schedule.manual
        answer[ref] = Snapshot(
            job=job,
            hints=tuple(hints.get(ref, ())),
            limits=limits[ref.tenant_id],
            now=now,
            run=runs.get(lease.run_id) if lease else None,
            manual_run=runs.get(manual.run_id) if manual else None,
            rules=rules.get(ref, ()),
        )
    return answer


async def _unwritten(link: Link, known: Mapping[JobRef, Known]) -> dict[JobRef, Job]:
    """Lock the rows of known jobs, and return the jobs that nobody has written since they were claimed."""
    found = {}
    for row in await link.fetch(queries.LOCK_KNOWN, *addresses(known)):
        ref = JobRef(row["tenant_id"], row["job_id"])
        if known[ref].revision == row["revision"]:
            found[ref] = known[ref].job
    return found


def job_from(row: Row, defined: tuple[Definition, datetime]) -> Job:
    """Read a job from its schedule's row and its definition."""
    definition, updated_at = defined
    return Job(row["tenant_id"], row["job_id"], definition, schedule_from(row), updated_at, row["deleted_at"])


async def read_definitions(
    link: Link, schedules: Iterable[Row], kept: Definitions
) -> dict[JobRef, tuple[Definition, datetime]]:
    """Return the definitions that schedule rows name, from memory where they are there."""
    answer, missing = {}, []
    for row in schedules:
        found = kept.get(row)
        if found is None:
            missing.append(row)
        else:
            answer[JobRef(row["tenant_id"], row["job_id"])] = found
    if missing:
        where = addresses([JobRef(row["tenant_id"], row["job_id"]) for row in missing])
        for row in await link.fetch(queries.READ_DEFINITIONS, *where, [row["version"] for row in missing]):
            answer[JobRef(row["tenant_id"], row["job_id"])] = kept.put(row)
    return answer


async def read_limits(
    link: Link, tenant_ids: Iterable[str], operator_minimum: timedelta
) -> tuple[dict[str, Limits], datetime]:
    """Read tenants' limits, and the database's clock."""
    rows = await link.fetch(queries.READ_LIMITS, list(tenant_ids))
    limits = {row["id"]: limits_from(row, operator_minimum) for row in rows}
    return limits, rows[0]["now_at"] if rows else await link.fetchval("SELECT clock_timestamp()")


async def change_many(
    link: Link,
    work: Sequence[tuple[JobRef, Transition]],
    *,
    operator_minimum: timedelta,
    definitions: Definitions | None = None,
    known: Mapping[JobRef, Known] | None = None,
) -> list[Change | RubatoError]:
    """Carry out transitions in the link's transaction. A RubatoError stands in its job's place."""
    snapshots = await read_snapshots(
        link,
        [ref for ref, _ in work],
        lock=True,
        operator_minimum=operator_minimum,
        definitions=definitions,
        known=known,
    )
    answers: list[Change | RubatoError] = []
    accepted: list[tuple[Snapshot, Change]] = []
    for ref, transition in work:
        snapshot = snapshots.get(ref)
        if snapshot is None:
            answers.append(NotFound(f"There is no job {ref.job_id}."))
            continue
        try:
            change = transition(snapshot)
        except RubatoError as error:
            answers.append(error)
        else:
            accepted.append((snapshot, change))
            answers.append(change)
    await _write(link, accepted)
    return answers


async def insert_job(link: Link, job: Job) -> None:
    """Insert a job's head, first version and schedule."""
    own = key(job.tenant_id, job.id)
    head = {"tenant_id": job.tenant_id, "bucket": own["bucket"], "id": job.id, **_head(job)}
    await _ADD_JOB.run(link, [{**head, "created_at": job.schedule.created_at}])
    await _ADD_VERSION.run(link, [{**own, **definition_to(job.definition)}])
    await _ADD_SCHEDULE.run(link, [{**own, **schedule_to(job.schedule, job.definition.version), "deleted_at": None}])


async def insert_decisions(link: Link, decided: Sequence[dict[str, Any]]) -> None:
    """Record decisions that no settled run carries."""
    await _ADD_DECISION.run(link, decided)


async def insert_entries(link: Link, entries: Sequence[Entry]) -> None:
    """Record what people did."""
    await _ADD_ENTRY.run(link, [entry_to(entry) for entry in entries])


async def insert_attempts(link: Link, attempts: Sequence[Attempt]) -> None:
    """Record attempts that did not become their run's outcome."""
    await _ADD_ATTEMPT.run(link, [attempt_to(attempt) for attempt in attempts])


async def put_attempts(link: Link, attempts: Sequence[Attempt]) -> None:
    """Record attempts with their answers, over what a worker that took them over wrote of them."""
    await _PUT_ATTEMPT.run(link, [attempt_to(attempt) for attempt in attempts])


async def _write(link: Link, accepted: Sequence[tuple[Snapshot, Change]]) -> None:
    schedules, heads, versions, decided = [], [], [], []
    removed, sessions = [], []
    new_runs: list[dict[str, Any]] = []
    old_runs: list[dict[str, Any]] = []
    steps: list[tuple[Job, Run]] = []
    hints: list[Hint] = []
    attempts: list[Attempt] = []
    rules: list[dict[str, Any]] = []
    removed_rules: list[dict[str, Any]] = []
    for before, change in accepted:
        job, old = change.job, before.job
        stepped = is_step(before, change)
        if stepped:
            steps.append((job, change.runs[0]))
        elif (job.schedule, job.definition.version, job.deleted_at) != (
            old.schedule,
            old.definition.version,
            old.deleted_at,
        ):
            row = schedule_to(job.schedule, job.definition.version)
            schedules.append({**key(job.tenant_id, job.id), **row, "deleted_at": job.deleted_at})
        if (job.updated_at, job.deleted_at, job.definition.version) != (
            old.updated_at,
            old.deleted_at,
            old.definition.version,
        ):
            heads.append({"tenant_id": job.tenant_id, "bucket": bucket_of(job.id), "id": job.id, **_head(job)})
        if job.definition.version != old.definition.version:
            versions.append({**key(job.tenant_id, job.id), **definition_to(job.definition)})
        known = {run.id for run in (before.run, before.manual_run) if run is not None}
        for run in change.runs[1:] if stepped else change.runs:
            (old_runs if run.id in known else new_runs).append(run_to(run))
        hints.extend(change.hints)
        attempts.extend(change.attempts)
        rules += [rule_to(rule) for rule in change.rules]
        removed_rules += [{**key(job.tenant_id, job.id), "id": rule_id} for rule_id in change.removed_rules]
        removed += [_run_key(job, run_id) for run_id in change.removed_runs]
        if change.session is not None:
            sessions.append(session_to(change.session))
        if change.decision is not None and all(run.decision is None for run in change.runs):
            decided.append(decision_row(job, change.decision, change.cause))
    await _ADD_VERSION.run(link, versions)
    await _PUT_SCHEDULE.run(link, schedules)
    await _PUT_HEAD.run(link, heads)
    await _DELETE_RUN.run(link, removed)
    await _PUT_RUN.run(link, old_runs)
    await write_steps(link, steps)
    await _ADD_RUN.run(link, new_runs)
    await _PUT_HINT.run(link, [hint_to(hint) for hint in hints])
    await insert_attempts(link, attempts)
    await DELETE_RULES.run(link, removed_rules)
    await PUT_RULES.run(link, rules)
    await _ADD_SESSION.run(link, sessions)
    await insert_decisions(link, decided)
    await insert_entries(link, [change.entry for _, change in accepted if change.entry is not None])
    if any(change.cause not in _QUIET for _, change in accepted):
        await link.execute(queries.WAKE)


async def _read_hints(link: Link, where: Sequence[list[Any]]) -> dict[JobRef, list[Hint]]:
    hints: dict[JobRef, list[Hint]] = {}
    for row in await link.fetch(queries.READ_HINTS, *where):
        hints.setdefault(JobRef(row["tenant_id"], row["job_id"]), []).append(hint_from(row))
    return hints


async def _read_runs(link: Link, schedules: Sequence[Row], but: Container[str]) -> dict[str, Run]:
    """Return the runs that schedules name, `but` those."""
    wanted = []
    for row in schedules:
        for run_id in (row["lease_run_id"] if row["lease_until"] else None, row["manual_run_id"]):
            slot = slot_of(run_id) if run_id and run_id not in but else None
            if slot is not None:
                wanted.append((slot, row["tenant_id"], row["bucket"], row["job_id"], run_id))
    if not wanted:
        return {}
    columns = (list(column) for column in zip(*wanted, strict=True))
    return {row["id"]: run_from(row) for row in await link.fetch(queries.READ_RUNS, *columns)}


def addresses(refs: Iterable[JobRef]) -> tuple[list[str], list[int], list[str]]:
    """Return jobs' keys as arrays: tenants, buckets, ids."""
    refs = list(refs)
    return (
        [ref.tenant_id for ref in refs],
        [bucket_of(ref.job_id) for ref in refs],
        [ref.job_id for ref in refs],
    )


def _head(job: Job) -> dict[str, Any]:
    definition = job.definition
    return {
        "key": definition.key,
        "name": definition.name,
        "group_name": definition.group,
        "labels": dict(definition.labels),
        "updated_at": job.updated_at,
        "deleted_at": job.deleted_at,
    }


def _run_key(job: Job, run_id: str) -> dict[str, Any]:
    slot: datetime | None = slot_of(run_id)
    return {"scheduled_for": slot, **key(job.tenant_id, job.id), "id": run_id}


def decision_row(job: Job, decision: Decision, cause: str) -> dict[str, Any]:
    """Write a decision's columns."""
    return {
        **key(job.tenant_id, job.id),
        "decided_at": decision.decided_at,
        "cause": cause,
        "decision": decision,
    }
