"""Who may be out at once: places of a worker, shared between tenants and hosts.

Everybody may use every plain place. A quarter more is kept for tenants that use little, so that one tenant's flood, or
its hung endpoints, never keeps another tenant waiting; and no host gets more than its limit of requests at once.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from core.entities import HttpAction, Job

Item = TypeVar("Item")


@lru_cache(maxsize=20_000)
def host_of(url: str) -> str:
    """Return host and port of a URL, as the key of a limit: spelled one way, however it was written."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
        return f"{(parts.hostname or '').rstrip('.')}:{port}"
    except ValueError:
        return ""


def host_of_job(job: Job) -> str:
    """Return what the limit of requests to one host counts by: the host; for a registered target, its name."""
    action = job.definition.action
    return host_of(action.url) if isinstance(action, HttpAction) else action.target


@dataclass(slots=True)
class Places:
    """Counts what is out. `plain`: places for all; `host_limit`: requests to a host, or calls of a target, at once."""

    plain: int
    host_limit: int
    taken: int = 0
    _tenants: Counter[str] = field(default_factory=Counter)
    _hosts: Counter[str] = field(default_factory=Counter)

    def take(self, job: Job) -> None:
        """Count one more."""
        self.taken += 1
        self._tenants[job.tenant_id] += 1
        self._hosts[host_of_job(job)] += 1

    def free(self, job: Job) -> None:
        """Count one less."""
        self.taken -= 1
        for counter, name in ((self._tenants, job.tenant_id), (self._hosts, host_of_job(job))):
            counter[name] -= 1
            if counter[name] <= 0:
                del counter[name]

    def has_room_for(self, tenant_id: str, *, admitted: int) -> bool:
        """Tell whether this tenant may have one more, of `admitted` places."""
        if self.taken < admitted:
            return True
        return self.taken < with_reserve(admitted) and self._tenants[tenant_id] < modest(admitted)

    def is_host_full(self, job: Job) -> bool:
        """Tell whether the job's host has all it may have."""
        return self._hosts[host_of_job(job)] >= self.host_limit


def modest(admitted: int) -> int:
    """Return how many places a tenant may use and still draw on the reserve."""
    return max(1, admitted // 4)


def with_reserve(admitted: int) -> int:
    """Return how many places there are with the reserve."""
    return admitted + max(1, admitted // 4)


@dataclass(slots=True)
class Queue(Generic[Item]):
    """What waits for a place, tenants taking turns."""

    size: int = 0
    _tenants: OrderedDict[str, deque[Item]] = field(default_factory=OrderedDict)

    def put(self, tenant_id: str, item: Item) -> None:
        """Add to the tenant's end."""
        self._tenants.setdefault(tenant_id, deque()).append(item)
        self.size += 1

    def take(self, places: Places, *, admitted: int) -> Item | None:
        """Return the next of the first tenant that has room, and let the others go before it next time."""
        for tenant_id, waiting in self._tenants.items():
            if not places.has_room_for(tenant_id, admitted=admitted):
                continue
            item = waiting.popleft()
            self.size -= 1
            if waiting:
                self._tenants.move_to_end(tenant_id)
            else:
                del self._tenants[tenant_id]
            return item
        return None

    def clear(self) -> list[Item]:
        """Take everything."""
        items = [item for waiting in self._tenants.values() for item in waiting]
        self._tenants.clear()
        self.size = 0
        return items
