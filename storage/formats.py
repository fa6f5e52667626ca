"""What a delivered file is: its bytes decide, and its name has to agree."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import orjson

from schema.errors import Refused

START = 4096
"""Bytes that tell what a file is."""


class Format(StrEnum):
    """How the rows are written."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


class Packing(StrEnum):
    """How the bytes are compressed; the words are PyArrow's names of the codecs."""

    NONE = ""
    GZIP = "gzip"
    ZSTD = "zstd"


ENDINGS: Mapping[str, tuple[Format, Packing]] = {
    f"{ending}{pack}": (form, packing)
    for ending, form in (
        (".csv", Format.CSV),
        (".jsonl", Format.JSON_LINES),
        (".ndjson", Format.JSON_LINES),
    )
    for pack, packing in (("", Packing.NONE), (".gz", Packing.GZIP), (".zst", Packing.ZSTD))
} | {".parquet": (Format.PARQUET, Packing.NONE)}
"""How a file may be named; in capitals too."""

_SEND = "send one CSV, JSON lines or Parquet file (text also packed with gzip or zstd)"

_ARCHIVES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"PK\x07\x08", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"!<arch>\n", "an ar archive"),
    (257, b"ustar", "a tar archive"),
)
_OBJECTS: tuple[tuple[bytes, str], ...] = (
    *((bytes([0x80, protocol]), "a pickle") for protocol in range(2, 6)),
    (b"\x93NUMPY", "a NumPy array"),
)
_PACKINGS = {b"\x1f\x8b": Packing.GZIP, b"\x28\xb5\x2f\xfd": Packing.ZSTD}
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook"),
    (4, b"1AY&SY", "bzip2"),
    (0, b"\xfd7zXZ", "xz"),
    (0, b"ARROW1\0", "an Arrow file"),
    (0, b"Obj\x01", "Avro"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"SQLite format 3\0", "a SQLite database"),
    (0, b"%PDF-", "PDF"),
)
_MARKUP = re.compile(rb"\s*<(\?xml|!doctype|html)", re.IGNORECASE)
_MARK = b"\xef\xbb\xbf"


def named(path: Path) -> tuple[Format, Packing]:
    """What the name says.

    Raises:
        Refused: none of ENDINGS (``DATA_WRONG_FORMAT``).
    """
    name = path.name.lower()
    for ending, found in ENDINGS.items():
        if name.endswith(ending):
            return found
    raise Refused(
        f"{path.name} is neither .csv nor .jsonl nor .parquet", _SEND, code="DATA_WRONG_FORMAT"
    )


def refuse_foreign(name: str, start: bytes, *, unpacked: bool = False) -> None:
    """Refuse what is never opened here, whatever it is called.

    Args:
        start: the first START bytes.
        unpacked: of what a packed file holds: then compression again is an archive in disguise.

    Raises:
        Refused: an archive (``ARCHIVE_UNSAFE``), Python objects (``FORMAT_FORBIDDEN``), or what
            another program keeps (``DATA_WRONG_FORMAT``).
    """
    for magic, what in _OBJECTS:
        if start.startswith(magic):
            raise Refused(
                f"{name} is {what}: Python objects are not accepted", _SEND, code="FORMAT_FORBIDDEN"
            )
    if start.startswith(b"PK") and b"[Content_Types].xml" in start[:START]:
        raise _wrong(name, "an Excel workbook")
    for place, magic, what in _OTHERS:
        if start[place : place + len(magic)] == magic:
            raise _wrong(name, what)
    for place, magic, what in _ARCHIVES:
        if start[place : place + len(magic)] == magic:
            raise _archive(name, what)
    if unpacked and start.startswith(tuple(_PACKINGS)):
        raise _archive(name, "compressed twice")


def check_packed(name: str, start: bytes, form: Format, packing: Packing) -> None:
    """Hold the outermost bytes of a file against what its name says."""
    found: str = next((pack for magic, pack in _PACKINGS.items() if start.startswith(magic)), "")
    if start.startswith(b"PAR1"):
        found = Format.PARQUET
    elif start.startswith(b"PARE"):
        raise Refused(
            f"{name} is an encrypted Parquet file",
            "send it without encryption",
            code="PARQUET_UNSUPPORTED",
        )
    due = form if form is Format.PARQUET else packing
    if found != due:
        raise _wrong(name, found or "something else")


def check_text(name: str, start: bytes, form: Format) -> None:
    """Hold the first characters of a text against what its name says.

    Args:
        start: the first START bytes, unpacked and decoded.
    """
    found = ""
    if start.startswith(b"PAR1"):
        found = Format.PARQUET
    elif _MARKUP.match(start.removeprefix(_MARK)):
        found = "a page of HTML or XML"
    elif form is Format.JSON_LINES and not start.removeprefix(_MARK).lstrip().startswith(b"{"):
        found = "no object on its first line"
    elif form is Format.CSV and _is_object(start.removeprefix(_MARK)):
        found = "JSON lines"
    if found:
        raise _wrong(name, found)


def _is_object(start: bytes) -> bool:
    first = start.lstrip().split(b"\n", 1)[0]
    if not first.startswith(b"{"):
        return False
    try:
        return isinstance(orjson.loads(first), dict)
    except orjson.JSONDecodeError:
        return False


def _wrong(name: str, found: str) -> Refused:
    return Refused(
        f"{name} holds {found}, which is not what its name says",
        f"name the file after its content, or {_SEND}",
        code="DATA_WRONG_FORMAT",
    )


def _archive(name: str, what: str) -> Refused:
    return Refused(f"{name} is {what}: archives are not opened", _SEND, code="ARCHIVE_UNSAFE")
