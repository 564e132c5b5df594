"""Which planner a process has, and what surrounds it."""

from core.ports.planner import Planner
from core.quota import Price
from core.usecases.plan_due import PlanDue
from planner.llm import LlmPlanner, OfflinePlanner
from planner.models import openai_model
from planner.tracing import record_spans
from rubato.adapters.log_context import LoggedPlanner
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.store import PostgresStore
from rubato.settings import Settings
from rubato.wiring.shared import Core


def planner_of(settings: Settings) -> Planner | None:
    """Return the planner that the settings ask for; None: planning is off."""
    has_model = settings.openai_api_key is not None
    if settings.planner == "off":
        return None
    if settings.planner == "offline" or (settings.planner == "auto" and not has_model):
        return OfflinePlanner()
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    return LlmPlanner(openai_model(settings.model, api_key=key, base_url=settings.openai_base_url))


def plan_due(shared: Core, planner: Planner, store: PostgresStore, quota: PostgresQuota) -> PlanDue:
    """Return the use case, with what watches and traces it."""
    if isinstance(planner, LlmPlanner):
        shared.telemetry.watch_breakers(planner.open_breakers)
    if shared.tracing is not None:
        record_spans(shared.tracing.provider, with_content=shared.settings.trace_content)
        planner = shared.tracing.planner(planner)
    return PlanDue(
        store,
        LoggedPlanner(planner),
        quota,
        shared.cron,
        shared.clock,
        shared.ids,
        shared.telemetry,
        prices={name: Price(*price) for name, price in shared.settings.prices.items()},
    )


def describe(planner: Planner | None) -> str:
    """Say it in words."""
    if planner is None:
        return "planning is off"
    return f"planning with {planner.model.model_name}" if isinstance(planner, LlmPlanner) else "planning offline"


async def close(planner: Planner | None) -> None:
    """Close its connections, if it has any."""
    if isinstance(planner, LlmPlanner):
        await planner.close()
