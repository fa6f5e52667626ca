"""Editions swapped a thousand times a minute, as publishing does, by a process of its own."""

import hashlib
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from storage.durable import Disk
from storage.editions import Current, Editions

EVERY = 0.06
"""Seconds from one swap to the next."""


@contextmanager
def swapping(home: Path, tenants: int) -> Iterator[Any]:
    """Swap until the end of the block; the value counts the swaps so far."""
    spawn = multiprocessing.get_context("spawn")
    stop, count = spawn.Event(), spawn.Value("i", 0)
    process = spawn.Process(target=swap, args=(home, tenants, stop, count))
    process.start()
    while count.value == 0:  # it has begun
        if not process.is_alive():
            raise SystemExit("the swapping process ended before its first swap")
        time.sleep(0.01)
    yield count
    stop.set()
    process.join()


def swap(home: Path, tenants: int, stop: Event, count: Any) -> None:
    """Point tenant after tenant to its other edition, as publishing does, a thousand a minute."""
    editions = Editions(home / "tenants", Disk())
    begin = time.perf_counter()
    while not stop.wait(max(0, begin + count.value * EVERY - time.perf_counter())):
        uid = f"b{count.value % (tenants + 1):05}"
        now = editions.current(uid)
        assert now is not None
        other = 3 - now.edition
        manifest = home / "tenants" / uid / "editions" / f"e{other:06}" / "MANIFEST.json"
        sha = hashlib.sha256(manifest.read_bytes()).hexdigest()
        editions.point(uid, Current(other, sha, now.fence + 1, datetime.now(UTC)))
        count.value += 1
