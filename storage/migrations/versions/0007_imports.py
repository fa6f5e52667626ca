"""What became of a delivery: accepted, held, refused, …; and what it looked like.

Deliveries of before have no profile, so the first one after the upgrade has nothing to be held
against.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    state = sa.Column("state", sa.String(16), nullable=False, server_default="accepted")
    with op.batch_alter_table("batches") as batch:
        batch.add_column(state)
        for name in ("files", "reasons", "profile"):
            empty = "[]" if name == "reasons" else "{}"
            batch.add_column(sa.Column(name, sa.JSON(), nullable=False, server_default=empty))
        batch.add_column(sa.Column("settled_at", sa.DateTime(), nullable=True))
    op.execute("update batches set settled_at = imported_at")
    with op.batch_alter_table("batches") as batch:
        for name in ("state", "files", "reasons", "profile"):
            batch.alter_column(name, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("batches") as batch:
        for name in ("state", "files", "reasons", "profile", "settled_at"):
            batch.drop_column(name)
