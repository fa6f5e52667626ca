"""How each tenant's own files look."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("mapping", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("tenants", "mapping")
