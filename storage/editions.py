"""Published lists: seal an edition, point to it, open the current one, go back.

``CURRENT`` is the one truth of what a tenant serves. It names the edition, the hash of its
manifest (so that another folder under the same name is never served by mistake) and the fencing
token of who published it.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from schema.errors import Problem
from schema.names import Bought
from schema.records import ENTRY, Catalogue, Grounds, Lists, unpacked_lines
from storage import durable, grounds, lists
from storage.durable import Disk
from storage.erased import Marks
from storage.objects import (
    AT_HOME,
    Objects,
    folders,
    get_folder,
    news,
    put_folder,
    remove_folder,
)

LISTS, PRODUCTS, SEGMENTS = "lists.lmdb", "products.json", "segments.json"
GROUNDS, RECORD = "grounds.bin", "grounds.npy"
"""RECORD: of editions of versions 0.3 and 0.4."""
CURRENT = "CURRENT"
_ITS_OWN = {"format", "number", "files"}
"""Of a manifest: what every sealed folder says of itself."""


@dataclass(frozen=True, slots=True)
class Current:
    """What a tenant's pointer says."""

    edition: int
    manifest_sha256: str
    fence: int
    published_at: datetime


@dataclass(frozen=True, slots=True)
class GroundsFile:
    """What an edition's lists were ranked on: named when the edition is opened, read when asked for.

    Most tenants are never re-ranked, and it may hold more bytes than their lists.
    """

    path: Path
    sha256: str

    def open(self) -> Grounds:
        """Check every byte and map it; from any thread.

        Raises:
            Problem: it has changed, or its edition was removed meanwhile.
        """
        durable.check_bytes(self.path, self.sha256)
        return grounds.mapped(self.path)


@dataclass(frozen=True, slots=True, eq=False)
class Edition:
    """One edition, open for reading; the same only as itself, so that it can be a key.

    Attributes:
        night: the business date it was made for.
        horizon_days: its probabilities speak of buying within so many days.
        bought: what a lookup does with products bought before, unless it says so itself.
        grounds: what it was ranked on; None in editions of version 0.2 and before.
    """

    number: int
    model: int
    night: date
    horizon_days: int
    bought: Bought
    products: Catalogue
    product_ids: frozenset[str]
    segments: tuple[str, ...]
    popular: bytes
    lists: lists.ListReader
    grounds: GroundsFile | None = None


class Editions:
    """All editions under one root. tests/storage/test_editions.py is the whole promise."""

    def __init__(self, root: Path, disk: Disk, objects: Objects = AT_HOME) -> None:
        self._root, self._disk, self._objects = root, disk, objects

    def seal(
        self,
        uid: str,
        taken: int,
        made: Lists,
        *,
        model: int,
        night: date,
        horizon_days: int,
        bought: Bought,
        lines: lists.Lines | None = None,
    ) -> tuple[int, str]:
        """Write an edition whole and read it back with the reader that serves; not yet served.

        Args:
            taken: the highest number the ledger knows; the edition gets the next free one.
            lines: see ``lists.write``.

        Returns:
            Its number, and the SHA-256 of its manifest.
        """
        facts: dict[str, object] = {
            "tenant_uid": uid,
            "model": model,
            "night": night.isoformat(),
            "horizon_days": horizon_days,
            "bought": bought.value,
            "lists": len(made.customers),
            "products": len(made.products),
        }
        catalogue = orjson.dumps(
            [[p.product_id, p.name, p.category, p.price, p.status, p.cost] for p in made.products]
        )

        def in_use(number: int) -> bool:
            now = self._readable(uid)
            return now is not None and now.edition == number

        files = {
            LISTS: lambda path: lists.write(path, made, lines),
            PRODUCTS: durable.content(catalogue),
        }
        if made.segments:
            files[SEGMENTS] = durable.content(orjson.dumps(made.segments))
        if made.grounds is not None:
            files[GROUNDS] = durable.content(grounds.packed(made.grounds))
        number, sha = durable.sealed_after(
            self._disk, taken, lambda number: self._folder(uid, number), in_use, facts, files
        )
        self._share(uid, number, sha)
        self.check(uid, number, sha)
        return number, sha

    def erased(self, uid: str, number: int, marks: Marks) -> dict[str, str]:
        """Who of the erased an edition holds, with their marks: in its lists or its grounds.

        Raises:
            Problem: it cannot be read.
        """
        edition = self.open(uid, number)
        try:
            names, _ = edition.lists.everyone()
            known = [] if edition.grounds is None else edition.grounds.open().customers.tolist()
            return marks.among({*names[1:], *(name.decode() for name in known)})
        finally:
            edition.lists.close()

    def seal_without(
        self, uid: str, number: int, taken: int, customers: Collection[str]
    ) -> tuple[int, str, int]:
        """Seal an edition once more, under a number of its own, without some customers.

        Args:
            taken: as in ``seal``; and no number that exists is touched, for a night may be at work.

        Returns:
            Its number, the SHA-256 of its manifest, and how many lists it holds.
        """
        folder = self._here(uid, number)
        manifest = durable.unsealed(folder)
        edition = self.open(uid, number)
        try:
            held = edition.grounds
            made = None if held is None else grounds.without(held.open(), customers)
            files = {
                LISTS: lambda path: edition.lists.without(path, customers),
                PRODUCTS: durable.content((folder / PRODUCTS).read_bytes()),
            }
            if SEGMENTS in manifest["files"]:  # type: ignore[operator]
                files[SEGMENTS] = durable.content((folder / SEGMENTS).read_bytes())
            if made is not None:
                files[GROUNDS] = durable.content(grounds.packed(made))
            gone = sum(edition.lists.of(name) is not None for name in customers)
            kept = len(edition.lists) - gone
            facts = {name: manifest[name] for name in manifest if name not in _ITS_OWN}
            number, sha = durable.sealed_after(
                self._disk,
                max(taken, *self.numbers(uid)),
                lambda number: self._folder(uid, number),
                lambda _: True,
                {**facts, "lists": kept},
                files,
            )
        finally:
            edition.lists.close()
        self._share(uid, number, sha)
        self.check(uid, number, sha)
        return number, sha, kept

    def lists_of(self, uid: str, customer: str) -> bool:
        """Whether the edition that is served has a list of this customer's own.

        Raises:
            Problem: it cannot be read.
        """
        current = self.current(uid)
        if current is None:
            return False
        folder = self._here(uid, current.edition, current.manifest_sha256)
        reader = lists.ListReader(folder / LISTS)
        try:
            return reader.of(customer) is not None
        finally:
            reader.close()

    def point(self, uid: str, current: Current) -> None:
        """Serve this edition from now on, on every machine.

        Raises:
            Problem: somebody with a newer fencing token has published since (``FENCED``).
        """
        folder = self._tenant(uid)
        durable.make_folders(self._disk, folder)
        sealed = self._here(uid, current.edition, current.manifest_sha256)
        with durable.locked(folder):
            self.pull(uid)
            now = self._readable(uid)
            if now and now.fence > current.fence:
                raise Problem(
                    f"edition {now.edition} was published under the newer token {now.fence}",
                    "do nothing: a later night or a rollback has won",
                    code="FENCED",
                )
            manifest = durable.manifest_bytes(sealed) or b""
            if hashlib.sha256(manifest).hexdigest() != current.manifest_sha256:
                raise Problem(
                    f"edition {current.edition} was replaced or removed meanwhile",
                    "repeat the night",
                    code="SEALED_BROKEN",
                )
            told = {
                "edition": current.edition,
                "manifest_sha256": current.manifest_sha256,
                "fence": current.fence,
                "published_at": current.published_at.isoformat(),
            }
            body = orjson.dumps({**told, "sum": _sum(told)})
            rank = f"{current.fence:012d}-{current.edition:06d}"
            self._objects.point(uid, CURRENT, rank, body)
            durable.replace_or_restore(self._disk, folder / CURRENT, body)

    def pull(self, uid: str) -> None:
        """Bring this home's copy of the pointer up to what counts on every machine, and let go of
        copies of editions that were removed: they may hold somebody who was erased.
        """
        path = self._tenant(uid) / CURRENT
        body = news(self._objects, uid, CURRENT, path.read_bytes() if path.exists() else None)
        if body is None:
            return
        durable.make_folders(self._disk, path.parent)
        durable.replace(self._disk, path, body)
        kept = {int(name[1:7]) for name in folders(self._objects, uid, "editions")}
        for number in {
            number for number in self._held(uid) if number < max(kept, default=0)
        } - kept:
            self._drop(uid, number)

    def current(self, uid: str) -> Current | None:
        """What the tenant serves; None before its first publication."""
        if self._objects.asks:
            self.pull(uid)
        return self._pointed(uid)

    def _pointed(self, uid: str) -> Current | None:
        try:
            body = _unsummed((self._tenant(uid) / CURRENT).read_bytes())
            return Current(
                body["edition"],
                body["manifest_sha256"],
                body["fence"],
                datetime.fromisoformat(body["published_at"]),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Problem(
                "the pointer CURRENT is damaged",
                "go back to an edition with `recfactory edition activate TENANT N --why …`",
                code="CURRENT_BROKEN",
            ) from error

    def _readable(self, uid: str) -> Current | None:
        """As ``current``, but a damaged pointer counts as none: pointing anew is its repair."""
        try:
            return self._pointed(uid)
        except Problem:
            return None

    def stamp(self, uid: str) -> tuple[int, int, int] | None:
        """Changes whenever the pointer does; costs one system call."""
        return durable.stamp(self._tenant(uid) / CURRENT)

    def open(self, uid: str, number: int, manifest_sha256: str | None = None) -> Edition:
        """Open an edition after checking every byte of it, but for its grounds.

        Raises:
            Problem: it is missing, changed or of a newer format.
        """
        folder = self._here(uid, number, manifest_sha256)
        manifest = durable.unsealed(folder, manifest_sha256, later={GROUNDS, RECORD})
        if manifest["tenant_uid"] != uid:
            raise Problem(
                f"edition {number} belongs to another tenant",
                "restore this tenant's own files",
                code="TENANT_MISMATCH",
            )
        products = Catalogue(orjson.loads((folder / PRODUCTS).read_bytes()))
        reader = lists.ListReader(folder / LISTS)
        return Edition(
            number=number,
            model=int(str(manifest["model"])),
            night=date.fromisoformat(str(manifest["night"])),
            horizon_days=int(str(manifest["horizon_days"])),
            # an edition of version 0.1 does not say, and its lookups included them
            bought=Bought(str(manifest.get("bought", Bought.INCLUDE.value))),
            products=products,
            product_ids=frozenset(products.ids),
            segments=_segments(folder, manifest),
            popular=reader.popular(),
            lists=reader,
            grounds=_grounds(folder, manifest),
        )

    def model_of(self, uid: str, number: int) -> int | None:
        """The model an edition was ranked with; None where its manifest cannot be read.

        Only the manifest is read: a damaged edition must not stop the night that replaces it.
        """
        data = durable.manifest_bytes(self._folder(uid, number))
        try:
            return None if data is None else int(orjson.loads(data)["model"])
        except (ValueError, KeyError, TypeError):
            return None

    def size(self, uid: str, number: int) -> int:
        """Bytes on disk."""
        return durable.size(self._folder(uid, number))

    def numbers(self, uid: str) -> list[int]:
        """Editions that are kept, here or on any machine, oldest first."""
        kept = folders(self._objects, uid, "editions")
        return sorted({*self._held(uid), *(int(name[1:7]) for name in kept)})

    def newest(self, uid: str) -> int:
        """The highest number this home has heard of, 0 before the first; asks nobody."""
        now = self._readable(uid)
        return max((*self._held(uid), now.edition if now else 0))

    def discard(self, uid: str, number: int) -> None:
        """Remove an edition from every machine, unless it is the one that is served by now."""
        with durable.locked(self._tenant(uid)):
            self.pull(uid)
            now = self._readable(uid)
            if now is None or now.edition != number:
                for place in self._places(uid, number):
                    remove_folder(self._objects, uid, place)
                self._drop(uid, number)

    def sweep(self, uid: str) -> None:
        """Clear what a killed night left; only under the tenant's lease."""
        if self._tenant(uid).is_dir():
            with durable.locked(self._tenant(uid)):  # a rollback may be writing its pointer
                durable.sweep(self._disk, self._tenant(uid))
        durable.sweep(self._disk, self._tenant(uid) / "editions")

    def check(self, uid: str, number: int, sha: str) -> None:
        """Read an edition back, every byte and every list of it, as serving would.

        Raises:
            Problem: it is missing, damaged, or holds a list that must not be shown.
        """
        edition = self.open(uid, number, sha)
        try:
            _check_lists(edition)
            if edition.grounds is not None:
                edition.grounds.open()
        finally:
            edition.lists.close()

    def _share(self, uid: str, number: int, sha: str) -> None:
        place = f"editions/{_name(number)}-{sha[:16]}"
        put_folder(self._objects, uid, place, self._folder(uid, number))

    def _here(self, uid: str, number: int, sha: str | None = None) -> Path:
        """An edition's folder, brought here where another machine made it."""
        folder = self._folder(uid, number)
        manifest = durable.manifest_bytes(folder)
        known = manifest is not None and sha in (None, hashlib.sha256(manifest).hexdigest())
        if not known and (places := self._places(uid, number, sha)):
            get_folder(self._objects, self._disk, uid, places[-1], folder)
        return folder

    def _places(self, uid: str, number: int, sha: str | None = None) -> list[str]:
        """Where it is shared; what a night left that died has another hash."""
        wanted = f"{_name(number)}-{(sha or '')[:16]}"
        kept = folders(self._objects, uid, "editions")
        return [f"editions/{name}" for name in kept if name.startswith(wanted)]

    def _held(self, uid: str) -> list[int]:
        """Editions in this home."""
        here = (self._tenant(uid) / "editions").glob("e[0-9]*")
        return sorted(int(path.name[1:]) for path in here)

    def _drop(self, uid: str, number: int) -> None:
        with suppress(FileNotFoundError):  # another process was here before
            durable.discard(self._disk, self._folder(uid, number))

    def _tenant(self, uid: str) -> Path:
        return self._root / uid

    def _folder(self, uid: str, number: int) -> Path:
        return self._tenant(uid) / "editions" / _name(number)


def _name(number: int) -> str:
    return f"e{number:06d}"


def _sum(body: Mapping[str, object]) -> str:
    return hashlib.sha256(orjson.dumps(body)).hexdigest()[:16]


def _unsummed(data: bytes) -> dict[str, Any]:
    """What a pointer says, if no bit of it has changed; one of version 0.4 and before has no sum."""
    body: dict[str, Any] = orjson.loads(data)
    told = body.pop("sum", None)
    if len(body) != 4 or told not in (None, _sum(body)):
        raise ValueError("it is not what was written")
    return body


def _segments(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """A tenant without segments, or an edition of version 0.1: no reason would name one."""
    listed = SEGMENTS in manifest["files"]
    return tuple(orjson.loads((folder / SEGMENTS).read_bytes())) if listed else ()


def _grounds(folder: Path, manifest: Mapping[str, Any]) -> GroundsFile | None:
    for name in (GROUNDS, RECORD):
        if listed := manifest["files"].get(name):
            return GroundsFile(folder / name, listed["sha256"])
    return None


def _check_lists(edition: Edition) -> None:
    """No list holds an unknown product, a product twice, or a number that is no probability."""
    names, bodies = edition.lists.everyone()
    places = np.frombuffer(b"".join(bodies), np.dtype(list(ENTRY)))
    lengths = [len(body) // places.itemsize for body in bodies]
    cells = np.sort(_cells(lengths, places["product"]))  # np.unique would hash them: slow
    p = places["probability"]
    if (
        (cells[1:] == cells[:-1]).any()
        or not ((places["product"] >= 0) & (places["product"] < len(edition.products))).all()
        or not ((p >= 0) & (p <= 1)).all()
    ):
        raise Problem(
            "a list holds an unknown product, one twice, or a number that is no probability",
            "this is a defect in ranking: nothing was published",
            code="LIST_INVALID",
        )
    if edition.lists.first("") is not None and not _lines_fit(
        [edition.lists.first(name) for name in names], cells
    ):
        raise Problem(
            "the first lines of a list are missing, no JSON, or about other products",
            "this is a defect in writing the edition: nothing was published",
            code="LIST_INVALID",
        )


def _lines_fit(firsts: Sequence[bytes | None], cells: NDArray[np.int64]) -> bool:
    """Whether these lines can be read, and their products stand on the lists.

    Args:
        cells: products of the lists, as of ``_cells``, sorted.
    """
    told: list[tuple[int, ...]] = []
    for first in firsts:
        if first is None:
            return False
        products, lines = unpacked_lines(first) or ((), b"")  # of another version: never shown
        try:
            read = orjson.loads(b"[%b]" % lines)
        except orjson.JSONDecodeError:
            return False
        if len(read) != len(products):
            return False
        told.append(products)
    shown = _cells([len(products) for products in told], np.array([*chain(*told)], np.int64))
    return bool((np.searchsorted(cells, shown, "right") > np.searchsorted(cells, shown)).all())


def _cells(lengths: Sequence[int], products: NDArray[np.integer]) -> NDArray[np.int64]:
    """One number for each place on so many lists: whose it is, and which product's."""
    return np.repeat(np.arange(len(lengths)), lengths) * 2**32 + products
