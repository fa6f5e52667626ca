"""Run by Alembic: every migration inside the transaction that ``storage.database.migrate`` opened."""

from alembic import context

from storage.rows import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
context.run_migrations()
