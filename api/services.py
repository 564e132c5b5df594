"""What the routes stand on, handed in by the wiring."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from core.errors import Issue
from core.ports.accounts import Accounts
from core.ports.clock import Clock
from core.ports.flags import Flags
from core.ports.quota import Quota
from core.ports.store import Store
from core.sessions import Session
from core.usecases.explain import Explain
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.switch_planner import SwitchPlanner


class PlanNow(Protocol):
    """Plans one job at a person's request."""

    async def plan_now(self, tenant_id: str, job_id: str) -> Session:
        """Return the session."""
        ...


class HttpObserver(Protocol):
    """Takes the measure of each request."""

    def __call__(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        """Record one; `route` is the template, never the path."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Use cases, ports and checks. `planner` None: planning is off.

    `check_url` and `check_headers` judge what a job would send; `metrics` renders the exposition;
    `anonymous_tenant`: on `rubato dev` the page shows this tenant to whoever asks from loopback.
    """

    jobs: ManageJobs
    hints: ManageHints
    rules: ManageRules
    explain: Explain
    store: Store
    quota: Quota
    accounts: Accounts
    clock: Clock
    flags: Flags
    switches: SwitchPlanner
    planner: PlanNow | None
    check_url: Callable[[str], list[Issue]]
    check_headers: Callable[[Mapping[str, str]], list[Issue]]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    observe: HttpObserver
    metrics_public: bool = False
    cors_origins: tuple[str, ...] = ()
    anonymous_tenant: str | None = None
