"""Accepted data: Parquet files, and one small file that says which of them count.

An import writes new files beside the old ones and then swaps ``DATASET.json`` by rename: readers
see all of an import or none of it. A batch of interactions is named by the delivered file's hash:
the same file counts once, and delivered again after its customers or products were repaired, it
takes the place of its first delivery.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schema.errors import Problem, Refused
from schema.names import Status
from schema.tables import VERSION
from storage import durable
from storage.durable import Disk

_DATASET, _SELLABLE = "DATASET.json", ".sellable.json"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Which files are a tenant's accepted data now.

    Attributes:
        interactions: file by batch, in the order the batches came.
    """

    customers: str
    products: str
    interactions: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Of the content: equal fingerprints mean equal data."""
        names = [self.customers, self.products, *sorted(self.interactions.values())]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


class Datasets:
    """Accepted data of every tenant under one root."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root, self._disk = root, disk

    def of(self, uid: str) -> Dataset | None:
        """What counts now; None before the first import."""
        path = self._folder(uid) / _DATASET
        if not path.exists():
            return None
        try:
            body = orjson.loads(path.read_bytes())
            return Dataset(body["customers"], body["products"], dict(body["interactions"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(
                f"{_DATASET} is damaged", "restore it, or import the data again", code="DATA_BROKEN"
            ) from error

    def accept(
        self,
        uid: str,
        accepted: Mapping[str, pa.Table],
        quarantined: Mapping[str, pa.Table],
        batch: str,
    ) -> Dataset:
        """Take checked tables over, all of them or none.

        Args:
            accepted: by table name; customers and products replace what was there, interactions
                add to it.
            quarantined: rows that did not fit, by table name, kept under the batch's name.
            batch: names the delivered interactions.
        """
        folder = self._folder(uid)
        durable.make_folders(self._disk, folder)
        with durable.locked(folder):
            for place in (folder, *(folder / table for table in (*accepted, "quarantine"))):
                durable.sweep(self._disk, place)
            before = self.of(uid) or Dataset("", "", {})
            names = {table: self._keep(folder / table, rows) for table, rows in accepted.items()}
            for table, rows in quarantined.items():
                self._quarantine(folder / "quarantine" / f"{batch}-{table}.parquet", rows)
            if "products" in accepted:
                path = folder / "products" / f"{names['products']}{_SELLABLE}"
                durable.replace(self._disk, path, _sellable(accepted["products"]))
            batches = dict(before.interactions)
            if "interactions" in names:
                batches[batch] = names["interactions"]
            after = Dataset(
                names.get("customers", before.customers),
                names.get("products", before.products),
                batches,
            )
            if after != before:
                body = {
                    "schema": VERSION,
                    "customers": after.customers,
                    "products": after.products,
                    "interactions": batches,
                }
                durable.replace(self._disk, folder / _DATASET, orjson.dumps(body))
        return after

    def required(self, uid: str) -> Dataset:
        """What counts now.

        Raises:
            Refused: nothing was ever accepted (``DATA_MISSING``).
        """
        dataset = self.of(uid)
        if dataset is None:
            raise _missing("interactions")
        return dataset

    def stamp(self, uid: str) -> tuple[int, int, int] | None:
        """Changes whenever the accepted data do; costs one system call."""
        return durable.stamp(self._folder(uid) / _DATASET)

    def sellable(self, uid: str) -> frozenset[str] | None:
        """Product ids that can be sold now; None before the first import of products."""
        dataset = self.of(uid)
        if dataset is None or not dataset.products:
            return None
        path = self._folder(uid) / "products" / f"{dataset.products}{_SELLABLE}"
        try:
            return frozenset(orjson.loads(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise _broken("products", error) from error

    def files(self, uid: str, table: str, dataset: Dataset | None = None) -> list[Path]:
        """The Parquet files that hold the accepted rows of one table, each row once.

        Args:
            dataset: which version; None takes what counts now.

        Raises:
            Refused: nothing of this table was ever accepted (``DATA_MISSING``).
        """
        dataset = dataset or self.of(uid)
        if dataset is None:
            raise _missing(table)
        names = (
            list(dataset.interactions.values())
            if table == "interactions"
            else [getattr(dataset, table)]
        )
        files = [self._folder(uid) / table / f"{name}.parquet" for name in names if name]
        if not files:
            raise _missing(table)
        return files

    def read(self, uid: str, table: str, dataset: Dataset | None = None) -> pa.Table:
        """Accepted rows of one table, batches joined.

        Args:
            dataset: which version; None takes what counts now.

        Raises:
            Problem: nothing of this table was ever accepted (``DATA_MISSING``), or it is damaged.
        """
        files = self.files(uid, table, dataset)
        # Paths, never file objects: PyArrow 26 may abort at exit after the latter.
        try:
            return pa.concat_tables([pq.read_table(file) for file in files])
        except (pa.ArrowException, OSError) as error:
            raise _broken(table, error) from error

    def _quarantine(self, path: Path, rows: pa.Table) -> None:
        """Keep rows that did not fit; a mended delivery leaves none behind."""
        if len(rows):
            durable.make_folders(self._disk, path.parent)
            durable.replace(self._disk, path, _parquet(rows))
        elif path.exists():
            self._disk.remove_file(path)
            self._disk.sync_folder(path.parent)

    def _keep(self, folder: Path, rows: pa.Table) -> str:
        durable.make_folders(self._disk, folder)
        data = _parquet(rows)
        name = hashlib.sha256(data).hexdigest()[:20]
        path = folder / f"{name}.parquet"
        if not path.exists():
            durable.replace(self._disk, path, data)
        return name

    def _folder(self, uid: str) -> Path:
        return self._root / uid / "data"


def _sellable(products: pa.Table) -> bytes:
    """What a lookup has to know of the catalogue, small enough to read while serving."""
    sold = products.filter(pc.equal(products["status"], Status.SELLABLE.value))
    return orjson.dumps(sold["product_id"].to_pylist())


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _broken(table: str, error: Exception) -> Problem:
    return Problem(
        f"accepted {table} cannot be read: {str(error)[:200]}",
        "restore the file, or import the data again",
        code="DATA_BROKEN",
    )


def _missing(table: str) -> Refused:
    return Refused(
        f"no {table} were ever accepted",
        "run `recfactory data import TENANT --customers F --products F --interactions F`",
        code="DATA_MISSING",
    )
