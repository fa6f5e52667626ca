"""Take a tenant's files in: read, check against the universal schema, accept or refuse."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from factory.drift import Hold
from factory.validate import Checked, Fault, check, escaped
from jobs.holds import known_by, profile, put_aside, still_due, unchanged, why_held
from jobs.mend import completed, take_mended
from schema.errors import FactoryError, Refused, during
from schema.names import Delivered, Stage
from schema.records import Tenant
from schema.settings import IntakeSettings
from schema.tables import IMPORTED, Table
from storage.imports import COUNTS, Import
from storage.inbox import Delivery, read_file
from storage.stores import Stores
from tenants.order import zone


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a delivery."""

    tenant: str
    batch: str
    dry_run: bool
    tables: tuple[Checked, ...]
    state: Delivered = Delivered.ACCEPTED
    holds: tuple[Hold, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "batch": self.batch,
            "dry_run": self.dry_run,
            "state": self.state.value,
            "reasons": [asdict(hold) for hold in self.holds],
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
    held: Import | None = None,
    why: str = "",
) -> ImportReport:
    """Import any of a tenant's three tables, all of the given ones or none.

    Args:
        files: by table name.
        by: who delivers, for the audit trail.
        dry_run: check and report, keep nothing.
        held: these are the files of a delivery that was held, and counts from now on: a person
            said so, and why.

    Returns:
        What became of it: the same files again change nothing, and what does not look like the
        tenant's other deliveries is put aside for a person.

    Raises:
        FactoryError: a file cannot be used; what was there stays as it was.
    """
    try:
        return _import(stores, tenant, files, limits, by, now, dry_run, held, why)
    except FactoryError as error:
        problem = error.problem
        delivered = all(path.is_file() for path in files.values())
        if delivered and isinstance(problem, Refused) and not dry_run and held is None:
            report = ImportReport(tenant.tenant, "", dry_run, (), Delivered.REFUSED)
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
        raise


def _import(
    stores: Stores,
    tenant: Tenant,
    files: Mapping[str, Path],
    limits: IntakeSettings,
    by: str,
    now: datetime,
    dry_run: bool,
    held: Import | None,
    why: str,
) -> ImportReport:
    with during(Stage.IMPORT, tenant.tenant):
        if held is not None:
            files = still_due(
                files, held, stores.imports.deliveries(tenant.tenant, None, states=COUNTS)
            )
        deliveries = {
            table.name: read_file(files[table.name], limits.max_file_bytes)
            for table in IMPORTED
            if table.name in files
        }
    if not deliveries:
        raise Refused(
            "no file was named", "give --customers, --products or --interactions", code="USAGE"
        )
    batch = held.batch if held else _batch(deliveries)
    with during(Stage.IMPORT, tenant.tenant):
        mended = {
            name: mended
            for name, delivery in deliveries.items()
            if (mended := take_mended(stores, tenant, name, delivery, batch)) is not None
        }
    known_files = known_by(tenant, {name: found.sha256 for name, found in deliveries.items()})
    record: dict[str, Any] = {"batch": batch, "by": by, "at": now, "files": known_files}
    if not (dry_run or held) and unchanged(known_files, stores.imports.counting(tenant.tenant)):
        report = ImportReport(tenant.tenant, batch, dry_run, (), Delivered.UNCHANGED)
        record |= {"report": report.as_json(), "state": Delivered.UNCHANGED}
        stores.imports.record(tenant.tenant, **record)
        return report
    known: dict[str, pa.Array] = {}
    checked = []
    with during(Stage.VALIDATE, tenant.tenant):
        for table in IMPORTED:
            if table.name in deliveries:
                at = held.imported_at if held else now
                found = _check(stores, tenant, table, deliveries[table.name], known, at)
                _refuse_unusable(found, table, limits, files[table.name].name)
                checked.append(found)
                if table.key:
                    known[table.name] = found.accepted[table.key].combine_chunks()
        profiles = [
            profile(stores, tenant, found, deliveries[found.table].rows.column_names)
            for found in checked
        ]
        holds = (
            () if held or mended else why_held(stores, tenant, batch, profiles, limits.holds, now)
        )
    state = Delivered.HELD if holds else Delivered.RELEASED if held else Delivered.ACCEPTED
    report = ImportReport(tenant.tenant, batch, dry_run, tuple(checked), state, holds)
    seen = () if mended else profiles  # a few mended rows say nothing of what is usual
    kept: dict[str, Any] = {
        "report": report.as_json(),
        "profile": {p.table: p.as_json() for p in seen},
    }
    if dry_run:
        return report
    if holds:
        record |= {**kept, "state": state, "reasons": report.as_json()["reasons"]}
        with during(Stage.IMPORT, tenant.tenant):
            put_aside(stores, tenant, files, record, limits.holds)
        return report
    stores.datasets.accept(
        tenant.uid,
        {found.table: completed(stores, tenant, found, mended) for found in checked},
        {found.table: found.quarantined for found in checked},
        batch,
    )
    for table_name, rows in mended.items():
        stores.datasets.mended(tenant.uid, rows.batch, table_name, rows.rows)
    if held:
        stores.imports.settle(tenant.tenant, held.number, state, by=by, why=why, at=now, **kept)
    else:
        stores.imports.record(tenant.tenant, **record, **kept)
    return report


def _check(
    stores: Stores,
    tenant: Tenant,
    table: Table,
    delivery: Delivery,
    known: dict[str, pa.Array],
    now: datetime,
) -> Checked:
    for column in table.columns:
        if column.points_to and column.points_to not in known:
            key = stores.datasets.read(tenant.uid, column.points_to)[column.name]
            known[column.points_to] = key.combine_chunks()
    found = check(delivery.rows, table, zone=zone(tenant.timezone), now=now, known=known)
    return _with_ragged(found, delivery.ragged)


def _with_ragged(found: Checked, ragged: list[tuple[int, str]]) -> Checked:
    """Count CSV lines of another shape than the header as read and quarantined."""
    if not ragged:
        return found
    samples = tuple((line, escaped(text)) for line, text in ragged[:5])
    fault = Fault("CSV_SHAPE", "", "another number of fields than the header", len(ragged), samples)
    lines = pa.table(
        {
            "_row": pa.array([line for line, _ in ragged], pa.int64()),
            "_code": ["CSV_SHAPE"] * len(ragged),
            "_text": [text for _, text in ragged],
        }
    )
    return Checked(
        table=found.table,
        read=found.read + len(ragged),
        accepted=found.accepted,
        quarantined=pa.concat_tables([found.quarantined, lines], promote_options="default"),
        faults=(fault, *found.faults),
        ignored=found.ignored,
    )


def _refuse_unusable(found: Checked, table: Table, limits: IntakeSettings, name: str) -> None:
    """Too many bad rows mean a broken export, not a few slips: nothing of it is taken.

    Rows that name somebody unknown are no fault of the file's: many of them hold it for a person.
    """
    codes = found.quarantined["_code"].to_pylist()
    bad = len(codes) - codes.count("REF_UNKNOWN")
    nothing = len(codes) == found.read
    if bad > max(limits.refuse_above_rows, limits.refuse_above_share * found.read) or nothing:
        worst = max(
            (fault for fault in found.faults if nothing or fault.code != "REF_UNKNOWN"),
            key=lambda fault: fault.count,
        )
        row, value = worst.samples[0]
        raise Refused(
            f"{name}: {len(codes):,} of {found.read:,} {table.name} do not fit, most of them "
            f"because {worst.what} (row {row}: {value!r})",
            f"{worst.fix}; nothing was taken from this file",
            code=worst.code,
        )


def _batch(deliveries: Mapping[str, Delivery]) -> str:
    if "interactions" in deliveries:
        return deliveries["interactions"].sha256[:20]
    together = "".join(delivery.sha256 for delivery in deliveries.values())
    return hashlib.sha256(together.encode()).hexdigest()[:20]


def _summary(found: Checked) -> dict[str, Any]:
    return {
        "table": found.table,
        "read": found.read,
        "accepted": len(found.accepted),
        "quarantined": len(found.quarantined),
        "ignored_columns": list(found.ignored),
        "faults": [
            {
                "code": fault.code,
                "column": fault.column,
                "what": fault.what,
                "count": fault.count,
                "share": fault.count / found.read,
                "samples": [{"row": row, "value": value} for row, value in fault.samples],
                "fix": fault.fix,
            }
            for fault in found.faults
        ],
    }
