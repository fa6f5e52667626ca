"""The tenants' own rules about their lists."""

import sqlalchemy as sa
from alembic import op

from storage.database import Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "rules",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("product", sa.String(length=128), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("removed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("fk_rules_tenant")),
        sa.PrimaryKeyConstraint("tenant", "rule", name=op.f("pk_rules")),
    )


def downgrade() -> None:
    op.drop_table("rules")
