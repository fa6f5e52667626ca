"""Published lists: seal an edition, point to it, open the current one, go back.

``CURRENT`` is the one truth of what a tenant serves. It names the edition, the hash of its
manifest (so that another folder under the same name is never served by mistake) and the fencing
token of who published it.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from schema.errors import Problem
from schema.names import Bought
from schema.records import ENTRY, PACKED, Catalogue, Grounds, Lists, unpacked_lines
from storage import durable, grounds, lists
from storage.durable import Disk
from storage.erased import Marks

LISTS, PRODUCTS, SEGMENTS = "lists.lmdb", "products.json", "segments.json"
GROUNDS = "grounds.npy"
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

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root, self._disk = root, disk

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
        segments = orjson.dumps(made.segments)

        def in_use(number: int) -> bool:
            now = self._readable(uid)
            return now is not None and now.edition == number

        files = {
            LISTS: lambda path: lists.write(path, made, lines),
            PRODUCTS: durable.content(catalogue),
            SEGMENTS: durable.content(segments),
        }
        if made.grounds is not None:
            files[GROUNDS] = durable.content(grounds.packed(made.grounds))
        number, sha = durable.sealed_after(
            self._disk, taken, lambda number: self._folder(uid, number), in_use, facts, files
        )
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
        folder = self._folder(uid, number)
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
        reader = lists.ListReader(self._folder(uid, current.edition) / LISTS)
        try:
            return reader.of(customer) is not None
        finally:
            reader.close()

    def point(self, uid: str, current: Current) -> None:
        """Serve this edition from now on.

        Raises:
            Problem: somebody with a newer fencing token has published since (``FENCED``).
        """
        folder = self._tenant(uid)
        with durable.locked(folder):
            now = self._readable(uid)
            if now and now.fence > current.fence:
                raise Problem(
                    f"edition {now.edition} was published under the newer token {now.fence}",
                    "do nothing: a later night or a rollback has won",
                    code="FENCED",
                )
            manifest = durable.manifest_bytes(self._folder(uid, current.edition)) or b""
            if hashlib.sha256(manifest).hexdigest() != current.manifest_sha256:
                raise Problem(
                    f"edition {current.edition} was replaced or removed meanwhile",
                    "repeat the night",
                    code="SEALED_BROKEN",
                )
            body = {
                "edition": current.edition,
                "manifest_sha256": current.manifest_sha256,
                "fence": current.fence,
                "published_at": current.published_at.isoformat(),
            }
            summed = orjson.dumps({**body, "sum": _sum(body)})
            durable.replace_or_restore(self._disk, folder / "CURRENT", summed)

    def current(self, uid: str) -> Current | None:
        """What the tenant serves; None before its first publication."""
        try:
            body = _unsummed((self._tenant(uid) / "CURRENT").read_bytes())
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
            return self.current(uid)
        except Problem:
            return None

    def stamp(self, uid: str) -> tuple[int, int, int] | None:
        """Changes whenever the pointer does; costs one system call."""
        return durable.stamp(self._tenant(uid) / "CURRENT")

    def open(self, uid: str, number: int, manifest_sha256: str | None = None) -> Edition:
        """Open an edition after checking every byte of it, but for its grounds.

        Raises:
            Problem: it is missing, changed or of a newer format.
        """
        folder = self._folder(uid, number)
        manifest = durable.unsealed(folder, manifest_sha256, later={GROUNDS})
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

    def numbers(self, uid: str) -> list[int]:
        """Editions on disk, oldest first."""
        parent = self._tenant(uid) / "editions"
        if not parent.is_dir():
            return []
        return sorted(int(path.name[1:]) for path in parent.glob("e[0-9]*"))

    def discard(self, uid: str, number: int) -> None:
        """Remove an edition, unless it is the one that is served by now."""
        with durable.locked(self._tenant(uid)):
            now = self._readable(uid)
            if now is None or now.edition != number:
                durable.discard(self._disk, self._folder(uid, number))

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

    def _tenant(self, uid: str) -> Path:
        return self._root / uid

    def _folder(self, uid: str, number: int) -> Path:
        return self._tenant(uid) / "editions" / f"e{number:06d}"


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
    """An edition of version 0.1 has none, and no reason that would name one."""
    listed = SEGMENTS in manifest["files"]
    return tuple(orjson.loads((folder / SEGMENTS).read_bytes())) if listed else ()


def _grounds(folder: Path, manifest: Mapping[str, Any]) -> GroundsFile | None:
    listed = manifest["files"].get(GROUNDS)
    return None if listed is None else GroundsFile(folder / GROUNDS, listed["sha256"])


def _check_lists(edition: Edition) -> None:
    """No list holds an unknown product, a product twice, or a number that is no probability."""
    names, bodies = edition.lists.everyone()
    places = np.frombuffer(b"".join(bodies), np.dtype(list(ENTRY)))
    lengths = [len(body) // places.itemsize for body in bodies]
    cells = np.repeat(np.arange(len(bodies)), lengths) * 2**32 + places["product"]
    p = places["probability"]
    if (
        len(np.unique(cells)) != len(cells)
        or not ((places["product"] >= 0) & (places["product"] < len(edition.products))).all()
        or not ((p >= 0) & (p <= 1)).all()
    ):
        raise Problem(
            "a list holds an unknown product, one twice, or a number that is no probability",
            "this is a defect in ranking: nothing was published",
            code="LIST_INVALID",
        )
    if edition.lists.first("") is not None and not all(
        _tells_of(edition.lists.first(name), body) for name, body in zip(names, bodies, strict=True)
    ):
        raise Problem(
            "the first lines of a list are missing, no JSON, or about other products",
            "this is a defect in writing the edition: nothing was published",
            code="LIST_INVALID",
        )


def _tells_of(first: bytes | None, body: bytes) -> bool:
    """Whether these lines can be read, and their products stand on the list."""
    if first is None:
        return False
    found = unpacked_lines(first)
    if found is None:  # of another version: no lookup shows them
        return True
    products, lines = found
    try:
        read = orjson.loads(b"[%b]" % lines)
    except orjson.JSONDecodeError:
        return False
    return len(read) == len(products) and {place[0] for place in PACKED.iter_unpack(body)} >= {
        *products
    }
