"""Quarantined rows that come back mended: each counts once, whatever file it comes in."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from factory.validate import Checked
from schema.errors import Refused
from schema.records import Tenant
from schema.tables import TABLES
from storage.inbox import Delivery
from storage.quarantine import Mended, as_delivered
from storage.quarantine import numbers as numbers_in
from storage.stores import Stores


def take_mended(
    stores: Stores, tenant: Tenant, table: str, delivery: Delivery, batch: str
) -> Mended | None:
    """Bring a mended file into the form it was first delivered in; None for any other file.

    Interactions that somebody mended before are left out. Not where this very file is in the data
    already: then an import of it died, and all of it is taken again.

    Raises:
        NotThere: the file names a batch this tenant never had.
        Refused: its marks are damaged, or all of it was mended before (``MENDED``).
    """
    numbers = delivery.rows["_row"] if "_row" in delivery.rows.column_names else None
    delivery.rows, mended = as_delivered(delivery.rows)
    if mended is None or numbers is None:
        return None
    stores.imports.delivery(tenant.tenant, mended.batch)
    dataset = stores.datasets.of(tenant.uid)
    if not TABLES[table].key and not (dataset and batch in dataset.interactions):
        path = stores.datasets.quarantine(tenant.uid, mended.batch).get(table)
        waiting = numbers_in(path) if path else pa.array([], pa.int64())
        delivery.rows = delivery.rows.filter(pc.is_in(numbers.cast(pa.int64()), waiting))
        if not len(delivery.rows):
            raise Refused("every row of it was mended before", "there is nothing to do", "MENDED")
    return mended


def completed(
    stores: Stores, tenant: Tenant, found: Checked, mended: Mapping[str, Mended]
) -> pa.Table:
    """What is accepted: a mended file of a table with a key changes its rows and leaves the others."""
    table = TABLES[found.table]
    dataset = stores.datasets.of(tenant.uid)
    if (
        found.table not in mended
        or not table.key
        or not dataset
        or not getattr(dataset, table.name)
    ):
        return found.accepted
    before = stores.datasets.read(tenant.uid, table.name, dataset)
    again = pc.is_in(before[table.key], found.accepted[table.key].combine_chunks())
    return pa.concat_tables(
        [before.filter(pc.invert(again)), found.accepted], promote_options="default"
    )
