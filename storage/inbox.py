"""What tenants deliver: reading CSV and Parquet files, whole or not at all."""

import codecs
import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from schema.errors import Refused
from storage.durable import sha256

_DELIMITERS = ",;\t"
_HEADER_MOST = 1 << 16


@dataclass(slots=True)
class Delivery:
    """One delivered file as it came.

    Attributes:
        rows: every well-formed row; all columns of a CSV are text.
        ragged: (line, text) of CSV lines with another number of fields than the header.
    """

    rows: pa.Table
    sha256: str
    ragged: list[tuple[int, str]] = field(default_factory=list)


def read_file(path: Path, max_bytes: int) -> Delivery:
    """Read a delivered file.

    Raises:
        Refused: it is missing, empty, too large, broken, or not what its name says.
    """
    if not path.is_file():
        raise Refused(f"there is no file {path}", "check the path", code="DATA_MISSING")
    size = path.stat().st_size
    if not size:
        raise Refused(f"{path.name} has 0 bytes", "export it again", code="DATA_EMPTY")
    if size > max_bytes:
        raise Refused(
            f"{path.name} has {size:,} bytes, the limit is {max_bytes:,}",
            "split it, or raise intake.max_file_bytes",
            code="DATA_TOO_LARGE",
        )
    reader = _reader(path)
    try:
        return reader(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise _unreadable(path, str(error)) from error


def _reader(path: Path) -> Callable[[Path], Delivery]:
    with path.open("rb") as file:
        start = file.read(4)
    parquet = start == b"PAR1"
    suffix = path.suffix.lower()
    if suffix == ".parquet" and parquet:
        return _read_parquet
    if suffix == ".csv" and not parquet:
        return _read_csv
    if suffix in (".csv", ".parquet"):
        found = "Parquet" if parquet else "something else"
        raise Refused(
            f"{path.name} is named {path.suffix} but holds {found}",
            "name the file after its content",
            code="DATA_WRONG_FORMAT",
        )
    raise Refused(
        f"{path.name} is neither .csv nor .parquet", "send CSV or Parquet", code="DATA_WRONG_FORMAT"
    )


def _read_parquet(path: Path) -> Delivery:
    return Delivery(pq.read_table(path), sha256(path))


def _read_csv(path: Path) -> Delivery:
    _check_utf8(path)
    delimiter, names = _header(path)
    delivery = Delivery(pa.table({}), sha256(path))

    def note(row: pc_csv.InvalidRow) -> str:
        delivery.ragged.append((row.number or 0, row.text[:80]))
        return "skip"

    try:
        delivery.rows = _rows(path, delimiter, names, note)
    except pa.ArrowInvalid as error:
        if not names or "Empty CSV" not in str(error):
            raise
        delivery.rows = pa.table({name: pa.array([], pa.string()) for name in names})
    if any(kind != pa.string() for kind in delivery.rows.schema.types):
        # A column that was guessed would turn the id 007 into 7.
        raise pa.ArrowInvalid("its header cannot be read")
    return delivery


def _rows(
    path: Path, delimiter: str, names: list[str], note: Callable[[pc_csv.InvalidRow], str]
) -> pa.Table:
    return pc_csv.read_csv(
        path,
        # One thread: only then do skipped lines come with their number.
        read_options=pc_csv.ReadOptions(use_threads=False),
        parse_options=pc_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
        ),
        convert_options=pc_csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=False
        ),
    )


def _check_utf8(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file:
        chunk = b" "
        while chunk:
            chunk = file.read(1 << 20)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise Refused(
                    f"{path.name} is not UTF-8 text: byte 0x{error.object[error.start]:02X} "
                    f"near line {line:,}",
                    "export it as UTF-8",
                    code="TEXT_ENCODING",
                ) from error
            line += chunk.count(b"\n")


def _header(path: Path) -> tuple[str, list[str]]:
    """The delimiter, and the column names, as the csv module reads the first line with content."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        start = file.read(_HEADER_MOST)
    bare = re.sub(r'"[^"]*"', "", start).lstrip("\r\n")
    first = re.split(r"[\r\n]", bare, maxsplit=1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)
    try:
        return delimiter, next((line for line in lines if line), [])
    except csv.Error as error:
        raise pa.ArrowInvalid(f"its header cannot be read: {error}") from error


def _unreadable(path: Path, why: str) -> Refused:
    return Refused(
        f"{path.name} cannot be read: {why[:160]}",
        "export it again; it may be cut short",
        code="DATA_TRUNCATED",
    )
