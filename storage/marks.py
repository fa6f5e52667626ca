"""How far each tenant's tables were read from the source, in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select

from schema.names import TenantId
from storage.database import reading
from storage.ledger import locked
from storage.rows import MARKS


@dataclass(frozen=True, slots=True)
class Mark:
    """Everything of a client up to this moment, by the source's clock, was taken in."""

    client: str
    until: datetime


class Marks:
    """High-water marks, by tenant and table."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, tenant: TenantId) -> dict[str, Mark]:
        """By table; a table without one was never read."""
        query = select(MARKS).where(MARKS.c.tenant == tenant)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {row.table_name: Mark(row.client, row.until) for row in rows}

    def advance(self, tenant: TenantId, marks: Mapping[str, Mark]) -> None:
        """Move the marks of these tables, all of them or none."""
        with self._engine.begin() as connection:
            locked(connection, tenant)
            for table, mark in marks.items():
                mine = (MARKS.c.tenant == tenant, MARKS.c.table_name == table)
                connection.execute(delete(MARKS).where(*mine))
                connection.execute(
                    insert(MARKS).values(
                        tenant=tenant, table_name=table, client=mark.client, until=mark.until
                    )
                )
