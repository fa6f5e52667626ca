"""Erased customers leave a tenant's accepted and quarantined rows."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.dataset import Dataset, Swap, load, read_rows
from storage.durable import Disk
from storage.erased import Marks
from storage.parts import OWNER, Part, Parts, Quarantine
from storage.staged import ORDER

_HOLDING = ("customers", "interactions")
"""Tables whose rows are about a customer."""


def forget(
    disk: Disk, folder: Path, marks: Marks, swap: Swap, *, remove: bool
) -> dict[str, Counter[str]]:
    """As ``Datasets.forget``, for whoever holds the lock of the tenant's data.

    Files that hold them are written again without their rows, and ``DATASET.json`` is swapped
    once; then their old versions are removed, also those that count no more. Whoever just reads
    these has to read again. A batch keeps its name: delivered again it takes its own place.
    """
    found = {name: Counter[str]() for name in (*_HOLDING, "quarantine")}
    holding: dict[str, list[Path]] = {name: [] for name in _HOLDING}
    for table in _HOLDING:
        for path in sorted((folder / table).glob("*.parquet")):
            ids = _counted(path)
            if gone := marks.among(ids):
                holding[table].append(path)
                found[table] += Counter({gone[name]: ids[name] for name in gone})
    if remove:
        before = load(folder)
        if before is not None:
            stems = {table: {path.stem for path in paths} for table, paths in holding.items()}
            after = _without(disk, folder, before, stems, marks)
            if after != before:
                swap(folder, after)
        for path in (*holding["customers"], *holding["interactions"]):
            if path.exists():
                disk.remove_file(path)
                disk.sync_folder(path.parent)
    for path in sorted((folder / "quarantine").glob("*.parquet")):
        rows = pq.read_table(path)
        hits, stays = _unnamed(rows, marks)
        found["quarantine"] += hits
        if remove and len(stays) < len(rows):
            kept = Quarantine(disk, path.parent)
            kept.add(stays)
            kept.publish(path)
    return found


def _without(
    disk: Disk, folder: Path, before: Dataset, holding: Mapping[str, Collection[str]], marks: Marks
) -> Dataset:
    customers: list[str] = []
    for name in before.customers:
        if name in holding["customers"]:
            rest = marks.without(read_rows(folder, "customers", [name]))
            customers += [part.name for part in _written(disk, folder, "customers", rest)]
        else:
            customers.append(name)
    # Another content under another name: so a night sees a change, and the batch can come back whole.
    renamed = {
        owner: _anew(owner, marks)
        for name, owners in before.files.items()
        if name in holding["interactions"]
        for owner in owners
    }
    files: dict[str, tuple[str, ...]] = {}
    for name, owners in before.files.items():
        now = tuple(renamed.get(owner, owner) for owner in owners)
        if now == owners:
            files[name] = owners
            continue
        rest = marks.without(read_rows(folder, "interactions", [name]))
        if len(rest):
            parts = _written(disk, folder, "interactions", _owned(rest, renamed), now)
            files |= {part.name: part.owners for part in parts}
    return replace(
        before,
        customers=tuple(customers),
        interactions={b: renamed.get(c, c) for b, c in before.interactions.items()},
        files=files,
    )


def _written(
    disk: Disk, folder: Path, table: str, rows: pa.Table, owners: tuple[str, ...] = ()
) -> list[Part]:
    parts = Parts(disk, folder / table, ORDER[table])
    try:
        parts.add(rows)
        parts.finish()
        parts.own(owners)
        parts.publish()
    except Exception:
        parts.drop()
        raise
    return parts.parts


def _owned(rows: pa.Table, renamed: Mapping[str, str]) -> pa.Table:
    """A merged file's rows under the new names of their batches."""
    if OWNER not in rows.column_names:
        return rows
    owners = rows[OWNER].cast(pa.string()).to_pylist()
    at = rows.column_names.index(OWNER)
    return rows.set_column(at, OWNER, pa.array([renamed.get(own, own) for own in owners]))


def _anew(content: str, marks: Marks) -> str:
    told = " ".join((content, *sorted(marks.marks)))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _counted(path: Path) -> dict[str, int]:
    """How many rows each customer has in a file."""
    ids = pq.read_table(path, columns=["customer_id"])["customer_id"].cast(pa.string())
    return {each["values"]: each["counts"] for each in pc.value_counts(ids).to_pylist()}


def _unnamed(rows: pa.Table, marks: Marks) -> tuple[Counter[str], pa.Table]:
    """Quarantined rows that name nobody of the erased in any column, and how many did by mark.

    Columns are the client's own, whatever they are called; a line that was no row may name anybody.
    """
    named = pa.array([False] * len(rows))
    found = Counter[str]()
    for column in (name for name in rows.column_names if name not in ("_line", "_code")):
        text = rows[column].cast(pa.string())
        here = pc.is_valid(text) if column == "_text" else marks.mask(text)
        for value in text.filter(pc.and_not(here, named)).to_pylist():
            found += marks.named(value)
        named = pc.or_(named, here)
    return found, rows.filter(pc.invert(named))
