"""A delivery against the tenant's earlier ones: the step between the checks and accepting."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from factory.drift import Hold, reasons
from factory.profile import Profile, Profiler
from factory.validate import Report
from schema.errors import Refused
from schema.names import Delivered
from schema.records import Tenant
from schema.settings import HoldSettings, IntakeSettings
from schema.tables import TABLES, VERSION, How, Table
from storage.imports import COUNTS, Files, Import
from storage.stores import Stores
from tenants.order import zone


def profiler(stores: Stores, tenant: Tenant, table: Table) -> Profiler:
    """What looks at a table's accepted rows as they pass, beside what is in force."""
    return Profiler(table, zone(tenant.timezone), _in_force(stores, tenant, table))


def profile(profiler: Profiler, found: Report, given: Sequence[str]) -> Profile:
    """What a checked table looks like.

    Args:
        given: the columns that were delivered.
    """
    faults: dict[str, int] = {}
    for fault in found.faults:
        faults[fault.code] = faults.get(fault.code, 0) + fault.count
    return profiler.done(found.read, given, faults)


def why_held(
    stores: Stores,
    tenant: Tenant,
    batch: str,
    profiles: Sequence[Profile],
    how: Mapping[str, How],
    settings: HoldSettings,
    now: datetime,
) -> tuple[Hold, ...]:
    """What a person has to look at before these tables count.

    Args:
        how: by table, whether the delivery replaces it or adds to it.
        batch: of this delivery; it is not held against itself when it comes again.
    """
    since = now - timedelta(days=settings.days)
    earlier = stores.imports.deliveries(tenant.tenant, None, states=COUNTS, since=since)
    # After a pause the last ones still say what is usual.
    earlier = earlier or stores.imports.deliveries(tenant.tenant, _LAST, states=COUNTS)
    return tuple(
        hold
        for profile in profiles
        for hold in reasons(
            profile,
            _beside(_of(profile.table, batch, earlier), profile.table, how),
            settings,
            replaces=how[profile.table] == "replace",
        )
    )


def _beside(earlier: list[Profile], table: str, how: Mapping[str, How]) -> list[Profile]:
    """Whole histories each hold the one before: only the last says what is usual."""
    whole = not TABLES[table].key and how[table] == "replace"
    return earlier[-1:] if whole else earlier


_LAST = 10


def known_by(
    tenant: Tenant, hashes: Mapping[str, str], limits: IntakeSettings
) -> dict[str, list[str]]:
    """What files are known by when they come again: their bytes, and how they are read."""
    told = (VERSION, tenant.timezone, dict(tenant.mapping or {}), limits.ids, limits.duplicates)
    read_as = hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return {table: [sha256, read_as] for table, sha256 in hashes.items()}


def unchanged(files: Files, counting: Sequence[Files]) -> bool:
    """Whether a delivery can change nothing: all of its files are in the data as they are.

    Interactions point to customers and products: they are taken again where those have changed
    since.

    Args:
        counting: files of everything that counts, in the order it began to.
    """
    newest: dict[str, Sequence[str]] = {}
    since: list[Sequence[str]] = []
    for earlier in counting:
        for table, file in earlier.items():
            if TABLES[table].key and newest.get(table) != file:
                newest[table] = file
                since = []
        since += [earlier["interactions"]] if "interactions" in earlier else []
    return all(
        file == newest.get(table) if TABLES[table].key else file in since
        for table, file in files.items()
    )


def still_due(files: Mapping[str, Path], held: Import, later: Sequence[Import]) -> dict[str, Path]:
    """Of a held delivery, what no later one has taken the place of.

    Rows that were mended since are those of an earlier delivery: they take nobody's place.

    Raises:
        Refused: nothing is (``DATA_OVERTAKEN``).
    """
    since = [one for one in later if one.number > held.number]
    replaced = {
        table
        for one in since
        for table in one.profile
        if TABLES[table].key or "replace" in (one.how[table], held.how.get(table))
    }
    due = {table: path for table, path in files.items() if table not in replaced}
    if not due:
        raise Refused(
            f"all of batch {held.batch} was replaced by later deliveries",
            "discard it",
            code="DATA_OVERTAKEN",
        )
    return due


def put_aside(
    stores: Stores,
    tenant: Tenant,
    files: Mapping[str, Path],
    body: Mapping[str, Any],
    settings: HoldSettings,
) -> None:
    """Keep delivered files, whole, until a person has looked; what waits already stays as it is.

    Args:
        body: what the ledger records of it.

    Raises:
        Refused: too much waits already (``HELD_FULL``), or a file changed while it was read.
    """
    with stores.aside.settling(tenant.uid, wait=True):
        waiting = stores.imports.deliveries(tenant.tenant, None, states=[Delivered.HELD])
        how = {table["table"]: table["how"] for table in body["report"]["tables"]}
        if any((one.files, one.how) == (body["files"], how) for one in waiting):
            return
        hashes = {table: known[0] for table, known in body["files"].items()}
        before = [one for one in waiting if one.hashes == hashes]
        if len(waiting) - len(before) >= settings.waiting:
            raise Refused(
                f"{len(waiting)} deliveries wait for a person already",
                f"release or discard them (`recfactory data show {tenant.tenant}`), then send "
                "this one again",
                code="HELD_FULL",
            )
        stores.aside.sweep(tenant.uid, [one.hashes for one in waiting])
        stores.aside.keep(tenant.uid, files, hashes)
        stores.imports.record(tenant.tenant, **body)
        for one in before:  # they share its files
            stores.imports.settle(
                tenant.tenant, one.number, Delivered.DISCARDED, by=body["by"], at=body["at"],
                why="the same files came again, and are read or taken another way",
            )  # fmt: skip


def _of(table: str, batch: str, earlier: Sequence[Import]) -> list[Profile]:
    """One table's profiles, oldest first; of a batch that came twice the newer one counts."""
    newest: dict[str, Mapping[str, object]] = {}
    for one in reversed(earlier):
        if table in one.profile and not (table == "interactions" and one.batch == batch):
            key = one.batch if table == "interactions" else str(one.number)
            newest.pop(key, None)
            newest[key] = one.profile[table]
    return [Profile(**body) for body in newest.values()]  # type: ignore[arg-type]


def _in_force(stores: Stores, tenant: Tenant, table: Table) -> pa.Table | None:
    dataset = stores.datasets.of(tenant.uid)
    if not table.key or dataset is None or not getattr(dataset, table.name):
        return None
    return stores.datasets.read(tenant.uid, table.name, dataset)
