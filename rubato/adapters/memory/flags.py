"""The flag port in memory, beside a memory store."""

from collections.abc import Sequence
from dataclasses import replace

from core.entities import PlannerMode
from core.modes import CRON, EVERYBODY, INTERVAL, PLANNER, RULES, lowest
from core.ports.flags import Flag, FlagChange
from rubato.adapters.memory.store import MemoryStore


class MemoryFlags:
    """Switches and their history. The limits of a store's tenants follow them."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._flags: dict[tuple[str, str], Flag] = {}
        self._changes: list[FlagChange] = []

    async def read(self, scopes: Sequence[str]) -> list[Flag]:
        """Return the switches of these scopes."""
        return [self._flags[each] for each in sorted(self._flags) if each[0] in scopes]

    async def turn(self, scope: str, name: str, value: str, *, by: str, reason: str | None) -> Flag:
        """Set a switch and record who did."""
        tenants = self._store.tenant_ids() if scope == EVERYBODY else [scope]
        for tenant_id in tenants:
            await self._store.limits(tenant_id)
        old = self._flags.get((scope, name))
        flag = Flag(scope, name, value, self._store.clock.now(), by, reason)
        self._flags[scope, name] = flag
        self._changes.append(
            FlagChange(scope, name, old.value if old else None, value, flag.changed_at, flag.changed_by, reason)
        )
        for tenant_id in tenants:
            planner = lowest(map(PlannerMode, self._values(PLANNER, tenant_id)))
            rules = "off" not in self._values(RULES, tenant_id)
            limits = replace(await self._store.limits(tenant_id), planner=planner, rules=rules)
            self._store.add_tenant(tenant_id, limits)
        off = self._store.switched_off
        if name in (CRON, INTERVAL):
            (off.add if value == "off" else off.discard)((scope, name))
        return flag

    def _values(self, name: str, tenant_id: str) -> list[str]:
        set_ = (self._flags.get((each, name)) for each in (EVERYBODY, tenant_id))
        return [each.value for each in set_ if each is not None]

    async def changes(self, scope: str, *, limit: int) -> list[FlagChange]:
        """Return the newest changes of one scope."""
        return [each for each in reversed(self._changes) if each.scope == scope][:limit]
