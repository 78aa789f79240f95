"""Run by Alembic: apply the steps inside the transaction that `open_database` holds."""

from alembic import context

from robocache.runs.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
