"""What `rubato api` is made of, from its start to its signal."""

import structlog

from api.app import create_app
from core.ports.targets import SYSTEM_TENANT
from rubato.adapters.postgres import access
from rubato.adapters.postgres.migrate import require_schema
from rubato.serving import bind, serving
from rubato.settings import Settings
from rubato.wiring.front import front_of, services_of
from rubato.wiring.planning import close, planner_of
from rubato.wiring.secrets import pepper_of, require_keys
from rubato.wiring.shared import core, database_url
from worker.supervisor import signals

log = structlog.get_logger("rubato")


async def run_api(settings: Settings) -> None:
    """Serve the API until a signal."""
    pepper = pepper_of(settings)
    require_keys(settings)
    origin = settings.public_url or f"http://{settings.host}:{settings.port}"
    async with (
        core(settings, database_url(settings), application="rubato api") as shared,
        front_of(shared, pepper, origin) as front,
        signals() as taken,
    ):
        await require_schema(shared.login, access.TENANT, access.IDENTITY)
        if settings.bootstrap_api_key is not None:
            key = settings.bootstrap_api_key.get_secret_value()
            await front.accounts.bootstrap(key, tenant="default", user="bootstrap")
        if settings.operator_api_key is not None:
            key = settings.operator_api_key.get_secret_value()
            await front.accounts.bootstrap(key, tenant=SYSTEM_TENANT, user="operator", tenant_id=SYSTEM_TENANT)
        planner = planner_of(settings)
        services = services_of(shared, front, planner, local_owner=None)
        app = create_app(services)
        try:
            async with serving(app, bind(settings.host, settings.port, "PORT")):
                log.info("API is up", url=origin)
                await taken.stop.wait()
                services.live.close()
        finally:
            await close(planner)
