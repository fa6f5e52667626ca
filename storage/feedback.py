"""Feedback: durable before it is acknowledged, counted once per event id."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from schema.dates import midnight
from schema.names import FeedbackKind, TenantId
from schema.records import DayOutcomes
from storage.database import LedgerAway, briefly, patiently, reading
from storage.erased import Erased, Marks
from storage.rows import FEEDBACK, TENANTS
from storage.spool import Spool

log = logging.getLogger("recfactory.feedback")

STORED, REPEATED, CONFLICT, SPOOLED = "stored", "repeated", "conflict", "spooled"
ERASED = "erased"

PATIENCE = 1.0
"""Seconds the ledger may take before feedback goes to the spool."""

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class Feedback:
    """What became of recommendations.

    Attributes:
        conflicts: spooled events that turned out, when delivered, to bear an id that was used for
            something else; since this process began.
    """

    def __init__(self, engine: Engine, spool: Spool, erased: Erased) -> None:
        self._engine, self.spool, self._erased = engine, spool, erased
        self._first = threading.Lock()
        self.conflicts = 0

    def keep(self, tenant: TenantId, events: Sequence[dict[str, Any]]) -> list[str]:
        """Make events durable: in the ledger or, while that is away, in the spool.

        While anything of this process waits in the spool, what comes goes behind it; ``deliver``
        finds out when the ledger is back. One at a time asks the ledger (SQLite has one writer
        anyway), so that when it hangs the others need not find out too.

        Returns:
            By event: as ``record``, or SPOOLED (whether it repeats another is seen at delivery).

        Raises:
            Problem: the spool is full (``FEEDBACK_FULL``): nothing is acknowledged.
        """
        with self._first:
            if self.spool.idle:
                try:
                    return self.record(tenant, events)
                except LedgerAway as away:
                    log.warning("%s; feedback is spooled", away.what)
                    return self._spooled(tenant, events)
        return self._spooled(tenant, events)

    def _spooled(self, tenant: TenantId, events: Sequence[dict[str, Any]]) -> list[str]:
        self.spool.append(tenant, list(events))
        return [SPOOLED] * len(events)

    def deliver(self) -> int:
        """Hand over to the ledger what this process spooled, and what one that is gone left
        behind; harmless if some of it was handed over before.

        Returns:
            How many events were handed over.

        Raises:
            LedgerAway: what was not handed over stays.
        """
        if not self.spool.take_over():
            return 0
        with briefly(self._engine, PATIENCE):
            pass  # only asks: a file of the spool is not ended at every try
        return self.spool.deliver(self._take)

    def _take(self, tenant: TenantId, events: list[dict[str, Any]]) -> None:
        results = self.record(tenant, events)
        refused = [e["event_id"] for e, r in zip(events, results, strict=True) if r == CONFLICT]
        if refused:
            self.conflicts += len(refused)
            log.warning(
                "%s: %d spooled events bear ids that were used before with another content, and "
                "are not counted: %s",
                tenant,
                len(refused),
                ", ".join(refused[:10]),
            )

    def record(
        self, tenant: TenantId, events: Sequence[dict[str, Any]], clock: Clock = _now
    ) -> list[str]:
        """Store events in the ledger, in one transaction.

        Args:
            events: rows of the feedback table without tenant and ``received_at``; ``digest``
                tells two bodies under one event id apart.

        Returns:
            By event: STORED, REPEATED (same id and body: counted before), CONFLICT (same id,
            other body: not stored) or ERASED (about a customer who was erased, or of a tenant that
            is gone: not stored).

        Raises:
            LedgerAway: the ledger could not be used; the events may be stored nevertheless.
        """
        try:
            return self._record(tenant, events, clock)
        except IntegrityError:  # another process stored one of them meanwhile: now it is seen
            return self._record(tenant, events, clock)

    def _record(
        self, tenant: TenantId, events: Sequence[dict[str, Any]], clock: Clock
    ) -> list[str]:
        ids = [event["event_id"] for event in events]
        results = []
        with briefly(self._engine, PATIENCE) as connection:
            # A night that begins waits for this transaction, or this one for it (SQLite has one
            # writer, PostgreSQL locks the row): so what bears a time before the night's is seen.
            known_tenant = connection.execute(
                select(TENANTS.c.uid, TENANTS.c.deleted_at)
                .where(TENANTS.c.tenant == tenant)
                .with_for_update(read=True, key_share=True)
            ).first()
            # asked inside: who is erased after this, is looked for after this
            gone = self._gone(known_tenant)
            received_at = clock()
            rows = connection.execute(
                select(FEEDBACK.c.event_id, FEEDBACK.c.digest).where(
                    FEEDBACK.c.tenant == tenant, FEEDBACK.c.event_id.in_(ids)
                )
            )
            known = {row.event_id: row.digest for row in rows}
            fresh = []
            for event in events:
                if gone(event["customer_id"]):
                    results.append(ERASED)
                    continue
                seen = known.setdefault(event["event_id"], None)
                if seen is None:
                    known[event["event_id"]] = event["digest"]
                    fresh.append({"tenant": tenant, **event, "received_at": received_at})
                    results.append(STORED)
                else:
                    results.append(REPEATED if seen == event["digest"] else CONFLICT)
            if fresh:
                connection.execute(insert(FEEDBACK), fresh)
        return results

    def _gone(self, tenant: Row[Any, Any] | None) -> Callable[[str], bool]:
        """Of whom nothing is kept; a tenant that nobody knows is left to the ledger to refuse."""
        if tenant is None or tenant.deleted_at is not None:
            return lambda _: tenant is not None
        return self._erased.of(tenant.uid).holds

    def forget(self, tenant: TenantId, marks: Marks, *, remove: bool) -> Counter[str]:
        """Take erased customers' events out of the ledger; returns how many there are, by mark."""
        here = FEEDBACK.c.tenant == tenant
        count = select(FEEDBACK.c.customer_id, func.count()).where(here)
        with self._engine.begin() as connection:
            rows = connection.execute(count.group_by(FEEDBACK.c.customer_id)).all()
            counts = {row[0]: row[1] for row in rows}
            gone = marks.among(counts)
            for customer in gone if remove else ():
                connection.execute(delete(FEEDBACK).where(here, FEEDBACK.c.customer_id == customer))
        return sum((Counter({gone[name]: counts[name]}) for name in gone), Counter[str]())

    def knows(self, tenant: TenantId, customer: str) -> bool:
        """Whether anything was ever told of this customer."""
        query = select(FEEDBACK.c.event_id).where(
            FEEDBACK.c.tenant == tenant, FEEDBACK.c.customer_id == customer
        )
        with reading(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None

    def events(
        self,
        tenant: TenantId,
        before: datetime,
        kinds: Sequence[FeedbackKind],
        received_by: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """A tenant's events of these kinds that occurred before a moment, oldest first. Waits as a
        night does.

        Args:
            received_by: leave out what reached the ledger later than this.
        """
        query = (
            select(FEEDBACK)
            .where(
                FEEDBACK.c.tenant == tenant,
                FEEDBACK.c.kind.in_([kind.value for kind in kinds]),
                FEEDBACK.c.occurred_at < before,
            )
            .order_by(FEEDBACK.c.occurred_at, FEEDBACK.c.event_id)
        )
        if received_by is not None:
            query = query.where(FEEDBACK.c.received_at <= received_by)

        def found() -> list[dict[str, Any]]:
            with reading(self._engine) as connection:
                return [dict(row._mapping) for row in connection.execute(query).all()]

        return patiently(self._engine, found)

    def outcomes(
        self, tenant: TenantId, today: date, days: int, zone: ZoneInfo
    ) -> list[DayOutcomes]:
        """What became of recommendations, by local day and edition, newest first.

        One indexed query a day: where a day begins in a time zone is nothing that SQLite and
        PostgreSQL could tell alike, and a short read does not hold up feedback that comes in.
        """
        found = []
        for day in (today - timedelta(days=back) for back in range(days)):
            span = midnight(day, zone), midnight(day + timedelta(days=1), zone)
            found += self._day(tenant, day, *span)
        return found

    def _day(
        self, tenant: TenantId, day: date, begins: datetime, ends: datetime
    ) -> list[DayOutcomes]:
        value = FEEDBACK.c.value
        query = (
            select(
                FEEDBACK.c.edition,
                FEEDBACK.c.kind,
                func.count(),
                func.coalesce(func.sum(value), 0.0),
                func.count(value),
            )
            .where(
                FEEDBACK.c.tenant == tenant,
                FEEDBACK.c.kind.in_([kind.value for kind in FeedbackKind]),  # for the index
                FEEDBACK.c.occurred_at >= begins,
                FEEDBACK.c.occurred_at < ends,
            )
            .group_by(FEEDBACK.c.edition, FEEDBACK.c.kind)
        )
        lines: dict[int | None, dict[str, int]] = {}
        revenue: dict[int | None, float] = {}
        with reading(self._engine) as connection:
            for edition, kind, count, money, priced in connection.execute(query):
                line = lines.setdefault(edition, {})
                if kind != FeedbackKind.PURCHASED:
                    line[kind] = count
                elif edition is not None:
                    line["bought"], line["without_value"] = count, count - priced
                    revenue[edition] = money
        newest_first = sorted(lines, key=lambda edition: -(edition or 0))
        return [
            DayOutcomes(day, edition, **lines[edition], revenue=revenue.get(edition, 0.0))
            for edition in newest_first
            if lines[edition]
        ]
