"""The store port on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.entities import (
    Attempt,
    Decision,
    Definition,
    Entry,
    Hint,
    HintState,
    Job,
    Limits,
    PlannerMode,
    Run,
    RunStatus,
    SlotKind,
    Trigger,
)
from core.errors import JobsLimitReached, LeaseLostError, NotFound, RubatoError
from core.ids import bucket_of, slot_of
from core.ports.clock import Clock
from core.ports.ids import Ids
from core.ports.store import (
    Backlog,
    Change,
    Claimed,
    Claims,
    JobFilter,
    JobRef,
    Known,
    Page,
    PlanClaim,
    RunFilter,
    Snapshot,
    TestClaim,
    Transition,
)
from core.reschedule import give_back
from core.rules import Rule
from core.sessions import Session
from rubato.adapters.postgres import queries, tables
from rubato.adapters.postgres.changes import (
    Definitions,
    addresses,
    change_many,
    decision_row,
    insert_decisions,
    insert_entries,
    insert_job,
    job_from,
    put_attempts,
    read_definitions,
    read_limits,
    read_snapshots,
)
from rubato.adapters.postgres.codec import (
    attempt_from,
    definition_from,
    hint_from,
    key,
    run_from,
    run_to,
)
from rubato.adapters.postgres.contexts import gate_counts, latest_decision, of_job, planning_context, steered_jobs
from rubato.adapters.postgres.engine import CALL_S, Link, LostRaceError, link_of, linked, transaction
from rubato.adapters.postgres.listing import job_rows, listed_job, named_like, visible, wanting
from rubato.adapters.postgres.rules import one_rule, rules_of
from rubato.adapters.postgres.session_codec import session_from, session_to

_ATTEMPTS = 3  # at a transaction that lost against another
_AT_A_TIME = 16  # claims made of rows before the event loop gets a turn: others' slots come meanwhile


class PostgresStore:
    """Jobs, runs, hints and sessions in PostgreSQL. Its clock is the database's."""

    def __init__(
        self,
        engine: AsyncEngine,
        ids: Ids,
        *,
        operator_minimum: timedelta = timedelta(seconds=1),
        loop_engine: AsyncEngine | None = None,
        renewal_engine: AsyncEngine | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`loop_engine`: for what the run loop does at every run. `renewal_engine`: for renewals, which must not wait
        behind anything else. Without them everything shares `engine`. `clock`: the host's, for `Claims.heard_at`."""
        self._engine = engine
        self._loop_engine = loop_engine or engine
        self._renewal_engine = renewal_engine or self._loop_engine
        self._ids, self._clock = ids, clock
        self._operator_minimum = operator_minimum
        self._definitions = Definitions()

    async def now(self) -> datetime:
        """Return the database's clock."""
        async with self._transaction() as connection:
            now: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
            return now

    async def limits(self, tenant_id: str) -> Limits:
        """Return what operator and tenant allow."""
        async with linked(self._engine) as link:
            found, _ = await read_limits(link, [tenant_id], self._operator_minimum)
        if tenant_id not in found:
            raise NotFound(f"There is no tenant {tenant_id}.")
        return found[tenant_id]

    async def add_job(self, job: Job, decision: Decision, entry: Entry | None = None) -> None:
        """Store a new job with its first definition, decision and line of history, and wake the workers."""
        async with linked(self._engine) as link:
            await link.execute(queries.REGISTER_IN_TURN, job.tenant_id)
            room = await link.fetchrow(queries.ROOM, job.tenant_id)
            if room is not None and room["used"] >= room["max_jobs"]:
                raise JobsLimitReached(room["max_jobs"])
            await insert_job(link, job)
            await insert_decisions(link, [decision_row(job, decision, "registration")])
            await insert_entries(link, [entry] if entry is not None else [])
            await link.execute(queries.WAKE)

    async def room(self, tenant_id: str) -> int:
        """Return how many more jobs the tenant may register."""
        async with linked(self._engine) as link:
            row = await link.fetchrow(queries.ROOM, tenant_id)
        if row is None:
            raise NotFound(f"There is no tenant {tenant_id}.")
        left: int = row["max_jobs"] - row["used"]
        return max(0, left)

    async def job(self, tenant_id: str, job_id: str) -> Job:
        """Return a job that is not deleted."""
        statement = job_rows().where(of_job(tables.schedules, tenant_id, job_id), tables.jobs.c.deleted_at.is_(None))
        async with self._transaction() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise NotFound(f"There is no job {job_id}.")
        return listed_job(row)

    async def snapshot(self, tenant_id: str, job_id: str) -> Snapshot:
        """Return what a transition would see, without locking."""
        ref = JobRef(tenant_id, job_id)
        async with linked(self._engine) as link:
            found = await read_snapshots(link, [ref], lock=False, operator_minimum=self._operator_minimum)
        if ref not in found:
            raise NotFound(f"There is no job {job_id}.")
        return found[ref]

    async def jobs(
        self, tenant_id: str, where: JobFilter, *, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[Job]:
        """Return jobs that are not deleted, newest first."""
        jobs = tables.jobs
        statement = job_rows().where(jobs.c.tenant_id == tenant_id, jobs.c.deleted_at.is_(None))
        if where.group is not None:
            statement = statement.where(jobs.c.group_name == where.group)
        if where.key is not None:
            statement = statement.where(jobs.c.key == where.key)
        if where.labels:
            statement = statement.where(jobs.c.labels.contains(dict(where.labels)))
        if where.status is not None:
            statement = statement.where(visible(where.status))
        if where.search is not None:
            statement = statement.where(named_like(where.search))
        if where.attention is not None:
            statement = statement.where(wanting(where.attention))
        if after is not None:
            statement = statement.where(jobs.c.id < after[0])
        async with self._transaction() as connection:
            ordered = statement.order_by(jobs.c.id.desc()).limit(limit + 1)
            rows = (await connection.execute(ordered)).mappings().all()
        return _page([listed_job(row) for row in rows], limit)

    async def last_runs(self, tenant_id: str, job_ids: Sequence[str]) -> dict[str, Run]:
        """Return each job's newest run, test runs left out."""
        statement = text(
            """
            SELECT r.* FROM unnest(CAST(:buckets AS smallint[]), CAST(:jobs AS text[])) AS wanted (bucket, job_id)
            CROSS JOIN LATERAL (
                SELECT * FROM runs
                WHERE tenant_id = :tenant AND bucket = wanted.bucket AND job_id = wanted.job_id AND trigger <> 'test'
                ORDER BY id DESC LIMIT 1
            ) AS r
            """
        )
        where = {"tenant": tenant_id, "buckets": [bucket_of(each) for each in job_ids], "jobs": list(job_ids)}
        async with self._transaction() as connection:
            rows = (await connection.execute(statement, where)).mappings().all()
        return {row["job_id"]: run_from(row) for row in rows}

    async def versions(self, tenant_id: str, job_id: str) -> list[Definition]:
        """Return every version, newest first."""
        await self.job(tenant_id, job_id)
        versions = tables.job_versions
        statement = versions.select().where(of_job(versions, tenant_id, job_id)).order_by(versions.c.version.desc())
        async with self._transaction() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [definition_from(row) for row in rows]

    async def change(self, ref: JobRef, transition: Transition) -> Change:
        """Lock, compute, write; what the transition raises leaves nothing behind."""
        (answer,) = await self.change_many([(ref, transition)])
        if isinstance(answer, RubatoError):
            raise answer
        return answer

    async def change_many(
        self,
        work: Sequence[tuple[JobRef, Transition]],
        *,
        known: Mapping[JobRef, Known] | None = None,
        after: Callable[[Link, Sequence[Change | RubatoError]], Awaitable[None]] | None = None,
    ) -> list[Change | RubatoError]:
        """Do the same for many jobs in one transaction, tried again when it lost against another. `after`: what else
        belongs into it."""
        if not work:
            return []
        batch = len(work) > 1 or known is not None
        left = _ATTEMPTS
        while True:
            left -= 1
            try:
                async with linked(self._loop_engine if batch else self._engine) as link:
                    answers = await change_many(
                        link,
                        work,
                        operator_minimum=self._operator_minimum,
                        definitions=self._definitions if batch else None,
                        known=known,
                    )
                    if after is not None:
                        await after(link, answers)
                    return answers
            except LostRaceError:
                if not left:
                    raise

    async def claim(
        self,
        worker_id: str,
        *,
        limit: int,
        lease: timedelta,
        ahead: timedelta = timedelta(0),
        buckets: Sequence[int] | None = None,
        is_fair: bool = False,
        without: Sequence[str] = (),
    ) -> Claims:
        """Lease due jobs, earliest first, and make their claimed rows, in one statement."""
        entropies = [self._ids.entropy() for _ in range(limit)]
        async with linked(self._loop_engine) as link:
            rows = await link.fetch(
                queries.CLAIM,
                worker_id,
                limit,
                lease,
                ahead,
                entropies,
                list(buckets) if buckets is not None else None,
                is_fair,
                list(without),
            )
            defined = await read_definitions(link, rows, self._definitions)
            state = await link.fetchrow(queries.NEXT_READY)
            heard_at = self._clock.monotonic() if self._clock is not None else None
        claimed = []
        for number, row in enumerate(rows, 1):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            ref = JobRef(row["tenant_id"], row["job_id"])
            job = job_from(row, defined[ref])
            run = _claimed_run(row, worker_id) if row["is_new"] else None
            claimed.append(Claimed(ref, row["token"], job, run, row["lapsed_at"], row["revision"]))
        return Claims(state["now_at"], tuple(claimed), state["ready_at"], heard_at)

    async def start(self, worker_id: str, claims: Sequence[Claimed]) -> dict[str, datetime]:
        """Mark claimed runs as running, in one statement."""
        held = sorted(claims, key=lambda claim: (bucket_of(claim.ref.job_id), claim.ref.tenant_id, claim.ref.job_id))
        slots = [claim.run.scheduled_for if claim.run else None for claim in held]
        async with linked(self._loop_engine) as link:
            rows = await link.fetch(
                queries.START,
                worker_id,
                *addresses(claim.ref for claim in held),
                [claim.token for claim in held],
                [claim.job.definition.version for claim in held],
                [claim.run.id if claim.run else None for claim in held],
                slots,
            )
        return {row["job_id"]: row["started_at"] for row in rows}

    async def renew(self, worker_id: str, held: Sequence[tuple[JobRef, int]], *, lease: timedelta) -> list[JobRef]:
        """Extend leases by token; return those no longer held."""
        refs = [ref for ref, _ in held]
        deadline_s = min(CALL_S, lease.total_seconds() / 4)
        async with linked(self._renewal_engine, deadline_s=deadline_s) as link:
            rows = await link.fetch(queries.RENEW, worker_id, lease, *addresses(refs), [token for _, token in held])
        kept = {row["job_id"] for row in rows}
        return [ref for ref in refs if ref.job_id not in kept]

    async def held_by(self, worker_id: str) -> list[tuple[JobRef, int]]:
        """Return the jobs that are leased to a worker."""
        async with linked(self._loop_engine) as link:
            rows = await link.fetch(queries.HELD_BY, worker_id)
        return [(JobRef(row["tenant_id"], row["job_id"]), row["token"]) for row in rows]

    async def release(
        self, worker_id: str, held: Sequence[tuple[JobRef, int]], *, hold_back: timedelta = timedelta(0)
    ) -> None:
        """Give back claims that were not sent; their rows go. Others are woken only for what they may have at once."""
        giving = partial(give_back, worker_id=worker_id, hold_back=hold_back)
        work = [(ref, partial(giving, token=token)) for ref, token in held]

        async def after(link: Link, answers: Sequence[Change | RubatoError]) -> None:
            back = [ref for (ref, _), answer in zip(held, answers, strict=True) if isinstance(answer, Change)]
            if back and hold_back:
                await link.execute(queries.HOLD_BACK, *addresses(back), hold_back)
            elif back:
                await link.execute(queries.WAKE)

        await self.change_many(work, known={}, after=after)

    async def stale(self, *, lapsed_for: timedelta, limit: int) -> list[JobRef]:
        """Return jobs whose lease ended so long ago with a run in it."""
        async with linked(self._engine) as link:
            rows = await link.fetch(queries.STALE, lapsed_for, limit)
        return [JobRef(row["tenant_id"], row["job_id"]) for row in rows]

    async def add_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record attempts that did not become their run's outcome."""
        async with linked(self._engine) as link:
            await put_attempts(link, attempts)

    async def attempts(self, tenant_id: str, run_id: str) -> list[Attempt]:
        """Return a run's attempts that did not become its outcome, oldest first."""
        statement = select(tables.attempts).where(
            tables.attempts.c.scheduled_for == slot_of(run_id),
            tables.attempts.c.tenant_id == tenant_id,
            tables.attempts.c.run_id == run_id,
        )
        async with self._transaction() as connection:
            rows = (await connection.execute(statement.order_by(tables.attempts.c.attempt))).mappings().all()
        return [attempt_from(row) for row in rows]

    async def add_test_run(self, run: Run) -> None:
        """Store a test run for any worker to pick up."""
        async with self._transaction() as connection:
            await connection.execute(insert(tables.runs), {**run_to(run), "test_token": 0})
            await connection.execute(text(queries.WAKE))

    async def claim_tests(self, worker_id: str, *, limit: int, lease: timedelta) -> list[TestClaim]:
        """Take pending test runs and mark them running."""
        async with self._transaction() as connection:
            where = {"worker": worker_id, "limit": limit, "lease": lease}
            rows = (await connection.execute(queries.CLAIM_TESTS, where)).mappings().all()
            refs = [JobRef(row["tenant_id"], row["job_id"]) for row in rows]
            found = await self._snapshots(connection, refs)
        return [
            TestClaim(run_from(row), found[ref].job, row["test_token"]) for row, ref in zip(rows, refs, strict=True)
        ]

    async def settle_test(self, claim: TestClaim, run: Run) -> None:
        """Record a test run's end."""
        runs = tables.runs
        values = {name: value for name, value in run_to(run).items() if name not in runs.primary_key.columns}
        statement = (
            update(runs)
            .where(_of_run(run.tenant_id, run.id, run.scheduled_for), runs.c.bucket == bucket_of(run.job_id))
            .where(runs.c.test_token == claim.token)
            .values({**values, "test_token": None, "test_lease_until": None})
        )
        async with self._transaction() as connection:
            if (await connection.execute(statement)).rowcount != 1:
                raise LeaseLostError

    async def claim_plans(
        self, *, limit: int, lease: timedelta, recent_runs: int, only: JobRef | None = None
    ) -> list[PlanClaim]:
        """Take jobs whose planning is due, raising their planning token."""
        async with self._transaction() as connection:
            if only is None:
                answer = await connection.execute(queries.CLAIM_PLANS, {"limit": limit, "lease": lease})
            else:
                answer = await connection.execute(
                    queries.CLAIM_PLAN, {**key(only.tenant_id, only.job_id), "lease": lease}
                )
            rows = answer.mappings().all()
            refs = [JobRef(row["tenant_id"], row["job_id"]) for row in rows]
            snapshots = await self._snapshots(connection, refs)
            claims = []
            for row, ref in zip(rows, refs, strict=True):
                snapshot = snapshots[ref]
                if snapshot.job.deleted_at is not None or snapshot.job.definition.planner is PlannerMode.OFF:
                    continue
                context = await planning_context(connection, snapshot, recent_runs)
                claims.append(PlanClaim(ref, row["plan_token"], row["plan_seq"], row["plan_ready_at"], context))
            return claims

    async def steered_jobs(self, tenant_id: str | None, *, limit: int, after: JobRef | None = None) -> list[JobRef]:
        """Return jobs with an active hint of a planner or a rule."""
        async with self._transaction() as connection:
            return await steered_jobs(connection, tenant_id, limit=limit, after=after)

    async def add_session(self, session: Session) -> None:
        """Store a session that wrote no hints."""
        async with self._transaction() as connection:
            await connection.execute(insert(tables.sessions), session_to(session))

    async def run(self, tenant_id: str, run_id: str) -> Run:
        """Return one run, runs of deleted jobs too. Its id begins with its slot, so one partition is read."""
        slot = slot_of(run_id)
        if slot is None:
            raise NotFound(f"There is no run {run_id}.")
        statement = tables.runs.select().where(_of_run(tenant_id, run_id, slot))
        async with self._transaction() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise NotFound(f"There is no run {run_id}.")
        return run_from(row)

    async def runs(
        self,
        tenant_id: str,
        where: RunFilter,
        *,
        limit: int,
        after: tuple[str, ...] | None = None,
        offset: int = 0,
    ) -> Page[Run]:
        """Return runs, newest slot first: a run's id sorts by its slot."""
        runs = tables.runs
        statement = runs.select().where(runs.c.tenant_id == tenant_id)
        if where.job_id is not None:
            statement = statement.where(of_job(runs, tenant_id, where.job_id))
        if where.status is not None:
            statement = statement.where(runs.c.status == where.status.value)
        if where.since is not None:
            statement = statement.where(runs.c.scheduled_for >= where.since)
        if where.until is not None:
            statement = statement.where(runs.c.scheduled_for < where.until)
        if after is not None:
            statement = statement.where(runs.c.id < after[0])
        async with self._transaction() as connection:
            ordered = statement.order_by(runs.c.id.desc()).limit(limit + 1).offset(offset)
            rows = (await connection.execute(ordered)).mappings().all()
        return _page([run_from(row) for row in rows], limit)

    async def hints(
        self,
        tenant_id: str,
        *,
        job_id: str | None = None,
        active_only: bool = False,
        limit: int,
        after: tuple[str, ...] | None = None,
    ) -> Page[Hint]:
        """Return hints, newest first."""
        hints = tables.hints
        statement = hints.select().where(hints.c.tenant_id == tenant_id)
        if job_id is not None:
            statement = statement.where(of_job(hints, tenant_id, job_id))
        if active_only:
            alive = or_(hints.c.expires_at.is_(None), hints.c.expires_at > func.now())
            statement = statement.where(hints.c.state == HintState.ACTIVE.value, alive)
        if after is not None:
            statement = statement.where(hints.c.id < after[0])
        async with self._transaction() as connection:
            rows = (await connection.execute(statement.order_by(hints.c.id.desc()).limit(limit + 1))).mappings().all()
        return _page([hint_from(row) for row in rows], limit)

    async def rules(self, tenant_id: str, job_id: str) -> list[Rule]:
        """Return a job's rules, oldest first."""
        async with self._transaction() as connection:
            return await rules_of(connection, tenant_id, job_id)

    async def rule(self, tenant_id: str, rule_id: str) -> Rule:
        """Return one rule."""
        async with self._transaction() as connection:
            return await one_rule(connection, tenant_id, rule_id)

    async def sessions(
        self, tenant_id: str, *, job_id: str | None = None, limit: int, after: tuple[str, ...] | None = None
    ) -> Page[Session]:
        """Return sessions, newest first."""
        sessions = tables.sessions
        statement = sessions.select().where(sessions.c.tenant_id == tenant_id)
        if job_id is not None:
            statement = statement.where(of_job(sessions, tenant_id, job_id))
        if after is not None:
            statement = statement.where(sessions.c.id < after[0])
        async with self._transaction() as connection:
            ordered = statement.order_by(sessions.c.id.desc()).limit(limit + 1)
            rows = (await connection.execute(ordered)).mappings().all()
        return _page([session_from(row) for row in rows], limit)

    async def session(self, tenant_id: str, session_id: str) -> Session:
        """Return one session."""
        sessions = tables.sessions
        statement = sessions.select().where(sessions.c.tenant_id == tenant_id, sessions.c.id == session_id)
        async with self._transaction() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise NotFound(f"There is no session {session_id}.")
        return session_from(row)

    async def gate_counts(self, tenant_id: str, *, newest: int) -> dict[str, int]:
        """Return how often the gate gave each verdict."""
        async with self._transaction() as connection:
            return await gate_counts(connection, tenant_id, newest)

    async def latest_decision(self, tenant_id: str, job_id: str) -> Decision | None:
        """Return the decision in force."""
        async with self._transaction() as connection:
            return await latest_decision(connection, tenant_id, job_id)

    async def backlog(self) -> Backlog:
        """Return figures for the gauges."""
        async with self._transaction() as connection:
            row = (await connection.execute(queries.BACKLOG)).mappings().one()
        return Backlog(row["due"], float(row["age"]), row["parked"], float(row["quota_used"]))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with transaction(self._engine) as connection:
            yield connection

    async def _snapshots(self, connection: AsyncConnection, refs: Sequence[JobRef]) -> dict[JobRef, Snapshot]:
        link = await link_of(connection)
        return await read_snapshots(
            link, refs, lock=False, operator_minimum=self._operator_minimum, definitions=self._definitions
        )


def _of_run(tenant_id: str, run_id: str, slot: datetime) -> Any:
    runs = tables.runs
    return and_(runs.c.scheduled_for == slot, runs.c.tenant_id == tenant_id, runs.c.id == run_id)


def _page(items: list[Any], limit: int) -> Page[Any]:
    return Page(items[:limit], (items[limit - 1].id,) if len(items) > limit else None)


def _claimed_run(row: Mapping[Any, Any], worker_id: str) -> Run:
    return Run(
        id=row["lease_run_id"],
        tenant_id=row["tenant_id"],
        job_id=row["job_id"],
        scheduled_for=row["slot_at"],
        status=RunStatus.CLAIMED,
        trigger=Trigger.SCHEDULED,
        created_at=row["now_at"],
        kind=SlotKind(row["slot_kind"]),
        job_version=row["version"],
        worker_id=worker_id,
    )
