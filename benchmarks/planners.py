"""`python -m benchmarks.planners`: the plan loop with 200 sessions at once in one process, as ten workers have."""

import asyncio

import uvloop

from core.usecases.plan_due import PlanDue
from planner.breaker import Breaker, Key
from planner.llm import LlmPlanner
from planner.models import openai_model
from rubato.settings import load
from rubato.wiring.shared import core, database_url

SESSIONS = 200


class Patient(Breaker):
    """A breaker that never opens: what is measured are sessions that wait."""

    def failed(self, key: Key, now_s: float, *, retry_after_s: float | None = None) -> None:
        """Count nothing."""


async def main() -> None:
    """Plan until the process is ended."""
    settings = load().settings
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none"
    model = openai_model(settings.model, api_key=key, base_url=settings.openai_base_url)
    planner = LlmPlanner(model, breaker=Patient())
    async with core(settings, database_url(settings), application="rubato planners") as shared:
        house = (shared.store, planner, shared.quota, shared.cron, shared.clock, shared.ids, shared.telemetry)
        plans = PlanDue(*house, batch=SESSIONS)
        while True:
            if await plans.run_once() == 0:
                await asyncio.sleep(0.2)


if __name__ == "__main__":
    uvloop.run(main())
