"""Delivered files that are kept as they came: what was taken, refused, or is held for a person."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from schema.errors import Refused
from storage.durable import MANIFEST, Disk
from storage.erased import Marks


def folders(home: Path, tenant: str, uid: str) -> list[Path]:
    """Where they lie, with all folders below; never where a client is still putting files."""
    inbox = home / "inbox" / tenant
    return [inbox / "taken", inbox / "refused", home / "tenants" / uid / "data" / "aside"]


def waiting(home: Path, uid: str) -> list[Path]:
    """Where what is not imported yet lies: it goes when it is, and until then has to stay."""
    return [home / "tenants" / uid / name for name in ("uploads", "source", "arriving", "arrived")]


def forget(
    disk: Disk,
    places: Iterable[Path],
    marks: Marks,
    texts: Callable[[Path], Iterable[str]],
    *,
    remove: bool,
) -> Counter[str]:
    """Remove delivered files that hold erased customers; the client has its own.

    A file cannot be written again without them as it came: its hash names the delivery. One that
    cannot be read may hold anybody, and goes too. A held delivery whose file is gone cannot be
    released any more; it has to be sent again.

    Args:
        texts: everything a file says, cell by cell; what is no cell of a row, as a whole.
        remove: False only counts.

    Returns:
        By mark, how many files hold them.
    """
    found = Counter[str]()
    for path in _files(places):
        named = _named(path, marks, texts)
        found.update(named or ())
        if remove and (named is None or named):
            disk.remove_file(path)
            disk.sync_folder(path.parent)
    return found


def holding(
    places: Iterable[Path], marks: Marks, texts: Callable[[Path], Iterable[str]]
) -> list[Path]:
    """Files that name erased customers, as far as they can be read."""
    return [path for path in _files(places) if _named(path, marks, texts)]


def _files(places: Iterable[Path]) -> list[Path]:
    """The manifest of a delivery that is held names nobody, and without it no other could be released."""
    found = (file for place in places for file in place.rglob("*") if file.is_file())
    return sorted(file for file in found if file.name != MANIFEST)


def _named(path: Path, marks: Marks, texts: Callable[[Path], Iterable[str]]) -> set[str] | None:
    """Marks of those whom a file names; None where it cannot be read."""
    try:
        return {mark for text in texts(path) for mark in marks.named(text)}
    except Refused:
        return None
