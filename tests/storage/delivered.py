"""Files as tenants deliver them, read as an import reads them."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schema.errors import Refused
from schema.mapping import Reading
from schema.settings import IntakeSettings
from storage.chunks import Chunk, Ragged
from storage.inbox import Delivery, delivery

PLAIN = Reading()


def put(folder: Path, body: bytes | str, name: str = "customers.csv") -> Path:
    """Write a file, packed as its name says."""
    data = body.encode() if isinstance(body, str) else body
    if name.endswith(".gz"):
        data = gzip.compress(data)
    elif name.endswith(".zst"):
        data = pa.Codec("zstd").compress(data, asbytes=True)
    path = folder / name
    path.write_bytes(data)
    return path


def opened(path: Path, reading: Reading = PLAIN, **limits: Any) -> Delivery:
    return delivery(path, reading, IntakeSettings(**limits), tenant="acme")


def chunks(path: Path, reading: Reading = PLAIN, **limits: Any) -> list[Chunk]:
    return list(opened(path, reading, **limits).chunks())


def rows(path: Path, reading: Reading = PLAIN, **limits: Any) -> list[tuple[Any, ...]]:
    """Every row with its line before it."""
    return [
        (int(line), *row.values())
        for chunk in chunks(path, reading, **limits)
        for line, row in zip(chunk.lines, chunk.rows.to_pylist(), strict=True)
    ]


def ragged(path: Path, reading: Reading = PLAIN) -> list[Ragged]:
    return [line for chunk in chunks(path, reading) for line in chunk.ragged]


def refusal(path: Path, reading: Reading = PLAIN, **limits: Any) -> Refused:
    with pytest.raises(Refused) as told:
        chunks(path, reading, **limits)
    return told.value
