"""How the bytes of a text file have to be read: encoding, delimiter, and where its header stands."""

import csv
import io
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from schema.errors import Refused
from schema.mapping import Reading

_FIRST_LINES = 20
"""A header further down is declared by hand."""
_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Sniffed:
    """The start of a text file.

    Attributes:
        sample: its first rows, all text; lines of another width are left away.
        notes: what was seen, for the admin.
    """

    reading: Reading
    sample: pa.Table
    notes: tuple[str, ...]


def sniff(start: bytes) -> Sniffed:
    """Look at the first bytes of a text file, up to a megabyte or so.

    Raises:
        Refused: it is UTF-16 or no text, or no line of it looks like a header.
    """
    text, encoding, notes = _decoded(start)
    delimiter, rows = _table(text)
    header = _header(rows)
    number, names = rows[header]
    if number > 1:
        notes.append(f"the columns are named on line {number}; what stands above it is not read")
    if "\n" not in text and "\r" in text:
        notes.append("lines end in CR alone")
    body = [fields for _, fields in rows[header + 1 :] if len(fields) == len(names)]
    if len(body) < len(rows) - header - 1:
        notes.append(f"{len(rows) - header - 1 - len(body)} lines have another number of fields")
    first = text.lstrip("\r\n").splitlines()[0]
    guessed = max(",;\t", key=first.count)
    reading = Reading(
        encoding=encoding,
        delimiter="" if delimiter == guessed else delimiter,
        header_line=number,
    )
    columns = {name: [fields[place] for fields in body] for place, name in enumerate(names)}
    sample = pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})
    return Sniffed(reading, sample, tuple(notes))


def _decoded(start: bytes) -> tuple[str, str, list[str]]:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start[:4096]:
        raise Refused(
            "this is UTF-16, or no text at all",
            "export it as UTF-8 text, or as Parquet",
            code="TEXT_ENCODING",
        )
    try:
        return start.decode("utf-8-sig"), "utf-8", []
    except UnicodeDecodeError as error:
        if error.end >= len(start) - 3 and error.reason == "unexpected end of data":
            return start[: error.start].decode("utf-8-sig"), "utf-8", []  # cut within a character
        line = start[: error.start].count(b"\n") + 1
        seen = f"byte 0x{start[error.start]:02X} on line {line} is not UTF-8"
    try:
        return start.decode("windows-1252"), "windows-1252", [f"{seen}; read as Windows-1252"]
    except UnicodeDecodeError:
        return start.decode("iso-8859-1"), "iso-8859-1", [f"{seen}; read as ISO 8859-1"]


def _table(text: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """The delimiter under which most lines have the same number of fields, and (line, fields)."""
    best = max(",;\t", key=lambda delimiter: _evenness(_parsed(text, delimiter)[:100]))
    return best, _parsed(text, best)


def _evenness(rows: list[tuple[int, list[str]]]) -> tuple[int, int]:
    widths = Counter(len(fields) for _, fields in rows if len(fields) > 1)
    [(width, lines)] = widths.most_common(1) or [(0, 0)]
    return lines, width


def _parsed(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = []
    line = 1
    try:
        for fields in reader:
            if fields:
                rows.append((line, fields))
            line = reader.line_num + 1
            if len(rows) == _ROWS:
                return rows
    except csv.Error:  # the sample may end inside a quote
        pass
    return rows[:-1] if len(rows) > 1 and not text.endswith(("\n", "\r")) else rows


def _header(rows: list[tuple[int, list[str]]]) -> int:
    """The first line as wide as most, whose fields are all there, all different, and no numbers."""
    width = _evenness(rows[:100])[1]
    for place, (_, fields) in enumerate(rows[:_FIRST_LINES]):
        told = {field.strip().lower() for field in fields}
        if len(fields) == len(told) >= max(width, 1) and "" not in told and not _number_in(fields):
            return place
    raise Refused(
        f"none of the first {_FIRST_LINES} lines names columns",
        "add a line that does, or say reading.header_line in the mapping",
        code="SCHEMA_MISSING",
    )


def _number_in(fields: list[str]) -> bool:
    return any(field.strip().replace(".", "").replace(",", "").isdigit() for field in fields)
