"""The targets port: Python functions registered in code, as the action of a job."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from core.errors import Issue
from core.ports.dispatcher import HttpResult
from core.record import record

SYSTEM_TENANT = "system"  # the owner of Rubato's own maintenance; only its jobs may call maintenance targets


class TargetCall(NamedTuple):
    """One call of a target for one run. `call_id`: the same for every attempt at a slot, as a request's webhook-id."""

    target: str
    payload: Any
    timeout: timedelta
    tenant_id: str
    job_id: str
    job_key: str | None
    run_id: str
    call_id: str
    slot: datetime
    trigger: str
    attempt: int


class TargetRunner(Protocol):
    """Calls targets; never retries, never raises for what a target did."""

    async def call(self, call: TargetCall) -> HttpResult:
        """Call it once within its deadline and report: what it returned as a JSON body, or an error.

        An unknown target is an error too: a worker may be older than the API that accepted the job.
        """
        ...


@record
class TargetInfo:
    """What the API tells of a target. `payload_schema`: a JSON schema; None: any JSON value."""

    name: str
    description: str
    payload_schema: Mapping[str, Any] | None = None


class TargetCatalogue(Protocol):
    """Which targets there are. Maintenance targets exist for the system tenant only."""

    def listed(self, tenant_id: str) -> Sequence[TargetInfo]:
        """Return the targets that a tenant's jobs may call, by name."""
        ...

    def check(self, tenant_id: str, target: str, payload: Any) -> list[Issue]:
        """Say what is wrong with a target and its payload. An unknown target's issue lists the known."""
        ...
