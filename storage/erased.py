"""Customers that were erased: remembered by a keyed hash alone, so that nothing brings them back.

<home>/erased/<tenant uid> has a mark a line. A mark is a keyed BLAKE2b (RFC 7693) of the customer's
id, the key an HMAC of the tenant under the installation's secret, so nobody can tell by it that two
tenants have the same customer. Who has the secret can still test an id against it: so it is personal
data itself, and kept for this one use.
The file lies beside the ledger, not in it: lookups need no database, and a ledger that was
restored from before an erasure finds it there.
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schema.errors import Problem
from storage import durable
from storage.durable import Disk
from storage.objects import AT_HOME, Objects, news, succeed

ERASED = "ERASED"
"""The pointer that other machines follow."""

GONE = "[erased]"
"""Stands where a text named them."""

_APART = re.compile(r"[\s,;|\"'()\[\]{}]+")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


@dataclass(frozen=True, slots=True)
class Marks:
    """Who of one tenant's customers was erased.

    Attributes:
        key: of this tenant and installation.
        marks: hexadecimal.
    """

    key: bytes
    marks: frozenset[str]

    def of(self, customer: str) -> str:
        """The mark of an id. Cost: some two microseconds, a third of an HMAC-SHA256's."""
        told = customer.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(told, key=self.key, digest_size=16).hexdigest()

    def holds(self, customer: str) -> bool:
        return bool(self.marks) and self.of(customer) in self.marks

    def among(self, ids: Iterable[str]) -> dict[str, str]:
        """Those of the ids that were erased, with their marks; blanks around an id do not hide it."""
        if not self.marks:
            return {}
        told = ((found, self.of(found.strip())) for found in ids)
        return {found: mark for found, mark in told if mark in self.marks}

    def mask(self, ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """By value, whether it was erased; of any column that is text or can be."""
        text = ids.cast(pa.string())
        gone = self.among(filter(None, pc.unique(text).to_pylist()))
        return pc.is_in(text, pa.array(list(gone), pa.string()))

    def named(self, text: str) -> Counter[str]:
        """Marks of those whom a text names: word by word, in quotes, or as a whole."""
        quoted = (one or other for one, other in _QUOTED.findall(text))
        return Counter(self.among({text, *_APART.split(text), *quoted}).values())

    def without(self, rows: pa.Table) -> pa.Table:
        """A table that has a customer_id, without them."""
        return rows.filter(pc.invert(self.mask(rows["customer_id"]))) if self.marks else rows

    def only(self, marks: Iterable[str]) -> "Marks":
        return replace(self, marks=frozenset(marks))


class Erased:
    """The marks of every tenant of this home."""

    def __init__(self, root: Path, disk: Disk, pepper: bytes, objects: Objects = AT_HOME) -> None:
        self._root, self._disk, self._pepper, self._objects = root, disk, pepper, objects
        self._read: dict[str, tuple[object, Marks]] = {}

    def of(self, uid: str) -> Marks:
        """As of now: one system call, unless they have changed.

        Raises:
            Problem: the file is damaged (``ERASED_BROKEN``): nobody knows whom it hid.
        """
        if self._objects.asks:
            self.pull(uid)
        stamp = durable.stamp(self._root / uid)
        known = self._read.get(uid)
        if known is None or known[0] != stamp:
            known = stamp, Marks(self._key(uid), self._marks(uid))
            self._read[uid] = known
        return known[1]

    def uids(self) -> set[str]:
        """Whose marks there are, by uid; a damaged file counts."""
        return {path.name for path in self._root.iterdir()} if self._root.is_dir() else set()

    def add(self, uid: str, marks: Iterable[str]) -> None:
        """Durable when this returns; again harmless."""
        self._change(uid, lambda known: known | {*marks})

    def remove(self, uid: str, mark: str) -> None:
        """They may come back with the next import."""
        self._change(uid, lambda known: known - {mark})

    def forget(self, uid: str) -> None:
        """The tenant is gone, and who was erased of it is nobody's business any more."""
        if self._root.is_dir():
            with durable.locked(self._root):
                if (self._root / uid).exists():
                    self._disk.remove_file(self._root / uid)
                    self._disk.sync_folder(self._root)

    def pull(self, uid: str) -> None:
        """Bring this home's copy up to what was erased on every machine."""
        path = self._root / uid
        body = news(self._objects, uid, ERASED, path.read_bytes() if path.exists() else None)
        if body is not None:
            durable.make_folders(self._disk, self._root)
            durable.replace(self._disk, path, body)

    def _change(self, uid: str, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
        """Here first, then for the other machines: where they cannot be told, it is said."""
        durable.make_folders(self._disk, self._root)
        with durable.locked(self._root), self._objects.alone(uid):
            durable.sweep(self._disk, self._root)
            known = self._marks(uid)
            here = _spelled(change(known))
            if here != _spelled(known):
                durable.replace(self._disk, self._root / uid, here)
            everywhere = news(self._objects, uid, ERASED, here)
            if everywhere is not None:  # another machine knows of more, or not yet of this
                after = _spelled(change(frozenset(everywhere.decode().split())))
                succeed(self._objects, uid, ERASED, everywhere, after)
                durable.replace(self._disk, self._root / uid, after)
            elif here and self._objects.newest(uid, ERASED) is None:
                succeed(self._objects, uid, ERASED, here, here)

    def _key(self, uid: str) -> bytes:
        return hmac.digest(self._pepper, f"erased {uid}".encode(), "sha256")

    def _marks(self, uid: str) -> frozenset[str]:
        try:
            found = (self._root / uid).read_text("ascii", "replace").split()
        except FileNotFoundError:
            return frozenset()
        if not all(re.fullmatch("[0-9a-f]{32}", mark) for mark in found):
            raise Problem(
                "the list of erased customers is damaged",
                f"restore erased/{uid} in the home; nothing is served of this tenant until then",
                code="ERASED_BROKEN",
            )
        return frozenset(found)


def _spelled(marks: frozenset[str]) -> bytes:
    return "\n".join(sorted(marks)).encode()


def scrubbed(told: Any, marks: Marks, found: Counter[str]) -> Any:
    """A report as JSON has it, without anybody who was erased, and without samples of rows.

    A sample is cut to a length and may name somebody by another column than the id: so all of
    them go. They were for repairing a delivery just after it came; counts and reasons stay.

    Args:
        found: counts, by mark, how often the report named them.
    """
    if isinstance(told, str):
        named = marks.named(told)
        found.update(named)
        return GONE if named else told
    if isinstance(told, list):
        return [scrubbed(each, marks, found) for each in told]
    if isinstance(told, Mapping):
        clean = {
            scrubbed(name, marks, found): scrubbed(each, marks, found)
            for name, each in told.items()
        }
        return clean | ({"samples": []} if "samples" in clean else {})
    return told
