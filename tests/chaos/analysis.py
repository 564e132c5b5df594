"""Judges the evidence. Pure: it knows neither processes nor a database, so that it can be shown to fail.

Each check names what it found, in words; a run is good when every list of a `Judgement` is empty.

*Lost.* The grid of a job is arithmetic: `epoch + k x every`. Every fire up to the end must be the slot of an ended run,
lie in the range of a `skipped` row, or be one that backoff leaves out after a failure (docs/governor.md).

*Doubled.* Of several requests for one slot all but one must be open at a fault: sent by a worker that was killed,
stopped beyond its lease, or cut off, and not answered and recorded by then. `open_at_faults` counts all such requests,
from the ledger and the recorded tokens alone: it is the bound.

*Stale.* A recorded answer carries its request's token: that request must have been sent by the worker that the row
names, after that attempt began. A late answer of a superseded attempt would carry an older one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.chaos.evidence import Evidence, Fault, LostAttempt, Request, Row, Watched, by_webhook, pid_of

RECORDED_WITHIN = timedelta(seconds=2)  # an answer older than this at a fault should have been recorded
IN_THE_LINE = timedelta(milliseconds=500)  # bytes that were sent before a stop and read after it
LONGEST_BACKOFF = 32  # times the interval, when a job sets no maximum; docs/governor.md


@dataclass(slots=True)
class Judgement:
    """What was found. Counts first, then what must be empty, then what is only told."""

    sent: int = 0
    due: int = 0
    committed: int = 0
    skipped: int = 0
    failed: int = 0
    unknown: int = 0
    taken_over: int = 0
    parked: int = 0
    doubled: int = 0
    open_at_faults: int = 0

    lost: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    twice_at_most_once: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)
    not_recovered: list[str] = field(default_factory=list)

    recovery_s: list[float] = field(default_factory=list)
    sent_on_waking: int = 0
    discarded: int = 0
    discarded_though_recorded: int = 0

    @property
    def findings(self) -> dict[str, list[str]]:
        """Return what must be empty and is not."""
        named = {
            "lost slots": self.lost,
            "doubled without a cause": self.unexplained,
            "stale writes accepted": self.stale,
            "ended runs that changed": self.changed,
            "requests before their slot": self.early,
            "at-most-once slots sent twice": self.twice_at_most_once,
            "runs off the grid": self.stray,
            "requests without a run": self.unrecorded,
            "skipped rows with a wrong count": self.miscounted,
            "runs of killed workers not taken up": self.not_recovered,
        }
        found = {name: list(items) for name, items in named.items() if items}
        if self.doubled > self.open_at_faults:
            found["doubled beyond the bound"] = [f"{self.doubled} > {self.open_at_faults}"]
        return found


def judge(evidence: Evidence) -> Judgement:
    """Judge a whole run."""
    told = Judgement(sent=len(evidence.requests), changed=list(evidence.changed))
    rows_of: dict[str, list[Row]] = {}
    for row in sorted(evidence.rows, key=lambda each: each.scheduled_for):
        rows_of.setdefault(row.job_id, []).append(row)
    for job in evidence.jobs:
        _walk(job, rows_of.get(job.job_id, []), evidence.until, told)
    statuses = Counter(row.status for row in evidence.rows if row.scheduled_for <= evidence.until)
    told.committed, told.failed, told.unknown = statuses["succeeded"], statuses["failed"], statuses["unknown"]
    _judge_requests(evidence, told)
    _judge_records(evidence, told)
    _judge_attempts(evidence, told)
    _judge_recovery(evidence, told)
    return told


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share lies; of nothing, 0."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


# slots


def _walk(job: Watched, rows: Sequence[Row], until: datetime, told: Judgement) -> None:
    """Compare the grid with what the rows say of it."""
    if until < job.epoch:
        return
    own = [row for row in rows if row.scheduled_for <= until]
    given_up = next((row for row in own if row.is_given_up), None)
    if given_up is not None:
        told.parked += 1  # for an hour, with a reason: no slot of it is due any more
        until = min(until, given_up.scheduled_for)
    covered = _handled(job, own, told) | _left_out(job, own)
    fires = (until - job.epoch) // job.every + 1
    told.due += fires
    standing = {_index(job, row.scheduled_for): row.status for row in own if not row.is_terminal}
    for k in range(fires):
        if k not in covered:
            said = standing.get(k, "no run")
            told.lost.append(f"{job.job_id} {(job.epoch + k * job.every).isoformat()}: {said}")
    if not job.is_planned:
        for row in rows:
            if (row.scheduled_for - job.epoch) % job.every:
                told.stray.append(f"{row.run_id} {row.scheduled_for.isoformat()}")


def _handled(job: Watched, rows: Iterable[Row], told: Judgement) -> set[int]:
    """Return the fires that ended runs and skipped rows stand for, counted from the epoch."""
    handled: set[int] = set()
    for row in rows:
        if not row.is_terminal:
            continue
        first = -((job.epoch - row.scheduled_for) // job.every)
        if row.status != "skipped":
            if not (row.scheduled_for - job.epoch) % job.every:
                handled.add(first)
            continue
        last = _index(job, row.skipped_until or row.scheduled_for)
        handled.update(range(first, last + 1))
        told.skipped += row.skipped_count or 0
        if not job.is_planned and row.skipped_count != last - first + 1:
            told.miscounted.append(f"{row.run_id}: {row.skipped_count}, the grid has {last - first + 1}")
    return handled


def _left_out(job: Watched, rows: Iterable[Row]) -> set[int]:
    """Return the fires that backoff leaves out: it counts from the last handled fire, skipped ones too."""
    left_out: set[int] = set()
    failures = 0
    for row in rows:
        if row.status == "succeeded":
            failures = 0
        elif row.status == "failed" and row.kind == "baseline":
            failures += 1
        if failures and row.is_terminal:
            wait = min(job.every * 2 ** min(failures, 5), job.every * LONGEST_BACKOFF)
            handled = row.skipped_until or row.scheduled_for
            first_after = -((job.epoch - handled - wait) // job.every)
            left_out.update(range(_index(job, handled) + 1, first_after))
    return left_out


def _index(job: Watched, at: datetime) -> int:
    return (at - job.epoch) // job.every


# requests


def _judge_requests(evidence: Evidence, told: Judgement) -> None:
    """Look for requests before their slot, beside their run, and more than one for a slot."""
    rows = {row.webhook_id: row for row in evidence.rows}
    once_only = {job.job_id for job in evidence.jobs if job.at_most_once}
    recorded = {row.token for row in evidence.rows if row.token is not None}
    causes = _Causes(evidence)
    told.open_at_faults = sum(
        request.token not in recorded and causes.of(request) is not None for request in evidence.requests
    )
    for slot, requests in by_webhook(evidence.requests).items():
        row = rows.get(slot)
        if row is None:
            told.unrecorded += [f"request {request.token} by launch {request.launch}" for request in requests]
            continue
        told.early += [
            f"{row.run_id}: {(row.scheduled_for - request.arrived_at).total_seconds():.6f} s"
            for request in requests
            if request.arrived_at < row.scheduled_for
        ]
        if len(requests) == 1:
            continue
        told.doubled += len(requests) - 1
        if row.job_id in once_only:
            told.twice_at_most_once.append(f"{row.run_id}: {len(requests)} requests")
        uncaused = []
        for request in requests:
            cause = causes.of(request) if request.token not in recorded else None
            told.sent_on_waking += cause == "on waking"
            if cause is None:
                uncaused.append(request)
        if len(uncaused) > 1:
            told.unexplained.append(f"{row.run_id} attempt {row.attempt}: {_story(requests, recorded)}")


class _Causes:
    """Which fault excuses that a request was never recorded."""

    def __init__(self, evidence: Evidence) -> None:
        self._by_launch: dict[int | None, list[Fault]] = {}
        for fault in evidence.faults:
            self._by_launch.setdefault(fault.launch, []).append(fault)
        self._marked = _marks(evidence)

    def of(self, request: Request) -> str | None:
        """Name the fault, or None."""
        for fault in (*self._by_launch.get(request.launch, ()), *self._by_launch.get(None, ())):
            if request.answered_at is not None and request.answered_at < fault.at - RECORDED_WITHIN:
                continue
            if fault.kind == "kill":
                return "kill"
            sent_by = fault.until if fault.kind == "cut" else fault.at + IN_THE_LINE
            if request.arrived_at <= sent_by:
                return fault.kind
            begun_at = self._marked.get((request.webhook_id, request.launch))
            if fault.kind == "stop" and begun_at is not None and begun_at <= fault.at < request.arrived_at:
                return "on waking"
        return None


def _marks(evidence: Evidence) -> dict[tuple[str, int | None], datetime]:
    """Return when lost attempts had been marked, by slot and launch: a worker may be stopped between mark and send."""
    launches = {pid: launch for launch, pid in evidence.pids.items()}
    slots = {row.run_id: row.webhook_id for row in evidence.rows}
    return {
        (slots[lost.run_id], launches.get(pid_of(lost.worker_id) or 0)): lost.started_at
        for lost in evidence.attempts
        if lost.started_at is not None and lost.run_id in slots
    }


def _story(requests: Iterable[Request], recorded: set[int]) -> str:
    return ", ".join(
        f"{request.token} by {request.launch} at {request.arrived_at.time().isoformat()}"
        f"{' (recorded)' if request.token in recorded else ''}"
        for request in requests
    )


# records


def _judge_records(evidence: Evidence, told: Judgement) -> None:
    """Hold every recorded answer against the request that it belongs to."""
    requests = {request.token: request for request in evidence.requests}
    for row in evidence.rows:
        if row.status == "succeeded" and row.token is None:
            told.stale.append(f"{row.run_id}: succeeded without an answer")
        if row.token is None:
            continue
        request = requests.get(row.token)
        if request is None or request.webhook_id != row.webhook_id:
            told.stale.append(f"{row.run_id}: token {row.token} was never given to it")
        elif row.started_at is not None and request.arrived_at < row.started_at:
            told.stale.append(f"{row.run_id}: token {row.token} is older than attempt {row.attempt}")
        elif evidence.pids and evidence.pids.get(request.launch or 0) != pid_of(row.worker_id):
            told.stale.append(f"{row.run_id}: token {row.token} is of launch {request.launch}, not of {row.worker_id}")


def _judge_attempts(evidence: Evidence, told: Judgement) -> None:
    """Count refused answers, and those called refused although they stand in their run."""
    ends = {(row.run_id, row.worker_id, row.attempt) for row in evidence.rows if row.token is not None}
    discarded: list[LostAttempt] = [attempt for attempt in evidence.attempts if attempt.status == "discarded"]
    told.discarded = len(discarded)
    told.discarded_though_recorded = sum(
        (attempt.run_id, attempt.worker_id, attempt.attempt) in ends for attempt in discarded
    )
    told.taken_over = len(evidence.attempts) - told.discarded_though_recorded


# recovery


def _judge_recovery(evidence: Evidence, told: Judgement) -> None:
    """Time from a kill to the moment that each run its worker held was sent again, or ended without.

    Of a run that several faulty workers held one after another, the last kill counts.
    """
    rows = {row.run_id: row for row in evidence.rows}
    arrivals = by_webhook(evidence.requests)
    last_hit = {held.run_id: fault.at for fault in sorted(evidence.faults, key=_at) for held in fault.held}
    for fault in evidence.faults:
        if fault.kind != "kill":
            continue
        for held in fault.held:
            row = rows.get(held.run_id)
            if row is None or last_hit[held.run_id] != fault.at:
                continue  # given back and claimed afresh, which the walk sees; or held by a later victim
            after = [
                request.arrived_at
                for request in arrivals.get(held.webhook_id, ())
                if request.arrived_at > fault.at and request.launch != fault.launch
            ]
            if row.finished_at is not None and row.finished_at > fault.at:
                after.append(row.finished_at)
            if after:
                told.recovery_s.append((min(after) - fault.at).total_seconds())
            elif not row.is_terminal:
                told.not_recovered.append(f"{row.run_id} after the kill of launch {fault.launch}")


def _at(fault: Fault) -> datetime:
    return fault.at
