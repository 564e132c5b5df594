"""What `rubato migrate` is made of."""

import structlog

from core.usecases.manage_jobs import ManageJobs
from rubato.adapters.postgres.migrate import migrate
from rubato.maintenance import register_system_jobs
from rubato.settings import Settings
from rubato.wiring.shared import core, database_url

log = structlog.get_logger("rubato")


async def run_migrations(settings: Settings) -> None:
    """Bring the schema up to date and end."""
    async with core(settings, database_url(settings), application="rubato migrate") as shared:
        await migrate(shared.login)
        await register_system_jobs(ManageJobs(shared.store, shared.cron, shared.ids), shared.store)
        log.info("The schema is up to date.")
