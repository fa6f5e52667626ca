"""Receipts for erased customers, in the ledger: who asked, when, why, and what was removed where."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, func, insert, select, update

from schema.errors import NotThere, Refused
from schema.names import TenantId
from schema.records import Erasure
from storage.audit import note
from storage.database import reading
from storage.ledger import locked
from storage.rows import ERASURES


class Erasures:
    """The receipts of every tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self, tenant: TenantId, mark: str, *, known: bool, by: str, why: str, at: datetime
    ) -> Erasure:
        """Give a receipt its number; who is erased already keeps theirs."""
        with self._engine.begin() as connection:
            locked(connection, tenant)
            query = select(ERASURES).where(ERASURES.c.tenant == tenant)
            there = query.where(ERASURES.c.mark == mark, ERASURES.c.returned_at.is_(None))
            found = connection.execute(there).first()
            if found is not None:
                return _erasure(found)
            last = select(func.max(ERASURES.c.erasure)).where(ERASURES.c.tenant == tenant)
            made = Erasure(
                tenant=tenant,
                receipt=(connection.execute(last).scalar() or 0) + 1,
                mark=mark,
                known=known,
                asked_by=by,
                why=why,
                asked_at=at,
                removed={},
            )
            connection.execute(
                insert(ERASURES).values(
                    tenant=tenant,
                    erasure=made.receipt,
                    mark=mark,
                    known=known,
                    asked_by=by,
                    why=why,
                    asked_at=at,
                    removed={},
                )
            )
            detail = {"receipt": made.receipt, "mark": mark, "why": why}
            note(connection, tenant, by, "erase", detail, at)
        return made

    def of(self, tenant: TenantId) -> list[Erasure]:
        """A tenant's receipts, newest first."""
        query = select(ERASURES).where(ERASURES.c.tenant == tenant)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(ERASURES.c.erasure.desc())).all()
        return [_erasure(row) for row in rows]

    def tenants(self) -> set[TenantId]:
        """Who has any receipt at all."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(ERASURES.c.tenant).distinct()).all()
        return {TenantId(row.tenant) for row in rows}

    def returned(self, tenant: TenantId) -> datetime | None:
        """When somebody was last allowed to come back; what was taken in before lacks them."""
        query = select(func.max(ERASURES.c.returned_at)).where(ERASURES.c.tenant == tenant)
        with reading(self._engine) as connection:
            found: datetime | None = connection.execute(query).scalar()
        return found

    def one(self, tenant: TenantId, receipt: int) -> Erasure:
        """One receipt.

        Raises:
            NotThere: the tenant has none of this number.
        """
        for found in self.of(tenant):
            if found.receipt == receipt:
                return found
        raise NotThere(
            f"there is no receipt {receipt}",
            f"see `recfactory data erasures {tenant}`",
            code="NO_RECEIPT",
        )

    def found(self, tenant: TenantId, removed: Mapping[int, Mapping[str, int]]) -> None:
        """Note what is about to be removed, by receipt; an attempt that died had noted its own."""
        with self._engine.begin() as connection:
            for receipt, counts in removed.items():
                here = (ERASURES.c.tenant == tenant, ERASURES.c.erasure == receipt)
                before = connection.execute(select(ERASURES.c.removed).where(*here)).scalar_one()
                most = {name: max(count, before.get(name, 0)) for name, count in counts.items()}
                connection.execute(update(ERASURES).where(*here).values(removed=most))

    def finish(self, tenant: TenantId, receipts: Collection[int], *, at: datetime) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(ERASURES)
                .where(
                    ERASURES.c.tenant == tenant,
                    ERASURES.c.erasure.in_(receipts),
                    ERASURES.c.finished_at.is_(None),
                )
                .values(finished_at=at)
            )
            detail = {"receipts": sorted(receipts)}
            note(connection, tenant, "recfactory", "erased", detail, at)

    def back(
        self,
        tenant: TenantId,
        mark: str,
        admit: Callable[[], None],
        *,
        by: str,
        why: str,
        at: datetime,
    ) -> Erasure:
        """Note that a customer may come back.

        Args:
            admit: takes the mark away; what is noted of it holds only if that was done.

        Raises:
            NotThere: nobody of this mark is erased (``NOT_ERASED``).
            Refused: the erasure is not finished (``ERASURE_PENDING``).
        """
        with self._engine.begin() as connection:
            locked(connection, tenant)
            here = (
                ERASURES.c.tenant == tenant,
                ERASURES.c.mark == mark,
                ERASURES.c.returned_at.is_(None),
            )
            found = connection.execute(select(ERASURES).where(*here)).first()
            if found is None:
                raise NotThere(
                    "this customer is not erased",
                    "check the id: it is kept nowhere, so it has to be typed as it was",
                    code="NOT_ERASED",
                )
            if found.finished_at is None:
                raise Refused(
                    f"receipt {found.erasure} is not finished",
                    "run `recfactory data erasures --finish` first",
                    code="ERASURE_PENDING",
                )
            admit()
            connection.execute(update(ERASURES).where(*here).values(returned_at=at))
            detail = {"receipt": found.erasure, "mark": mark, "why": why}
            note(connection, tenant, by, "unerase", detail, at)
        return replace(_erasure(found), returned_at=at)


def _erasure(row: Row[Any]) -> Erasure:
    return Erasure(
        tenant=TenantId(row.tenant),
        receipt=row.erasure,
        mark=row.mark,
        known=row.known,
        asked_by=row.asked_by,
        why=row.why,
        asked_at=row.asked_at,
        removed=row.removed,
        finished_at=row.finished_at,
        returned_at=row.returned_at,
    )
