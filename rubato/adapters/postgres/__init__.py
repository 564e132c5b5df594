"""PostgreSQL: the store and all that stands on it, and the embedded server that development and tests use.

The only place that may import sqlalchemy, asyncpg and alembic. `rubato.wiring` imports it, the
memory adapters never do.
"""
