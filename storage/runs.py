"""Runs over many tenants' nights: what each came to, and what there was to compare it with."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, delete, func, insert, select

from schema.names import TenantId
from storage.database import briefly, reading
from storage.rows import NIGHTS, RUNS, TENANTS

_KEPT = 200
"""Runs on record: half a year of one a night, a week of the waves of a fleet on every clock."""

_PATIENCE = 10.0
"""Seconds: the nights are done; a ledger that is away must not keep their end from being told."""


class Run(NamedTuple):
    """One run on record; ``summary`` is what its keeper gave."""

    begun_by: str
    whole: bool
    begun_at: datetime
    ended_at: datetime
    summary: Mapping[str, Any]


class Earlier(NamedTuple):
    """What a tenant's night came to: its outcome, or its state where it has none; seconds of work."""

    word: str
    seconds: float


class Runs:
    """The runs' part of the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, run: Run) -> None:
        """Keep a run, and forget the oldest beyond the kept ones.

        Raises:
            LedgerAway: the database could not be used at once.
        """
        with briefly(self._engine, _PATIENCE) as connection:
            connection.execute(insert(RUNS).values(run._asdict()))
            newest = select(RUNS.c.run).order_by(RUNS.c.run.desc()).limit(_KEPT)
            connection.execute(delete(RUNS).where(RUNS.c.run.not_in(newest)))

    def last(self) -> Run | None:
        """The newest over all tenants that were due; None before the first."""
        columns = [RUNS.c[name] for name in Run._fields]
        query = select(*columns).where(RUNS.c.whole).order_by(RUNS.c.run.desc()).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else Run._make(row)

    def nights_before(self, night: date) -> dict[TenantId, Earlier]:
        """By tenant, its newest night before a date; a look at the index for each."""
        of_mine = NIGHTS.alias()
        last = (
            select(func.max(of_mine.c.night))
            .where(of_mine.c.tenant == TENANTS.c.tenant, of_mine.c.night < night)
            .scalar_subquery()
        )
        word = func.coalesce(NIGHTS.c.outcome, NIGHTS.c.state).label("word")
        query = select(NIGHTS.c.tenant, word, NIGHTS.c.figures["seconds"].label("seconds")).join(
            TENANTS, (NIGHTS.c.tenant == TENANTS.c.tenant) & (NIGHTS.c.night == last)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {
            TenantId(row.tenant): Earlier(row.word, sum((row.seconds or {}).values()))
            for row in rows
        }
