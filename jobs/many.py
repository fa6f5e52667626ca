"""A whole fleet of new tenants, registered and imported in bulk: the demo's thousands.

What takes time is the disk, at every import: so several processes check and accept, and this one
keeps the ledger, some hundreds of tenants in one transaction.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from secrets import token_hex
from typing import Any

from jobs.demo import Part, write_part
from jobs.intake import import_files
from schema.config import Config
from schema.errors import FactoryError
from schema.names import TenantId
from schema.records import Tenant
from storage.imports import Told
from storage.stores import Stores, open_stores

_AT_ONCE = 250
"""Tenants recorded in one transaction."""

_AHEAD = 4
"""Parts handed to each process, so that it never waits for one."""

Outcome = FactoryError | None


def take_in(
    stores: Stores,
    config: Config,
    parts: Sequence[Part],
    folder: Path,
    done: Callable[[int, Outcome], None],
    *,
    by: str,
) -> list[TenantId]:
    """Register and import every part that is not there yet, and return all names.

    Args:
        folder: where the parts' files are written before they are imported.
        done: called with the number of each part that ended, and what it was refused for.
    """
    now = datetime.now(UTC)
    known = {tenant.tenant for tenant in stores.ledger.tenants()}
    named = {TenantId(f"m{part.number}"): part for part in parts}
    new = [name for name in named if name not in known]
    uids = [(name, f"t{token_hex(8)}", _title(named[name])) for name in new]
    for some in _batched(iter(uids)):
        stores.ledger.register_all(some, "UTC", by=by, at=now)
    tenants = stores.ledger.named(list(named))
    delivered = stores.imports.tenants()
    left = [(tenants[name], part) for name, part in named.items() if name not in delivered]
    for name in named.keys() & delivered:
        done(named[name].number, None)
    found: list[Told] = []
    for part, result in _imported(config, left, folder, by):
        if isinstance(result, FactoryError):
            done(part.number, result)
            continue
        found += result
        done(part.number, None)
        if len(found) >= _AT_ONCE:
            stores.imports.record_all(found)
            found = []
    stores.imports.record_all(found)
    return list(named)


def _title(part: Part) -> str:
    return f"Manufacturer {part.number} (The Complete Journey)"


def _batched(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(islice(rows, _AT_ONCE)):
        yield some


Result = list[Told] | FactoryError


def _imported(
    config: Config, left: Sequence[tuple[Tenant, Part]], folder: Path, by: str
) -> Iterator[tuple[Part, Result]]:
    """Import in processes of their own, more of them than cores: they wait for the disk."""
    workers = 2 * (os.cpu_count() or 1)
    todo = iter(left)
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_prepare, initargs=(config, folder, by)
    ) as pool:
        working: dict[Future[Result], Part] = {}
        while True:
            for tenant, part in islice(todo, workers * _AHEAD - len(working)):
                working[pool.submit(_take_in, tenant, part)] = part
            if not working:
                return
            ready, _ = wait(working, return_when=FIRST_COMPLETED)
            for future in ready:
                yield working.pop(future), future.result()


_WORKER: list[tuple[Stores, Config, Path, str]] = []


def _prepare(config: Config, folder: Path, by: str) -> None:
    _WORKER[:] = [(open_stores(config), config, folder, by)]


def _take_in(tenant: Tenant, part: Part) -> Result:
    stores, config, folder, by = _WORKER[0]
    kept = stores.imports.kept()
    made = write_part(folder, part)
    try:
        import_files(
            replace(stores, imports=kept),
            tenant,
            made.files,
            config.template.intake,
            by=by,
            now=datetime.now(UTC),
        )
    except FactoryError as error:
        return error
    return kept.told
