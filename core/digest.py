"""The fingerprint of a decision's inputs: replaying the same inputs must give the same decision."""

import hashlib
import struct
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from core.entities import Decision, Hint, Job, Limits, PlannerMode
from core.governor import VERSION
from core.ports.cron import Cron
from core.record import evolve

NAN = float("nan")  # stands for None among numbers; instants are seconds of the epoch, exact to the microsecond
_ID = attrgetter("id")


def seal(decision: Decision, job: Job, hints: Sequence[Hint], limits: Limits, *, now: datetime, cron: Cron) -> Decision:
    """Return the decision with the digest of its inputs and the versions it was made by.

    Planning state and lease are left out: the governor does not read them.
    """
    schedule = job.schedule
    words = [
        job.id,
        schedule.status,
        limits.suspended or "",
        *(() if limits.planner is PlannerMode.ON else (f"planner {limits.planner}",)),
        *(() if limits.rules else ("rules off",)),
        *(f"{hint.id} {hint.state} {hint.interval}" for hint in sorted(hints, key=_ID)),
    ]
    numbers = [
        job.definition.version,
        schedule.failures,
        schedule.counted_runs,
        schedule.accelerated_on.toordinal() if schedule.accelerated_on is not None else NAN,
        schedule.accelerated_runs,
        limits.operator_minimum.total_seconds(),
        limits.tenant_minimum.total_seconds() if limits.tenant_minimum is not None else NAN,
        limits.hint_lifetime.total_seconds(),
        limits.accelerated_runs_per_day,
        limits.pause_share,
    ]
    instants = [
        job.deleted_at,
        schedule.created_at,
        schedule.grid_epoch,
        schedule.handled_through,
        schedule.last_slot_at,
        schedule.last_start_at,
        schedule.edited_at,
        schedule.resumed_at,
        schedule.retry_at,
        schedule.parked_until,
        now,
    ]
    for hint in hints and sorted(hints, key=_ID):
        instants += (hint.expires_at, hint.at, hint.until)
    numbers += [NAN if at is None else at.timestamp() for at in instants]
    inputs = "|".join(words).encode() + struct.pack(f"<{len(numbers)}d", *numbers)
    digest = hashlib.blake2b(inputs, digest_size=12).hexdigest()
    return evolve(decision, digest=digest, governor_version=VERSION, tzdata_version=cron.tzdata_version)
