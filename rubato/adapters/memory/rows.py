"""Rows by id, with what the store asks for often kept in order: a job's newest runs, its living hints, open tests.

So a turn costs the same after a year of runs as on the first day.
"""

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

from core.entities import Author, Hint, HintKind, HintState, Run, RunStatus, Trigger

ENDED_KEPT = 100  # of a job; sessions are shown fewer
_OPEN = (RunStatus.CLAIMED, RunStatus.RUNNING)


class Runs(dict[str, Run]):
    """Runs by id. A run's id sorts by its slot. `keep`: how many a job keeps (None: all); the oldest go first."""

    def __init__(self, keep: int | None = None) -> None:
        super().__init__()
        self.keep = keep
        self._order: defaultdict[str, list[str]] = defaultdict(list)
        self._open_tests: dict[str, None] = {}

    def __setitem__(self, run_id: str, run: Run) -> None:
        """Insert or replace."""
        ids = self._order[run.job_id]
        if run_id not in self:
            insort(ids, run_id)
        super().__setitem__(run_id, run)
        if run.trigger is Trigger.TEST:
            if run.status in _OPEN:
                self._open_tests[run_id] = None
            else:
                self._open_tests.pop(run_id, None)
        if self.keep is not None and len(ids) > 2 * self.keep:
            for old in ids[: -self.keep]:
                self.discard(old)

    def update(self, rows: Any) -> None:  # type: ignore[override]  # a mapping only
        """Insert or replace many."""
        for run_id, run in rows.items():
            self[run_id] = run

    def discard(self, run_id: str) -> None:
        """Remove a row, if it is there."""
        run = super().pop(run_id, None)
        if run is not None:
            ids = self._order[run.job_id]
            del ids[bisect_left(ids, run_id)]
            self._open_tests.pop(run_id, None)

    def newest(self, job_id: str) -> Iterator[Run]:
        """Yield a job's runs, newest slot first, test runs left out."""
        for run_id in reversed(self._order.get(job_id, ())):
            run = self[run_id]
            if run.trigger is not Trigger.TEST:
                yield run

    def open_tests(self) -> list[Run]:
        """Return the test runs that have not ended, oldest first."""
        return [self[run_id] for run_id in sorted(self._open_tests)]


class Hints(dict[str, Hint]):
    """Hints by id, with those of each job that can still matter: active ones, pauses however they ended, and the
    planner's own that ended last."""

    def __init__(self) -> None:
        super().__init__()
        self._ended: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=ENDED_KEPT))
        self._matter: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def __setitem__(self, hint_id: str, hint: Hint) -> None:
        """Insert or replace."""
        was = self.get(hint_id)
        super().__setitem__(hint_id, hint)
        has_ended = hint.state is not HintState.ACTIVE and (was is None or was.state is HintState.ACTIVE)
        if has_ended and hint.author is Author.PLANNER:
            self._ended[hint.job_id].append(hint_id)
        if hint.state is HintState.ACTIVE or hint.kind is HintKind.PAUSE:
            self._matter[hint.job_id][hint_id] = None
        else:
            self._matter[hint.job_id].pop(hint_id, None)

    def update(self, rows: Any) -> None:  # type: ignore[override]  # a mapping only
        """Insert or replace many."""
        for hint_id, hint in rows.items():
            self[hint_id] = hint

    def of(self, job_id: str) -> Iterable[Hint]:
        """Yield a job's hints that can still matter, in the order they were written."""
        for hint_id in self._matter.get(job_id, ()):
            yield self[hint_id]

    def ended_of(self, job_id: str) -> Iterable[Hint]:
        """Yield the planner's own hints of a job that ended last."""
        for hint_id in self._ended.get(job_id, ()):
            yield self[hint_id]
