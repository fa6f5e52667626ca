"""Tenants that leave, in the ledger: disabled at once, deleted after a time of grace.

What stays of one that was deleted is its emptied row (so that its name goes to nobody else, whom
the audit trail would tell about it), that trail, and the certificate.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, Connection, Engine, Table, delete, func, select, update

from schema.errors import NotThere, Refused
from schema.names import Mode, TenantId
from schema.records import Left
from storage.audit import note
from storage.database import reading
from storage.ledger import locked
from storage.rows import AUDIT, KEY_USES, KEYS, METADATA, TENANTS


class Leaving:
    """Who leaves, who left, and every row of theirs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rows(self, tenant: TenantId) -> dict[str, int]:
        """How many rows each table holds of a tenant; tables without any are left out."""
        with reading(self._engine) as connection:
            counts = {table.name: _count(connection, table, tenant) for table in _TABLES}
        return {name: count for name, count in counts.items() if count}

    def begin(
        self,
        tenant: TenantId,
        objects: Mapping[str, Any],
        *,
        since: datetime,
        most: int | None,
        by: str,
        why: str,
        at: datetime,
    ) -> list[str]:
        """Disable a tenant: unknown to everybody from now on, its keys revoked.

        Args:
            objects: everything there is of it, for the certificate.
            most: how many may leave from ``since`` on; None for any number.

        Returns:
            The ids of its keys.

        Raises:
            NotThere: no such tenant, or it left.
            Refused: too many left since (``TENANTS_MANY``).
        """
        with self._engine.begin() as connection:
            was = locked(connection, tenant)
            left = select(func.count()).select_from(TENANTS).where(TENANTS.c.left_at > since)
            if most is not None and connection.execute(left).scalar_one() >= most:
                raise Refused(
                    f"{most} tenants were removed since {since:%Y-%m-%d %H:%M} UTC already",
                    "make sure that it is meant, then say --more",
                    code="TENANTS_MANY",
                )
            detail = {"was": was.mode.value, "why": why}
            connection.execute(
                update(TENANTS)
                .where(TENANTS.c.tenant == tenant)
                .values(left_at=at, mode=Mode.OFF.value, leaving={"by": by, "why": why, **objects})
            )
            connection.execute(
                update(KEYS)
                .where(KEYS.c.tenant == tenant, KEYS.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
            note(connection, tenant, by, "removed", detail, at)
            keys = select(KEYS.c.key_id).where(KEYS.c.tenant == tenant)
            return list(connection.execute(keys).scalars())

    def restore(self, tenant: TenantId, *, by: str, why: str, at: datetime) -> None:
        """Take a tenant back within its grace: off, and without keys.

        Raises:
            NotThere: nobody of this name left, or it was deleted.
        """
        with self._engine.begin() as connection:
            here = (
                TENANTS.c.tenant == tenant,
                TENANTS.c.left_at.is_not(None),
                TENANTS.c.deleted_at.is_(None),
            )
            if connection.execute(select(TENANTS.c.uid).where(*here)).first() is None:
                raise NotThere(
                    f"no tenant {tenant[:80]!r} can be restored",
                    "see `recfactory tenant left`",
                    code="NO_TENANT",
                )
            connection.execute(update(TENANTS).where(*here).values(left_at=None, leaving=None))
            note(connection, tenant, by, "restored", {"why": why}, at)

    def left(self) -> list[Left]:
        """All that left, the newest last."""
        query = select(TENANTS).where(TENANTS.c.left_at.is_not(None)).order_by(TENANTS.c.left_at)
        with reading(self._engine) as connection:
            return [
                Left(row.tenant, row.uid, row.left_at, row.deleted_at, row.leaving or {})
                for row in connection.execute(query)
            ]

    def delete(self, left: Left, told: Mapping[str, Any], *, at: datetime) -> dict[str, Any]:
        """Delete every row of a tenant that left, but its trail, in one transaction.

        Args:
            told: what the certificate says beside that.

        Returns:
            The certificate, which is kept in the tenant's emptied row: how many rows went, by
            table; how many rows of others there were before and after; and a SHA-256 of all
            that, which the audit trail keeps too.
        """
        tenant, rows = left.tenant, {}
        with self._engine.begin() as connection:
            before = _of_others(connection, tenant)
            for table in reversed(_TABLES):
                rows[table.name] = _count(connection, table, tenant)
                connection.execute(delete(table).where(_whose(table, tenant)))
            after = _of_others(connection, tenant)
            told = {**told, "rows": rows, "rows_of_others": {"before": before, "after": after}}
            said = json.dumps(told, sort_keys=True, separators=(",", ":"))
            told["sha256"] = hashlib.sha256(said.encode()).hexdigest()
            connection.execute(
                update(TENANTS)
                .where(TENANTS.c.tenant == tenant)
                .values({**_EMPTIED, "deleted_at": at, "leaving": told})
            )
            detail = {"certificate": told["sha256"]}
            note(connection, tenant, "recfactory", "deleted", detail, at)
        return told


_TABLES = [
    table
    for table in METADATA.sorted_tables
    if table is KEY_USES or ("tenant" in table.c and table not in (TENANTS, AUDIT))
]
_STAYS = {"tenant", "uid", "left_at", "deleted_at", "leaving"}
_EMPTIED: dict[str, Any] = {"title": ""} | {
    column.name: {} if isinstance(column.type, JSON) else None
    for column in TENANTS.columns
    if column.name not in _STAYS and (column.nullable or isinstance(column.type, JSON))
}


def _whose(table: Table, tenant: str) -> ColumnElement[bool]:
    if table is KEY_USES:  # a key's, which says whose it is
        return KEY_USES.c.key_id.in_(select(KEYS.c.key_id).where(KEYS.c.tenant == tenant))
    found: ColumnElement[bool] = table.c.tenant == tenant
    return found


def _count(connection: Connection, table: Table, tenant: str) -> int:
    query = select(func.count()).select_from(table).where(_whose(table, tenant))
    return int(connection.execute(query).scalar_one())


def _of_others(connection: Connection, tenant: str) -> int:
    """Rows of everybody else, the installation's own among them."""
    return sum(
        int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        - _count(connection, table, tenant)
        for table in _TABLES
    )
