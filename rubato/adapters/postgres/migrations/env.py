"""How Alembic reaches the database: always through the connection that `migrate` hands it."""

from alembic import context

from rubato.adapters.postgres.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
