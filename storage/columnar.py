"""Parquet, a batch at a time: never more in memory than a batch, whatever a file says of itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schema.errors import Refused
from storage.chunks import FIELD_BYTES, Chunk, check_fields, check_width, is_text
from storage.pages import check_pages, unsupported
from storage.unpacked import bomb

OWNER = b"recfactory.tenant"
"""Whose file it is, in the metadata; a file without it is taken for the one who delivers it."""

_BATCH_ROWS = 1 << 17
_BATCH_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Columns:
    """A Parquet file's place, names, rows, and the bytes it may unpack to."""

    path: Path
    names: tuple[str, ...]
    most: int

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order; one chunk at least.

        Raises:
            Refused: it holds more, or other rows than it says.
        """
        file = _open(self.path)
        check_pages(self.path, file.metadata, self.most)
        read = unpacked = 0
        for group in range(file.num_row_groups):
            if not file.metadata.row_group(group).num_rows:
                continue  # its pages were not looked at either
            size = self._batch_size(group, file)
            # One thread, a stream per column: else PyArrow holds the packed bytes of a whole group.
            for batch in file.iter_batches(size, row_groups=[group], use_threads=False):
                rows = _decoded(pa.Table.from_batches([batch]))
                unpacked += rows.nbytes
                if unpacked > self.most:
                    raise bomb(self.path.name, self.most, self.path.stat().st_size)
                chunk = Chunk(rows, np.arange(read + 1, read + 1 + len(rows)))
                check_fields(chunk, self.path.name, "PARQUET_UNSUPPORTED")
                read += len(rows)
                yield chunk
        if read != file.metadata.num_rows:
            raise Refused(
                f"{self.path.name} says that it has {file.metadata.num_rows:,} rows, but has "
                f"{read:,}",
                "write the file anew",
                code="PARQUET_UNSUPPORTED",
            )
        if not read:
            yield Chunk(_decoded(file.schema_arrow.empty_table()), np.zeros(0, np.int64))

    def _batch_size(self, group: int, file: pq.ParquetFile) -> int:
        """Rows that fit into a batch, however long the texts of the group's dictionaries are.

        A dictionary's text takes no room in the file however often it is repeated. One row tells
        the whole dictionary.
        """
        texts = [field.name for field in file.schema_arrow if is_text(_value_type(field.type))]
        if not texts:
            return _BATCH_ROWS
        widest = 0
        probe = _open(self.path, texts).iter_batches(
            1, row_groups=[group], columns=texts, use_threads=False
        )
        for batch in probe:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                words = column.dictionary if pa.types.is_dictionary(column.type) else column
                longest = pc.max(pc.binary_length(words)).as_py() or 0
                if longest > FIELD_BYTES:
                    raise unsupported(
                        self.path.name, name, f"holds a text of over {FIELD_BYTES:,} bytes"
                    )
                widest += longest
            break
        return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, widest)))


def columns(path: Path, tenant: str, most: int) -> Columns:
    """Look at a Parquet file's schema and owner.

    Args:
        most: bytes that its pages, and again its rows, may take.

    Raises:
        Refused: it is another tenant's (``TENANT_MISMATCH``), or has a column of a kind that is not
            read (``PARQUET_UNSUPPORTED``).
    """
    file = _open(path)
    owner = (file.metadata.metadata or {}).get(OWNER)
    if owner is not None and owner != tenant.encode():
        raise Refused(
            f"{path.name} says that it belongs to another tenant",
            "look where it comes from; deliver the tenant's own file",
            code="TENANT_MISMATCH",
        )
    check_width(file.schema_arrow.names, path.name)
    for field in file.schema_arrow:
        if pa.types.is_nested(field.type):
            kind = "map" if pa.types.is_map(field.type) else "list or struct"
            raise unsupported(path.name, field.name, f"is a {kind}; flatten it")
    return Columns(path, tuple(file.schema_arrow.names), most)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(rows: pa.Table) -> pa.Table:
    """The rows with every text written out, so that what they weigh is what they are."""
    for place, column in enumerate(rows.columns):
        if pa.types.is_dictionary(column.type):
            plain = column.cast(column.type.value_type)
            rows = rows.set_column(place, rows.column_names[place], plain)
    return rows


def _open(path: Path, as_dictionary: list[str] | None = None) -> pq.ParquetFile:
    """By its path, never as a Python file: PyArrow 26 may abort at exit after the latter."""
    try:
        return pq.ParquetFile(
            str(path),
            read_dictionary=as_dictionary,
            buffer_size=1 << 20,
            pre_buffer=False,
            arrow_extensions_enabled=False,
        )
    except (pa.ArrowException, OSError) as error:
        if "crypt" in str(error):
            raise Refused(
                f"{path.name} is encrypted",
                "send it without encryption",
                code="PARQUET_UNSUPPORTED",
            ) from error
        raise
