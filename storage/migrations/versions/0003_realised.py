"""The series of what was served against what really happened."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "realised",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("starts", sa.Date(), nullable=False),
        sa.Column("ends", sa.Date(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("lists", sa.String(length=8), nullable=True),
        sa.Column("figures", sa.JSON(), nullable=True),
        sa.Column("predicted", sa.JSON(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("fk_realised_tenant")),
        sa.PrimaryKeyConstraint("tenant", "edition", "starts", name=op.f("pk_realised")),
    )


def downgrade() -> None:
    op.drop_table("realised")
