"""How far each tenant's tables were read from SalesCore's own database."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "marks",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("table_name", sa.String(length=16), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name=op.f("fk_marks_tenant")),
        sa.PrimaryKeyConstraint("tenant", "table_name", name=op.f("pk_marks")),
    )


def downgrade() -> None:
    op.drop_table("marks")
