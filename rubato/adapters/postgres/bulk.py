"""Many rows in one statement: arrays of columns, unnested. Built from the tables, so that the two cannot part."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects.postgresql import JSONB, dialect

from rubato.adapters.postgres.engine import Link, to_json

_DIALECT = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it bare


class Rows:
    """One statement over any number of rows, each a mapping of column to value."""

    def __init__(self, sql: str, columns: Iterable[Column[Any]]) -> None:
        self.sql = sql
        self._columns = tuple((column.name, isinstance(column.type, JSONB)) for column in columns)

    async def run(self, link: Link, rows: Sequence[Mapping[str, Any]]) -> None:
        """Send it, unless there are no rows."""
        if rows:
            await link.execute(self.sql, *self.arrays(rows))

    def arrays(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Return the rows as arrays, one a column."""
        return [
            [None if row[name] is None else to_json(row[name]) for row in rows]
            if is_json
            else [row[name] for row in rows]
            for name, is_json in self._columns
        ]


def insert(table: Table, *, or_nothing: bool = False, only: Iterable[str] | None = None) -> Rows:
    """Insert rows. `or_nothing`: leave a row that exists as it is. `only`: these columns; the rest is null."""
    columns = [column for column in table.columns if only is None or column.name in only]
    names = ", ".join(_quoted(column) for column in columns)
    conflict = " ON CONFLICT DO NOTHING" if or_nothing else ""
    return Rows(f"INSERT INTO {table.name} ({names}) SELECT * FROM {unnested(columns)}{conflict}", columns)


def update(table: Table, names: Iterable[str], *, by: Iterable[str] | None = None) -> Rows:
    """Set these columns of the rows with the given keys; `by`: what they are found by, if not the primary key."""
    keys = _keys(table, by)
    changed = [table.columns[name] for name in names]
    sets = ", ".join(f"{_quoted(column)} = v.{_quoted(column)}" for column in changed)
    return Rows(
        f"UPDATE {table.name} t SET {sets} FROM {unnested([*keys, *changed])} WHERE {_same(keys)}", keys + changed
    )


def upsert(table: Table) -> Rows:
    """Insert rows, or replace those with the same primary key."""
    columns = list(table.columns)
    keys = ", ".join(_quoted(column) for column in table.primary_key.columns)
    sets = ", ".join(f"{_quoted(c)} = excluded.{_quoted(c)}" for c in columns if not c.primary_key)
    return Rows(f"{insert(table).sql} ON CONFLICT ({keys}) DO UPDATE SET {sets}", columns)


def delete(table: Table, *, by: Iterable[str] | None = None) -> Rows:
    """Delete rows by primary key, or by these columns."""
    keys = _keys(table, by)
    return Rows(f"DELETE FROM {table.name} t USING {unnested(keys)} WHERE {_same(keys)}", keys)


def _keys(table: Table, by: Iterable[str] | None) -> list[Column[Any]]:
    return [table.columns[name] for name in by] if by is not None else list(table.primary_key.columns)


def unnested(columns: Sequence[Column[Any]]) -> str:
    """Return the arrays of these columns as rows named `v`."""
    arrays = ", ".join(f"${number}::{_type(column)}[]" for number, column in enumerate(columns, 1))
    return f"unnest({arrays}) AS v ({', '.join(_quoted(column) for column in columns)})"


def _same(keys: Iterable[Column[Any]]) -> str:
    return " AND ".join(f"t.{_quoted(column)} = v.{_quoted(column)}" for column in keys)


def _type(column: Column[Any]) -> str:
    return str(column.type.compile(dialect=_DIALECT)).split(" COLLATE")[0]


def _quoted(column: Column[Any]) -> str:
    return f'"{column.name}"'
