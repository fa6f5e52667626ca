"""Quarantined rows that come back mended: each counts once, whatever file it comes in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from schema.errors import Refused
from schema.mapping import Reading
from schema.records import Tenant
from schema.tables import TABLES
from storage.chunks import Chunk
from storage.inbox import Delivery
from storage.quarantine import BATCH, LINE, as_delivered, lines_in
from storage.stores import Stores

_HEADER_MOST = 1 << 16


def reading_of(path: Path, declared: Reading) -> Reading:
    """How a file is read: a download of quarantined rows in the form it was written in."""
    if not path.is_file():
        return declared  # whoever reads it tells what is wrong
    with path.open("rb") as file:
        header = file.readline(_HEADER_MOST)
    ours = LINE.encode() in header and BATCH.encode() in header
    return Reading() if ours else declared


class Mended:
    """A file of mended rows, in the form they were first delivered in.

    Attributes:
        batch: the delivery they came with.
    """

    def __init__(self, delivery: Delivery, batch: str, waiting: pa.Array | None) -> None:
        self.batch = batch
        self._delivery, self._waiting = delivery, waiting
        self._lines: list[pa.Array] = []

    @property
    def lines(self) -> pa.Array:
        """Which of the quarantined rows it had, of the chunks that were read."""
        return pa.concat_arrays(self._lines or [pa.array([], pa.int64())])

    def chunks(self) -> Iterator[Chunk]:
        """Its rows; interactions that somebody mended before are left out.

        Raises:
            Refused: its marks are damaged, or all of it was mended before (``MENDED``).
        """
        left = 0
        for chunk in self._delivery.chunks():
            rows, lines = as_delivered(chunk.rows, self.batch)
            if self._waiting is not None:
                still = pc.is_in(lines, self._waiting)
                rows, lines = rows.filter(still), lines.filter(still)
            self._lines.append(lines)
            left += len(rows)
            yield replace(chunk, rows=rows, lines=lines.to_numpy())
        if not left:
            raise Refused("every row of it was mended before", "there is nothing to do", "MENDED")


def mended(
    stores: Stores, tenant: Tenant, table: str, delivery: Delivery, batch: str
) -> Mended | None:
    """A delivered file as one of mended rows; None for any other file.

    Args:
        batch: of this file. Where it is in the data already, an import of it died, and all of it is
            taken again.

    Raises:
        NotThere: the file names a batch this tenant never had.
    """
    if not {LINE, BATCH} <= set(delivery.columns):
        return None
    first = next(delivery.chunks()).rows[BATCH].cast(pa.string())
    known = stores.imports.delivery(tenant.tenant, str(first[0]) if len(first) else "").batch
    dataset = stores.datasets.of(tenant.uid)
    if TABLES[table].key or (dataset and batch in dataset.interactions):
        return Mended(delivery, known, None)
    path = stores.datasets.quarantine(tenant.uid, known).get(table)
    return Mended(delivery, known, lines_in(path) if path else pa.array([], pa.int64()))
