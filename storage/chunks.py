"""What every reader of delivered files yields: rows, and where each of them stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schema.errors import Refused

FIELD_BYTES = 1 << 16
"""Longest text of one field; what is longer is a quote that never closed, or no table at all."""
MOST_COLUMNS = 1_000


class Ragged(NamedTuple):
    """A line that is no row of its file: counted as read, kept whole, never guessed at.

    Attributes:
        line: from 1, as an editor counts; of a record of several lines, the first.
        text: all of it, without its end, so that it can be mended and sent again.
        what: one of few sentences, so that lines can be counted by it.
    """

    line: int
    text: str
    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file, in its order.

    Attributes:
        rows: text columns for text formats, Parquet's own types for Parquet; every chunk of a file
            has the same columns.
        lines: (len(rows),) the line each row begins on; in Parquet, which has none, its row from 1.
        ragged: lines between these rows that are none.
    """

    rows: pa.Table
    lines: NDArray[np.int64]
    ragged: Sequence[Ragged] = ()

    @property
    def read(self) -> int:
        return len(self.rows) + len(self.ragged)


def check_width(names: Sequence[str], file: str) -> None:
    """Refuse a file of so many columns that a chunk of it would not fit into memory."""
    if len(names) > MOST_COLUMNS:
        raise Refused(
            f"{file} has {len(names):,} columns, the limit is {MOST_COLUMNS:,}",
            "send one row a line, with the columns that `recfactory data schema` lists",
            code="DATA_LIMIT",
        )


def check_fields(chunk: Chunk, file: str, code: str) -> None:
    """Refuse a text that is longer than any field of a table."""
    for name, column in zip(chunk.rows.column_names, chunk.rows.columns, strict=True):
        if is_text(column.type) and len(column):
            lengths = pc.binary_length(column)
            if (pc.max(lengths).as_py() or 0) > FIELD_BYTES:
                row = pc.index(pc.greater(lengths, FIELD_BYTES), True).as_py()
                raise Refused(
                    f"{file}: column {name[:80]!r} holds a text of over {FIELD_BYTES:,} bytes on "
                    f"line {chunk.lines[row]:,}",
                    "look for a quote that is opened there and not closed, or shorten the text",
                    code=code,
                )


def is_text(kind: pa.DataType) -> bool:
    """Text or bytes of any length."""
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )
