"""What an operator does in trouble, over all tenants: stop everything, go on, see and end leases."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from rubato.adapters.postgres import queries
from rubato.adapters.postgres.engine import Engine, transaction

MARK = "paused by an operator"  # how the suspensions of `pause_all` are told from others, which `resume_all` leaves

_PAUSE = text("UPDATE tenants SET suspended_reason = :reason WHERE suspended_reason IS NULL RETURNING id")
_RESUME = text("UPDATE tenants SET suspended_reason = NULL WHERE starts_with(suspended_reason, :mark) RETURNING id")
_LEASES = text(
    """
    SELECT lease_worker, tenant_id, job_id, lease_run_id, lease_until, lease_until <= statement_timestamp() AS is_over
    FROM schedules WHERE lease_worker IS NOT NULL AND (CAST(:worker AS text) IS NULL OR lease_worker = :worker)
    ORDER BY lease_worker, lease_until, job_id LIMIT :limit
    """
)
# As if the lease had ended by itself: the token stays, so that whoever takes the job over raises it, and a holder that
# lives after all is refused from then on.
_END = text(
    """
    UPDATE schedules SET lease_until = statement_timestamp(), ready_at = statement_timestamp()
    WHERE lease_worker = :worker AND lease_until > statement_timestamp() RETURNING job_id
    """
)


@dataclass(frozen=True, slots=True)
class HeldLease:
    """One lease. `is_over`: it has ended, and nobody has taken the job over yet."""

    worker: str
    tenant_id: str
    job_id: str
    run_id: str
    until: datetime
    is_over: bool


class PostgresOperations:
    """The verbs of the runbook."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def pause_all(self, reason: str | None) -> int:
        """Suspend every tenant that is not; what is out ends, nothing new is claimed. Return how many."""
        given = {"reason": f"{MARK}: {reason}" if reason else MARK}
        async with transaction(self._engine) as connection:
            return len((await connection.execute(_PAUSE, given)).all())

    async def resume_all(self) -> int:
        """End what `pause_all` began; return for how many tenants. Missed slots are caught up with as each job says."""
        async with transaction(self._engine) as connection:
            count = len((await connection.execute(_RESUME, {"mark": MARK})).all())
            await connection.execute(text(queries.WAKE))
        return count

    async def leases(self, *, worker: str | None, limit: int) -> list[HeldLease]:
        """Return who holds what, ended leases too, by worker."""
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(_LEASES, {"worker": worker, "limit": limit})).all()
        return [HeldLease(*row) for row in rows]

    async def end_leases(self, worker: str) -> int:
        """End the leases of a worker that is known to be dead, so that its jobs need not wait for them; return how
        many. Of one that lives, runs that are out are sent again by another, as after any lease that was lost."""
        async with transaction(self._engine) as connection:
            count = len((await connection.execute(_END, {"worker": worker})).all())
            await connection.execute(text(queries.WAKE))
        return count
