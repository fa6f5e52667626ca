"""Delivered files that are kept as they came: what was taken, refused, or is held for a person."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from schema.errors import Refused
from storage.durable import Disk
from storage.erased import Marks


def folders(home: Path, tenant: str, uid: str) -> list[Path]:
    """Where they lie, with all folders below; never where a client is still putting files."""
    inbox = home / "inbox" / tenant
    return [inbox / "taken", inbox / "refused", home / "tenants" / uid / "data" / "aside"]


def forget(
    disk: Disk,
    places: Iterable[Path],
    marks: Marks,
    read: Callable[[Path], pa.Table],
    *,
    remove: bool,
) -> Counter[str]:
    """Remove delivered files that hold erased customers; the client has its own.

    A file cannot be written again without them as it came: its hash names the delivery. One that
    cannot be read may hold anybody, and goes too. A held delivery whose file is gone cannot be
    released any more; it has to be sent again.

    Args:
        read: a file's rows, under the client's own names of columns.
        remove: False only counts.

    Returns:
        By mark, how many files hold them.
    """
    found = Counter[str]()
    for path in sorted(file for place in places for file in place.rglob("*") if file.is_file()):
        try:
            named = _named(read(path), marks)
        except Refused:
            named = None
        found.update(named or ())
        if remove and (named is None or named):
            disk.remove_file(path)
            disk.sync_folder(path.parent)
    return found


def _named(rows: pa.Table, marks: Marks) -> set[str]:
    """Marks of those whom any cell of a table names."""
    found: set[str] = set()
    for column in rows.columns:
        values = {str(value) for value in column.unique().to_pylist() if value is not None}
        found.update(marks.among(values).values())
    return found
