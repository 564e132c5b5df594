"""What the API stands on: stores under the tenant's role, and credentials under another."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from api.live import Live
from api.paging import Cursors
from api.services import Identity, Services
from core.errors import ConfigurationError
from core.ports.accounts import Principal, Provider
from core.ports.planner import Planner
from core.usecases.bulk import Bulk
from core.usecases.explain import Explain
from core.usecases.manage_channels import ManageChannels
from core.usecases.manage_hints import ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.manage_rules import ManageRules
from core.usecases.turn_switches import TurnSwitches
from rubato.adapters.http.guard import check_url
from rubato.adapters.http.message import check_headers
from rubato.adapters.postgres import access
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.audit import PostgresAudit
from rubato.adapters.postgres.definitions import PostgresDefinitions
from rubato.adapters.postgres.duties import Duties
from rubato.adapters.postgres.engine import close
from rubato.adapters.postgres.feed import PostgresFeed
from rubato.adapters.postgres.flags import PostgresFlags
from rubato.adapters.postgres.glances import PostgresGlances
from rubato.adapters.postgres.insights import PostgresInsights
from rubato.adapters.postgres.keys import PostgresKeys
from rubato.adapters.postgres.members import PostgresMembers
from rubato.adapters.postgres.notices import PostgresNotices
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.rates import PostgresRates
from rubato.adapters.postgres.replies import PostgresReplies
from rubato.adapters.postgres.sign_ins import PostgresSignIns
from rubato.adapters.postgres.signing import PostgresSigningSecrets
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.postgres.tenant_data import (
    PostgresTenantData,
)
from rubato.adapters.postgres.usage import PostgresUsage
from rubato.reports import kept_report
from rubato.settings import Settings
from rubato.wiring.planning import plan_due
from rubato.wiring.shared import Core, dropped, figures, signing_secrets, targets_of


@dataclass(frozen=True, slots=True)
class Front:
    """What stands before the API: credentials under one role, one tenant's rows under another."""

    store: PostgresStore
    definitions: PostgresDefinitions
    quota: PostgresQuota
    flags: PostgresFlags
    accounts: PostgresAccounts
    channels: PostgresNotices
    duties: Duties
    identity: Identity
    replies: PostgresReplies
    usage: PostgresUsage
    insights: PostgresInsights
    glances: PostgresGlances
    feed: PostgresFeed
    signing: PostgresSigningSecrets
    rates: PostgresRates
    cursors: Cursors


@asynccontextmanager
async def front_of(shared: Core, pepper: bytes, origin: str) -> AsyncIterator[Front]:
    """Build it; nothing is opened before it is needed."""
    settings, ids = shared.settings, shared.ids
    tenant = shared.open(application="rubato api", role=access.TENANT)
    credentials = shared.open(application="rubato api sign-in", pool_size=5, role=access.IDENTITY)
    minimum = timedelta(milliseconds=settings.min_interval_ms)
    store = PostgresStore(tenant, ids, operator_minimum=minimum, clock=shared.clock)
    duties = Duties(tenant, f"{shared.process}_api")
    try:
        yield Front(
            store=store,
            definitions=PostgresDefinitions(tenant, store),
            quota=PostgresQuota(tenant, ids),
            flags=PostgresFlags(tenant),
            accounts=PostgresAccounts(credentials, ids, pepper=pepper),
            channels=PostgresNotices(tenant),
            duties=duties,
            identity=Identity(
                keys=PostgresKeys(tenant, ids, pepper=pepper, prefix=settings.api_key_prefix),
                sign_ins=PostgresSignIns(credentials, ids, pepper=pepper),
                members=PostgresMembers(tenant, ids, pepper=pepper),
                audit=PostgresAudit(tenant, ids),
                tenant=PostgresTenantData(tenant),
                act_for=access.act_for,
                origin=origin.rstrip("/"),
                provider=_provider(settings, origin.rstrip("/")),
            ),
            replies=PostgresReplies(tenant, ids),
            usage=PostgresUsage(tenant),
            insights=PostgresInsights(tenant),
            glances=PostgresGlances(tenant),
            feed=PostgresFeed(tenant),
            signing=signing_secrets(shared, tenant),
            rates=PostgresRates(tenant, shared.clock),
            cursors=Cursors(hmac.digest(pepper, b"rubato cursors", "sha256")),
        )
        await dropped(duties)
    finally:
        await close(tenant, credentials)


def _provider(settings: Settings, origin: str) -> Provider | None:
    """Return how people sign in. Raises ConfigurationError where it could not be safe, or would let nobody in."""
    if settings.github_client_id is None or settings.github_client_secret is None:
        return None
    parts = urlsplit(origin)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigurationError(
            f"Sign-in needs HTTPS, and browsers reach this API at {origin}. Set RUBATO_PUBLIC_URL to its https address."
        )
    from rubato.adapters.github import GitHub  # a quarter of a second to import, for those who use it

    return GitHub(
        settings.github_client_id,
        settings.github_client_secret.get_secret_value(),
        callback=f"{origin}/api/auth/callback/github",
        url=settings.github_url,
        allow=settings.github_allow,
    )


def services_of(shared: Core, front: Front, planner: Planner | None, *, local_owner: Principal | None) -> Services:
    settings, store = shared.settings, front.store
    return Services(
        jobs=ManageJobs(store, shared.cron, shared.ids),
        hints=ManageHints(store, shared.cron, shared.ids),
        rules=ManageRules(store, shared.cron, shared.ids),
        bulk=Bulk(store, shared.cron),
        explain=Explain(store, shared.cron),
        channels=ManageChannels(
            store,
            front.channels,
            shared.ids,
            lambda url: check_url(url, shared.policy),
            has_mail=settings.smtp_url is not None,
        ),
        store=store,
        quota=front.quota,
        flags=front.flags,
        switches=TurnSwitches(store, front.flags, shared.cron),
        accounts=front.accounts,
        identity=front.identity,
        clock=shared.clock,
        definitions=front.definitions,
        targets=targets_of(shared),
        planner=plan_due(shared, planner, store, front.quota) if planner is not None else None,
        check_url=lambda url: check_url(url, shared.policy),
        check_headers=check_headers,
        seal=shared.seal,
        metrics=shared.telemetry.exposition(partial(figures, front.duties, store)),
        observe=shared.telemetry.observe_http,
        replies=front.replies,
        usage=front.usage,
        insights=front.insights,
        evaluation=partial(kept_report, settings.data_dir),
        glances=front.glances,
        live=Live(front.feed),
        signing=front.signing,
        cursors=front.cursors,
        rates=front.rates,
        metrics_public=settings.metrics_public,
        cors_origins=tuple(settings.cors_origins),
        local_owner=local_owner,
    )
