"""Reports of what tenants delivered, in the ledger."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, func, insert, select

from schema.names import TenantId
from storage.audit import note
from storage.database import reading
from storage.rows import BATCHES


class Imported(NamedTuple):
    """One delivery and what became of it."""

    tenant: TenantId
    batch: str
    report: dict[str, Any]


class Imports:
    """Every delivery and what became of its rows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self, tenant: TenantId, batch: str, report: dict[str, Any], *, by: str, at: datetime
    ) -> None:
        self.record_all([Imported(tenant, batch, report)], by=by, at=at)

    def record_all(self, deliveries: Sequence[Imported], *, by: str, at: datetime) -> None:
        """Record many deliveries in one transaction."""
        with self._engine.begin() as connection:
            for tenant, batch, report in deliveries:
                last = connection.execute(
                    select(func.max(BATCHES.c.id)).where(BATCHES.c.tenant == tenant)
                ).scalar()
                row = {"tenant": tenant, "id": (last or 0) + 1, "batch": batch}
                connection.execute(insert(BATCHES).values(**row, imported_at=at, report=report))
                note(connection, tenant, by, "import", {"batch": batch}, at)

    def tenants(self) -> set[str]:
        """Who ever delivered anything."""
        with reading(self._engine) as connection:
            return {row.tenant for row in connection.execute(select(BATCHES.c.tenant).distinct())}

    def kept(self) -> "Kept":
        """One that only keeps what it is told, for another process to record."""
        return Kept(self._engine)

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


class Kept(Imports):
    """Keeps what it is told."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.told: list[Imported] = []

    def record_all(self, deliveries: Sequence[Imported], *, by: str, at: datetime) -> None:
        self.told += deliveries
