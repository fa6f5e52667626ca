"""A tenant leaves: everything of it is named, exported, disabled at once, and deleted after a time
of grace. Whatever stops this half-way, the same command or the next upkeep goes on.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.export import export, opened
from schema.config import Leaving
from schema.errors import NotThere, Problem, Refused
from schema.names import Bought
from schema.records import Left, Tenant
from schema.tables import IMPORTED
from storage import durable
from storage.database import compact
from storage.durable import Disk
from storage.stores import Stores
from tenants.lifecycle import serves

log = logging.getLogger("recfactory.leaving")


def named(stores: Stores, name: str) -> Tenant:
    """The tenant of a name, and of nothing else that looks like one.

    Raises:
        NotThere: no such tenant.
        Refused: it is the id of something else (``WRONG_ID``).
    """
    try:
        return stores.ledger.tenant(name)
    except NotThere:
        uids = [tenant.uid for tenant in stores.ledger.tenants()]
        keys = [key.key_id for key in stores.ledger.keys(None)]
        what = "the folder of a tenant, not its name" if name in uids else ""
        what = what or ("a key's id, not a tenant's name" if name in keys else "")
        if not what:
            raise
        raise Refused(
            f"{name[:80]!r} is {what}", "see `recfactory tenant list`", code="WRONG_ID"
        ) from None


def objects(stores: Stores, tenant: Tenant) -> dict[str, Any]:
    """Everything there is of a tenant, by name: folders with files and bytes, rows, keys."""
    return {
        "tenant": tenant.tenant,
        "uid": tenant.uid,
        "files": [_folder(place) for place in _places(stores, tenant.tenant, tenant.uid)],
        "spooled_events": _spooled(stores, tenant.tenant),
        "rows": stores.leaving.rows(tenant.tenant),
        "keys": [key.key_id for key in stores.ledger.keys(tenant.tenant)],
    }


def _places(stores: Stores, name: str, uid: str) -> Sequence[Path]:
    """Folders and files of one tenant and of nobody else."""
    for part in (name, uid):  # an empty one would be the folder of all of them
        if not part or part in (".", "..") or Path(part).name != part:
            raise Problem(f"{part!r} names no folder", "look at the ledger", code="TENANT_UID")
    found = [stores.home / "tenants" / uid / kind for kind in _kinds(stores.home / "tenants" / uid)]
    return [*found, stores.home / "inbox" / name, stores.home / "erased" / uid]


def _kinds(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _folder(place: Path) -> dict[str, Any]:
    inside = [place, *place.rglob("*")] if place.is_dir() else [place]
    files = [path for path in inside if path.is_file()]
    return {
        "place": str(place),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }


def _spooled(stores: Stores, name: str) -> int:
    return sum(tenant == name for tenant, _ in stores.feedback.spool.events())


def leave(
    stores: Stores,
    rule: Leaving,
    tenant: Tenant,
    export_to: Path,
    *,
    more: bool,
    by: str,
    why: str,
    now: datetime,
) -> list[Path]:
    """Export a tenant, then disable it.

    Args:
        more: also beyond the number of tenants that may leave a day.

    Returns:
        The files of the export.

    Raises:
        Refused: too many left today (``TENANTS_MANY``); a file cannot be written (``FILE``).
    """
    made = exported(stores, tenant, export_to / tenant.tenant, now)
    since = now - timedelta(days=1)
    most = None if more else rule.most_a_day
    told = objects(stores, tenant)
    keys = stores.leaving.begin(tenant.tenant, told, since=since, most=most, by=by, why=why, at=now)
    disabled(stores, keys)
    return made


def disabled(stores: Stores, keys: Sequence[str]) -> None:
    """Stop keys on every server of this home, also where the ledger is away."""
    for key in {*keys} - stores.revoked.ids():
        stores.revoked.add(key)


def exported(stores: Stores, tenant: Tenant, folder: Path, now: datetime) -> list[Path]:
    """Write accepted data, and the lists that are served, as Parquet; whatever there is of it."""
    durable.make_folders(Disk(), folder.absolute())
    made = []
    dataset = stores.datasets.of(tenant.uid)
    for table in IMPORTED if dataset else ():
        if getattr(dataset, table.name):
            made.append(folder / f"{table.name}.parquet")
            _write(made[-1], stores.datasets.read(tenant.uid, table.name, dataset))
    if serves(tenant.mode) and stores.editions.current(tenant.uid) is not None:
        made.append(folder / "lists.parquet")
        with opened(stores, tenant, None, now) as source:
            export(source, made[-1], Bought.INCLUDE, lambda *_: None)
    return made


def _write(path: Path, rows: pa.Table) -> None:
    def write(place: Path) -> None:
        with pq.ParquetWriter(place, rows.schema, compression="zstd") as writer:
            writer.write(rows)

    durable.replace_by(Disk(), path.absolute(), write)


def finish(stores: Stores, rule: Leaving, now: datetime) -> list[Left]:
    """Delete every tenant whose grace is over; harmless if it was done before.

    Returns:
        Those that were deleted now; one that could not be is tried again next time.
    """
    done = []
    for left in stores.leaving.left():
        if left.deleted_at is not None:  # by another machine, it may be: this home has copies
            durable.clear(stores.disk, stores.home / "tenants" / left.uid)
            stores.erased.forget(left.uid)
        else:
            disabled(stores, left.told["keys"])  # who removed it may have died before that
        if left.deleted_at is None and left.left_at + timedelta(days=rule.grace_days) <= now:
            try:
                done.append(_delete(stores, left, now))
            except (Problem, OSError) as error:
                log.warning("%s: its deletion waits: %s", left.tenant, error)
    _unspool(stores)
    if done:
        compact(stores.engine)
    return done


def _unspool(stores: Stores) -> None:
    """Drop what waits in the spool of tenants that are deleted by now: the ledger takes none of it."""
    gone = {left.tenant for left in stores.leaving.left() if left.deleted_at}
    if any(name in gone for name, _ in stores.feedback.spool.events()):
        try:
            stores.feedback.deliver()
            stores.feedback.spool.forget(lambda name, _: name in gone)
        except (Problem, OSError) as error:
            log.warning("spooled feedback of tenants that left waits: %s", error)


def _delete(stores: Stores, left: Left, now: datetime) -> Left:
    stores.objects.forget(left.uid)
    for place in _places(stores, left.tenant, left.uid):
        if place.is_dir():
            durable.clear(stores.disk, place)
        elif place.exists():
            stores.disk.remove_file(place)
    durable.clear(stores.disk, stores.home / "tenants" / left.uid)
    told = {
        "tenant": left.tenant,
        "uid": left.uid,
        "removed_at": left.left_at.isoformat(),
        "deleted_at": now.isoformat(),
        "by": left.told["by"],
        "why": left.told["why"],
        "files": left.told["files"],
        "files_left": sum(
            _folder(place)["files"] for place in _places(stores, left.tenant, left.uid)
        ),
        "keys": len(left.told["keys"]),
    }
    certificate = stores.leaving.delete(left, told, at=now)
    return Left(left.tenant, left.uid, left.left_at, now, certificate)
