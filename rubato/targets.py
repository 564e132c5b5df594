"""What a module of targets is written against.

    from pydantic import BaseModel
    from rubato.targets import Context, target

    class DailyReport(BaseModel):
        region: str

    @target("reports.daily", payload=DailyReport)
    async def daily(report: DailyReport, context: Context) -> dict[str, int]:
        ...

docs/cron.md says how Rubato finds it.
"""

from rubato.adapters.targets.context import CancelSignal, Context
from rubato.adapters.targets.registry import Target, target

__all__ = ["CancelSignal", "Context", "Target", "target"]
