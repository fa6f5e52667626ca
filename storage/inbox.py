"""What tenants deliver: files of rows, read a chunk at a time, whole or not at all."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from schema.errors import Refused
from schema.mapping import Reading
from schema.settings import IntakeSettings
from storage import columnar, delimited, durable, jsonlines
from storage.chunks import Chunk
from storage.formats import START, Format, Packing, check_packed, check_text, named, refuse_foreign
from storage.unpacked import most_unpacked, pieces, utf8

log = logging.getLogger("recfactory.security")

_ALERTS = {"DATA_BOMB", "ARCHIVE_UNSAFE", "TENANT_MISMATCH", "FORMAT_FORBIDDEN"}
"""Refusals that may mean harm, and not only a slip."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered file, known but not read yet.

    Nothing is copied: what is packed or in another encoding is unpacked and decoded on the way, so
    nothing is left behind either, however reading ends.

    Attributes:
        sha256: of the bytes as delivered.
        columns: names as they came; may be blank or repeated.
    """

    path: Path
    sha256: str
    format: Format
    columns: tuple[str, ...]
    _tenant: str
    _stamp: tuple[int, int, int] | None
    _most_rows: int
    _read: Callable[[], Iterator[Chunk]]

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in the file's order; one chunk at least. May be called again.

        Nothing counts before the last chunk was there: only then is it known that the file is whole.

        Raises:
            Refused: the file is cut short, damaged, too large, or was changed meanwhile.
        """
        read = 0
        with _told(self.path, self._tenant, self._stamp):
            for chunk in self._read():
                read += chunk.read
                if read > self._most_rows:
                    raise Refused(
                        f"{self.path.name} has over {self._most_rows:,} rows",
                        "split it, or raise intake.max_rows",
                        code="DATA_LIMIT",
                    )
                yield chunk


def delivery(path: Path, reading: Reading, limits: IntakeSettings, *, tenant: str) -> Delivery:
    """Look at a delivered file: what it is, and its hash.

    Args:
        tenant: who delivers it.

    Raises:
        Refused: it is missing, empty, too large, nothing that is read here, or not what its name
            says.
    """
    if not path.is_file():
        raise Refused(f"there is no file {path}", "check the path", code="DATA_MISSING")
    stamp = durable.stamp(path)
    with _told(path, tenant, stamp):
        size = path.stat().st_size
        if not size:
            raise Refused(f"{path.name} has 0 bytes", "export it again", code="DATA_EMPTY")
        if size > limits.max_file_bytes:
            raise Refused(
                f"{path.name} has {size:,} bytes, the limit is {limits.max_file_bytes:,}",
                "split it, or raise intake.max_file_bytes",
                code="DATA_TOO_LARGE",
            )
        with path.open("rb") as file:
            start = file.read(START)
        refuse_foreign(path.name, start)
        form, packing = named(path)
        check_packed(path.name, start, form, packing)
        most = most_unpacked(size, limits)
        if form is Format.PARQUET:
            found = columnar.columns(path, tenant, most)
            names, read = found.names, found.chunks
        else:
            names, read = _text(path, form, packing, reading, most)
        return Delivery(
            path, durable.sha256(path), form, names, tenant, stamp, limits.max_rows, read
        )


def _text(
    path: Path, form: Format, packing: Packing, reading: Reading, most: int
) -> tuple[tuple[str, ...], Callable[[], Iterator[Chunk]]]:
    """Column names of a text file, and what reads its rows."""
    if packing:
        refuse_foreign(path.name, next(pieces(path, packing, most), b"")[:START], unpacked=True)

    def flow() -> Iterator[bytes]:
        return utf8(path, packing, most, reading)

    text = flow()
    start, more = next(text, b""), next(text, None)
    if not start:
        raise Refused(f"{path.name} holds nothing", "export it again", code="DATA_EMPTY")
    check_text(path.name, start[:START], form)
    whole = packing is not Packing.NONE
    if form is Format.JSON_LINES:
        lines = jsonlines.JsonLines(path.name, jsonlines.names(flow(), path.name), whole)
        return lines.names, lambda: lines.chunks(flow())
    head = delimited.header(
        start, path.name, reading.header_line, reading.delimiter, whole=more is None
    )
    table = delimited.Csv(path.name, head, guessed=not reading.delimiter, whole=whole)
    return head.names, lambda: table.chunks(flow())


@contextmanager
def _told(path: Path, tenant: str, stamp: tuple[int, int, int] | None) -> Iterator[None]:
    """Turn what goes wrong while reading into a refusal, the true one, and tell of what may be harm.

    A file that changed under the reader is told as such, whatever else it looked like.
    """
    try:
        yield
    except (Refused, pa.ArrowException, OSError) as error:
        if durable.stamp(path) != stamp:
            raise _not_settled(path) from error
        if not isinstance(error, Refused):
            raise Refused(
                f"{path.name} cannot be read: {str(error)[:160]}",
                "export it again; it may be cut short",
                code="DATA_TRUNCATED",
            ) from error
        if error.code in _ALERTS:
            fields = {"tenant": tenant, "code": error.code}
            log.warning("%s: %s", tenant, error.code, extra={"fields": fields})
        raise
    if durable.stamp(path) != stamp:
        raise _not_settled(path)


def _not_settled(path: Path) -> Refused:
    return Refused(
        f"{path.name} changed while it was read",
        "deliver it again when it is written to its end",
        code="DATA_NOT_SETTLED",
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """All of a file in memory.

    Attributes:
        ragged: (line, text) of lines of another shape.
    """

    rows: pa.Table
    sha256: str
    ragged: list[tuple[int, str]] = field(default_factory=list)


def whole(delivered: Delivery) -> Whole:
    """Read all of a file at once, where it is known to be small."""
    chunks = list(delivered.chunks())
    ragged = [(line.line, line.text) for chunk in chunks for line in chunk.ragged]
    return Whole(pa.concat_tables([chunk.rows for chunk in chunks]), delivered.sha256, ragged)


def read_file(path: Path, max_bytes: int) -> Whole:
    """Read all of a file whose sender is not a tenant."""
    return whole(delivery(path, Reading(), IntakeSettings(max_file_bytes=max_bytes), tenant=""))
