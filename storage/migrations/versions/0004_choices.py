"""Hyper-parameters that a tenant's own data chose."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "choices",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("fk_choices_tenant")),
        sa.PrimaryKeyConstraint("tenant", "night", name=op.f("pk_choices")),
    )


def downgrade() -> None:
    op.drop_table("choices")
