"""Rows that did not fit, as a file that a person mends in a spreadsheet and sends again.

A spreadsheet runs what begins like a formula, so such a cell gets an apostrophe in front; it is
taken away again when the mended file comes back. That a file is one, and of which rows, stands in
its last columns.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schema.errors import NotThere, Refused

LINE, CODE, TEXT, BATCH = "_line", "_code", "_text", "_batch"
_RISKY = re.compile(r"'*[=+\-@\t\r]")
_MADE_SAFE = r"^'('*[=+\-@\t\r])"


def as_csv(path: Path, batch: str) -> Iterator[bytes]:
    """The rows of one quarantine file, chunk by chunk, under their own header.

    Args:
        batch: the delivery they came with.
    """
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        yield _lines([[*names, BATCH]])
        for chunk in file.iter_batches(4096):
            columns = [column.cast(pa.string()).to_pylist() for column in chunk.columns]
            yield _lines([[*map(_safe, row), batch] for row in zip(*columns, strict=True)])


def no_quarantine(tenant: str) -> NotThere:
    return NotThere(
        "no such rows are in quarantine",
        f"see `recfactory data show {tenant}` for what did not fit",
        "NO_QUARANTINE",
    )


def lines_in(path: Path) -> pa.Array:
    """Which lines of the delivery a quarantine file holds that may be mended.

    Not those whose double was taken: they were sent along with the others, and would count twice.
    """
    rows = pq.read_table(path, columns=[LINE, CODE])
    return rows.filter(pc.not_equal(rows[CODE], "ROW_DUPLICATE"))[LINE].combine_chunks()


def batch_of(rows: pa.Table) -> str:
    """The delivery that the rows of a mended file were first in.

    Raises:
        Refused: nobody can tell (``MENDED``).
    """
    _refuse_unnamed(rows)
    named = rows[BATCH].cast(pa.string())
    if not len(named) or not named[0].is_valid:
        raise _damaged()
    return str(named[0])


def as_delivered(rows: pa.Table, batch: str) -> tuple[pa.Table, pa.Array]:
    """Rows of a mended file without what ``as_csv`` had added, and the line each once was.

    Raises:
        Refused: a row is of another batch, or has lost its number (``MENDED``).
    """
    _refuse_unnamed(rows)
    batches = pc.unique(rows[BATCH].cast(pa.string())).to_pylist()
    numbers = rows[LINE].cast(pa.string()).combine_chunks()
    if batches not in ([batch], []) or not _whole(numbers):
        raise _damaged()
    kept = rows.drop_columns([c for c in (LINE, CODE, TEXT, BATCH) if c in rows.column_names])
    columns = {
        name: pc.replace_substring_regex(column.cast(pa.string()), _MADE_SAFE, r"\1")
        for name, column in zip(kept.column_names, kept.columns, strict=True)
    }
    return pa.table(columns), numbers.cast(pa.int64())


def _refuse_unnamed(rows: pa.Table) -> None:
    """Columns by which the rows are known, and which can be read as text."""
    names = rows.column_names
    binary = any(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) for kind in rows.schema.types
    )
    if len({*names}) < len(names) or binary:
        raise _damaged()


def _damaged() -> Refused:
    return Refused(
        f"its columns {LINE} and {BATCH} are not as they were",
        "mend the rows of one download at a time, and leave these two columns alone",
        code="MENDED",
    )


def _whole(numbers: pa.Array) -> bool:
    return (
        pc.all(
            pc.fill_null(pc.match_substring_regex(numbers, r"^\d{1,18}$"), False), min_count=0
        ).as_py()
        is True
    )


def _safe(cell: str | None) -> str:
    text = cell or ""
    return f"'{text}" if _RISKY.match(text) else text


def _lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
