"""Feedback that the ledger could not take: on this machine's disk until it can.

A folder of files, each added to by one process, which holds a lock on it as long as it lives. A
record is its length, its number of events and their CRC32, then JSON: a tenant and its events. It
is acknowledged after the fsync. Writing never goes on in a file after an error, and never in
another process's file: so what is torn can only be the end of a file, and nobody was told of it.

Files are removed when everything in them was delivered; that may happen twice, so whoever takes
delivery has to know events by their ids.
"""

import logging
import secrets
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from schema.errors import Problem
from schema.names import TenantId
from storage import durable
from storage.database import LedgerAway
from storage.durable import Disk

log = logging.getLogger("recfactory.spool")

Event = dict[str, Any]
Take = Callable[[TenantId, list[Event]], object]

PAGE = 4 * 2**20
"""Bytes after which a new file is begun: delivery holds one in memory."""

BATCH = 1000
"""Events delivered in one transaction."""

_HEAD = struct.Struct("<III")
_SPOOL, _STUCK = ".spool", ".stuck"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What lies in the spool, of all processes; stuck is what the ledger refused for good."""

    bytes: int = 0
    events: int = 0
    stuck: int = 0


class Spool:
    """One process's way to the spool. tests/storage/test_spool.py is the whole promise."""

    def __init__(self, folder: Path, disk: Disk, most_bytes: int) -> None:
        self._folder, self._disk, self._most = folder, disk, most_bytes
        self._queue: deque[tuple[bytes, Future[None]]] = deque()
        self._writing, self._delivering = threading.Lock(), threading.Lock()
        self._page: Path | None = None
        self._mine: dict[Path, int] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing waits that this process has to deliver."""
        return not self._mine

    def append(self, tenant: TenantId, events: list[Event]) -> None:
        """Keep events until they are delivered; they are durable when this returns.

        Who comes while others are being forced to disk is written with the next ones: one fsync
        for all of them.

        Raises:
            Problem: there is no room, or the disk fails (``FEEDBACK_FULL``); to be sent again.
        """
        done: Future[None] = Future()
        self._queue.append((_packed(tenant, events), done))
        with self._writing:
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            self._write(batch)
        try:
            done.result()
        except OSError as error:
            raise _full(f"the spool cannot be written ({error.strerror})") from error

    def take_over(self) -> bool:
        """Answer for what processes that are gone left behind, too.

        Returns:
            Whether there is anything to deliver.
        """
        with self._delivering:
            for path in self._files(_SPOOL):
                if path not in self._mine:
                    self._adopt(path)
        return not self.idle

    def deliver(self, take: Take) -> int:
        """Hand over all that this process answers for.

        Oldest file first, and a tenant's events in their order. What ``take`` refuses for another
        reason than that the ledger is away is set aside: it must not hold up all the others.

        Returns:
            How many events were handed over.

        Raises:
            LedgerAway: everything that was not handed over stays.
        """
        delivered = 0
        with self._delivering:
            with self._writing:
                self._page = None  # what comes from now on goes to a new file
                mine = sorted(self._mine)
            for path in mine:
                delivered += self._hand_over(path, take)
                durable.release(self._mine.pop(path))
        return delivered

    def forget(self, gone: Callable[[TenantId, Event], bool]) -> int:
        """Take events out of what the ledger refused for good.

        What waits otherwise is delivered by whoever answers for it, to a ledger that knows better.

        Returns:
            How many events of that kind still wait.
        """
        with self._delivering:
            for path in self._files(_STUCK):
                kept = b""
                for tenant, events in _by_tenant(path):
                    stay = [event for event in events if not gone(tenant, event)]
                    kept += _packed(tenant, stay) if stay else b""
                if kept:
                    durable.replace(self._disk, path, kept)
                else:
                    self._disk.remove_file(path)
        return sum(gone(tenant, event) for tenant, event in self.events(_SPOOL))

    def events(self, *kinds: str) -> Iterator[tuple[TenantId, Event]]:
        """Everything that lies in the spool, of all processes."""
        for path in self._files(*(kinds or (_SPOOL, _STUCK))):
            for tenant, events in _by_tenant(path):
                yield from ((tenant, event) for event in events)

    def size(self) -> int:
        """Bytes in the spool, of all processes; costs a look into the folder."""
        return sum(_size(path) for path in self._files(_SPOOL, _STUCK))

    def waiting(self) -> Waiting:
        """What lies in the spool, of all processes; reads all of it."""
        events = {
            kind: sum(count for path in self._files(kind) for count, _ in _records(_bytes(path)))
            for kind in (_SPOOL, _STUCK)
        }
        return Waiting(self.size(), events[_SPOOL], events[_STUCK])

    def close(self) -> None:
        """Leave what waits to whoever comes next."""
        with self._delivering, self._writing:
            self._page = None
            while self._mine:
                durable.release(self._mine.popitem()[1])

    def _write(self, batch: list[tuple[bytes, Future[None]]]) -> None:
        room = self._most - self.size()
        taken = []
        for record, done in batch:
            if len(record) > room:
                done.set_exception(_full(f"the spool holds {self._most} bytes already"))
            else:
                room -= len(record)
                taken.append((record, done))
        if not taken:
            return
        try:
            self._page = page = self._page or self._begun()
            self._disk.append(page, b"".join(record for record, _ in taken))
            if _size(page) >= PAGE:
                self._page = None
        except BaseException as error:  # whatever it is, all of them wait to be told
            self._page = None
            for _, done in taken:
                done.set_exception(error)
        else:
            for _, done in taken:
                done.set_result(None)

    def _begun(self) -> Path:
        """A new file, ours: its name is durable before anything in it is acknowledged."""
        durable.make_folders(self._disk, self._folder)
        path = self._folder / f"{time.time_ns():020}-{secrets.token_hex(4)}{_SPOOL}"
        self._disk.create(path, b"")
        claim = durable.claim(path, wait=True)  # somebody may be looking whose it is
        assert claim is not None  # nobody removes an empty file of another process
        self._mine[path] = claim
        self._disk.sync_folder(self._folder)
        return path

    def _adopt(self, path: Path) -> None:
        claim = durable.claim(path)
        if claim is not None and _size(path):
            self._mine[path] = claim
        elif claim is not None:  # empty: another process may be about to claim what it just began
            durable.release(claim)

    def _hand_over(self, path: Path, take: Take) -> int:
        delivered, stuck = 0, b""
        for tenant, events in _by_tenant(path):
            try:
                take(tenant, events)
                delivered += len(events)
            except LedgerAway:
                raise
            except Exception:
                log.exception("%s: %d spooled events cannot be delivered", tenant, len(events))
                stuck += _packed(tenant, events)
        if stuck:
            durable.replace(self._disk, path.with_suffix(_STUCK), stuck)
        self._disk.remove_file(path)  # comes back after a power cut? then it is delivered twice
        return delivered

    def _files(self, *kinds: str) -> list[Path]:
        """Oldest first; their names begin with the time."""
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.suffix in kinds)


def _by_tenant(path: Path) -> Iterator[tuple[TenantId, list[Event]]]:
    """A file's events, each tenant's in their order, in batches."""
    found: dict[TenantId, list[Event]] = {}
    data = _bytes(path)
    read = 0
    for _, payload in _records(data):
        read += _HEAD.size + len(payload)
        tenant, events = orjson.loads(payload)
        found.setdefault(tenant, []).extend(_timed(event) for event in events)
    if read < len(data):
        log.warning(
            "%s: its last %d bytes are no whole record: a write that was interrupted, of which "
            "nobody was told, unless the disk is damaged",
            path.name,
            len(data) - read,
        )
    for tenant, events in found.items():
        for first in range(0, len(events), BATCH):
            yield tenant, events[first : first + BATCH]


def _packed(tenant: TenantId, events: list[Event]) -> bytes:
    payload = orjson.dumps([tenant, events])
    return _HEAD.pack(len(payload), len(events), zlib.crc32(payload)) + payload


def _records(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """Number of events and payload of every whole record, up to the first that is not.

    A length of 0 is none: a power cut may leave zeros, whose CRC would be right.
    """
    view, at = memoryview(data), 0
    while at + _HEAD.size <= len(data):
        length, events, crc = _HEAD.unpack_from(data, at)
        payload = view[at + _HEAD.size : at + _HEAD.size + length]
        if not length or len(payload) < length or zlib.crc32(payload) != crc:
            return
        yield events, payload
        at += _HEAD.size + length


def _timed(event: Event) -> Event:
    return {**event, "occurred_at": datetime.fromisoformat(event["occurred_at"])}


def _size(path: Path) -> int:
    found = durable.stamp(path)
    return 0 if found is None else found[2]


def _bytes(path: Path) -> bytes:
    """Of a file that another process may have delivered meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _full(why: str) -> Problem:
    return Problem(
        f"feedback can be kept neither in the ledger nor on this machine: {why}",
        "send it again later, with the same event ids; tell the operator that the ledger is away",
        code="FEEDBACK_FULL",
    )
