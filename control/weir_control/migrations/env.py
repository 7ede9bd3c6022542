"""Alembic's entry: runs the migrations on the connection that ``upgrade`` opened, inside its transaction."""

from __future__ import annotations

from alembic import context

from weir_collectors.tables import metadata as collectors_metadata
from weir_control.store.tables import metadata as control_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[control_metadata, collectors_metadata],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
