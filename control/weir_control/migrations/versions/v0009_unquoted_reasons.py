"""Why a collector did not get an event, without its own words, for those who may read no bodies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_HIDDEN = "***"
_COLUMNS = ("reason_unquoted", "redrive_error_unquoted")


def upgrade() -> None:
    for name in ("dead_letters", "dead_letter_ranges"):
        for column in _COLUMNS:
            op.add_column(name, sa.Column(column, sa.Text()))
        # Whose words the reasons are that stand here already is not known.
        table = sa.table(name, *(sa.column(column, sa.Text) for column in _COLUMNS))
        op.execute(table.update().values(dict.fromkeys(_COLUMNS, _HIDDEN)))
