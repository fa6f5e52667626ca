"""Quarantined rows that come back mended: each counts once, whatever file it comes in."""

from collections.abc import Iterable, Iterator
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
from storage.quarantine import BATCH, LINE, as_delivered, batch_of, lines_in
from storage.stores import Stores

_HEADER_MOST = 1 << 16


def reading_of(path: Path, declared: Reading) -> Reading:
    """How a file is read: a download of quarantined rows in the form it was written in.

    Raises:
        Refused: it may not be read (``DATA_UNREADABLE``).
    """
    if not path.is_file():
        return declared  # whoever reads it tells
    try:
        with path.open("rb") as file:
            header = file.readline(_HEADER_MOST)
    except PermissionError as error:
        raise Refused(
            f"{path.name} may not be read by this program",
            "give it the right to",
            code="DATA_UNREADABLE",
        ) from error
    ours = LINE.encode() in header and BATCH.encode() in header
    return Reading() if ours else declared


class Mended:
    """A file of mended rows, in the form they were first delivered in.

    Attributes:
        batch: the delivery they came with.
    """

    def __init__(self, delivery: Delivery, batch: str, waiting: pa.Array, *, keyed: bool) -> None:
        self.batch = batch
        self._delivery, self._waiting, self._keyed = delivery, waiting, keyed
        self._lines: list[pa.Array] = []

    @property
    def lines(self) -> pa.Array:
        """Which of the quarantined rows it had, of the chunks that were read."""
        return pa.concat_arrays(self._lines or [pa.array([], pa.int64())])

    @property
    def waits(self) -> bool:
        """Whether any of its rows is still in quarantine."""
        return any(
            pc.any(pc.is_in(lines, self._waiting)).as_py() for _, _, lines in self._delivered()
        )

    def chunks(self) -> Iterator[Chunk]:
        """Its rows; interactions that somebody mended before are left out.

        Raises:
            Refused: its marks are damaged, or all of it was mended before (``MENDED``).
        """
        left = 0
        for chunk, rows, lines in self._delivered():
            if not self._keyed:
                still = pc.is_in(lines, self._waiting)
                rows, lines = rows.filter(still), lines.filter(still)
            self._lines.append(lines)
            left += len(rows)
            yield replace(chunk, rows=rows, lines=lines.to_numpy())
        if not left:
            raise Refused("every row of it was mended before", "there is nothing to do", "MENDED")

    def _delivered(self) -> Iterator[tuple[Chunk, pa.Table, pa.Array]]:
        for chunk in self._delivery.chunks():
            yield chunk, *as_delivered(chunk.rows, self.batch)


def without_lines(chunks: Iterable[Chunk], done: pa.Array) -> Iterator[Chunk]:
    """A delivery that comes again, without what somebody has mended since."""
    for chunk in chunks:
        if len(done):
            stays = pc.invert(pc.is_in(pa.array(chunk.lines), done))
            ragged = [line for line in chunk.ragged if line.line not in set(done.to_pylist())]
            lines = pa.array(chunk.lines).filter(stays).to_numpy()
            chunk = Chunk(chunk.rows.filter(stays), lines, ragged)
        yield chunk


def mended(stores: Stores, tenant: Tenant, table: str, delivery: Delivery) -> Mended | None:
    """A delivered file as one of mended rows; None for any other file.

    Raises:
        NotThere: the file names a batch this tenant never had.
        Refused: its marks are damaged (``MENDED``).
    """
    if not {LINE, BATCH} <= set(delivery.columns):
        return None
    batch = stores.imports.delivery(tenant.tenant, batch_of(next(delivery.chunks()).rows)).batch
    path = stores.datasets.quarantine(tenant.uid, batch).get(table)
    waiting = lines_in(path) if path else pa.array([], pa.int64())
    return Mended(delivery, batch, waiting, keyed=bool(TABLES[table].key))
