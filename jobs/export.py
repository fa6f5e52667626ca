"""An edition as one table: for every customer with a list of their own, what a lookup shows now."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from schema.errors import NotThere, Refused
from schema.names import Bought
from schema.records import PACKED, Tenant
from schema.rules import ruling
from storage import durable
from storage.durable import Disk
from storage.editions import Edition
from storage.erased import Marks
from storage.stores import Stores
from tenants.answer import Ask, Shown, answer, stale_from, unsold
from tenants.lifecycle import serves
from tenants.order import zone

COLUMNS = pa.schema(
    {
        "customer_id": pa.string(),
        "rank": pa.int32(),
        "product_id": pa.string(),
        "probability": pa.float32(),
        "bought_before": pa.bool_(),
        "reason": pa.string(),
        "reason_kind": pa.string(),
    }
)
AT_ONCE = 1_000
"""Customers in memory at a time; one row group in Parquet."""

ENDINGS: Mapping[str, Callable[[str, pa.Schema], Any]] = {
    ".parquet": lambda path, schema: pq.ParquetWriter(path, schema, compression="zstd"),
    ".csv": pc_csv.CSVWriter,
}


@dataclass(frozen=True, slots=True)
class Opened:
    """One edition of one tenant, as lookups show it now."""

    tenant: Tenant
    edition: Edition
    shown: Shown
    erased: Marks

    def own(self, customer: str) -> bytes | None:
        """A customer's own list, packed; None for a stranger."""
        return None if self.erased.holds(customer) else self.edition.lists.of(customer)


@contextmanager
def opened(
    stores: Stores,
    tenant: Tenant,
    number: int | None,
    now: datetime,
    stale_days: float | None = None,
) -> Iterator[Opened]:
    """Open an edition, with catalogue and rules as they are now: what a lookup would answer from.

    Args:
        number: None for the edition that is served.
        stale_days: how old it may be before answers are marked stale; None for whatever age.

    Raises:
        Refused: the tenant is off (``MODE``): a lookup shows nothing.
        NotThere: there is no such edition (``NO_EDITION``).
    """
    if not serves(tenant.mode):
        raise Refused(
            f"{tenant.tenant} is off: a lookup shows no products",
            f"turn it on first: `recfactory tenant mode {tenant.tenant} on --why …`",
            code="MODE",
        )
    number, sha, at = _named(stores, tenant, number)
    edition = stores.editions.open(tenant.uid, number, sha)
    try:
        shown = Shown(
            number,
            edition.model,
            at,
            edition.products,
            edition.popular,
            edition.segments,
            edition.bought,
            None
            if stale_days is None
            else stale_from(edition.night, stale_days, zone(tenant.timezone)),
            unsold(edition.products, stores.datasets.sellable(tenant.uid)),
            ruling(tenant.rules, edition.products, now),
        )
        yield Opened(tenant, edition, shown, stores.erased.of(tenant.uid))
    finally:
        edition.lists.close()


def export(
    source: Opened, path: Path, bought: Bought, advance: Callable[[int, int], None]
) -> tuple[int, int]:
    """Write an edition's lists into one file, whole or not at all.

    Every row is made by the lookup's own code (``tenants.answer``): what cannot be sold any more
    is left out, the tenant's rules are obeyed, and the ranks close up. Rows are sorted by customer id (by its bytes), then rank;
    the list for strangers is not among them. In CSV no text begins like a formula.

    Args:
        path: ends as one of ENDINGS says; replaced if it exists.
        advance: told how many customers are done, and of how many.

    Returns:
        Customers, and rows.
    """
    customers = rows = 0

    def write(place: Path) -> None:
        nonlocal customers, rows
        shown = source.shown
        facts = {
            "tenant": source.tenant.tenant,
            "edition": shown.edition,
            "model": shown.model,
            "published_at": shown.published_at,
            "bought": bought.value,
        }
        named = COLUMNS.with_metadata({name: str(fact) for name, fact in facts.items()})
        with ENDINGS[path.suffix](str(place), named) as writer:
            for listed, batch in _batches(source, bought):
                batch = harmless(batch) if path.suffix == ".csv" else batch
                writer.write_batch(batch.replace_schema_metadata(named.metadata))
                customers, rows = customers + listed, rows + batch.num_rows
                advance(customers, len(source.edition.lists))

    durable.replace_by(Disk(), path.absolute(), write)
    return customers, rows


def harmless(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Texts that a spreadsheet would run get an apostrophe in front, which it takes for a sign of text.

    One that is there already is doubled, so that taking one away gives back every text.
    """
    columns = [
        pc.replace_substring_regex(column, r"^('*[=+\-@\t\r\n])", r"'\1")
        if pa.types.is_string(column.type)
        else column
        for column in rows.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _named(stores: Stores, tenant: Tenant, number: int | None) -> tuple[int, str, datetime]:
    if number is None:
        current = stores.editions.current(tenant.uid)
        if current is None:
            raise _no_edition(tenant, f"nothing was published for {tenant.tenant} yet")
        return current.edition, current.manifest_sha256, current.published_at
    for row in stores.nights.editions(tenant.tenant):
        if row["edition"] == number and number in stores.editions.numbers(tenant.uid):
            return number, row["manifest_sha256"], row["published_at"]
    raise _no_edition(tenant, f"{tenant.tenant} keeps no edition {number}")


def _no_edition(tenant: Tenant, what: str) -> NotThere:
    return NotThere(what, f"see `recfactory edition list {tenant.tenant}`", code="NO_EDITION")


def _batches(source: Opened, bought: Bought) -> Iterator[tuple[int, pa.RecordBatch]]:
    """How many customers, and their rows."""
    each = (pair for pair in source.edition.lists.each() if not source.erased.holds(pair[0]))
    while block := list(islice(each, AT_ONCE)):
        rows = [row for customer, own in block for row in _rows(source, customer, own, bought)]
        yield len(block), pa.RecordBatch.from_pylist(rows, COLUMNS)


def _rows(source: Opened, customer: str, own: bytes, bought: Bought) -> list[dict[str, Any]]:
    tenant, shown = source.tenant, source.shown
    whole = Ask(len(own) // PACKED.size, bought)
    body = answer(tenant.tenant, customer, tenant.mode, shown, own, whole, stale=False)
    return [
        {
            **line,
            "customer_id": customer,
            "reason": line["reason"]["text"],
            "reason_kind": line["reason"]["kind"],
        }
        for line in orjson.loads(body)["recommendations"]
    ]
