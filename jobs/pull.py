"""Take what is new in SalesCore's own database in: one query per table, the same for every tenant.

Exactly once, wherever it dies: rows between two moments of the source's clock are read (after the
mark, up to ``until``, which lies so far back that no transaction still writes before it); the files
are sealed in the tenant's folder; they are imported like any delivery, which counts the same file
once; the marks move to ``until``; and the sealed files go. Whoever comes after a crash finishes with
these files before anything new is read.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from jobs.intake import ImportReport, import_files
from schema.config import Config
from schema.errors import FactoryError, Problem, Refused, during
from schema.names import Delivered, Stage
from schema.records import Tenant
from schema.source import by_window
from schema.tables import How
from storage.imports import COUNTS
from storage.marks import Mark
from storage.pulled import Delivery
from storage.source import Source, SourceAway, Window
from storage.stores import Stores
from tenants.order import settings_of

log = logging.getLogger("recfactory.pull")

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""The mark of a table that was never read."""


class Came(StrEnum):
    """What a pull came to, for one tenant."""

    ACCEPTED = "accepted"
    HELD = "held"
    """A person has to look before it is taken in; until then the marks stay, and nothing is read."""
    NOTHING = "nothing"
    """Nothing new."""
    SKIPPED = "skipped"
    """Nobody said who it is in the source."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Pull:
    """What came of one tenant's data; ``reports`` has two where an older delivery was finished."""

    tenant: str
    came: Came
    because: str
    code: str = ""
    reports: tuple[ImportReport, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "state": self.came.value,
            "because": self.because,
            "code": self.code,
            "deliveries": [report.as_json() for report in self.reports],
        }


def pull_all(
    stores: Stores,
    config: Config,
    tenants: Sequence[Tenant],
    source: Source,
    *,
    by: str,
    now: datetime,
    dry_run: bool = False,
) -> Iterator[Pull]:
    """Pull for these tenants, one after the other over one connection; none stops another.

    Where the source cannot be connected to at all, the others are not made to wait for that again.

    Args:
        dry_run: check and report; take nothing in, and leave the marks.
    """
    shared = _shared(stores, config)
    away: SourceAway | None = None
    for tenant in tenants:
        pulling = _Pulling(stores, config, tenant, source, by, now)
        try:
            if away is not None:
                raise away
            client = _client(config, tenant)
            if client in shared:
                raise Refused(
                    f"source.client is {client!r} for another tenant too, who would get its data",
                    "give each tenant its own: `recfactory tenant set`",
                    code="SOURCE_CLIENT",
                )
            yield pulling.run(client, dry_run=dry_run) if client else _skipped(tenant)
        except (Problem, FactoryError) as error:
            problem = error.problem if isinstance(error, FactoryError) else error
            away = problem if isinstance(problem, SourceAway) else away
            yield Pull(tenant.tenant, Came.FAILED, str(problem), problem.code)
        except Exception as error:
            log.exception("%s: the pull broke", tenant.tenant)
            because = f"{type(error).__name__}; the log says where. Next: report it."
            yield Pull(tenant.tenant, Came.FAILED, because, "PROBLEM")


def exit_status(pulls: Sequence[Pull]) -> int:
    """1 if anything failed, 3 if a person has to look, else 0."""
    found = {pull.came for pull in pulls}
    return 1 if Came.FAILED in found else 3 if Came.HELD in found else 0


@dataclass(frozen=True, slots=True)
class _Pulling:
    """One tenant's pull."""

    stores: Stores
    config: Config
    tenant: Tenant
    source: Source
    by: str
    now: datetime

    def run(self, client: str, *, dry_run: bool) -> Pull:
        """Finish what an attempt that died had read; then read what is new, and take it in."""
        pulled = self.stores.pulled
        with during(Stage.IMPORT, self.tenant.tenant), pulled.locked(self.tenant.uid):
            if dry_run:
                trial = self._read(client, trial=True)
                report = self._import(trial, dry_run=True)
                pulled.settle(trial)
                return self._told([report])
            earlier = None
            if waiting := pulled.waiting(self.tenant.uid):
                batch, state = self._became(waiting)
                if state is Delivered.HELD:
                    return self._held(batch)
                if state is Delivered.DISCARDED:  # a person threw it away: it is read anew
                    pulled.settle(waiting)
                else:
                    earlier = self._take(waiting, imported=state in COUNTS)
                    if earlier and earlier.state is Delivered.HELD:
                        return self._held(earlier.batch, earlier)
            report = self._take(self._read(client, trial=False))
            if report and report.state is Delivered.HELD:
                return self._held(report.batch, *filter(None, [earlier, report]))
            return self._told([earlier, report])

    def _became(self, delivery: Delivery) -> tuple[str, Delivered | None]:
        """The batch and state of a delivery that an earlier pull left; None if it was never imported."""
        for known in self.stores.imports.deliveries(self.tenant.tenant, None):
            # Of one that was released, only what was still due counts.
            if known.hashes and known.hashes.items() <= delivery.hashes.items():
                return known.batch, known.state
        return "", None

    def _held(self, batch: str, *reports: ImportReport) -> Pull:
        name = self.tenant.tenant
        because = (
            f"batch {batch} waits for `recfactory data release {name} {batch}`, or `data discard`"
        )
        return Pull(name, Came.HELD, because, "DATA_HELD", reports)

    def _read(self, client: str, *, trial: bool) -> Delivery:
        """Read every table as of one moment, and seal what came."""
        marks = self._marks(client)
        most = settings_of(self.config.template, self.tenant.changes).intake.max_file_bytes
        with self.source.snapshot() as snapshot:
            until = snapshot.clock() - timedelta(seconds=self.config.source.settle_seconds)
            after, writers = {}, {}
            for table, sql in self.config.source.queries.asked().items():
                since = marks[table].until if table in marks else BEGINNING
                if by_window(sql):
                    if until <= since:
                        continue
                    after[table] = Mark(client, until)
                window = Window(client, since, until)
                writers[table] = partial(snapshot.write, sql, window, most=most)
            delivery = self.stores.pulled.seal(self.tenant.uid, writers, after, trial=trial)
        for table, rows in delivery.rows.items():
            if not rows and table not in after:
                self.stores.pulled.settle(delivery)
                raise Refused(
                    f"the source has no {table} for the client {client!r}",
                    f"check `recfactory tenant show {self.tenant.tenant}` (source.client), and the query",
                    code="SOURCE_EMPTY",
                )
        return delivery

    def _marks(self, client: str) -> Mapping[str, Mark]:
        marks = self.stores.marks.of(self.tenant.tenant)
        if any(mark.client != client for mark in marks.values()):
            raise Refused(
                f"its data came from another client so far, and would mix with that of {client!r}",
                "set source.client back, or register another tenant",
                code="SOURCE_CLIENT",
            )
        return marks

    def _take(self, delivery: Delivery, *, imported: bool = False) -> ImportReport | None:
        """Import a delivery, move the marks, forget it; each step is harmless to repeat.

        One that is held waits, and its marks with it, until a person has spoken.
        """
        report = None
        if not imported:
            try:
                report = self._import(delivery, dry_run=False)
            except FactoryError as error:
                if isinstance(error.problem, Refused):  # nothing of it was taken: it is read anew
                    self.stores.pulled.settle(delivery)
                raise
            if report and report.state is Delivered.HELD:
                return report
        self.stores.marks.advance(self.tenant.tenant, delivery.marks)
        self.stores.pulled.settle(delivery)
        return report

    def _import(self, delivery: Delivery, *, dry_run: bool) -> ImportReport | None:
        if not delivery.files:
            return None
        limits = settings_of(self.config.template, self.tenant.changes).intake
        how: dict[str, How] = {
            table: "add" if table in delivery.marks else "replace" for table in delivery.files
        }
        return import_files(
            self.stores,
            replace(self.tenant, mapping={}),  # it tells of files; a query names columns itself
            delivery.files,
            limits,
            by=self.by,
            now=self.now,
            dry_run=dry_run,
            how=how,
        )

    def _told(self, taken: Sequence[ImportReport | None]) -> Pull:
        reports = tuple(report for report in taken if report is not None)
        if not reports:
            return Pull(self.tenant.tenant, Came.NOTHING, "nothing new")
        rows = sum(found.accepted for report in reports for found in report.tables)
        return Pull(self.tenant.tenant, Came.ACCEPTED, f"{rows:,} rows", reports=reports)


def _client(config: Config, tenant: Tenant) -> str:
    return settings_of(config.template, tenant.changes).source.client


def _shared(stores: Stores, config: Config) -> set[str]:
    """Clients that several tenants say they are; the template names none, so own settings count."""
    counts: Counter[str] = Counter()
    for tenant in stores.ledger.tenants():
        if any(name.partition(".")[0] == "source" for name in tenant.changes):
            with suppress(Refused):  # settings that do not hold: told when it is this tenant's turn
                counts[_client(config, tenant)] += 1
    return {client for client, count in counts.items() if client and count > 1}


def _skipped(tenant: Tenant) -> Pull:
    because = (
        f"nobody in the source; say who: recfactory tenant set {tenant.tenant} source.client=ID"
    )
    return Pull(tenant.tenant, Came.SKIPPED, because)
