"""The inbox: a folder for each tenant, named as it is, into which people and their tools drop files.

A file counts when its marker (``<file>.done``) was written after it. Who may write into the folder
may also put links and strange things there while we look, so what counts is first moved, by
renames that follow nothing, to where nobody else writes: one by one to ``tenants/<uid>/arriving/``, which
becomes ``arrived`` when all of them are there. Only then they are looked at, and imported
before anything else of the tenant's: whoever dies in between, the next one goes on with it.
"""

import contextlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import orjson

from schema.records import Tenant
from schema.tables import IMPORTED
from storage import durable
from storage.durable import TEMPORARY, Disk
from storage.uploads import Tries

DONE = ".done"
_TABLES = [table.name for table in IMPORTED]
_NAME = re.compile(rf"({'|'.join(_TABLES)})(?![A-Za-z])")
_TOLD = ".json"
"""How the names of reports end, which lie beside what was refused."""
_REPORT = f"{TEMPORARY}report"


@dataclass(frozen=True, slots=True)
class Late:
    """A file in an inbox whose marker does not come."""

    name: str
    changed_at: float  # seconds since 1970, by the clock of the disk


class Inboxes:
    """Every tenant's inbox, under one home."""

    def __init__(self, home: Path, disk: Disk) -> None:
        self._home, self._disk = home, disk

    def folder(self, tenant: Tenant) -> Path:
        """Where the tenant's files are dropped; made at the first call."""
        folder = self._home / "inbox" / tenant.tenant
        durable.make_folders(self._disk, folder)
        return folder

    def waiting(self, tenant: Tenant) -> bool:
        """Whether there is anything to import; costs a look into two folders."""
        ours = (self._arriving(tenant), self._arrived(tenant))
        return bool(self._marked(tenant)) or any(map(_names, ours))

    def arrived(self, tenant: Tenant) -> list[dict[str, Path]]:
        """What was moved and is not settled: deliveries, each with a file at most of a table.

        Of several files of a table the first by name belongs to the first delivery.
        """
        folder = self._arrived(tenant)
        names = _names(folder)
        by_table = [
            [folder / name for name in names if table_of(name) == table] for table in _TABLES
        ]
        return [
            {table: path for table, path in zip(_TABLES, row, strict=True) if path}
            for row in zip_longest(*by_table)
        ]

    def strange(self, tenant: Tenant) -> list[Path]:
        """What was moved and is no table's file: another name, or not a file at all."""
        folder = self._arrived(tenant)
        names = _names(folder)
        return [
            folder / name
            for name in names
            if table_of(name) is None or not stat.S_ISREG((folder / name).lstat().st_mode)
        ]

    def bring(self, tenant: Tenant) -> None:
        """Move what counts out of the inbox, unless something that arrived before still waits.

        The marker goes last: without it, nobody would know that a file left behind was whole. One that
        is left behind itself says nothing about a later file of that name, for it is older.
        """
        inbox, arriving, arrived = (
            self.folder(tenant),
            self._arriving(tenant),
            self._arrived(tenant),
        )
        if _names(arrived):
            return
        durable.make_folders(self._disk, arriving)
        moved = []
        for name in self._marked(tenant):
            if not os.path.lexists(arriving / name):
                with contextlib.suppress(FileNotFoundError):  # taken back at this moment
                    self._disk.rename(inbox / name, arriving / name)
                    moved.append(name)
        self._disk.sync_folder(arriving)
        for name in moved:
            with contextlib.suppress(FileNotFoundError):
                self._disk.remove_file(inbox / (name + DONE))
        self._disk.sync_folder(inbox)
        if arrived.is_dir():
            durable.sweep(self._disk, arrived)
        self._disk.rename(arriving, arrived)  # which is empty, or not there
        self._disk.sync_folder(arrived.parent)

    def tries(self, tenant: Tenant) -> Tries:
        """How often an import of what arrived had begun before."""
        return Tries(self._disk, self._arrived(tenant))

    def settle(
        self,
        tenant: Tenant,
        files: Sequence[Path],
        into: Literal["taken", "refused"],
        at: datetime,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        """Give files that arrived back to whoever dropped them.

        Args:
            told: a report, put beside each of them.
        """
        arrived, prefix = self._arrived(tenant), f"{at:%Y%m%dT%H%M%SZ}-"
        place = self.folder(tenant) / into
        with durable.real_folder(self._disk, place) as folder:
            for path in files:
                if told is not None:
                    durable.replace(self._disk, arrived / _REPORT, _pretty(told))
                    self._disk.hand_over(
                        arrived / _REPORT, folder, _fitting(prefix, path.name, _TOLD)
                    )
                self._disk.hand_over(path, folder, _fitting(prefix, path.name))
        self._disk.sync_folder(place)
        self._disk.sync_folder(arrived)

    def late(self, tenant: Tenant, before: datetime) -> list[Late]:
        """Files without a marker that have not changed since a moment, and were not told of yet."""
        inbox = self._home / "inbox" / tenant.tenant
        found = []
        for name in _names(inbox):
            if name.endswith(DONE):
                continue
            file = _seen(inbox / name)
            if file is None or not stat.S_ISREG(file.st_mode) or not table_of(name):
                continue
            changed = max(file.st_mtime, file.st_ctime)
            told = _seen(inbox / "refused" / _fitting(name, _TOLD))
            unknown = told is None or told.st_mtime < changed
            if changed < before.timestamp() and unknown and not _settled(inbox / name):
                found.append(Late(name, changed))
        return found

    def tell(self, tenant: Tenant, name: str, told: Mapping[str, Any]) -> None:
        """Put a report about a file that stays in the inbox where reports lie."""
        arrived = self._arrived(tenant)
        durable.make_folders(self._disk, arrived)
        durable.replace(self._disk, arrived / _REPORT, _pretty(told))
        with durable.real_folder(self._disk, self.folder(tenant) / "refused") as folder:
            self._disk.hand_over(arrived / _REPORT, folder, _fitting(name, _TOLD))

    def sweep(self, tenant: Tenant, before: datetime) -> None:
        """Remove what was settled before a moment, and what an interrupted write left."""
        if self._arrived(tenant).is_dir():
            durable.sweep(self._disk, self._arrived(tenant))
        inbox = self._home / "inbox" / tenant.tenant
        for into in ("taken", "refused"):
            if not (inbox / into).is_dir():
                continue
            with durable.real_folder(self._disk, inbox / into) as folder:
                for name in os.listdir(folder):
                    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if found.st_ctime < before.timestamp() and not stat.S_ISDIR(found.st_mode):
                        self._disk.remove_from(folder, name)

    def _marked(self, tenant: Tenant) -> list[str]:
        inbox = self._home / "inbox" / tenant.tenant
        names = (name.removesuffix(DONE) for name in _names(inbox) if name.endswith(DONE))
        return [name for name in names if _settled(inbox / name)]

    def _arriving(self, tenant: Tenant) -> Path:
        return self._home / "tenants" / tenant.uid / "arriving"

    def _arrived(self, tenant: Tenant) -> Path:
        return self._home / "tenants" / tenant.uid / "arrived"


def table_of(name: str) -> str | None:
    """The table a file's name begins with; None where it is none."""
    found = _NAME.match(name)
    return found[1] if found else None


def _names(folder: Path) -> list[str]:
    """What lies there, in order; not what is hidden."""
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(name for name in names if name[0] != ".")


def _fitting(*parts: str) -> str:
    """A name made of parts, the first of them cut where the disk would not take it all."""
    return os.fsdecode(os.fsencode("".join(parts))[-250:])


def _settled(path: Path) -> bool:
    """Whether a marker was written after the file; a folder never counts.

    Times of change are the disk's own and cannot be set. The file's is the older of two: who mends its
    rights afterwards, or keeps the time it had elsewhere, does not unsettle it.
    """
    file, marker = _seen(path), _seen(path.with_name(path.name + DONE))
    if file is None or marker is None or stat.S_ISDIR(file.st_mode):
        return False
    return min(file.st_mtime_ns, file.st_ctime_ns) <= marker.st_ctime_ns


def _seen(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _pretty(told: Mapping[str, Any]) -> bytes:
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
