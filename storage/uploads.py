"""Uploads: what came over HTTP, kept whole until its import is settled.

A folder each, under ``tenants/<uid>/uploads/``. It is filled under another name and takes its own
by one rename, when every byte is durable: from then on it will be imported, whoever dies. Its name
is made of its content, so the same bytes sent again find it. When the import is settled the outcome
takes the file's place, and answers whoever sends the same again while nothing has changed.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from schema.records import Tenant
from schema.tables import How
from storage import durable
from storage.durable import STAGE, Disk

SUFFIXES = (".csv", ".jsonl", ".parquet", ".gz", ".zst")
"""How the names of uploaded files end."""

TRIES = ".tries"
"""Holds how often an import was begun that came to no end."""

_TICKET, _OUTCOME = "TICKET.json", "OUTCOME.json"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an upload is, and who sent it.

    Attributes:
        file: its name, which says table, form and compression.
        by: the actor, for the audit trail.
        how: add or replace; None: as the table has it.
    """

    table: str
    file: str
    sha256: str
    by: str
    how: How | None
    dry_run: bool
    at: datetime

    @property
    def upload(self) -> str:
        """Its name on disk: the same bytes, meant in the same way, have the same."""
        meant = f"{self.sha256} {self.file} {self.how} {self.dry_run}"
        return hashlib.sha256(meant.encode()).hexdigest()[:32]


class Incoming:
    """An upload on its way in. Whoever has begun it drops it in the end, kept or not."""

    def __init__(self, disk: Disk, path: Path, claim: int) -> None:
        self._disk, self._path = disk, path
        self._claim: int | None = claim
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Add to the file; durable when this returns."""
        self._disk.append(self._path, data)
        self._hash.update(data)
        self.bytes += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def keep(self, ticket: Ticket) -> None:
        """Have it imported; harmless where the same upload waits already."""
        stage = self._path.parent
        self._disk.create(stage / _TICKET, orjson.dumps(asdict(ticket)))
        self._disk.sync_folder(stage)
        goal = stage.with_name(ticket.upload)
        if (goal / _OUTCOME).exists():
            _remove(self._disk, goal)
        try:
            self._disk.rename(stage, goal)
        except OSError:
            if not goal.is_dir():  # or else it waits already
                raise
        self._disk.sync_folder(goal.parent)

    def drop(self) -> None:
        """Leave nothing of what was not kept, and let go of it."""
        with contextlib.suppress(FileNotFoundError):
            _remove(self._disk, self._path.parent)
        if self._claim is not None:
            durable.release(self._claim)
            self._claim = None


class Uploads:
    """Every tenant's uploads, under one root."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root, self._disk = root, disk

    def begin(self, uid: str, file: str) -> Incoming:
        """An empty upload; ours as long as this process lives."""
        while True:
            stage = self._folder(uid) / f"{STAGE}{secrets.token_hex(8)}"
            durable.make_folders(self._disk, stage)
            with contextlib.suppress(FileNotFoundError):  # somebody swept it before it was ours
                self._disk.create(stage / file, b"", 0o600)
                claim = durable.claim(stage / file, wait=True)
                if claim is not None:
                    return Incoming(self._disk, stage / file, claim)

    def waiting(self, uid: str) -> list[tuple[Ticket, Path]]:
        """Whole uploads that are not settled, and their files, in the order they came."""
        found = [
            _ticket(folder)
            for folder in self._folders(uid)
            if not folder.name.startswith(STAGE)
            and (folder / _TICKET).exists()
            and not (folder / _OUTCOME).exists()
        ]
        found.sort(key=lambda ticket: ticket.at)
        return [(ticket, self._folder(uid) / ticket.upload / ticket.file) for ticket in found]

    def room(self, uid: str) -> tuple[int, int]:
        """Uploads that wait or are on their way in, and their bytes; costs a look at each."""
        sizes = [
            found[2]
            for folder in self._folders(uid)
            for path in _files(folder)
            if path.suffix in SUFFIXES and (found := durable.stamp(path))
        ]
        return len(sizes), sum(sizes)

    @contextlib.contextmanager
    def alone(self, uid: str) -> Iterator[None]:
        """While this lasts nobody else imports anything for the tenant; waits for its turn."""
        durable.make_folders(self._disk, self._folder(uid))
        with durable.locked(self._folder(uid)):
            yield

    def tries(self, uid: str, ticket: Ticket) -> "Tries":
        """How often its import had begun before."""
        return Tries(self._disk, self._folder(uid) / ticket.upload)

    def settle(self, uid: str, ticket: Ticket, outcome: Mapping[str, Any]) -> None:
        """Keep what became of it, then let its file go; done twice it is harmless."""
        folder = self._folder(uid) / ticket.upload
        durable.replace(self._disk, folder / _OUTCOME, orjson.dumps(outcome))
        if (folder / ticket.file).exists():
            self._disk.remove_file(folder / ticket.file)

    def outcome(self, uid: str, upload: str) -> dict[str, Any] | None:
        """What became of an upload; None while it waits, or where there is none."""
        try:
            found: dict[str, Any] = orjson.loads(
                (self._folder(uid) / upload / _OUTCOME).read_bytes()
            )
        except FileNotFoundError:
            return None
        return found

    def sweep(self, uid: str, before: datetime) -> None:
        """Clear what dead processes left half-written, and outcomes older than a moment."""
        for folder in self._folders(uid):
            if folder.name.startswith(STAGE):
                self._sweep_stage(folder)
            elif (folder / _OUTCOME).exists():
                if (folder / _OUTCOME).stat().st_mtime < before.timestamp():
                    _remove(self._disk, folder)
                else:
                    durable.sweep(self._disk, folder)

    def _sweep_stage(self, stage: Path) -> None:
        claims = [durable.claim(path) for path in _files(stage)]
        if None not in claims:
            with contextlib.suppress(OSError):  # it is just being begun or ended
                _remove(self._disk, stage)
        for claim in claims:
            if claim is not None:
                durable.release(claim)

    def _folders(self, uid: str) -> list[Path]:
        folder = self._folder(uid)
        return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []

    def _folder(self, uid: str) -> Path:
        return self._root / uid / "uploads"


def as_of(tenant: Tenant, stamp: tuple[int, int, int] | None, erased: Collection[str]) -> str:
    """What an outcome depends on beside the file: equal means that it still holds.

    Args:
        stamp: of the accepted data (``Datasets.stamp``).
        erased: marks of customers who are left out.
    """
    return hashlib.sha256(f"{tenant} {stamp} {sorted(erased)}".encode()).hexdigest()


class Tries:
    """Counts the imports of something that came to no end: some may kill every process that tries."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk, self._path = disk, folder / TRIES
        self.before = int(self._path.read_bytes()) if self._path.exists() else 0

    def begin(self) -> None:
        durable.replace(self._disk, self._path, b"%d" % (self.before + 1))

    def end(self) -> None:
        """It came to an end, whatever that was."""
        if self._path.exists():
            self._disk.remove_file(self._path)


def _ticket(folder: Path) -> Ticket:
    told = orjson.loads((folder / _TICKET).read_bytes())
    return Ticket(**{**told, "at": datetime.fromisoformat(told["at"])})


def _files(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):  # gone since we looked
        yield from list(folder.iterdir())


def _remove(disk: Disk, folder: Path) -> None:
    """The outcome goes last: without it, a half-removed upload would wait for its import."""
    for path in sorted(_files(folder), key=lambda path: path.name == _OUTCOME):
        disk.remove_file(path)
    disk.remove_folder(folder)
