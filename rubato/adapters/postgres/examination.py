"""What `rubato doctor` asks the database, beyond what the store is for."""

from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from rubato.adapters.postgres.engine import transaction


async def has_partition_of_today(engine: AsyncEngine) -> bool:
    """Tell whether today's runs have a partition; without one they pile up in the default partition.

    Workers make partitions a week ahead, so one is missing only when none has run for as long.
    """
    async with transaction(engine) as connection:
        now: datetime = (await connection.execute(text("SELECT now()"))).scalar_one()
        name = f"runs_{now.astimezone(UTC):%Y%m%d}"
        return (await connection.execute(text("SELECT to_regclass(:name)"), {"name": name})).scalar_one() is not None
