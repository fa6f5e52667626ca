"""Everything under a folder, so that two moments or two homes can be compared."""

import hashlib
from pathlib import Path

from tests.world import World


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path in the folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def untouched(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of everything: differs even if the same bytes were written again."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def folder_of(world: World, name: str) -> Path:
    """Where a tenant's files lie."""
    return world.config.home / "tenants" / world.stores.ledger.tenant(name).uid
