"""Ending runs that nobody holds any more: `running` rows whose worker was last heard of 15 minutes ago.

Normally the next claim takes such a run over within a lease. What it cannot reach (the job's tenant is suspended, every
worker was away) is ended here, at a worker's start before anything is claimed, and every minute.
"""

from datetime import timedelta
from functools import partial

from core.entities import Delivery, RunStatus
from core.errors import LeaseLostError
from core.ports.cron import Cron
from core.ports.events import Events
from core.ports.ids import Ids
from core.ports.store import Change, Snapshot, Store
from core.record import evolve, record
from core.usecases.begin import STALE, STALE_AFTER, UNCERTAIN, lost_attempt
from core.usecases.reporting import report
from core.usecases.settle import settle

AT_ONCE = 200  # in one transaction


@record
class ReapStale:
    """Looks for stale runs and ends them. A live lease is never touched, however old its run."""

    store: Store
    cron: Cron
    ids: Ids
    events: Events
    lease: timedelta

    async def run_once(self) -> int:
        """End what is stale; return how many runs that were."""
        lapsed_for = max(STALE_AFTER - self.lease, timedelta(0))
        count = 0
        while refs := await self.store.stale(lapsed_for=lapsed_for, limit=AT_ONCE):
            reaping = partial(reap, lapsed_for=lapsed_for, cron=self.cron, ids=self.ids)
            answers = await self.store.change_many([(ref, reaping) for ref in refs])
            ended = [answer for answer in answers if isinstance(answer, Change)]
            for change in ended:
                report(change, self.events)
            count += len(ended)
            if len(refs) < AT_ONCE or not ended:
                break
        return count


def reap(snapshot: Snapshot, *, lapsed_for: timedelta, cron: Cron, ids: Ids) -> Change:
    """Return the change that ends a stale run: `failed`, or `unknown` where the job says so. A late answer is refused.

    Raises LeaseLostError when the job is held, or has no run that was sent.
    """
    job, run, now = snapshot.job, snapshot.run, snapshot.now
    lease = job.schedule.lease
    if lease is None or lease.until > now - lapsed_for or run is None or run.status is not RunStatus.RUNNING:
        raise LeaseLostError
    is_uncertain = job.definition.delivery is Delivery.AT_MOST_ONCE or job.deleted_at is not None
    token = job.schedule.token
    change = settle(snapshot, token=token, finished=UNCERTAIN if is_uncertain else STALE, cron=cron, ids=ids)
    schedule = evolve(change.job.schedule, token=token + 1)
    return evolve(change, job=evolve(change.job, schedule=schedule), attempts=(lost_attempt(run, now),))
