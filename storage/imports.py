"""Reports of what tenants delivered, in the ledger."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, insert, select

from schema.names import TenantId
from storage.audit import note
from storage.database import reading
from storage.rows import BATCHES


def batch_name(hashes: Mapping[str, str]) -> str:
    """What a delivery is called: made of its bytes, so that the same one is always called alike.

    Args:
        hashes: SHA-256 of each delivered file, hex, by table, in the order of ``IMPORTED``.
    """
    if "interactions" in hashes:
        return hashes["interactions"][:20]
    return hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:20]


class Imports:
    """Every delivery and what became of its rows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self, tenant: TenantId, batch: str, report: dict[str, Any], *, by: str, at: datetime
    ) -> None:
        with self._engine.begin() as connection:
            last = connection.execute(
                select(func.max(BATCHES.c.id)).where(BATCHES.c.tenant == tenant)
            ).scalar()
            connection.execute(
                insert(BATCHES).values(
                    tenant=tenant, id=(last or 0) + 1, batch=batch, imported_at=at, report=report
                )
            )
            note(connection, tenant, by, "import", {"batch": batch}, at)

    def reports(self, tenant: TenantId, limit: int = 20) -> list[dict[str, Any]]:
        """Newest first: batch, imported_at, report."""
        query = (
            select(BATCHES)
            .where(BATCHES.c.tenant == tenant)
            .order_by(BATCHES.c.id.desc())
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [
                {"batch": row.batch, "imported_at": row.imported_at, "report": row.report}
                for row in connection.execute(query).all()
            ]
