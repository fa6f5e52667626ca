"""Reports of what tenants delivered, in the ledger."""

from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, insert, select, update

from schema.names import TenantId
from storage.audit import note
from storage.database import reading
from storage.erased import Marks, scrubbed
from storage.rows import BATCHES, NIGHTS


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

    def forget(self, tenant: TenantId, marks: Marks, *, remove: bool) -> Counter[str]:
        """Take erased customers out of what is told of deliveries and nights.

        Returns:
            How often they are named there, by mark.
        """
        found = Counter[str]()
        with self._engine.begin() as connection:
            for table, column in (
                (BATCHES, BATCHES.c.report),
                (NIGHTS, NIGHTS.c.because),
                (NIGHTS, NIGHTS.c.figures),
            ):
                keys = [key for key in table.primary_key if key.name != "tenant"]
                here = table.c.tenant == tenant
                for *place, told in connection.execute(select(*keys, column).where(here)).all():
                    clean = scrubbed(told, marks, found)
                    if remove and clean != told:
                        row = (key == value for key, value in zip(keys, place, strict=True))
                        connection.execute(
                            update(table).where(here, *row).values({column.name: clean})
                        )
        return found

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
