"""The feed port in memory: a position numbers what the jobs looked like at a look."""

from core.ports.feed import News
from core.ports.store import JobFilter
from rubato.adapters.memory.store import MemoryStore

_ALL = 1_000_000


class MemoryFeed:
    """Compares jobs with what they were."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._looks: list[dict[str, int]] = []

    async def since(self, tenant_id: str, position: str | None) -> News:
        """Return what has changed since a position."""
        jobs = (await self._store.jobs(tenant_id, JobFilter(), limit=_ALL)).items
        seen = {job.id: hash(repr(job)) for job in jobs}
        self._looks.append(seen)
        here, now = str(len(self._looks) - 1), await self._store.now()
        if position is None:
            return News(here, (), now)
        if not position.isdigit() or int(position) >= len(self._looks) - 1:
            return News(here, None, now)
        old = self._looks[int(position)]
        changed = {job_id for job_id in {*old, *seen} if old.get(job_id) != seen.get(job_id)}
        return News(here, tuple(sorted(changed)), now)
