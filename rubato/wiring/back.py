"""What a worker is made of."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from core.errors import Unavailable
from core.ports.dispatcher import Dispatcher
from core.usecases.notify import Notify
from core.usecases.reap import ReapStale
from core.usecases.run_due import RunDue
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.isolated import IsolatedDispatcher
from rubato.adapters.http.signing import SigningDispatcher
from rubato.adapters.mail import SmtpMail
from rubato.adapters.postgres import buckets
from rubato.adapters.postgres.buckets import BucketRanges
from rubato.adapters.postgres.migrate import ensure_partitions
from rubato.adapters.postgres.notices import PostgresNotices
from rubato.adapters.postgres.tenant_data import (
    remove_deleted_tenants,
    remove_old_audit_entries,
)
from rubato.adapters.postgres.usage import hold_to_runs_per_day
from rubato.adapters.postgres.wake import WakeListener
from rubato.adapters.targets.isolated import IsolatedTargets
from rubato.adapters.targets.runner import LocalTargets
from rubato.settings import Settings
from rubato.wiring.planning import close, plan_due, planner_of
from rubato.wiring.shared import Core, process_id, signing_secrets, targets_of
from worker.loops import (
    allowance_service,
    bucket_service,
    deliver_service,
    lease_service,
    look_service,
    maintenance_service,
    plan_service,
    reap_service,
    renew_service,
    run_service,
)
from worker.service import Service
from worker.supervisor import Supervisor

CLAIM_AHEAD = timedelta(milliseconds=500)
ADMISSION_RAMP = timedelta(seconds=1)
LOOKS_FOR_NOTICES = timedelta(seconds=40)  # two looks and a little


@asynccontextmanager
async def worker(shared: Core, *, only: str | None) -> AsyncIterator[Supervisor]:
    """Build a worker's services; they are stopped with the block at the latest."""
    settings = shared.settings
    poll, lease = timedelta(milliseconds=settings.poll_interval_ms), timedelta(milliseconds=settings.lock_ttl_ms)
    targets = LocalTargets(targets_of(shared), shared.clock)
    sign = partial(SigningDispatcher, secrets=signing_secrets(shared, shared.engine), clock=shared.clock)
    dispatcher: Dispatcher = sign(HttpDispatcher(shared.policy, opener=shared.unseal))
    isolated: Dispatcher = sign(IsolatedDispatcher(shared.policy, opener=shared.unseal))
    if shared.tracing is not None:
        dispatcher, isolated = shared.tracing.dispatcher(dispatcher), shared.tracing.dispatcher(isolated)
    services: list[Service] = []
    runs: RunDue | None = None
    planner = planner_of(settings) if only != "run" else None
    async with WakeListener(shared.url) as listener:
        plans: Service | None = None
        if planner is not None:
            plans = plan_service(plan_due(shared, planner, shared.store, shared.quota), shared.telemetry, poll=poll)
            services.append(plans)
        if only != "plan":
            runs = RunDue(
                shared.store,
                dispatcher,
                shared.cron,
                shared.clock,
                shared.ids,
                shared.telemetry,
                worker_id=_worker_id(shared),
                batch_size=settings.batch_size,
                host_limit=settings.host_in_flight,
                ahead=CLAIM_AHEAD,
                ramp=ADMISSION_RAMP,
                lease=lease,
                misfire_grace=timedelta(milliseconds=settings.misfire_grace_ms),
                isolated=isolated,
                targets=targets,
                isolated_targets=IsolatedTargets(settings.targets, targets),
            )
            reap = ReapStale(shared.store, shared.cron, shared.ids, shared.telemetry, lease)
            with contextlib.suppress(Unavailable):  # its service tries again
                await reap.run_once()  # what is stale first, then what is pending and what is due
            runner = run_service(runs, shared.clock, shared.telemetry, poll=poll)
            listener.subscribe(runner.wake)
            services.append(runner)
            if settings.claiming == "buckets":
                mine = BucketRanges(shared.engine, runs.worker_id)
                services.append(
                    bucket_service(runs, mine.hold, mine.leave, runner.wake, shared.telemetry, every=buckets.TURN)
                )
            services.append(renew_service(runs, shared.telemetry))
            services.append(lease_service(runs, shared.telemetry))
            notify = Notify(PostgresNotices(shared.engine), dispatcher, _mail(settings), shared.cron, shared.telemetry)
            looks = partial(shared.duties.take, "notices", lasting=LOOKS_FOR_NOTICES)
            services.append(look_service(notify, looks, shared.telemetry))
            services.append(deliver_service(notify, shared.telemetry))
            services.append(maintenance_service(partial(_maintain, shared), shared.telemetry))
            services.append(reap_service(reap.run_once, shared.telemetry))
            services.append(allowance_service(partial(hold_to_runs_per_day, shared.engine), shared.telemetry))
            if plans is not None:
                runs.on_passed = plans.wake  # within one process it need not wait for the plan loop's next look
        supervisor = Supervisor(services, runs)
        try:
            yield supervisor
        finally:
            await supervisor.stop()
            await targets.close()
            await dispatcher.close()
            await close(planner)


async def _maintain(shared: Core) -> None:
    """Make the coming days' partitions, charge what planners that died had reserved, forget jobs' closed hours, and
    remove what deleted tenants and old entries of the audit left."""
    await ensure_partitions(shared.engine)
    await shared.quota.charge_lost()
    await shared.quota.forget_closed()
    await remove_deleted_tenants(shared.engine)
    await remove_old_audit_entries(shared.engine)


def _mail(settings: Settings) -> SmtpMail | None:
    """Return what sends mails; None: no server is set. Raises ConfigurationError."""
    if settings.smtp_url is None:
        return None
    return SmtpMail(settings.smtp_url.get_secret_value(), settings.smtp_from or "")


def _worker_id(shared: Core) -> str:
    """Return an id of this boot: a restarted worker is another worker."""
    return f"wrk_{process_id(shared.ids)}"
