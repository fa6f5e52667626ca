"""Keys that were revoked, where a server sees them although the ledger is away."""

import re
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from schema.errors import Problem
from storage import durable
from storage.durable import Disk
from storage.ledger import Ledger


class Revoked:
    """An empty file for every revoked key: <home>/revoked/<key id>."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root, self._disk = root, disk

    def ids(self) -> frozenset[str]:
        try:
            return frozenset(path.name for path in self._root.iterdir())
        except FileNotFoundError:
            return frozenset()

    def add(self, key_id: str) -> None:
        """Durable, and again harmless; what cannot be a key's id is left to the ledger to refuse."""
        if re.fullmatch(r"[0-9a-f]{12}", key_id):
            durable.make_folders(self._disk, self._root)
            durable.replace(self._disk, self._root / key_id, b"")


def revoke(revoked: Revoked, ledger: Ledger, key_id: str, *, by: str, at: datetime) -> None:
    """Stop a key: first for every server of this home, then in the ledger.

    Raises:
        NotThere: no such key.
        Problem: the ledger is away; the key is stopped all the same.
    """
    revoked.add(key_id)
    try:
        ledger.revoke_key(key_id, by=by, at=at)
    except SQLAlchemyError as error:
        raise Problem(
            "the key is stopped on every server of this home, but the ledger could not be told",
            "revoke it again when the ledger is back",
            code="LEDGER",
        ) from error
