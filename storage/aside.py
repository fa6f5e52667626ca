"""Deliveries that wait for a person: the files as they came, apart from the data."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from schema.errors import Problem, Refused
from storage import durable
from storage.durable import MANIFEST, Disk


class Aside:
    """Sealed folders, one a delivery, under each tenant's data."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root, self._disk = root, disk

    def keep(self, uid: str, files: Mapping[str, Path], hashes: Mapping[str, str]) -> None:
        """Copy delivered files; again changes nothing.

        Args:
            files: by table.
            hashes: SHA-256, hex, of what was checked.

        Raises:
            Refused: a file has changed since it was checked (``DATA_NOT_SETTLED``).
        """
        folder = self._folder(uid, hashes)
        durable.make_folders(self._disk, folder.parent)
        names = {table: f"{table}{_ending(path)}" for table, path in files.items()}
        writers = {names[table]: durable.copy_of(path) for table, path in files.items()}
        durable.sealed(self._disk, folder, {"tables": names}, writers)
        found = durable.unsealed(folder)["files"]
        assert isinstance(found, dict)
        if any(found[names[table]]["sha256"] != hashes[table] for table in files):
            durable.discard(self._disk, folder)
            raise Refused(
                "a file changed while it was read",
                "deliver it again when it is written to its end",
                code="DATA_NOT_SETTLED",
            )

    def files(self, uid: str, hashes: Mapping[str, str]) -> dict[str, Path]:
        """The files of a delivery, by table, every byte checked.

        Raises:
            Problem: they are gone or damaged (``SEALED_BROKEN``).
        """
        folder = self._folder(uid, hashes)
        try:
            tables = durable.unsealed(folder)["tables"]
        except Problem as problem:  # or they held a customer who was erased
            raise Problem(
                "the files of this delivery are gone or damaged",
                "discard it, and deliver them again",
                code="SEALED_BROKEN",
            ) from problem
        assert isinstance(tables, dict)
        return {table: folder / name for table, name in tables.items()}

    def remove(self, uid: str, hashes: Mapping[str, str]) -> None:
        """Remove a delivery's files; again changes nothing."""
        folder = self._folder(uid, hashes)
        if folder.exists():
            durable.discard(self._disk, folder)

    def sweep(self, uid: str, waiting: list[Mapping[str, str]]) -> None:
        """Clear what an import that died left behind: all but the files of what waits."""
        parent = self._root / uid / "data" / "aside"
        durable.sweep(self._disk, parent)
        stays = {self._folder(uid, hashes) for hashes in waiting}
        for folder in parent.glob(f"*/{MANIFEST}"):
            if folder.parent not in stays:
                durable.discard(self._disk, folder.parent)

    @contextmanager
    def settling(self, uid: str, *, wait: bool = False) -> Iterator[None]:
        """While a delivery is put here, or a person's word on one carried out: one at a time.

        Raises:
            Problem: another one is, and it is not to be waited for (``HOLD_BUSY``).
        """
        parent = self._root / uid / "data" / "aside"
        durable.make_folders(self._disk, parent)
        lock = durable.claim(parent, wait=wait)
        if lock is None:
            raise Problem(
                "a held delivery is being settled at this moment", "try again later", "HOLD_BUSY"
            )
        try:
            yield
        finally:
            durable.release(lock)

    def _folder(self, uid: str, hashes: Mapping[str, str]) -> Path:
        together = "\n".join(f"{table} {hashes[table]}" for table in sorted(hashes))
        name = hashlib.sha256(together.encode()).hexdigest()[:20]
        return self._root / uid / "data" / "aside" / name


def _ending(path: Path) -> str:
    """What a reader goes by, and nothing else of the sender's name."""
    endings = "".join(path.suffixes[-2:]).lower()
    return endings if endings.replace(".", "").isalnum() and len(endings) < 32 else ""
