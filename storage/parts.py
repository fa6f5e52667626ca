"""Rows on their way to disk: Parquet files of one table, sorted for reading, named by content."""

import hashlib
import secrets
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schema.rowhash import Numbers, content_of, joined, row_hashes
from schema.tables import VERSION
from storage import durable
from storage.durable import TEMPORARY, Disk

FILE_ROWS = 1 << 21
"""Rows of one file; so many are in memory while it is sorted, about 150 bytes each."""
ROW_GROUP = 1 << 20
_QUARANTINED = 1 << 18
"""Rows of a quarantine that are in memory at once."""

OWNER = "_content"
"""In a merged file: which batch, by its content, a row is from."""

ABOUT = {"recfactory.schema": str(VERSION), "recfactory.version": version("recfactory")}
"""In every file, for whoever finds one."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is written, but not yet under its name.

    Attributes:
        content: of its rows (schema/rowhash.py).
        owners: contents of the batches it holds rows of; empty where it is all of one.
    """

    staged: Path
    content: str
    owners: tuple[str, ...]

    @property
    def name(self) -> str:
        """The content itself; of a merged file, or one of several, also which rows are whose."""
        if not self.owners:
            return self.content
        told = " ".join((self.content, *sorted(self.owners)))
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


class Parts:
    """One table's accepted rows; staged beside their goal until ``publish``.

    A full file is sorted and written by a thread while the next rows come.
    """

    def __init__(self, disk: Disk, folder: Path, order: Sequence[str]) -> None:
        """Start.

        Args:
            folder: exists.
            order: columns to sort each file by; rows that are equal in them keep their order.
        """
        self._disk, self._folder, self._order = disk, folder, order
        self._rows: list[pa.Table] = []
        self._contents: list[str] = []
        self._staged: list[Path] = []
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self.parts: list[Part] = []

    def add(self, rows: pa.Table, hashes: Numbers | None = None) -> None:
        if hashes is None:
            values = [name for name in rows.column_names if name != OWNER]
            hashes = row_hashes(rows.select(values))
        for start in range(0, max(len(rows), 1), ROW_GROUP):
            self._contents.append(content_of(hashes[:, start : start + ROW_GROUP]))
            self._rows.append(_encoded(rows.slice(start, ROW_GROUP)))
            if sum(map(len, self._rows)) >= FILE_ROWS:
                self._write()

    def finish(self) -> str:
        """Write what is left; returns the content of all rows."""
        if self._rows and (not self.parts or sum(map(len, self._rows))):
            self._write()
        self._wait()
        return joined(part.content for part in self.parts)

    def own(self, owners: tuple[str, ...]) -> None:
        """Name the files after whose they are, too: another batch may hold the same rows in one."""
        self.parts = [replace(part, owners=part.owners or owners) for part in self.parts]

    def publish(self) -> None:
        """Give the files their names."""
        for part in self.parts:
            self._disk.rename(part.staged, self._folder / f"{part.name}.parquet")
        self._disk.sync_folder(self._folder)
        self._staged.clear()

    def drop(self) -> None:
        """Best effort: what stays is swept by the next import."""
        self._writer.shutdown()
        for path in self._staged:
            durable.forget(path)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def _write(self) -> None:
        # Rows in force may be of an older version, which lacks the columns that came later.
        rows = pa.concat_tables(self._rows, promote_options="default")
        rows = rows.unify_dictionaries().combine_chunks()
        content = joined(self._contents)
        self._rows.clear()
        self._contents.clear()
        owners = pc.unique(rows[OWNER]).to_pylist() if OWNER in rows.column_names else []
        path = _temporary(self._folder)
        self._wait()
        self._staged.append(path)
        self._writing = self._writer.submit(
            self._disk.create_by, path, lambda path: _write(path, _sorted(rows, self._order))
        )
        self.parts.append(Part(path, content, tuple(owners)))


class Quarantine:
    """Quarantined rows of one delivered table, as text; staged until ``publish``."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk, self._folder = disk, folder
        self._rows: list[pa.Table] = []
        self._path: Path | None = None
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: pa.Table) -> None:
        if not len(rows):
            return
        self._rows.append(rows)
        if sum(map(len, self._rows)) >= _QUARANTINED:
            if self._writer is None:
                # What could not even be cut into columns comes last, in a column of its own.
                self._rows.append(pa.table({"_text": pa.array([], pa.string())}))
            self._write(self._path or _temporary(self._folder))

    def publish(self, goal: Path) -> None:
        """Put the rows in the place of what was quarantined before under this name."""
        if not self._rows and self._path is None:
            if goal.exists():
                self._disk.remove_file(goal)
                self._disk.sync_folder(goal.parent)
            return
        self._path = self._path or _temporary(self._folder)
        self._disk.create_by(self._path, self._close)
        self._disk.rename(self._path, goal)
        self._disk.sync_folder(self._folder)
        self._path = None

    def drop(self) -> None:
        """Best effort: what stays is swept by the next import."""
        if self._path is not None:
            if self._writer is not None:
                self._writer.close()
            durable.forget(self._path)

    def _close(self, path: Path) -> None:
        if self._rows:
            self._write(path)
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _write(self, path: Path) -> None:
        self._path = path
        rows = pa.concat_tables(self._rows, promote_options="default")
        self._rows.clear()
        if self._writer is None:
            self._writer = _writer(path, rows.schema)
        self._writer.write(_fitted(rows, self._writer.schema))


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    empty = schema.empty_table()
    return pa.concat_tables([empty, rows], promote_options="default").select(schema.names)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Without Arrow's own schema, which would give dictionaries back where the table has text.
    writer = pq.ParquetWriter(path, schema, compression="zstd", store_schema=False)
    writer.add_key_value_metadata(ABOUT)
    return writer


def _write(path: Path, rows: pa.Table) -> None:
    with _writer(path, rows.schema) as writer:
        writer.write(rows, row_group_size=ROW_GROUP)


def _temporary(folder: Path) -> Path:
    return folder / f"{TEMPORARY}{secrets.token_hex(8)}.parquet"


def _encoded(rows: pa.Table) -> pa.Table:
    """Texts as dictionaries: smaller, quicker to sort, and what Parquet makes of them anyway."""
    columns = {
        name: column.dictionary_encode() if pa.types.is_string(column.type) else column
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    }
    return pa.table(columns)


def _sorted(rows: pa.Table, order: Sequence[str]) -> pa.Table:
    keys = [_ranks(rows[name]) for name in reversed(order) if name in rows.column_names]
    return rows.take(pa.array(np.lexsort(keys))) if keys else rows


def _ranks(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Numbers that sort as the values do; of a column without nulls."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # an empty table combines to no chunk at all
        return np.zeros(0, np.int64)
    if not pa.types.is_dictionary(values.type):
        return np.asarray(values.cast(pa.int64()).to_numpy())
    ranks = np.empty(len(values.dictionary), np.int32)
    ranks[pc.sort_indices(values.dictionary)] = np.arange(len(ranks), dtype=np.int32)
    return np.asarray(ranks[values.indices.to_numpy()], np.int64)
