"""The audit trail as chains: what was noted before is sealed in its order, and nothing of it can be
changed or deleted any more.
"""

import sqlalchemy as sa
from alembic import op

from storage.audit import FIRST, root, seal
from storage.rows import AUDIT

revision = "0006"
down_revision = "0005"

REFUSED = "the audit trail is append-only"
SQLITE = [
    f"create trigger audit_{act} before {act} on audit begin select raise(abort, '{REFUSED}'); end"
    for act in ("update", "delete")
]
POSTGRESQL = [
    "create function audit_refuse() returns trigger language plpgsql as "
    f"$$ begin raise exception '{REFUSED}'; end $$",
    "create trigger audit_refuse before update or delete or truncate on audit "
    "for each statement execute function audit_refuse()",
]


def upgrade() -> None:
    with op.batch_alter_table("audit") as batch:
        batch.add_column(sa.Column("number", AUDIT.c.number.type, nullable=True))
        batch.add_column(sa.Column("prev", sa.String(64), nullable=True))
        batch.add_column(sa.Column("hash", sa.String(64), nullable=True))
    seal_old_lines(op.get_bind())
    with op.batch_alter_table("audit") as batch:
        for name in ("number", "prev", "hash"):
            batch.alter_column(name, nullable=False)
        batch.create_unique_constraint(op.f("uq_audit_prev"), ["prev"])
    dialect = op.get_bind().dialect.name
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRESQL}.get(dialect, []):
        op.execute(statement)


def seal_old_lines(connection: sa.Connection) -> None:
    heads: dict[str | None, tuple[int, str]] = {}
    for row in connection.execute(sa.select(AUDIT).order_by(AUDIT.c.id)).all():
        pepper = connection.get_execution_options()["pepper"]
        number, prev = heads.get(row.tenant) or (FIRST - 1, root(pepper, row.tenant))
        number += 1
        sealed = seal(pepper, number, row.at, row.tenant, row.actor, row.act, row.detail, prev)
        heads[row.tenant] = number, sealed
        connection.execute(
            sa.update(AUDIT)
            .where(AUDIT.c.id == row.id)
            .values(number=number, prev=prev, hash=sealed)
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("drop trigger audit_refuse on audit")
        op.execute("drop function audit_refuse()")
    else:
        op.execute("drop trigger audit_update")
        op.execute("drop trigger audit_delete")
    with op.batch_alter_table("audit") as batch:
        batch.drop_constraint(op.f("uq_audit_prev"), type_="unique")
        for name in ("number", "prev", "hash"):
            batch.drop_column(name)
