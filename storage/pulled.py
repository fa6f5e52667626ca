"""What was read from the source and is not taken in yet: one sealed folder a tenant.

It is sealed before it is imported, so that a pull which dies is finished with the very same bytes:
an import counts the same file once, and a second reading would not give the same file.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from storage import durable
from storage.durable import Disk
from storage.marks import Mark

_WAITING, _TRIAL = "waiting", "trial"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Files as read from the source, and the marks that hold once they are taken in.

    Attributes:
        rows: by table; a table without rows has none in ``files``.
        hashes: SHA-256 of each of ``files``.
    """

    folder: Path
    files: Mapping[str, Path]
    rows: Mapping[str, int]
    hashes: Mapping[str, str]
    marks: Mapping[str, Mark]


class Pulled:
    """Deliveries from the source, each tenant's apart."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root, self._disk = root, disk

    @contextmanager
    def locked(self, uid: str) -> Iterator[None]:
        """One pull of a tenant at a time; what an attempt that died was writing is cleared."""
        folder = self._folder(uid)
        durable.make_folders(self._disk, folder)
        with durable.locked(folder):
            durable.sweep(self._disk, folder)
            trial = folder / _TRIAL
            if trial.exists():
                durable.discard(self._disk, trial)
            yield

    def waiting(self, uid: str) -> Delivery | None:
        """What was read whole and not settled.

        Raises:
            Problem: its bytes have changed (``SEALED_BROKEN``).
        """
        folder = self._folder(uid) / _WAITING
        return _opened(folder) if folder.exists() else None

    def seal(
        self,
        uid: str,
        writers: Mapping[str, Callable[[Path], None]],
        marks: Mapping[str, Mark],
        *,
        trial: bool = False,
    ) -> Delivery:
        """Write a delivery, whole or not at all.

        Args:
            writers: by table, what writes its Parquet file.
            trial: only to look at; the next pull clears it away.
        """
        folder = self._folder(uid) / (_TRIAL if trial else _WAITING)
        facts: dict[str, object] = {
            "marks": {
                table: {"client": mark.client, "until": mark.until.isoformat()}
                for table, mark in marks.items()
            }
        }
        files = {f"{table}.parquet": write for table, write in writers.items()}
        durable.sealed(self._disk, folder, facts, files)
        return _opened(folder)

    def settle(self, delivery: Delivery) -> None:
        """Forget a delivery: it was taken in, or refused."""
        durable.discard(self._disk, delivery.folder)

    def _folder(self, uid: str) -> Path:
        return self._root / uid / "source"


def _opened(folder: Path) -> Delivery:
    manifest: dict[str, Any] = durable.unsealed(folder)
    files = {Path(name).stem: folder / name for name in manifest["files"]}
    rows = {table: pq.read_metadata(path).num_rows for table, path in files.items()}
    marks = {
        table: Mark(mark["client"], datetime.fromisoformat(mark["until"]))
        for table, mark in manifest["marks"].items()
    }
    full = {table: files[table] for table in files if rows[table]}
    hashes = {table: manifest["files"][path.name]["sha256"] for table, path in full.items()}
    return Delivery(folder, full, rows, hashes, marks)
