"""Take a tenant's files in: read, check against the universal schema, accept, hold or refuse."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.drift import Hold
from factory.faults import Fault
from factory.profile import Profile
from factory.validate import Checker, Report
from jobs.holds import known_by, profile, profiler, put_aside, still_due, unchanged, why_held
from jobs.mend import Mended, mended, reading_of, without_lines
from schema.errors import FactoryError, Refused, about, during
from schema.mapping import TenantMapping, declared
from schema.names import Delivered, Stage
from schema.records import Tenant
from schema.settings import IntakeSettings
from schema.tables import CUSTOMERS, HOW, IMPORTED, PRODUCTS, TABLES, How, Table
from storage import durable
from storage.chunks import Chunk
from storage.dataset import Dataset
from storage.imports import COUNTS, Import, batch_name
from storage.inbox import Delivery, delivery
from storage.staged import Staged
from storage.stores import Stores
from tenants.order import zone


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a delivery."""

    tenant: str
    batch: str
    dry_run: bool
    tables: tuple[Report, ...]
    state: Delivered = Delivered.ACCEPTED
    holds: tuple[Hold, ...] = ()
    how: Mapping[str, How] | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "batch": self.batch,
            "dry_run": self.dry_run,
            "state": self.state.value,
            "reasons": [asdict(hold) for hold in self.holds] or self._unchanged(),
            "tables": [_summary(table, (self.how or HOW)[table.table]) for table in self.tables],
        }

    def _unchanged(self) -> list[dict[str, str]]:
        if self.state is not Delivered.UNCHANGED:
            return []
        return [{"code": "DATA_UNCHANGED", "sentence": "the same files as before"}]


def import_files(
    stores: Stores,
    tenant: Tenant,
    files: Mapping[str, Path],
    limits: IntakeSettings,
    *,
    by: str,
    now: datetime,
    dry_run: bool = False,
    how: Mapping[str, How] | None = None,
    held: Import | None = None,
    why: str = "",
) -> ImportReport:
    """Import any of a tenant's three tables, all of the given ones or none.

    The rows of a file pass by chunk by chunk: what fits is staged, nothing counts before the end.

    Args:
        files: by table name.
        by: who delivers, for the audit trail.
        dry_run: check and report, keep nothing.
        how: by table name, whether a file replaces the table or adds to it (None: as the tenant's
            mapping says, else HOW).
        held: these are the files of a delivery that was held, and counts from now on: a person
            said so, and why.

    Returns:
        What became of it: the same files again change nothing, and what does not look like the
        tenant's other deliveries is put aside for a person.

    Raises:
        FactoryError: a file cannot be used; what was there stays as it was.
    """
    try:
        with during(Stage.IMPORT, tenant.tenant), durable.told():
            if held is not None:
                later = stores.imports.deliveries(tenant.tenant, None, states=COUNTS)
                files = still_due(files, held, later)
            return _Import(stores, tenant, files, limits, how or {}, by, now, held).run(
                dry_run, why
            )
    except FactoryError as error:
        _record_refusal(stores, tenant, files, error, by, now, keep=not dry_run and held is None)
        raise


def _record_refusal(
    stores: Stores,
    tenant: Tenant,
    files: Mapping[str, Path],
    error: FactoryError,
    by: str,
    now: datetime,
    *,
    keep: bool,
) -> None:
    """A delivery that was refused is remembered; a file that was not there, or a fault of ours, not."""
    problem = error.problem
    delivered = all(path.is_file() for path in files.values())
    if keep and files and delivered and isinstance(problem, Refused):
        report = ImportReport(tenant.tenant, "", False, (), Delivered.REFUSED)
        told = {"code": problem.code, "sentence": problem.what, "next": problem.next_step}
        stores.imports.record(
            tenant.tenant,
            "",
            report.as_json(),
            by=by,
            at=now,
            state=Delivered.REFUSED,
            reasons=[told],
        )


class _Import:
    """One delivery on its way in."""

    def __init__(
        self,
        stores: Stores,
        tenant: Tenant,
        files: Mapping[str, Path],
        limits: IntakeSettings,
        how: Mapping[str, How],
        by: str,
        now: datetime,
        held: Import | None,
    ) -> None:
        if not files:
            raise Refused(
                "no file was named", "give --customers, --products or --interactions", code="USAGE"
            )
        self._stores, self._tenant, self._limits = stores, tenant, limits
        self._by, self._now, self._held = by, now, held
        self._mapping = declared(tenant.mapping)
        self._files = {table.name: files[table.name] for table in IMPORTED if table.name in files}
        self._deliveries = {table: self._look_at(table) for table in self._files}
        hashes = {table: found.sha256 for table, found in self._deliveries.items()}
        self._batch = held.batch if held else batch_name(hashes)
        self._known_by = known_by(tenant, hashes, limits)
        self._mended = {
            table: found
            for table, each in self._deliveries.items()
            if (found := mended(stores, tenant, table, each)) is not None
        }
        usual = {table: self._mapping.of(table).how or own for table, own in HOW.items()}
        # Mended rows take the place of theirs and leave the others.
        self._how = usual | dict(how) | dict.fromkeys(self._mended, "add")

    def _look_at(self, table: str) -> Delivery:
        path = self._files[table]
        with about(path.name):
            reading = reading_of(path, self._mapping.of(table).reading)
            return delivery(path, reading, self._limits, tenant=self._tenant.tenant)

    def run(self, dry_run: bool, why: str) -> ImportReport:
        """Check everything, then accept it or put it aside."""
        stores, tenant = self._stores, self._tenant
        known = not (dry_run or self._held or any(one.waits for one in self._mended.values()))
        if known and self._unchanged():
            report = self._report((), (), Delivered.UNCHANGED, dry_run)
            self._record(report)
            return report
        keep: AbstractContextManager[Staged | None] = (
            nullcontext() if dry_run else stores.datasets.staged(tenant.uid)
        )
        with keep as staged:
            check = _Check(stores, tenant, self._mapping, self._limits, self._at, self._how, staged)
            reports = []
            for table, source in self._deliveries.items():
                chunks = _chunks(self._mended.get(table, source), tenant)
                if not TABLES[table].key:
                    done = stores.datasets.mended_lines(tenant.uid, self._batch, table)
                    chunks = without_lines(chunks, done)
                reports.append(check.take(TABLES[table], chunks, source, self._files[table].name))
            holds = self._why_held(check.profiles)
            # A delivery that is held is left without accept: nothing of it stays here.
            if staged is not None and not holds:
                staged.accept(self._batch, self._how)
        state = Delivered.HELD if holds else self._counts
        report = self._report(tuple(reports), holds, state, dry_run)
        if not dry_run:
            self._keep(report, check.profiles, why)
        return report

    def _unchanged(self) -> bool:
        name, stores = self._tenant.tenant, self._stores
        counting = stores.imports.counting(name, stores.erasures.returned(name))
        return unchanged(self._known_by, counting)

    @property
    def _at(self) -> datetime:
        """As of when it is checked: what was held is as old as it came."""
        return self._held.imported_at if self._held else self._now

    @property
    def _counts(self) -> Delivered:
        return Delivered.RELEASED if self._held else Delivered.ACCEPTED

    def _why_held(self, profiles: list[Profile]) -> tuple[Hold, ...]:
        if self._held:
            return ()
        return why_held(
            self._stores,
            self._tenant,
            self._batch,
            self._usual(profiles),
            self._how,
            self._limits.holds,
            self._now,
        )

    def _usual(self, profiles: list[Profile]) -> list[Profile]:
        """A few mended rows say nothing of what is usual, and are not held against it."""
        return [each for each in profiles if each.table not in self._mended]

    def _report(
        self,
        tables: tuple[Report, ...],
        holds: tuple[Hold, ...],
        state: Delivered,
        dry_run: bool,
    ) -> ImportReport:
        return ImportReport(
            self._tenant.tenant, self._batch, dry_run, tables, state, holds, self._how
        )

    def _keep(self, report: ImportReport, profiles: list[Profile], why: str) -> None:
        stores, tenant = self._stores, self._tenant
        facts = {"profile": {each.table: each.as_json() for each in self._usual(profiles)}}
        if report.state is Delivered.HELD:
            reasons = report.as_json()["reasons"]
            body = self._body(report) | facts | {"reasons": reasons}
            put_aside(stores, tenant, self._files, body, self._limits.holds)
            return
        if self._held is None:
            self._record(report, **facts)
        else:
            stores.imports.settle(
                tenant.tenant,
                self._held.number,
                report.state,
                by=self._by,
                why=why,
                at=self._now,
                report=report.as_json(),
                files=self._known_by,
                **facts,
            )
        # Last: until then the same file is taken again, and takes its own place.
        for table, found in self._mended.items():
            stores.datasets.mended(tenant.uid, found.batch, table, found.lines)

    def _record(self, report: ImportReport, **facts: Any) -> None:
        self._stores.imports.record(self._tenant.tenant, **self._body(report), **facts)

    def _body(self, report: ImportReport) -> dict[str, Any]:
        return {
            "batch": self._batch,
            "report": report.as_json(),
            "by": self._by,
            "at": self._now,
            "files": self._known_by,
            "state": report.state,
        }


class _Check:
    """Passes the files of one delivery through the check, in the order of IMPORTED.

    Attributes:
        profiles: what the tables that were taken look like.
    """

    def __init__(
        self,
        stores: Stores,
        tenant: Tenant,
        mapping: TenantMapping,
        limits: IntakeSettings,
        now: datetime,
        how: Mapping[str, How],
        staged: Staged | None,
    ) -> None:
        self._stores, self._tenant, self._mapping = stores, tenant, mapping
        self._limits, self._now, self._how, self._staged = limits, now, how, staged
        self._dataset = stores.datasets.of(tenant.uid) or Dataset()
        self._erased = stores.erased.of(tenant.uid)
        self._known: dict[str, pa.Array] = {}
        self.profiles: list[Profile] = []

    def take(self, table: Table, rows: Iterator[Chunk], came: Delivery, name: str) -> Report:
        """Check a table's rows and stage them.

        Args:
            rows: what is read of
            came: the delivered file.

        Raises:
            FactoryError: it cannot be used.
        """
        with during(Stage.VALIDATE, self._tenant.tenant), about(name):
            checker = Checker(
                table,
                zone=zone(self._tenant.timezone),
                now=self._now,
                known=self._known_to(table),
                ids=self._limits.ids,
                duplicates=self._limits.duplicates,
                how=self._mapping.of(table.name),
                currency=self._mapping.currency,
                erased=self._erased.mask if self._erased.marks else None,
            )
            looks = profiler(self._stores, self._tenant, table)
            for chunk in rows:
                accepted, quarantined = checker.add(chunk.rows, chunk.lines)
                looks.add(accepted)
                named = [line for line in chunk.ragged if self._erased.named(line.text)]
                checker.drop(len(named))
                ragged = checker.add_ragged([line for line in chunk.ragged if line not in named])
                if self._staged is not None:
                    self._staged.add(table.name, accepted, checker.hashes)
                    self._staged.quarantine(table.name, quarantined)
                    self._staged.quarantine(table.name, ragged)
                self._refuse_too_many(table, checker.accepted)
            report = checker.report()
            _refuse_unusable(report, table, self._limits, name)
            self.profiles.append(profile(looks, report, came.columns))
            if table.key:
                self._known[table.name] = self._keys_after(table, checker.keys)
        return report

    def _known_to(self, table: Table) -> dict[str, pa.Array]:
        """Ids that the table's own may point to, and those that its file adds to."""
        for column in table.columns:
            if column.points_to and column.points_to not in self._known:
                self._known[column.points_to] = self._in_force(column.points_to)
        known = dict(self._known)
        beside = self._how[table.name] == "add" or self._limits.ids == "folded"
        if table.key and beside and self._dataset.names(table.name):
            known[table.name] = self._in_force(table.name)
        return known

    def _keys_after(self, table: Table, delivered: pa.Array) -> pa.Array:
        keys = delivered
        if self._how[table.name] == "add" and self._dataset.names(table.name):
            keys = pc.unique(pa.concat_arrays([self._in_force(table.name), delivered]))
        self._refuse_too_many(table, len(keys))
        return keys

    def _refuse_too_many(self, table: Table, rows: int) -> None:
        limits = {
            CUSTOMERS.name: self._limits.max_customers,
            PRODUCTS.name: self._limits.max_products,
        }
        if rows > limits.get(table.name, rows):
            raise Refused(
                f"over {limits[table.name]:,} {table.name}, which is the limit",
                f"leave out who is gone, or raise intake.max_{table.name}",
                code="DATA_LIMIT",
            )

    def _in_force(self, table: str) -> pa.Array:
        key = TABLES[table].key
        rows = self._stores.datasets.read(self._tenant.uid, table, self._dataset, [key])
        return rows[key].combine_chunks()


_CHUNK = 1 << 19


def _chunks(rows: Delivery | Mended, tenant: Tenant) -> Iterator[Chunk]:
    """A file's rows, so many at a time that the checks are quick; what goes wrong while reading is
    told as such.
    """
    with during(Stage.IMPORT, tenant.tenant):
        some: list[Chunk] = []
        for chunk in rows.chunks():
            some.append(chunk)
            if sum(len(each.rows) for each in some) >= _CHUNK:
                yield _together(some)
                some = []
        if some:
            yield _together(some)


def _together(chunks: Sequence[Chunk]) -> Chunk:
    return Chunk(
        pa.concat_tables([chunk.rows for chunk in chunks]),
        np.concatenate([chunk.lines for chunk in chunks]),
        [line for chunk in chunks for line in chunk.ragged],
    )


def _refuse_unusable(report: Report, table: Table, limits: IntakeSettings, name: str) -> None:
    """Too many bad rows mean a broken export, not a few slips: nothing of it is taken.

    Rows that name somebody unknown are no fault of the file's: many of them hold it for a person.
    """
    meant = report.read - report.erased - (report.quarantined - report.unfit)
    if not meant and not report.erased:
        raise Refused(
            f"{name}: the mapping leaves out all {report.read:,} rows",
            f"correct the mapping of {table.name}, or do not send the file",
            code="DATA_NO_ROWS",
        )
    wrong = report.unfit - report.rows.get("REF_UNKNOWN", 0)
    too_many = wrong > max(limits.refuse_above_rows, limits.refuse_above_share * meant)
    in_wrong_unit = sum(f.count for f in report.faults if f.code == "TIME_RANGE") > meant / 2
    nothing_fits = bool(report.unfit) and not report.accepted
    if too_many or in_wrong_unit or nothing_fits:
        worst = _worst(report.faults, references=not wrong)
        line, value = worst.samples[0]
        refused = Refused(
            f"{name}: {report.unfit:,} of {meant:,} {table.name} do not fit, most of "
            f"them because {worst.what} (line {line}: {value!r})",
            f"{worst.fix}; nothing was taken from this file",
            code=worst.code,
        )
        refused.line, refused.column = line, worst.column or None
        raise refused


def _worst(faults: tuple[Fault, ...], *, references: bool) -> Fault:
    return max(
        (
            fault
            for fault in faults
            if fault.severity == "error" and (references or fault.code != "REF_UNKNOWN")
        ),
        key=lambda fault: fault.count,
    )


def _summary(found: Report, how: How) -> dict[str, Any]:
    return {
        "table": found.table,
        "how": how,
        "read": found.read,
        "accepted": found.accepted,
        "quarantined": found.quarantined,
        "erased": found.erased,
        "ignored_columns": list(found.ignored),
        "faults": [
            {
                "code": fault.code,
                "severity": fault.severity,
                "column": fault.column,
                "what": fault.what,
                "count": fault.count,
                "share": fault.share,
                "samples": [{"line": line, "value": value} for line, value in fault.samples],
                "fix": fault.fix,
            }
            for fault in found.faults
        ],
    }
