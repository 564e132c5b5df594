"""The fingerprint of a decision's inputs: replaying the same inputs must give the same decision."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from core.entities import Decision, Hint, Job, Limits
from core.governor import VERSION
from core.ports.cron import Cron


def seal(decision: Decision, job: Job, hints: Sequence[Hint], limits: Limits, *, now: datetime, cron: Cron) -> Decision:
    """Return the decision with the digest of its inputs and the versions it was made by.

    Planning state and lease are left out: the governor does not read them.
    """
    schedule = job.schedule
    read = (
        job.id,
        job.definition.version,
        job.deleted_at,
        schedule.created_at,
        schedule.grid_epoch,
        schedule.status,
        schedule.handled_through,
        schedule.last_slot_at,
        schedule.last_start_at,
        schedule.edited_at,
        schedule.resumed_at,
        schedule.retry_at,
        schedule.failures,
        schedule.counted_runs,
        schedule.accelerated_on,
        schedule.accelerated_runs,
        schedule.parked_until,
        sorted((hint.id, hint.state, hint.expires_at, hint.interval, hint.at, hint.until) for hint in hints)
        if len({hint.id for hint in hints}) == len(hints)
        else repr(hints),
        limits,
        now,
    )
    digest = hashlib.blake2b(repr(read).encode(), digest_size=12).hexdigest()
    return replace(decision, digest=digest, governor_version=VERSION, tzdata_version=cron.tzdata_version)
