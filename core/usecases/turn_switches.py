"""Switches: planning, rules, and the kinds of baseline that run; for everybody or one tenant, without a restart."""

from functools import partial

from core.errors import InvalidInput, Issue, NotFound
from core.modes import EVERYBODY, PLANNER, POSITIONS, RULES
from core.ports.cron import Cron
from core.ports.flags import Flag, Flags
from core.ports.store import Change, JobRef, Snapshot, Store
from core.record import record
from core.reschedule import steer

LONGEST_REASON = 300  # characters
_BATCH = 100  # jobs decided again in one transaction


@record
class TurnSwitches:
    """Turns a switch. That of planning takes `shadow`, too; its `off` is the kill switch.

    Every decision reads the switches of planning and rules under its job's lock, and every session when it begins and
    when it writes. Jobs that a hint steers at this moment are decided again here, so that a planner's pause or slow
    tempo ends with the switch. The switches of baselines are read with every claim: what is off is not begun.
    """

    store: Store
    flags: Flags
    cron: Cron

    async def turn(
        self,
        scope: str,
        value: str,
        *,
        by: str,
        reason: str | None = None,
        name: str = PLANNER,
        rehearse: bool = False,
    ) -> tuple[Flag, int]:
        """Set a switch of a scope (a tenant's id, or empty for everybody) and return it, with how many jobs were
        decided again. `rehearse`: return it as it would stand. Raises InvalidInput, NotFound."""
        if name not in POSITIONS:
            raise NotFound(f"There is no switch {name:.40}; there are {', '.join(POSITIONS)}.")
        if value not in POSITIONS[name]:
            allowed = ", ".join(POSITIONS[name])
            raise InvalidInput([Issue("/value", "not_a_mode", f"value must be one of {allowed}, not {value!r:.40}.")])
        if reason is not None and len(reason) > LONGEST_REASON:
            raise InvalidInput(
                [Issue("/reason", "too_long", f"reason may have {LONGEST_REASON} characters at the most.")]
            )
        if rehearse:
            return Flag(scope, name, value, await self.store.now(), by, reason), 0
        flag = await self.flags.turn(scope, name, value, by=by, reason=reason)
        if name not in (PLANNER, RULES):
            return flag, 0
        return flag, await self._decide_again(None if scope == EVERYBODY else scope)

    async def _decide_again(self, tenant_id: str | None) -> int:
        count, after = 0, None
        while refs := await self.store.steered_jobs(tenant_id, limit=_BATCH, after=after):
            again = partial(_again, cron=self.cron)
            answers = await self.store.change_many([(ref, again) for ref in refs])
            count += sum(isinstance(answer, Change) for answer in answers)
            after = refs[-1]
        return count


def _again(snapshot: Snapshot, *, cron: Cron) -> Change:
    if snapshot.job.deleted_at is not None:
        raise NotFound(f"There is no job {JobRef(snapshot.job.tenant_id, snapshot.job.id).job_id}.")
    return steer(snapshot, (), cause="switch", cron=cron)
