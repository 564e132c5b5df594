"""The store of a worker that traces: it notes claims and tells of runs that are recorded."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from core.errors import RubatoError
from core.ports.store import Change, Claims, JobRef, Known, Transition
from rubato.adapters.postgres.engine import Link
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.tracing.runs import RunTraces


class TracedStore(PostgresStore):
    """PostgreSQL's store, observed. `traces` is given by the wiring before anything is claimed."""

    def __init__(self, *args: Any, traces: RunTraces, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._traces = traces

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
        """Claim, and note when."""
        begun_ns = self._traces.now_ns()
        claims = await super().claim(
            worker_id, limit=limit, lease=lease, ahead=ahead, buckets=buckets, is_fair=is_fair, without=without
        )
        ended_ns = self._traces.now_ns()
        for claimed in claims.jobs:
            self._traces.claimed(claimed.ref.job_id, begun_ns, ended_ns)
        return claims

    async def change_many(
        self,
        work: Sequence[tuple[JobRef, Transition]],
        *,
        known: Mapping[JobRef, Known] | None = None,
        after: Callable[[Link, Sequence[Change | RubatoError]], Awaitable[None]] | None = None,
    ) -> list[Change | RubatoError]:
        """Change, and tell of the runs that ended by it."""
        begun_ns = self._traces.now_ns()
        answers = await super().change_many(work, known=known, after=after)
        for answer in answers:
            if isinstance(answer, Change):
                source = answer.decision.source.value if answer.decision is not None else None
                for run in answer.runs:
                    self._traces.settled(run, begun_ns, source)
        return answers
