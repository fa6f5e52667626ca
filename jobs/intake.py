"""Take a tenant's files in: read, check against the universal schema, accept or refuse."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.faults import Fault
from factory.validate import Checker, Report
from schema.errors import Refused, during
from schema.names import Stage
from schema.records import Tenant
from schema.settings import IntakeSettings
from schema.tables import CUSTOMERS, IMPORTED, PRODUCTS, TABLES, Table
from storage.dataset import HOW, Dataset, How
from storage.inbox import read_file
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

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "batch": self.batch,
            "dry_run": self.dry_run,
            "tables": [_summary(table) for table in self.tables],
        }


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
) -> ImportReport:
    """Import any of a tenant's three tables, all of the given ones or none.

    The rows of a file pass by chunk by chunk: what fits is staged, nothing counts before the end.

    Args:
        files: by table name.
        by: who delivers, for the audit trail.
        dry_run: check and report, keep nothing.
        how: by table name, whether a file replaces the table or adds to it (None: HOW).

    Raises:
        FactoryError: a file cannot be used; what was there stays as it was.
    """
    with during(Stage.IMPORT, tenant.tenant):
        deliveries = {
            table.name: Delivery(files[table.name], limits)
            for table in IMPORTED
            if table.name in files
        }
    if not deliveries:
        raise Refused(
            "no file was named", "give --customers, --products or --interactions", code="USAGE"
        )
    how = {**HOW, **(how or {})}
    keep = nullcontext() if dry_run else stores.datasets.staged(tenant.uid)
    with keep as staged:
        check = _Check(stores, tenant, limits, now, how, staged)
        reports = [
            check.take(table, deliveries[table.name], files[table.name].name)
            for table in IMPORTED
            if table.name in deliveries
        ]
        report = ImportReport(tenant.tenant, _batch(deliveries), dry_run, tuple(reports))
        # Here a delivery that looks wrong as a whole is held: left without accept, nothing stays.
        if staged is not None:
            staged.accept(report.batch, how)
    if not dry_run:
        stores.imports.record(tenant.tenant, report.batch, report.as_json(), by=by, at=now)
    return report


class _Check:
    """Passes the files of one delivery through the check, in the order of IMPORTED."""

    def __init__(
        self,
        stores: Stores,
        tenant: Tenant,
        limits: IntakeSettings,
        now: datetime,
        how: Mapping[str, How],
        staged: Staged | None,
    ) -> None:
        self._stores, self._tenant, self._limits = stores, tenant, limits
        self._now, self._how, self._staged = now, how, staged
        self._dataset = stores.datasets.of(tenant.uid) or Dataset()
        self._known: dict[str, pa.Array] = {}

    def take(self, table: Table, delivery: "Delivery", name: str) -> Report:
        """Check a table's rows and stage them.

        Raises:
            FactoryError: it cannot be used.
        """
        with during(Stage.VALIDATE, self._tenant.tenant):
            checker = Checker(
                table,
                zone=zone(self._tenant.timezone),
                now=self._now,
                known=self._known_to(table),
                ids=self._limits.ids,
                duplicates=self._limits.duplicates,
            )
            for chunk in _chunks(delivery, self._tenant):
                # Here a tenant's mapping makes universal rows of the delivered ones.
                accepted, quarantined = checker.add(chunk.rows, chunk.lines)
                # Here the profile is made of what was accepted.
                ragged = checker.add_ragged(chunk.ragged)
                if self._staged is not None:
                    self._staged.add(table.name, accepted, checker.hashes)
                    self._staged.set_aside(table.name, quarantined)
                    self._staged.set_aside(table.name, ragged)
                self._refuse_too_many(table, checker.accepted)
            report = checker.report()
            _refuse_unusable(report, table, self._limits, name)
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


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a file, their lines, and (line, text, code, what) of lines that are no rows."""

    rows: pa.Table
    lines: NDArray[np.int64]
    ragged: list[tuple[int, str, str, str]]


class Delivery:
    """Until files are read by chunks: today's reader behind tomorrow's interface."""

    def __init__(self, path: Path, limits: IntakeSettings) -> None:
        self._found = read_file(path, limits.max_file_bytes)
        self.sha256 = self._found.sha256
        self._first = 1 if path.suffix == ".parquet" else 2

    def chunks(self) -> Iterator[Chunk]:
        rows = self._found.rows
        what = "another number of fields than the header"
        ragged = [(line, text, "CSV_SHAPE", what) for line, text in self._found.ragged]
        lines = np.arange(self._first, self._first + len(rows))
        for start in range(0, max(len(rows), 1), _CHUNK):
            last = start + _CHUNK >= len(rows)
            part = slice(start, start + _CHUNK)
            yield Chunk(rows.slice(start, _CHUNK), lines[part], ragged if last else [])


_CHUNK = 1 << 19


def _chunks(delivery: Delivery, tenant: Tenant) -> Iterator[Chunk]:
    """A file's rows, so many at a time that the checks are quick; what goes wrong while reading is
    told as such.
    """
    with during(Stage.IMPORT, tenant.tenant):
        some: list[Chunk] = []
        for chunk in delivery.chunks():
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
    """Too many bad rows mean a broken export, not a few slips: nothing of it is taken."""
    unknown = report.rows.get("REF_UNKNOWN", 0)
    meant = report.read - (report.quarantined - report.unfit)
    in_wrong_unit = sum(f.count for f in report.faults if f.code == "TIME_RANGE") > meant / 2
    for bad, share, of_reference in (
        (report.unfit - unknown, limits.refuse_above_share, False),
        (unknown, limits.refuse_unknown_above_share, True),
    ):
        allowed = max(limits.refuse_above_rows, share * report.read)
        nothing_fits = bad and not report.accepted
        if bad > allowed or nothing_fits or (in_wrong_unit and not of_reference):
            worst = _worst(report.faults, of_reference)
            line, value = worst.samples[0]
            raise Refused(
                f"{name}: {report.unfit:,} of {report.read:,} {table.name} do not fit, most of "
                f"them because {worst.what} (line {line}: {value!r})",
                f"{worst.fix}; nothing was taken from this file",
                code=worst.code,
            )


def _worst(faults: tuple[Fault, ...], of_reference: bool) -> Fault:
    return max(
        (
            fault
            for fault in faults
            if fault.severity == "error" and (fault.code == "REF_UNKNOWN") is of_reference
        ),
        key=lambda fault: fault.count,
    )


def _batch(deliveries: Mapping[str, Delivery]) -> str:
    if "interactions" in deliveries:
        return deliveries["interactions"].sha256[:20]
    together = "".join(delivery.sha256 for delivery in deliveries.values())
    return hashlib.sha256(together.encode()).hexdigest()[:20]


def _summary(found: Report) -> dict[str, Any]:
    return {
        "table": found.table,
        "read": found.read,
        "accepted": found.accepted,
        "quarantined": found.quarantined,
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
