"""The memory store with a journal: which rows each operation wrote, and what they were before."""

from collections.abc import Iterable, Mapping
from typing import Any

from core.entities import Attempt, Job
from core.ports.clock import Clock
from core.ports.ids import Ids
from rubato.adapters.memory.rows import Hints, Runs
from rubato.adapters.memory.store import MemoryStore


class Table(dict[Any, Any]):
    """A dictionary that remembers the rows it had before they were written, until `take` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[Any, Any] = {}

    def take(self) -> Iterable[tuple[Any, Any, Any]]:
        """Return (key, row before, row now) of everything written since the last time; None: no row."""
        if not self._before:
            return ()
        before, self._before = self._before, {}
        return [(key, old, self.get(key)) for key, old in before.items()]

    def _note(self, key: Any) -> None:
        if key not in self._before:
            self._before[key] = self.get(key)

    def __setitem__(self, key: Any, row: Any) -> None:
        self._note(key)
        super().__setitem__(key, row)

    def __delitem__(self, key: Any) -> None:
        self._note(key)
        super().__delitem__(key)

    def pop(self, key: Any, *default: Any) -> Any:
        if key in self:
            self._note(key)
        return super().pop(key, *default)

    def update(self, rows: Mapping[Any, Any]) -> None:  # type: ignore[override]  # the one form the store uses
        for key, row in rows.items():
            self[key] = row

    def setdefault(self, key: Any, row: Any = None) -> Any:
        if key not in self:
            self[key] = row
        return self[key]


class JournaledRuns(Table, Runs):
    """Runs, remembering."""

    def discard(self, run_id: str) -> None:
        if run_id in self:
            self._note(run_id)
        super().discard(run_id)


class JournaledHints(Table, Hints):
    """Hints, remembering."""


class JournaledStore(MemoryStore):
    """The memory store itself, its tables journaled."""

    __slots__ = ()

    def __init__(self, clock: Clock, ids: Ids) -> None:
        super().__init__(clock, ids)
        self._jobs: dict[str, Job] = Table()
        self._runs = JournaledRuns()
        self._hints = JournaledHints()
        self._attempts: dict[tuple[str, str, int], Attempt] = Table()
