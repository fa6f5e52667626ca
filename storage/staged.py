"""A delivery under way: nobody sees it before it is accepted, and nothing is left of it without."""

from collections.abc import Mapping
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schema.names import Status
from schema.rowhash import Numbers
from schema.tables import HOW, TABLES, How
from storage import durable
from storage.dataset import Dataset, Swap, load, read_rows
from storage.durable import Disk
from storage.parts import OWNER, Parts, Quarantine

SELLABLE = ".sellable.json"
"""Beside the products: which can be sold now."""

ORDER = {
    "customers": ["customer_id"],
    "products": ["product_id"],
    "interactions": ["customer_id", "occurred_at"],
}
"""What each file is sorted by."""


class Staged:
    """Files beside those that count, for whoever holds the lock of a tenant's data."""

    def __init__(self, disk: Disk, folder: Path, swap: Swap) -> None:
        self._disk, self._folder, self._swap = disk, folder, swap
        self._parts: dict[str, Parts] = {}
        self._rewritten: list[Parts] = []
        self._quarantined: dict[str, Quarantine] = {}
        self._keys: dict[str, list[pa.Array]] = {}
        self._sellable: list[str] = []

    def add(self, table: str, rows: pa.Table, hashes: Numbers | None = None) -> None:
        """Take accepted rows, in the schema's columns and types.

        Args:
            hashes: theirs, by ``row_hashes``, if they are there already.
        """
        if table not in self._parts:
            self._parts[table] = self._writer(table)
        self._parts[table].add(rows, hashes)
        if (key := TABLES[table].key) in rows.column_names:
            self._keys.setdefault(table, []).extend(rows[key].chunks)
        if table == "products":
            sold = pc.equal(rows["status"], Status.SELLABLE.value)
            self._sellable += rows.filter(sold)["product_id"].to_pylist()

    def quarantine(self, table: str, rows: pa.Table) -> None:
        """Take quarantined rows; called with none, it clears the batch's quarantine."""
        if table not in self._quarantined:
            folder = self._folder / "quarantine"
            durable.make_folders(self._disk, folder)
            self._quarantined[table] = Quarantine(self._disk, folder)
        self._quarantined[table].add(rows)

    def accept(self, batch: str, how: Mapping[str, How] = HOW) -> Dataset:
        """Make all of it count at once.

        Args:
            batch: names the delivered interactions, and the quarantine.
        """
        before = load(self._folder) or Dataset()
        how = {**HOW, **how}
        for table in ("customers", "products"):
            if table in self._parts and how[table] == "add" and before.names(table):
                self._keep_others(table, before)
        contents = {table: parts.finish() for table, parts in self._parts.items()}
        batches, files = dict(before.interactions), dict(before.files)
        if "interactions" in contents:
            if len(self._parts["interactions"].parts) > 1:
                self._parts["interactions"].own((contents["interactions"],))
            new = {batch: contents["interactions"]}
            batches = new if how["interactions"] == "replace" else batches | new
            files = self._files(batches, before, contents["interactions"])
        for parts in (*self._parts.values(), *self._rewritten):
            parts.publish()
        for table, rows in self._quarantined.items():
            rows.publish(self._folder / "quarantine" / f"{batch}-{table}.parquet")
        if "products" in contents:
            path = self._folder / "products" / f"{contents['products']}{SELLABLE}"
            durable.replace(self._disk, path, orjson.dumps(sorted(self._sellable)))
        after = Dataset(
            self._names("customers", before), self._names("products", before), batches, files
        )
        if after != before:
            self._swap(self._folder, after)
        else:
            self._disk.sync_folder(self._folder)  # whoever swapped it may have died before this
        return after

    def drop(self) -> None:
        """Best effort: what stays is swept by the next import."""
        for parts in (*self._parts.values(), *self._rewritten):
            parts.drop()
        for rows in self._quarantined.values():
            rows.drop()

    def _keep_others(self, table: str, before: Dataset) -> None:
        """Rows in force stay, unless one with their key was delivered."""
        key = TABLES[table].key
        rows = read_rows(self._folder, table, before.names(table))
        delivered = pc.is_in(rows[key], pa.chunked_array(self._keys[table], pa.string()))
        self.add(table, rows.filter(pc.invert(delivered)))

    def _files(
        self, batches: Mapping[str, str], before: Dataset, content: str
    ) -> dict[str, tuple[str, ...]]:
        """Files of the contents that count now; the delivered ones are left out if theirs did."""
        live = set(batches.values())
        files: dict[str, tuple[str, ...]] = {}
        for name, owners in before.files.items():
            left = tuple(owner for owner in owners if owner in live)
            if left == owners:
                files[name] = owners
            elif left:
                files |= self._without_lost(name, left)
        if any(content in owners for owners in files.values()):
            self._parts.pop("interactions").drop()
            return files
        return files | {part.name: (content,) for part in self._parts["interactions"].parts}

    def _without_lost(self, name: str, left: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """A merged file anew, without the batches that no longer count."""
        rows = read_rows(self._folder, "interactions", [name])
        parts = self._writer("interactions")
        self._rewritten.append(parts)
        parts.add(rows.filter(pc.is_in(rows[OWNER], pa.array(left))))
        parts.finish()
        return {part.name: part.owners for part in parts.parts}

    def _names(self, table: str, before: Dataset) -> tuple[str, ...]:
        if table not in self._parts:
            return before.names(table)
        return tuple(part.name for part in self._parts[table].parts)

    def _writer(self, table: str) -> Parts:
        folder = self._folder / table
        durable.make_folders(self._disk, folder)
        return Parts(self._disk, folder, ORDER[table])
