"""CSV, a block at a time: PyArrow parses, this file knows on which line each row begins.

A block is cut where a line ends outside quotes. In nearly every block each line is one row; then
PyArrow's count of rows says so, and the lines are known without looking at a single quote. Only a
block with blank lines, line breaks inside quotes or ends of CR alone is gone through byte by byte.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
from numpy.typing import NDArray

from schema.errors import Refused
from storage.chunks import FIELD_BYTES, Chunk, Ragged, check_fields, check_width
from storage.unpacked import check_beginning, check_utf8

_BLOCK = 1 << 23
_MOST_LINES = 1 << 18
"""Of one block, so that ten million lines that are no rows are not held at once."""
_HEADER_MOST = 1 << 16
_DELIMITERS = b",;\t"
_LF, _CR, _QUOTE = b'\n\r"'
_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the rows.

    Attributes:
        names: of the columns; blank or repeated ones are the checker's business.
        line: the one the rows begin on.
        size: bytes up to there.
    """

    names: tuple[str, ...]
    delimiter: str
    line: int
    size: int


@dataclass(frozen=True, slots=True)
class Csv:
    """A CSV file's name, header and how its end is known.

    Attributes:
        whole: its packing proves that nothing is cut off; else only the end of the last line does.
    """

    name: str
    header: Header
    guessed: bool
    whole: bool

    def chunks(self, flow: Iterator[bytes]) -> Iterator[Chunk]:
        """All rows, in order; one chunk at least.

        Args:
            flow: the file's text from its beginning, as UTF-8.

        Raises:
            Refused: it is cut short, not UTF-8, or a quote in it never closes.
        """
        line, rest, ended, first = self.header.line, b"", False, True
        skip = self.header.size
        while True:
            parts, size = [rest], len(rest)
            while size < _BLOCK and not ended:
                piece = next(flow, None)
                ended = piece is None
                kept = (piece or b"")[skip:]
                skip -= len(piece or b"") - len(kept)
                parts.append(kept)
                size += len(kept)
            block = b"".join(parts)
            if not block:
                break
            if ended:
                self._check_end(block, line)
            chunk, used, lines = self._cut(block, line, last=ended)
            yield chunk
            first = False
            line, rest = line + lines, block[used:]
        if first:
            yield Chunk(self._parsed(b"")[0], np.zeros(0, np.int64))

    def _cut(self, block: bytes, line: int, *, last: bool) -> tuple[Chunk, int, int]:
        """A chunk from the head of a block, the bytes it took, and the lines."""
        plain = self._plain_cut(block, last=last)
        if plain is not None:
            used, count = plain
            rows, ragged = self._rows(block[:used], line)
            if len(rows) + len(ragged) == count and self._closed(block, used):
                return self._chunk(rows, ragged, np.arange(line, line + count)), used, count
        found = records(block, self.header.delimiter.encode(), last=last)
        if not len(found.ends):
            opened = found.opened if found.opened is not None else 0
            raise self._endless(block, line, opened, quoted=found.opened is not None)
        if found.opened is not None and len(block) - found.opened > FIELD_BYTES:
            raise self._endless(block, line, found.opened, quoted=True)
        ends = found.ends[:_MOST_LINES]
        used = int(ends[-1])
        starts = np.concatenate([[0], ends[:-1]])
        # A blank line begins with its own end: nothing else that begins a record can.
        data = np.frombuffer(block, np.uint8)
        starts = starts[(data[starts] != _LF) & (data[starts] != _CR)]
        lines = line + np.searchsorted(found.breaks, starts, side="right")
        rows, ragged = self._rows(block[:used] if len(starts) else b"", line)
        if len(rows) + len(ragged) != len(starts):
            raise Refused(
                f"{self.name}: the rows from line {line:,} on cannot be told apart",
                "put quotes around whole fields only, and double the quotes inside",
                code="CSV_QUOTE",
            )
        passed = int(np.searchsorted(found.breaks, used, side="right"))
        return self._chunk(rows, ragged, lines), used, passed

    def _plain_cut(self, block: bytes, *, last: bool) -> tuple[int, int] | None:
        """Bytes and lines to try as one row a line; None where that cannot be."""
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == _LF)
        if not len(ends):
            return None
        returns = b"\r" in block
        if returns and np.count_nonzero(data == _CR) != np.count_nonzero(data[ends - 1] == _CR):
            return None  # ends of CR alone
        if np.diff(ends, prepend=-1).min() <= (2 if returns else 1):
            return None  # a blank line, perhaps
        if len(ends) > _MOST_LINES:
            return int(ends[_MOST_LINES - 1]) + 1, _MOST_LINES
        used = int(ends[-1]) + 1
        return (len(block), len(ends) + 1) if last and used < len(block) else (used, len(ends))

    def _closed(self, block: bytes, used: int) -> bool:
        """Whether the last line taken ends outside quotes, given that it begins outside."""
        start = block.rfind(b"\n", 0, used - 1) + 1
        found = records(block[start:used], self.header.delimiter.encode(), last=True)
        return found.opened is None

    def _rows(self, block: bytes, line: int) -> tuple[pa.Table, list[tuple[int, str, int]]]:
        check_utf8(self.name, block, line)
        return self._parsed(block)

    def _parsed(self, block: bytes) -> tuple[pa.Table, list[tuple[int, str, int]]]:
        """Rows of text, and (record from 1, text, fields) of those of another shape."""
        names, ragged = list(self.header.names), []

        def note(row: pc_csv.InvalidRow) -> str:
            ragged.append((row.number, row.text, row.actual_columns))
            return "skip"

        if not block:
            return pa.table([pa.array([], pa.string()) for _ in names], names=names), []
        rows = pc_csv.read_csv(
            pa.BufferReader(block),
            # One thread: only then do skipped rows come with their number.
            read_options=pc_csv.ReadOptions(
                use_threads=False, column_names=names, block_size=len(block) + 1
            ),
            parse_options=pc_csv.ParseOptions(
                delimiter=self.header.delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=pc_csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
        return rows, ragged

    def _chunk(
        self, rows: pa.Table, ragged: list[tuple[int, str, int]], lines: NDArray[np.int64]
    ) -> Chunk:
        """Give rows their lines.

        Args:
            lines: of all records, ragged ones included.
        """
        due, sign = len(self.header.names), {"\t": "tab"}.get(self.header.delimiter)
        how = "guessed" if self.guessed else "declared"
        told = f"fields than the header, which has {due:,}; delimiter " + (
            f"{sign or repr(self.header.delimiter)} {how}"
        )
        where = np.array([number - 1 for number, _, _ in ragged], np.int64)
        apart = tuple(
            Ragged(line, text, "CSV_SHAPE", f"{'more' if fields > due else 'fewer'} {told}")
            for line, (_, text, fields) in zip(lines[where].tolist(), ragged, strict=True)
        )
        chunk = Chunk(rows, np.delete(lines, where) if ragged else lines, apart)
        check_fields(chunk, self.name, "CSV_QUOTE")
        return chunk

    def _check_end(self, block: bytes, line: int) -> None:
        """A last line without an end may be a part of one; nobody can tell."""
        if self.whole or block.endswith((b"\n", b"\r")):
            return
        found = records(block, self.header.delimiter.encode(), last=True)
        if found.opened is not None:
            raise self._endless(block, line, found.opened, quoted=True)
        raise Refused(
            f"{self.name}: the last line, {line + len(found.breaks):,}, has no end; "
            "the file may be cut short",
            "export it again; end its last line with a line break, or pack it with gzip, "
            "whose checksum proves that nothing is missing",
            code="DATA_TRUNCATED",
        )

    def _endless(self, block: bytes, line: int, opened: int, *, quoted: bool) -> Refused:
        line += len(_END.findall(block[:opened]))
        if quoted:
            return Refused(
                f"{self.name}: the quote opened on line {line:,} never closes, or holds over "
                f"{FIELD_BYTES:,} bytes",
                "close it, or export the file again: it may be cut short",
                code="CSV_QUOTE",
            )
        return Refused(
            f"{self.name}: line {line:,} goes on for over {len(block):,} bytes",
            "end every row with a line break",
            code="CSV_SHAPE",
        )


@dataclass(frozen=True, slots=True)
class Records:
    """Where the records of a block end.

    Attributes:
        ends: places right after each line end outside quotes (after the last byte, too, where the
            file ends there).
        breaks: the same of every line end, quoted ones included.
        opened: place of a quote that is still open at the end.
    """

    ends: NDArray[np.int64]
    breaks: NDArray[np.int64]
    opened: int | None


def records(block: bytes, delimiter: bytes, *, last: bool) -> Records:
    """Find records as PyArrow's parser does: a quote opens only at the beginning of a field.

    Args:
        block: begins a record.
        last: the file ends with it.
    """
    data = np.frombuffer(block, np.uint8)
    breaks = np.flatnonzero(data == _LF)
    returns = np.flatnonzero(data == _CR)
    if len(returns):
        after = np.append(data, 0 if last else 10)[
            returns + 1
        ]  # CR LF may be parted between blocks
        breaks = np.sort(np.concatenate([breaks, returns[after != 10]]))
    begins, stops, opened = _quoted(block, data, delimiter)
    outside = np.ones(len(breaks), bool)
    if opened is not None:
        outside &= breaks < opened
    if len(begins):
        which = np.searchsorted(begins, breaks) - 1
        outside &= (which < 0) | (breaks > stops[which])
    ends = breaks[outside] + 1
    if last and opened is None and (not len(ends) or ends[-1] < len(block)):
        ends = np.append(ends, len(block))
    return Records(ends, breaks + 1, opened)


def _quoted(
    block: bytes, data: NDArray[np.uint8], delimiter: bytes
) -> tuple[NDArray[np.int64], NDArray[np.int64], int | None]:
    """Places of the first and last quote of quoted stretches, and of one that stays open."""
    quotes = np.flatnonzero(data == _QUOTE)
    edges = np.array([*delimiter, *b'\r\n"'], np.uint8)
    before = np.append(edges[0], data)[quotes[::2]]
    after = np.append(data, edges[0])[quotes[1::2] + 1]
    if np.isin(before, edges).all() and np.isin(after, edges).all():
        # Every other quote opens a field, or goes on after a doubled one, and every other one closes
        # it or is doubled: so they alternate, and no field has to be looked at by itself.
        last = len(quotes) - 1
        if last % 2:
            return quotes[::2], quotes[1::2], None
        while last and data[quotes[last] - 1] == _QUOTE:
            last -= 2
        return quotes[:-1:2], quotes[1::2], int(quotes[last])
    field = re.compile(rb'(?<![^\r\n%b])"(?:[^"]++|"")*+("?)' % re.escape(delimiter))
    spans = [(*found.span(), bool(found[1])) for found in field.finditer(block)]
    opened = spans.pop()[0] if spans and not spans[-1][2] else None
    places = np.array([span[:2] for span in spans], np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1] - 1, opened


def header(start: bytes, name: str, header_line: int, delimiter: str, *, whole: bool) -> Header:
    """Read the names of the columns.

    Args:
        start: the file's text from its beginning; whole: there is no more of it.
        header_line: the line that names them, from 1; blank lines from there on are passed over.
        delimiter: empty for the one that the header holds most of.

    Raises:
        Refused: there is no such line (``DATA_EMPTY``), or it cannot be read (``CSV_QUOTE``).
    """
    place, line = 0, 1
    while place < len(start) and (line < header_line or start[place] in b"\r\n"):
        found = _END.search(start, place)
        place, line = (found.end() if found else len(start)), line + 1
    rest = start[place : place + _HEADER_MOST]
    if not rest:
        raise Refused(
            f"{name} holds no header on line {header_line:,} or after it",
            "export it again",
            code="DATA_EMPTY",
        )
    bare = re.sub(rb'"[^"]*"', b"", rest)
    first = _END.split(bare, maxsplit=1)[0]
    sign = delimiter or chr(max(_DELIMITERS, key=first.count))
    found_records = records(rest, sign.encode(), last=whole and place + len(rest) == len(start))
    if not len(found_records.ends):
        check_beginning(name, rest, line)  # what is no text has no end of a line either
        raise Refused(
            f"{name}: the header on line {line:,} cannot be read: a quote in it never closes",
            "close it, or export the file again: it may be cut short",
            code="CSV_QUOTE",
        )
    size = int(found_records.ends[0])
    check_utf8(name, rest[:size], line)
    names = next(csv.reader(io.StringIO(rest[:size].decode(), newline=""), delimiter=sign))
    check_width(names, name)
    passed = int(np.searchsorted(found_records.breaks, size, side="right"))
    return Header(tuple(names), sign, line + passed, place + size)
