"""Feedback in the ledger: durable before it is acknowledged, counted once per event id."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, select

from schema.names import FeedbackKind, TenantId
from storage.database import reading
from storage.rows import FEEDBACK

STORED, REPEATED, CONFLICT = "stored", "repeated", "conflict"


class Feedback:
    """What became of recommendations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, tenant: TenantId, events: Sequence[dict[str, Any]]) -> list[str]:
        """Store events in one transaction.

        Args:
            events: rows of the feedback table without the tenant; ``digest`` tells two bodies
                under one event id apart.

        Returns:
            By event: STORED, REPEATED (same id and body: counted before) or CONFLICT (same id,
            other body: not stored).
        """
        ids = [event["event_id"] for event in events]
        results = []
        with self._engine.begin() as connection:
            rows = connection.execute(
                select(FEEDBACK.c.event_id, FEEDBACK.c.digest).where(
                    FEEDBACK.c.tenant == tenant, FEEDBACK.c.event_id.in_(ids)
                )
            )
            known = {row.event_id: row.digest for row in rows}
            fresh = []
            for event in events:
                seen = known.setdefault(event["event_id"], None)
                if seen is None:
                    known[event["event_id"]] = event["digest"]
                    fresh.append({"tenant": tenant, **event})
                    results.append(STORED)
                else:
                    results.append(REPEATED if seen == event["digest"] else CONFLICT)
            if fresh:
                connection.execute(insert(FEEDBACK), fresh)
        return results

    def events(
        self, tenant: TenantId, before: datetime, kinds: Sequence[FeedbackKind]
    ) -> list[dict[str, Any]]:
        """A tenant's events of these kinds that occurred before a moment, oldest first."""
        query = (
            select(FEEDBACK)
            .where(
                FEEDBACK.c.tenant == tenant,
                FEEDBACK.c.kind.in_([kind.value for kind in kinds]),
                FEEDBACK.c.occurred_at < before,
            )
            .order_by(FEEDBACK.c.occurred_at, FEEDBACK.c.event_id)
        )
        with reading(self._engine) as connection:
            return [dict(row._mapping) for row in connection.execute(query).all()]
