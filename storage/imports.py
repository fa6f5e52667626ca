"""What tenants delivered and what became of it, in the ledger."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    delete,
    func,
    insert,
    select,
    update,
)

from schema.errors import NotThere, Refused
from schema.names import Delivered, TenantId
from schema.tables import HOW, How
from storage.audit import note
from storage.database import reading
from storage.erased import Marks, scrubbed
from storage.rows import BATCHES, NIGHTS

Files = Mapping[str, Sequence[str]]

Told = Mapping[str, Any]
"""What ``record`` is given."""

COUNTS = (Delivered.ACCEPTED, Delivered.RELEASED)
"""States of deliveries whose rows are in the data."""


@dataclass(frozen=True, slots=True)
class Import:
    """One delivery.

    Attributes:
        number: in the order the tenant's deliveries came.
        files: by table, what its file is known by again: SHA-256 and how it was read.
        reasons: why it was held or refused, and for what: code, table, sentence, figures, next.
        profile: what it looked like, by table (factory/profile.py).
        settled_at: since when it is what ``state`` says; None while it waits.
    """

    number: int
    batch: str
    imported_at: datetime
    state: Delivered
    report: Mapping[str, Any]
    files: Files
    reasons: Sequence[Mapping[str, Any]]
    profile: Mapping[str, Any]
    settled_at: datetime | None

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the delivered files, by table."""
        return {table: known_by[0] for table, known_by in self.files.items()}

    @property
    def how(self) -> dict[str, How]:
        """By table, how it is taken."""
        return {
            told["table"]: told.get("how", HOW[told["table"]]) for told in self.report["tables"]
        }

    def as_json(self) -> dict[str, Any]:
        """What a person is told of it."""
        return {
            "batch": self.batch,
            "imported_at": self.imported_at,
            "state": self.state,
            "reasons": self.reasons,
            "report": self.report,
        }


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
        self,
        tenant: TenantId,
        batch: str,
        report: Mapping[str, Any],
        *,
        by: str,
        at: datetime,
        state: Delivered = Delivered.ACCEPTED,
        files: Files | None = None,
        reasons: Sequence[Mapping[str, Any]] = (),
        profile: Mapping[str, Any] | None = None,
    ) -> str:
        """Keep what became of a delivery.

        Args:
            batch: "" for one that was refused before it had a name.

        Returns:
            The batch.
        """
        with self._engine.begin() as connection:
            return _record(
                connection,
                tenant,
                batch,
                report,
                by=by,
                at=at,
                state=state,
                files=files,
                reasons=reasons,
                profile=profile,
            )

    def record_all(self, deliveries: Sequence[Told]) -> None:
        """Record many in one transaction, each as ``record`` takes it."""
        with self._engine.begin() as connection:
            for told in deliveries:
                _record(connection, **told)

    def tenants(self) -> set[str]:
        """Who ever delivered anything."""
        with reading(self._engine) as connection:
            return {row.tenant for row in connection.execute(select(BATCHES.c.tenant).distinct())}

    def kept(self) -> "Kept":
        """One that only keeps what it is told, for another process to record."""
        return Kept(self._engine)

    def settle(
        self,
        tenant: TenantId,
        number: int,
        state: Delivered,
        *,
        by: str,
        why: str,
        at: datetime,
        report: Mapping[str, Any] | None = None,
        profile: Mapping[str, Any] | None = None,
        files: Files | None = None,
    ) -> None:
        """A person's word on a delivery that waits.

        Args:
            files: of it, those that count.

        Raises:
            Refused: it does not wait any more (``DATA_NOT_HELD``).
        """
        values: dict[str, Any] = {"state": state.value, "settled_at": at}
        values |= {} if report is None else {"report": dict(report)}
        values |= {} if profile is None else {"profile": dict(profile)}
        values |= {} if files is None else {"files": dict(files)}
        this = (BATCHES.c.tenant == tenant, BATCHES.c.id == number)
        with self._engine.begin() as connection:
            row = connection.execute(select(BATCHES).where(*this).with_for_update()).one()
            if row.state != Delivered.HELD:
                raise _not_held(row.batch, row.state)
            connection.execute(update(BATCHES).where(*this).values(values))
            note(
                connection, tenant, by, f"data {state.value}", {"batch": row.batch, "why": why}, at
            )

    def deliveries(
        self,
        tenant: TenantId,
        limit: int | None = 20,
        *,
        states: Collection[Delivered] = (),
        since: datetime | None = None,
    ) -> list[Import]:
        """Newest first.

        Args:
            states: only these; every one if none is named.
            since: only what came after.
        """
        return self._read(_newest(tenant, limit, states, since))

    def trim(self, tenant: TenantId, keep: int = 200) -> int:
        """Forget refused and unchanged deliveries but the newest: whoever repeats one adds a line each time.

        Returns:
            How many lines went.
        """
        told = (
            BATCHES.c.tenant == tenant,
            BATCHES.c.state.in_((Delivered.REFUSED, Delivered.UNCHANGED)),
        )
        with self._engine.begin() as connection:
            query = select(BATCHES.c.id).where(*told).order_by(BATCHES.c.id.desc()).offset(keep)
            last = connection.execute(query.limit(1)).scalar()
            if last is None:
                return 0
            return connection.execute(delete(BATCHES).where(*told, BATCHES.c.id <= last)).rowcount

    def forget(self, tenant: TenantId, marks: Marks, *, remove: bool) -> Counter[str]:
        """Take erased customers out of what is told of deliveries and nights.

        Returns:
            How often they are named there, by mark.
        """
        found = Counter[str]()
        with self._engine.begin() as connection:
            for table, column in (
                (BATCHES, BATCHES.c.report),
                (BATCHES, BATCHES.c.reasons),
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
        """Newest first: batch, imported_at, state, reasons, report."""
        return [one.as_json() for one in self.deliveries(tenant, limit)]

    def delivery(self, tenant: TenantId, batch: str, state: Delivered | None = None) -> Import:
        """The newest delivery of a batch.

        Args:
            state: the newest that is in it.

        Raises:
            NotThere: the tenant has no such batch (``NO_BATCH``).
            Refused: it has, in another state (``DATA_NOT_HELD``).
        """
        found = self._read(_newest(tenant, None, (), None).where(BATCHES.c.batch == batch))
        if not found:
            raise NotThere(
                f"there is no batch {batch[:80]!r}",
                f"see `recfactory data show {tenant}`",
                "NO_BATCH",
            )
        fitting = [one for one in found if state in (None, one.state)]
        if not fitting:
            raise _not_held(batch, found[0].state)
        return fitting[0]

    def counting(self, tenant: TenantId, since: datetime | None = None) -> list[Files]:
        """Files of everything that counts, in the order it began to.

        Args:
            since: only what did after.
        """
        query = (
            select(BATCHES.c.files)
            .where(BATCHES.c.tenant == tenant, BATCHES.c.state.in_(COUNTS))
            .order_by(BATCHES.c.settled_at, BATCHES.c.id)
        )
        if since is not None:
            query = query.where(BATCHES.c.settled_at > since)
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def held(self) -> dict[TenantId, str]:
        """By tenant, its newest delivery that waits for a person."""
        query = (
            select(BATCHES.c.tenant, BATCHES.c.batch)
            .where(BATCHES.c.state == Delivered.HELD.value)
            .order_by(BATCHES.c.id)
        )
        with reading(self._engine) as connection:
            return {TenantId(row.tenant): row.batch for row in connection.execute(query)}

    def _read(self, query: Select[Any]) -> list[Import]:
        with reading(self._engine) as connection:
            return [_import(row) for row in connection.execute(query).all()]


class Kept(Imports):
    """Keeps what it is told."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.told: list[Told] = []

    def record(self, tenant: TenantId, batch: str, report: Mapping[str, Any], **facts: Any) -> str:
        self.told.append({"tenant": tenant, "batch": batch, "report": report, **facts})
        return batch


def _record(
    connection: Connection,
    tenant: TenantId,
    batch: str,
    report: Mapping[str, Any],
    *,
    by: str,
    at: datetime,
    state: Delivered = Delivered.ACCEPTED,
    files: Files | None = None,
    reasons: Sequence[Mapping[str, Any]] = (),
    profile: Mapping[str, Any] | None = None,
) -> str:
    last = connection.execute(
        select(func.max(BATCHES.c.id)).where(BATCHES.c.tenant == tenant)
    ).scalar()
    number = (last or 0) + 1
    name = batch or f"refused-{number}"
    connection.execute(
        insert(BATCHES).values(
            tenant=tenant,
            id=number,
            batch=name,
            imported_at=at,
            report={**report, "batch": name} if "batch" in report else dict(report),
            state=state.value,
            files=dict(files or {}),
            reasons=[dict(reason) for reason in reasons],
            profile=dict(profile or {}),
            settled_at=None if state is Delivered.HELD else at,
        )
    )
    detail = {"batch": name}
    if state is not Delivered.ACCEPTED:
        detail["state"] = state.value
    note(connection, tenant, by, "import", detail, at)
    return name


def _newest(
    tenant: TenantId,
    limit: int | None,
    states: Collection[Delivered],
    since: datetime | None,
) -> Select[Any]:
    where: list[ColumnElement[bool]] = [BATCHES.c.tenant == tenant]
    if states:
        where.append(BATCHES.c.state.in_(states))
    if since is not None:
        where.append(BATCHES.c.imported_at > since)
    return select(BATCHES).where(*where).order_by(BATCHES.c.id.desc()).limit(limit)


def _import(row: Row[Any]) -> Import:
    return Import(
        number=row.id,
        batch=row.batch,
        imported_at=row.imported_at,
        state=Delivered(row.state),
        report=row.report,
        files=row.files,
        reasons=row.reasons,
        profile=row.profile,
        settled_at=row.settled_at,
    )


def _not_held(batch: str, state: str) -> Refused:
    return Refused(
        f"batch {batch} does not wait for anybody's word: it is {state}",
        "see `recfactory data show TENANT` for what does",
        code="DATA_NOT_HELD",
    )
