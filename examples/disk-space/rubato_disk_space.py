"""A target in a package of its own: a run fails while a disk has less room than the job asks for."""

import shutil

from pydantic import BaseModel, ConfigDict, Field

from rubato.targets import Context, target


class DiskSpace(BaseModel):
    """Which disk, and how much of it must be free."""

    model_config = ConfigDict(extra="forbid")

    path: str = "/"
    free_percent: float = Field(10, ge=0, le=100)


@target("checks.disk_space", payload=DiskSpace)
def disk_space(asked: DiskSpace, context: Context) -> dict[str, float]:
    """Fail while a disk has less room than asked for."""
    usage = shutil.disk_usage(asked.path)
    free = round(100 * usage.free / usage.total, 1)
    context.logger.info("looked at a disk", path=asked.path, free_percent=free)
    if free < asked.free_percent:
        raise RuntimeError(f"{asked.path} has {free} % left, less than {asked.free_percent} %")
    return {"free_percent": free}
