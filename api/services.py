"""What the routes stand on, handed in by the wiring."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from api.live import Live
from api.paging import Cursors
from core.errors import Issue
from core.ports.accounts import Accounts, Audit, Keys, Members, Principal, Provider, SignIns, TenantData
from core.ports.clock import Clock
from core.ports.definitions import Definitions
from core.ports.flags import Flags
from core.ports.glances import Glances
from core.ports.insights import Insights
from core.ports.quota import Quota
from core.ports.rates import Rates
from core.ports.replies import Replies
from core.ports.signing import SigningSecrets
from core.ports.store import Store
from core.ports.targets import TargetCatalogue
from core.ports.usage import Usage
from core.sessions import Session
from core.usecases.bulk import Bulk
from core.usecases.explain import Explain
from core.usecases.manage_channels import ManageChannels
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.turn_switches import TurnSwitches


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
class Identity:
    """Keys, persons, and what they did.

    `act_for` opens the stores to one tenant's rows for the rest of a request. `origin` is where browsers reach the API,
    such as `https://rubato.example.com`. `provider` None: nobody signs in, keys are the only credential.
    """

    keys: Keys
    sign_ins: SignIns
    members: Members
    audit: Audit
    tenant: TenantData
    act_for: Callable[[str], None]
    origin: str
    provider: Provider | None = None

    @property
    def is_secure(self) -> bool:
        """Tell whether browsers come over TLS, so that cookies can be bound to it."""
        return self.origin.startswith("https://")


@dataclass(frozen=True, slots=True)
class Services:
    """Use cases, ports and checks. `planner` None: planning is off. `rates` None: requests are not counted.

    `check_url` and `check_headers` judge what a job would send; `seal` encrypts its secrets, given what is stored of
    them; `metrics` renders the exposition; `evaluation` reads what `rubato eval` left, None where it left nothing;
    `local_owner`: on `rubato dev`, who somebody at this machine is to the dashboard.
    """

    jobs: ManageJobs
    hints: ManageHints
    rules: ManageRules
    bulk: Bulk
    explain: Explain
    channels: ManageChannels
    store: Store
    quota: Quota
    accounts: Accounts
    identity: Identity
    clock: Clock
    definitions: Definitions
    targets: TargetCatalogue
    flags: Flags
    switches: TurnSwitches
    planner: PlanNow | None
    check_url: Callable[[str], list[Issue]]
    check_headers: Callable[[Mapping[str, str]], list[Issue]]
    seal: Callable[[str, str | None], str]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    observe: HttpObserver
    replies: Replies
    usage: Usage
    insights: Insights
    glances: Glances
    live: Live
    signing: SigningSecrets
    cursors: Cursors
    evaluation: Callable[[], bytes | None] = lambda: None
    rates: Rates | None = None
    metrics_public: bool = False
    cors_origins: tuple[str, ...] = ()
    local_owner: Principal | None = None
