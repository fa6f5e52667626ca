"""The text of a delivered file as UTF-8 bytes, a piece at a time: unpacked under caps, decoded."""

import codecs
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from schema.errors import Refused
from schema.mapping import Reading
from schema.settings import IntakeSettings
from storage.formats import Packing

PIECE = 1 << 20
_FREE = 1 << 26
"""Unpacked bytes from which on the ratio counts: a small file of one repeated word is no bomb."""
_MARK = codecs.BOM_UTF8


def most_unpacked(size: int, limits: IntakeSettings) -> int:
    """How many bytes a file of ``size`` may unpack to."""
    return min(limits.max_unpacked_bytes, max(_FREE, int(size * limits.max_unpacked_ratio)))


def bomb(name: str, most: int, size: int) -> Refused:
    """The refusal of a file that unpacks to more than it may."""
    return Refused(
        f"{name} unpacks to over {most:,} bytes, {most / size:,.0f} times its size; stopped there",
        "split it, or raise intake.max_unpacked_bytes or intake.max_unpacked_ratio",
        code="DATA_BOMB",
    )


def pieces(path: Path, packing: Packing, most: int) -> Iterator[bytes]:
    """The bytes of a file, unpacked.

    Args:
        most: stops after so many, with ``DATA_BOMB``.

    Raises:
        Refused: it cannot be unpacked to its end (``DATA_TRUNCATED``).
    """
    if not packing:
        with path.open("rb") as plain:
            while piece := plain.read(PIECE):
                yield piece
        return
    size, done = path.stat().st_size, 0
    try:
        with pa.input_stream(str(path), compression=str(packing)) as packed:
            while piece := packed.read_buffer(PIECE).to_pybytes():
                done += len(piece)
                if done > most:
                    raise bomb(path.name, most, size)
                yield piece
    except (pa.ArrowException, OSError) as error:
        raise Refused(
            f"{path.name} cannot be unpacked beyond byte {done:,} of its content: {error}",
            "export it again; it is cut short or damaged",
            code="DATA_TRUNCATED",
        ) from error


def utf8(path: Path, packing: Packing, most: int, reading: Reading) -> Iterator[bytes]:
    """The text of a file: UTF-8 without a byte order mark, as far as the encoding is declared.

    Bytes that are declared UTF-8 are passed on as they are: who reads the text checks them.

    Raises:
        Refused: UTF-16, or bytes that the declared encoding does not have (``TEXT_ENCODING``).
    """
    flow = pieces(path, packing, most)
    first = next(flow, b"")
    _refuse_wide(path.name, first)
    if reading.encoding == "utf-8":
        yield first.removeprefix(_MARK)
        yield from flow
        return
    if first.startswith(_MARK):
        raise encoding_refused(path.name, f"begins as UTF-8, but is declared {reading.encoding}")
    decoder = codecs.getincrementaldecoder(reading.encoding)()
    line, column, piece = 1, 1, first
    also_utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    plain = True
    while piece:
        try:
            text = decoder.decode(piece)
        except UnicodeDecodeError as error:
            line, column = place(piece[: error.start].decode(reading.encoding), line, column)
            raise encoding_refused(
                path.name,
                f"byte 0x{piece[error.start]:02X} on line {line:,}, column {column:,} is not "
                f"{reading.encoding}, which is declared",
            ) from error
        line, column, plain = *place(text, line, column), plain and piece.isascii()
        also_utf8 = also_utf8 and _goes_on(also_utf8, piece)
        yield text.encode()
        piece = next(flow, b"")
    if also_utf8 and not plain and _goes_on(also_utf8, b"", final=True):
        # Letters of the declared encoding make UTF-8 by chance once in a blue moon; an exporter
        # that was switched over makes it every time, and every name would come in garbled.
        raise encoding_refused(path.name, f"is UTF-8, but is declared {reading.encoding}")


def _goes_on(
    decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool = False
) -> codecs.IncrementalDecoder | None:
    """The decoder again; None once it met what it cannot read."""
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError:
        return None
    return decoder


def place(text: str, line: int, column: int) -> tuple[int, int]:
    """Line and column, both from 1, after a text that begins at the given ones."""
    ends = text.count("\n") + text.count("\r") - text.count("\r\n")
    if not ends:
        return line, column + len(text)
    return line + ends, len(text) - max(text.rfind("\n"), text.rfind("\r"))


def check_utf8(name: str, block: bytes, line: int) -> None:
    """Refuse bytes that are not UTF-8, with their place and what they look like.

    Args:
        line: the one the block begins on; it begins a line.
    """
    if block.isascii():
        return
    try:
        block.decode()
    except UnicodeDecodeError as error:
        line, column = place(block[: error.start].decode(), line, 1)
        raise encoding_refused(
            name,
            f"byte 0x{block[error.start]:02X} on line {line:,}, column {column:,} is not UTF-8; "
            f"the file looks like {_looks_like(block)}",
        ) from error


def check_beginning(name: str, start: bytes, line: int) -> None:
    """As ``check_utf8``, of bytes that may end in the middle of a character."""
    if _goes_on(codecs.getincrementaldecoder("utf-8")(), start) is None:
        check_utf8(name, start, line)


def encoding_refused(name: str, what: str) -> Refused:
    return Refused(
        f"{name}: {what}",
        "export it as UTF-8, or declare its encoding in the tenant's mapping",
        code="TEXT_ENCODING",
    )


def _refuse_wide(name: str, start: bytes) -> None:
    """Refuse UTF-16 and UTF-32, with or without their mark."""
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    if marked or start[:4096].count(0) > len(start[:4096]) // 4:
        raise Refused(
            f"{name} looks like UTF-16: every other byte of it is zero or a mark",
            "export it as UTF-8",
            code="TEXT_ENCODING",
        )


def _looks_like(block: bytes) -> str:
    try:
        block.decode("windows-1252")
    except UnicodeDecodeError:
        return "no text at all"
    return "Windows-1252"
