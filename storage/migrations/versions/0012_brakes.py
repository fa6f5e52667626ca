"""Each time the fleet's brake stopped a night."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "brakes",
        sa.Column(
            "brake",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("sign", sa.String(length=64), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("released_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("brake", name=op.f("pk_brakes")),
    )


def downgrade() -> None:
    op.drop_table("brakes")
