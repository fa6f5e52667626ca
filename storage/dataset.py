"""Which files are a tenant's accepted data now: one small file says so, swapped by rename."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from schema.errors import Problem, Refused
from schema.rowhash import joined
from schema.tables import VERSION

DATASET = "DATASET.json"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Names are of files, without suffix.

    Attributes:
        customers, products: their files, each named by its content (schema/rowhash.py).
        interactions: content by batch, in the order the batches came. What counts is the set of
            contents.
        files: of interactions: the contents of which each holds rows.
    """

    customers: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    interactions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Of the content: equal fingerprints mean equal rows, in whatever files and order."""
        contents = (self.customers, self.products, set(self.interactions.values()))
        told = " ".join(joined(each) for each in contents)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def names(self, table: str) -> tuple[str, ...]:
        """The files of a table."""
        by_table = {
            "customers": self.customers,
            "products": self.products,
            "interactions": tuple(self.files),
        }
        return by_table[table]


def load(folder: Path) -> Dataset | None:
    """What counts now; None before the first import.

    Raises:
        Problem: nobody can tell (``DATA_BROKEN``).
    """
    path = folder / DATASET
    return parsed(path.read_bytes()) if path.exists() else None


def parsed(body: bytes) -> Dataset:
    """What ``spelled`` wrote.

    Raises:
        Problem: nobody can tell (``DATA_BROKEN``).
    """
    try:
        return _dataset(orjson.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Problem(
            f"{DATASET} is damaged", "restore it, or import the data again", code="DATA_BROKEN"
        ) from error


Swap = Callable[[Path, Dataset], None]
"""From here on, in this folder, this is what counts; its files are safe on disk."""


def spelled(dataset: Dataset, shared: Mapping[str, object]) -> bytes:
    """As it is written.

    Args:
        shared: by place in the folder, bytes and SHA-256 of files that other machines fetch.
    """
    body = {
        "format": 2,
        "schema": VERSION,
        "customers": dataset.customers,
        "products": dataset.products,
        "interactions": dict(dataset.interactions),
        "files": dict(dataset.files),
    }
    return orjson.dumps({**body, "shared": shared} if shared else body)


def shared_in(body: bytes | None) -> dict[str, dict[str, Any]]:
    """What ``spelled`` was told of shared files."""
    try:
        found: dict[str, dict[str, Any]] = orjson.loads(body or b"{}").get("shared", {})
    except ValueError:  # damaged: whoever reads it is told
        return {}
    return found


def read_rows(
    folder: Path, table: str, names: Sequence[str], columns: list[str] | None = None
) -> pa.Table:
    """The rows of some files, one after the other; of all their columns, or of some.

    Raises:
        Problem: there are none (``DATA_MISSING``), or one is damaged.
    """
    if not names:
        raise missing(table)
    # Paths, never file objects: PyArrow 26 may abort at exit after the latter.
    try:
        tables = [
            # one thread: a fleet's tables are small, and every core has a tenant of its own
            pq.ParquetFile(folder / table / f"{name}.parquet", pre_buffer=False).read(
                columns, use_threads=False
            )
            for name in names
        ]
        # A file of an older version lacks the columns that came later.
        rows = pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowException, OSError) as error:
        raise broken(table, error) from error
    return rows.replace_schema_metadata(None)


def broken(table: str, error: Exception) -> Problem:
    return Problem(
        f"accepted {table} cannot be read: {str(error)[:200]}",
        "restore the file, or import the data again",
        code="DATA_BROKEN",
    )


def missing(table: str) -> Refused:
    return Refused(
        f"no {table} were ever accepted",
        "run `recfactory data import TENANT --customers F --products F --interactions F`",
        code="DATA_MISSING",
    )


def _dataset(body: dict[str, Any]) -> Dataset:
    """Format 1 had one file a table and batch, named by its bytes: they stand for its content."""
    if body.get("format", 1) == 1:
        return Dataset(
            tuple(name for name in (body["customers"],) if name),
            tuple(name for name in (body["products"],) if name),
            dict(body["interactions"]),
            {name: (name,) for name in body["interactions"].values()},
        )
    files = {name: tuple(contents) for name, contents in body["files"].items()}
    return Dataset(
        tuple(body["customers"]), tuple(body["products"]), dict(body["interactions"]), files
    )
