"""The target that comes with Rubato and that everybody's jobs may call."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rubato.adapters.targets.context import Context
from rubato.adapters.targets.registry import target


class LogMessage(BaseModel):
    """What to say, and how loudly."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field("still here", min_length=1, max_length=1000)
    level: Literal["debug", "info", "warning", "error"] = "info"


@target("system.log_message", payload=LogMessage)
def log_message(said: LogMessage, context: Context) -> dict[str, str]:
    """Write a line to the worker's log: the smallest job there is."""
    getattr(context.logger, said.level)(said.message, slot=context.slot.isoformat())
    return {"logged": said.message}
