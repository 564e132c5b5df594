"""Duties: what exactly one process of an installation does at a time, such as showing the figures of the database.

A duty is a row with its holder and an end, not an advisory lock: it outlives a connection, and works through a pooler
that hands connections around.
"""

from datetime import timedelta

from sqlalchemy import text

from rubato.adapters.postgres.engine import Engine, transaction

DROP_S = 2.0  # at the end of a process, which must not wait for a database that is away

_TAKE = text(
    """
    INSERT INTO duties AS held (name, holder, until)
    VALUES (:name, :holder, statement_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE held.holder = excluded.holder OR held.until <= statement_timestamp()
    RETURNING true
    """
)
_DROP = text("DELETE FROM duties WHERE holder = :holder")


class Duties:
    """The duties of one process; `holder` names it among all others."""

    def __init__(self, engine: Engine, holder: str) -> None:
        self._engine, self._holder = engine, holder
        self._had_any = False

    async def take(self, name: str, *, lasting: timedelta) -> bool:
        """Take or prolong a duty; False while another process has it. Raises Unavailable."""
        given = {"name": name, "holder": self._holder, "seconds": lasting.total_seconds()}
        async with transaction(self._engine) as connection:
            is_mine = (await connection.execute(_TAKE, given)).first() is not None
        self._had_any |= is_mine
        return is_mine

    async def drop(self) -> None:
        """Leave everything to the others at once, as a process does that ends. Raises Unavailable."""
        if self._had_any:
            async with transaction(self._engine, deadline_s=DROP_S) as connection:
                await connection.execute(_DROP, {"holder": self._holder})
