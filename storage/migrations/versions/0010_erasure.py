"""Receipts for customers that were erased, and tenants that leave."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("erasure", sa.Integer(), nullable=False),
        sa.Column("mark", sa.String(length=32), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("removed", sa.JSON(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("returned_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("fk_erasures_tenant")),
        sa.PrimaryKeyConstraint("tenant", "erasure", name=op.f("pk_erasures")),
    )
    for name, kind in (
        ("left_at", sa.DateTime()),
        ("deleted_at", sa.DateTime()),
        ("leaving", sa.JSON()),
    ):
        op.add_column("tenants", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tenants") as batch:
        for name in ("leaving", "deleted_at", "left_at"):
            batch.drop_column(name)
    op.drop_table("erasures")
