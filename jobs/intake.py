"""Take a tenant's files in: read, check against the universal schema, accept or refuse."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from factory.validate import Checked, Fault, check, erasure, escaped
from schema.errors import Refused, during
from schema.names import Stage
from schema.records import Tenant
from schema.settings import IntakeSettings
from schema.tables import IMPORTED, Table
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
) -> ImportReport:
    """Import any of a tenant's three tables, all of the given ones or none.

    Args:
        files: by table name.
        by: who delivers, for the audit trail.
        dry_run: check and report, keep nothing.

    Raises:
        FactoryError: a file cannot be used; what was there stays as it was.
    """
    with during(Stage.IMPORT, tenant.tenant):
        deliveries = {
            table.name: read_file(files[table.name], limits.max_file_bytes)
            for table in IMPORTED
            if table.name in files
        }
    if not deliveries:
        raise Refused(
            "no file was named", "give --customers, --products or --interactions", code="USAGE"
        )
    known: dict[str, pa.Array] = {}
    checked = []
    with during(Stage.VALIDATE, tenant.tenant):
        for table in IMPORTED:
            if table.name in deliveries:
                found = _check(stores, tenant, table, deliveries[table.name], known, now)
                _refuse_unusable(found, table, limits, files[table.name].name)
                checked.append(found)
                if table.key:
                    known[table.name] = found.accepted[table.key].combine_chunks()
    report = ImportReport(tenant.tenant, _batch(deliveries), dry_run, tuple(checked))
    if not dry_run:
        stores.datasets.accept(
            tenant.uid,
            {found.table: found.accepted for found in checked},
            {found.table: found.quarantined for found in checked},
            report.batch,
        )
        stores.imports.record(tenant.tenant, report.batch, report.as_json(), by=by, at=now)
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
    marks = stores.erased.of(tenant.uid)
    found = check(
        delivery.rows, table, zone=zone(tenant.timezone), now=now, known=known, erased=marks.mask
    )
    named = [line for line in delivery.ragged if marks.named(line[1])]
    if named:
        erased = found.erased + len(named)
        faults = (*(f for f in found.faults if f.code != "CUSTOMER_ERASED"), erasure(erased))
        found = replace(found, read=found.read + len(named), faults=faults, erased=erased)
    return _with_ragged(found, [line for line in delivery.ragged if line not in named])


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
    return replace(
        found,
        read=found.read + len(ragged),
        quarantined=pa.concat_tables([found.quarantined, lines], promote_options="default"),
        faults=(fault, *found.faults),
    )


def _refuse_unusable(found: Checked, table: Table, limits: IntakeSettings, name: str) -> None:
    """Too many bad rows mean a broken export, not a few slips: nothing of it is taken."""
    codes = found.quarantined["_code"].to_pylist()
    unknown = codes.count("REF_UNKNOWN")
    for bad, share, of_reference in (
        (len(codes) - unknown, limits.refuse_above_share, False),
        (unknown, limits.refuse_unknown_above_share, True),
    ):
        allowed = max(limits.refuse_above_rows, share * found.read)
        if bad > allowed or (bad and len(codes) == found.read - found.erased):
            worst = max(
                (
                    f
                    for f in found.faults
                    if f.samples and (f.code == "REF_UNKNOWN") is of_reference
                ),
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
        "erased": found.erased,
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
