"""Accepted data of every tenant.

An import writes new files beside the old ones and then swaps ``DATASET.json`` by rename: readers
see all of an import or none of it, and who holds the old one finds its files for a while yet. A
batch of interactions is named by the delivered file's hash: the same file counts once, and
delivered again after its customers, products or mapping were mended it takes the place of its first
delivery. Batches of equal content count once too, in whatever file or order their rows came.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schema.rowhash import joined
from schema.tables import HOW, IMPORTED, How
from storage import durable
from storage.dataset import (
    DATASET,
    Dataset,
    broken,
    load,
    missing,
    parsed,
    read_rows,
    shared_in,
    spelled,
)
from storage.durable import Disk
from storage.erased import Marks
from storage.forgotten import forget
from storage.objects import AT_HOME, Objects, news, succeed
from storage.parts import FILE_ROWS, OWNER, Parts, Quarantine
from storage.staged import ORDER, SELLABLE, Staged

_RETIRED = "RETIRED.json"
_MENDED = ".mended.json"
"""Beside the rows of a delivery that did not fit: which of its lines came again, mended."""
_MERGE_BELOW = FILE_ROWS // 4
"""Files of fewer rows are merged, …"""
_MERGE_FROM = 4
"""… once there are so many."""


class Datasets:
    """Accepted data of every tenant under one root."""

    def __init__(self, root: Path, disk: Disk, objects: Objects = AT_HOME) -> None:
        self._root, self._disk, self._objects = root, disk, objects

    def of(self, uid: str) -> Dataset | None:
        """What counts now; None before the first import."""
        if self._objects.asks:
            self.pull(uid)
        return load(self._folder(uid))

    def pull(self, uid: str) -> None:
        """Bring this home's copy of what counts up to what every machine goes by, and let go of
        copies of files that were removed: they may hold somebody who was erased.
        """
        folder = self._folder(uid)
        known = _body(folder)
        body = news(self._objects, uid, DATASET, known)
        if body is None:
            return
        dataset = parsed(body)
        self._bring(folder, [_sellable(dataset)], shared_in(body))  # before: servers read it alone
        durable.make_folders(self._disk, folder)
        durable.replace(self._disk, folder / DATASET, body)
        lock = durable.claim(folder)
        if (
            lock is not None
        ):  # else an import writes here just now, and the next one lets go of them
            try:
                kept = self._objects.files(uid, "data")
                for name in _files(folder) - {*kept, *_needed(dataset)}:
                    self._disk.remove_file(folder / name)
            finally:
                durable.release(lock)

    @contextmanager
    def staged(self, uid: str) -> Iterator[Staged]:
        """A delivery under way; one a tenant at a time, others wait."""
        with self._alone(uid) as folder:
            delivery = Staged(self._disk, folder, self._swap)
            try:
                yield delivery
            except Exception:
                delivery.drop()
                raise
            delivery.drop()

    def accept(
        self,
        uid: str,
        accepted: Mapping[str, pa.Table],
        quarantined: Mapping[str, pa.Table],
        batch: str,
        how: Mapping[str, How] = HOW,
    ) -> Dataset:
        """Take checked tables over that are there in one piece, all of them or none."""
        with self.staged(uid) as delivery:
            for table, rows in accepted.items():
                delivery.add(table, rows)
            for table, rows in quarantined.items():
                delivery.quarantine(table, rows)
            return delivery.accept(batch, how)

    def required(self, uid: str) -> Dataset:
        """What counts now.

        Raises:
            Refused: nothing was ever accepted (``DATA_MISSING``).
        """
        dataset = self.of(uid)
        if dataset is None:
            raise missing("interactions")
        return dataset

    def weight(self, uid: str) -> int:
        """Bytes of the accepted interactions on disk, those that no longer count with them: a guess
        at what a first night will cost.
        """
        files = (self._folder(uid) / "interactions").glob("*.parquet")
        return sum(file.stat().st_size for file in files)

    def stamp(self, uid: str) -> tuple[int, int, int] | None:
        """Changes whenever the accepted data do; costs one system call."""
        return durable.stamp(self._folder(uid) / DATASET)

    def sellable(self, uid: str) -> frozenset[str] | None:
        """Product ids that can be sold now; None before the first import of products."""
        dataset = load(self._folder(uid))
        if dataset is None or not dataset.products:
            return None
        try:
            return frozenset(orjson.loads((self._folder(uid) / _sellable(dataset)).read_bytes()))
        except (OSError, ValueError) as error:
            raise broken("products", error) from error

    def files(self, uid: str, table: str, dataset: Dataset | None = None) -> list[Path]:
        """The Parquet files that hold the accepted rows of one table, each row once.

        Args:
            dataset: which version; None takes what counts now.

        Raises:
            Refused: nothing of this table was ever accepted (``DATA_MISSING``).
        """
        dataset = dataset or self.of(uid) or Dataset()
        names = dataset.names(table)
        if not names:
            raise missing(table)
        self._bring_of(uid, table, names)
        return [self._folder(uid) / table / f"{name}.parquet" for name in names]

    def read(
        self,
        uid: str,
        table: str,
        dataset: Dataset | None = None,
        columns: list[str] | None = None,
    ) -> pa.Table:
        """Accepted rows of one table, files joined.

        Args:
            dataset: which version; None takes what counts now.
            columns: None takes all.

        Raises:
            Problem: nothing of this table was ever accepted (``DATA_MISSING``), or it is damaged.
        """
        dataset = dataset or self.of(uid) or Dataset()
        self._bring_of(uid, table, dataset.names(table))
        rows = read_rows(self._folder(uid), table, dataset.names(table), columns)
        return rows.drop_columns([OWNER]) if OWNER in rows.column_names else rows

    def quarantine(self, uid: str, batch: str) -> dict[str, Path]:
        """Files of a delivery's rows that did not fit and nobody has mended yet, by table.

        Args:
            batch: one that the ledger knows: it becomes part of a path.
        """
        folder = self._folder(uid) / "quarantine"
        files = {table.name: folder / f"{batch}-{table.name}.parquet" for table in IMPORTED}
        return {table: path for table, path in files.items() if path.exists()}

    def mended(self, uid: str, batch: str, table: str, lines: pa.Array) -> None:
        """Take rows out of quarantine: they came again, mended; again changes nothing."""
        with durable.locked(self._folder(uid)):
            path = self.quarantine(uid, batch).get(table)
            if path is not None:
                came = pa.concat_arrays([self.mended_lines(uid, batch, table), lines])
                body = orjson.dumps(sorted(pc.unique(came).to_pylist()))
                durable.replace(self._disk, path.with_suffix(_MENDED), body)
                kept = pq.read_table(path)
                stays = Quarantine(self._disk, path.parent)
                stays.add(kept.filter(pc.invert(pc.is_in(kept["_line"], lines))))
                stays.publish(path)

    def mended_lines(self, uid: str, batch: str, table: str) -> pa.Array:
        """Lines of a delivery that came again, mended: delivered again it must not bring them back."""
        path = self._folder(uid) / "quarantine" / f"{batch}-{table}{_MENDED}"
        return pa.array(orjson.loads(path.read_bytes()) if path.exists() else [], pa.int64())

    def forget(self, uid: str, marks: Marks, *, remove: bool) -> dict[str, Counter[str]]:
        """Take erased customers out of everything that was ever accepted or quarantined.

        Args:
            remove: False only counts.

        Returns:
            By table, and for the quarantine, how many rows of each mark there are.
        """
        if not self._folder(uid).is_dir():
            return {}
        with self._alone(uid) as folder:
            self._bring(folder, self._objects.files(uid, "data"), shared_in(_body(folder)))
            found = forget(self._disk, folder, marks, self._swap, remove=remove)
            for name in {*self._objects.files(uid, "data")} - _files(folder):
                self._objects.remove(uid, f"data/{name}")
        return found

    def knows(self, uid: str, customer: str) -> bool:
        """Whether the accepted customers hold this one."""
        dataset = self.of(uid)
        if dataset is None or not dataset.customers:
            return False
        ids = self.read(uid, "customers", dataset, ["customer_id"])["customer_id"]
        return bool(pc.any(pc.equal(ids, customer)).as_py())

    def compact(self, uid: str) -> int:
        """Merge small files of interactions; what counts, and the fingerprint, stay as they are.

        Returns:
            How many files were merged; 0 where it is not worth it.
        """
        with self._alone(uid) as folder:
            before = load(folder) or Dataset()
            small = [name for name in before.files if self._rows(folder, name) < _MERGE_BELOW]
            if len(small) < _MERGE_FROM:
                return 0
            parts = Parts(self._disk, folder / "interactions", ORDER["interactions"])
            try:
                for name in small:
                    rows = read_rows(folder, "interactions", [name])
                    parts.add(_owned(rows, before.files[name]))
                parts.finish()
                parts.publish()
            except Exception:
                parts.drop()
                raise
            files = {name: own for name, own in before.files.items() if name not in small}
            files |= {part.name: part.owners for part in parts.parts}
            after = Dataset(before.customers, before.products, before.interactions, files)
            self._swap(folder, after)
        return len(small)

    def clear(self, uid: str, now: datetime, grace: timedelta) -> list[str]:
        """Remove files that no longer count, once two calls at least ``grace`` apart found so.

        Until then somebody who read the old DATASET may still open them.

        Returns:
            What was removed, by its place in the folder.
        """
        with self._alone(uid) as folder, self._objects.alone(uid):
            self.pull(uid)
            dataset = load(folder) or Dataset()
            path = folder / _RETIRED
            before = orjson.loads(path.read_bytes()) if path.exists() else {}
            here, shared = _files(folder), self._objects.files(uid, "data")
            lost = sorted({*here, *shared} - _needed(dataset))
            since = {
                name: datetime.fromisoformat(before.get(name, now.isoformat())) for name in lost
            }
            gone = [name for name in lost if now - since[name] >= grace]
            for name in gone:
                if name in shared:
                    self._objects.remove(uid, f"data/{name}")
                if name in here:
                    self._disk.remove_file(folder / name)
            told = {name: since[name].isoformat() for name in lost if name not in gone}
            if told != before:
                durable.replace(self._disk, path, orjson.dumps(told))
        return gone

    @contextmanager
    def _alone(self, uid: str) -> Iterator[Path]:
        """A tenant's folder while nobody else writes there, without what others left half done."""
        folder = self._folder(uid)
        durable.make_folders(self._disk, folder)
        with durable.locked(folder):
            for place in (
                folder,
                *(folder / table.name for table in IMPORTED),
                folder / "quarantine",
            ):
                durable.sweep(self._disk, place)
            self.pull(uid)
            body = _body(folder)
            if body is not None and not shared_in(body) and self._objects is not AT_HOME:
                self._swap(folder, parsed(body))  # a home that was alone until now
            shared = shared_in(_body(folder))
            self._bring(folder, shared, shared)
            yield folder

    def _swap(self, folder: Path, dataset: Dataset) -> None:
        """From here on this is what counts, on every machine: its files first.

        Raises:
            Problem: another machine accepted data for the tenant meanwhile (``OBJECTS_MOVED``).
        """
        uid, before = folder.parent.name, _body(folder)
        known, shared = shared_in(before), {}
        with self._objects.alone(uid):
            for name in sorted(_needed(dataset)) if self._objects is not AT_HOME else ():
                if name in known:
                    shared[name] = known[name]
                elif (folder / name).exists():
                    self._objects.put(uid, f"data/{name}", folder / name)
                    shared[name] = durable.described(folder / name)
            body = spelled(dataset, shared)
            succeed(self._objects, uid, DATASET, before, body)
        durable.replace(self._disk, folder / DATASET, body)

    def _bring_of(self, uid: str, table: str, names: Sequence[str]) -> None:
        folder = self._folder(uid)
        wanted = [f"{table}/{name}.parquet" for name in names]
        if not all((folder / name).exists() for name in wanted):
            self._bring(folder, wanted, shared_in(_body(folder)))

    def _bring(self, folder: Path, names: Iterable[str], shared: Mapping[str, Any]) -> None:
        """Fetch files that are missing here, each under its name once its bytes were checked."""
        for name in names:
            path = folder / name
            if path.exists() or self._objects is AT_HOME:
                continue
            durable.make_folders(self._disk, path.parent)

            def fetched(place: Path, name: str = name) -> None:
                self._objects.get(folder.parent.name, f"data/{name}", place)
                if name in shared and durable.described(place) != shared[name]:
                    raise broken(name.split("/")[0], OSError(f"{name} changed on the way"))

            durable.replace_by(self._disk, path, fetched)

    def _rows(self, folder: Path, name: str) -> int:
        try:
            return int(pq.read_metadata(folder / "interactions" / f"{name}.parquet").num_rows)
        except (pa.ArrowException, OSError) as error:
            raise broken("interactions", error) from error

    def _folder(self, uid: str) -> Path:
        return self._root / uid / "data"


def _body(folder: Path) -> bytes | None:
    """What DATASET.json says, as it is."""
    path = folder / DATASET
    return path.read_bytes() if path.exists() else None


def _sellable(dataset: Dataset) -> str:
    names = dataset.products
    return f"products/{names[0] if len(names) == 1 else joined(names)}{SELLABLE}"


def _owned(rows: pa.Table, owners: tuple[str, ...]) -> pa.Table:
    """Rows that say whose they are; of a file that was never merged, all are of one."""
    if OWNER in rows.column_names:
        return rows
    return rows.append_column(OWNER, pa.array([owners[0]] * len(rows), pa.string()))


def _needed(dataset: Dataset) -> set[str]:
    files = {f"{t.name}/{name}.parquet" for t in IMPORTED for name in dataset.names(t.name)}
    return files | {_sellable(dataset)}


def _files(folder: Path) -> set[str]:
    return {f"{t.name}/{path.name}" for t in IMPORTED for path in (folder / t.name).glob("*")}
