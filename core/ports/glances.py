"""The glances port: what a page shows of many jobs at once, in a number of reads that does not grow with them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from core.entities import Hint, RunStatus, Trigger
from core.record import record

LATE_AFTER = timedelta(seconds=10)  # past its slot: two of the longest waits between looks at what is due


@record
class Mark:
    """A run as a strip shows it. `detail`: the first words of its error, or why it was skipped."""

    id: str
    at: datetime
    status: RunStatus
    trigger: Trigger
    status_code: int | None
    duration_ms: int | None
    skipped_count: int | None
    detail: str


@record
class Glimpse:
    """A job's newest runs, oldest first, test runs left out; and its active hints."""

    marks: tuple[Mark, ...] = ()
    hints: tuple[Hint, ...] = ()


@record
class Summary:
    """A tenant's jobs in four figures. `late`: due for longer than `LATE_AFTER`. `failing`: the last baseline run
    failed. `steered`: a planner's hint is active. `groups`: the most populous, with how many jobs are in each."""

    jobs: int
    late: int
    failing: int
    steered: int
    groups: Mapping[str, int]


class Glances(Protocol):
    """Reads only. Deleted jobs are left out."""

    async def summary(self, tenant_id: str) -> Summary:
        """Return the figures."""
        ...

    async def glimpses(self, tenant_id: str, job_ids: Sequence[str], *, runs: int) -> Mapping[str, Glimpse]:
        """Return a glimpse of each of these jobs, with so many runs at the most."""
        ...
