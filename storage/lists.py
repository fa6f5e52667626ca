"""The bytes of an edition's lists: write all, look one customer up.

One LMDB file; a key is a customer id in UTF-8, its value the entries of the list, packed as
``schema.records.ENTRY`` says, best first and without padding. Beside it, under ``FIRST`` and the
same key, the first lines that a lookup shows of that list, as ``schema.records.packed_lines`` says.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import lmdb
import numpy as np
from numpy.typing import NDArray

from schema.errors import Problem
from schema.records import Lists

POPULAR = b"\x00popular"
"""The key of the list for strangers: no customer id holds a control character."""
FIRST = b"\x01"
_CUSTOMERS = b" "
"""No customer's key is below."""

_PAGE = 4096

Lines = Callable[[Sequence[bytes]], list[bytes]]
"""Makes the first lines of packed lists."""


def write(path: Path, lists: Lists, lines: Lines | None = None) -> None:
    """Write every list into one new file; the same lists give the same bytes.

    Args:
        lines: None leaves it to each lookup to put them together.
    """
    rows = sorted((customer.encode(), row) for row, customer in enumerate(lists.customers))
    packed = _bodies(lists.entries)
    keys = [POPULAR, *(key for key, _ in rows)]
    bodies = [*_bodies(lists.popular[None, :]), *(packed[row] for _, row in rows)]
    first = () if lines is None else zip((FIRST + key for key in keys), lines(bodies), strict=True)
    pairs = zip(keys, bodies, strict=True)
    # in the order of their keys; a long value takes whole pages
    _put(path, [next(pairs), *first, *pairs])


def _put(path: Path, pairs: list[tuple[bytes, bytes]]) -> None:
    """Write pairs, sorted by key, into one new file."""
    longest = sum(len(key) + len(body) + _PAGE for key, body in pairs)
    environment = lmdb.open(
        str(path), subdir=False, lock=False, map_size=2 * longest + 2**20, sync=False
    )
    try:
        with environment.begin(write=True) as transaction:
            for key, body in pairs:
                transaction.put(key, body, append=True)
    finally:
        environment.close()


def _bodies(entries: NDArray[np.void]) -> list[bytes]:
    """Each row without its padding."""
    every = np.ascontiguousarray(entries).tobytes()
    width, size = entries.shape[1], entries.dtype.itemsize
    begins = range(0, len(every), width * size)
    ends = (size * (entries["product"] >= 0).sum(1)).tolist()
    return [every[begin : begin + end] for begin, end in zip(begins, ends, strict=True)]


_LONGEST_KEY = 511
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
        pairs = int(self._environment.stat()["entries"])
        return (pairs if self.first("") is None else pairs // 2) - 1

    def of(self, customer: str) -> bytes | None:
        """The customer's own list, packed, best first; None where they have none."""
        key = customer.encode("utf-8", "surrogatepass")
        return self._get(key) if key >= _CUSTOMERS else None

    def first(self, customer: str) -> bytes | None:
        """The first lines of the customer's own list, packed, of the popular one for "".

        None where they have no list, or the edition has no lines.
        """
        key = customer.encode("utf-8", "surrogatepass") or POPULAR
        return self._get(FIRST + key) if customer >= " " or not customer else None

    def _get(self, key: bytes) -> bytes | None:
        if len(key) > _LONGEST_KEY:
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
            cursor = transaction.cursor()
            if cursor.set_range(_CUSTOMERS):
                for key, body in cursor:
                    yield key.decode(), body

    def everyone(self) -> tuple[list[str], list[bytes]]:
        """All lists, the popular one first under "": customers, and packed entries of each."""
        names, bodies = zip(("", self.popular()), *self.each(), strict=True)
        return list(names), list(bodies)

    def without(self, path: Path, customers: Collection[str]) -> None:
        """Write everything into one new file but the lists of these customers."""
        keys = {customer.encode() for customer in customers}
        gone = keys | {FIRST + key for key in keys}
        with self._environment.begin() as transaction:
            _put(path, [pair for pair in transaction.cursor() if pair[0] not in gone])

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
