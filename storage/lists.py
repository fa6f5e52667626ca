"""The bytes of an edition's lists: write all, look one customer up.

One LMDB file; a key is a customer id in UTF-8, its value the entries of the list, packed as
``schema.records.ENTRY`` says, best first and without padding.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import lmdb

from schema.errors import Problem
from schema.records import PACKED, Lists

POPULAR = b"\x00popular"
"""The key of the list for strangers: no customer id holds a control character."""


def write(path: Path, lists: Lists) -> None:
    """Write every list into one new file; the same lists give the same bytes."""
    rows = sorted((customer.encode(), row) for row, customer in enumerate(lists.customers))
    longest = (lists.entries.shape[1] * PACKED.size + 256) * (len(rows) + 1)
    environment = lmdb.open(
        str(path), subdir=False, lock=False, map_size=2 * longest + 2**20, sync=False
    )
    try:
        with environment.begin(write=True) as transaction:
            transaction.put(POPULAR, _body(lists.popular))
            for key, row in rows:
                transaction.put(key, _body(lists.entries[row]), append=True)
    finally:
        environment.close()


def _body(entries: object) -> bytes:
    return entries[entries["product"] >= 0].tobytes()  # type: ignore[index,no-any-return]


_OPEN: dict[tuple[int, int], tuple[lmdb.Environment, int]] = {}
"""By device and inode: the environment, and how many readers use it."""
_OPENING = threading.Lock()


class ListReader:
    """Looks customers up in one file, which never changes.

    LMDB must not open a file twice in a process, and somebody who checks an edition before a rollback
    may be beside somebody who serves from it: readers of one file share what is open.

    Raises:
        Problem: the file is shorter than it says (mapping it would kill the process).
    """

    def __init__(self, path: Path) -> None:
        found = path.stat()
        self._file = found.st_dev, found.st_ino
        with _OPENING:
            shared, readers = _OPEN.get(self._file, (None, 0))
            self._environment = _opened(path, found.st_size) if shared is None else shared
            _OPEN[self._file] = self._environment, readers + 1

    def __len__(self) -> int:
        """Lists of customers, the popular one not counted."""
        return int(self._environment.stat()["entries"]) - 1

    def of(self, customer: str) -> bytes | None:
        """The customer's own list, packed, best first; None where they have none."""
        key = customer.encode("utf-8", "surrogatepass")
        if not key or len(key) > 511 or key == POPULAR:
            return None
        with self._environment.begin() as transaction:
            body: bytes | None = transaction.get(key)
            return body

    def popular(self) -> bytes:
        """The list for strangers, packed."""
        with self._environment.begin() as transaction:
            body: bytes = transaction.get(POPULAR, b"")
            return body

    def each(self) -> Iterator[tuple[str, bytes]]:
        """Customer by customer, in the order of their ids' bytes; the popular list is not among them."""
        with self._environment.begin() as transaction:
            for key, body in transaction.cursor():
                if key != POPULAR:
                    yield key.decode(), body

    def everyone(self) -> tuple[list[str], list[bytes]]:
        """All lists, the popular one first under "": customers, and packed entries of each."""
        with self._environment.begin() as transaction:
            keys, bodies = zip(*transaction.cursor(), strict=True)
        return ["" if key == POPULAR else key.decode() for key in keys], list(bodies)

    def close(self) -> None:
        with _OPENING:
            environment, readers = _OPEN.pop(self._file)
            if readers > 1:
                _OPEN[self._file] = environment, readers - 1
            else:
                environment.close()


def _opened(path: Path, size: int) -> lmdb.Environment:
    try:
        environment = lmdb.open(
            str(path), subdir=False, readonly=True, lock=False, readahead=False, max_spare_txns=8
        )
    except lmdb.Error as error:
        raise _short(f"{path.name} cannot be opened: {error}") from error
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if size < needed:
        environment.close()
        raise _short(f"{path.name} has {size} bytes of {needed}")
    return environment


def _short(what: str) -> Problem:
    return Problem(what, "keep the edition before it; repeat the night", code="LISTS_SHORT")
