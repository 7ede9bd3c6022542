"""Why a studio plugin did not take a payload, without its own words, for those who may read no bodies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COLUMN = "last_error_unquoted"
_HIDDEN = "***"


def upgrade() -> None:
    op.add_column("edge_payloads", sa.Column(_COLUMN, sa.Text()))
    # Whose words the errors are that stand here already is not known.
    table = sa.table("edge_payloads", sa.column("last_error", sa.Text), sa.column(_COLUMN, sa.Text))
    op.execute(table.update().where(table.c.last_error != "").values({_COLUMN: _HIDDEN}))
