"""Take in what waits: uploads that a server could not see to the end, and what lies in the inboxes.

One tenant is collected by one process at a time, in this order: what had arrived before, uploads as they
came, then the inbox. Every step may be the last one of its process. An import that is repeated
counts once, because its batch is named after its bytes; so files are only let go when it is done.
"""

import logging
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, TimeoutError
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from pebble import ProcessExpired, ProcessPool

from factory.faults import escaped
from jobs.intake import import_files
from schema.config import Config
from schema.errors import FactoryError, Problem, Refused, as_json
from schema.names import TenantId
from schema.records import Tenant
from schema.tables import How
from storage.stores import Stores, open_stores
from storage.uploads import Ticket, Tries, as_of
from tenants.order import settings_of

log = logging.getLogger("recfactory.collect")

Outcome = Literal["accepted", "unchanged", "held", "refused", "failed", "late", "missing"]
"""failed: it waits for another time. late: a marker is missing. missing: a whole delivery is."""

_DEATHS = 5
"""Processes that may die of one delivery before it is refused."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of one delivery.

    Attributes:
        report: of an import that came to one.
        problem: code, message, file, line, column, fix; of one that did not.
    """

    tenant: str
    files: tuple[str, ...]
    outcome: Outcome
    report: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def exit_status(found: Sequence[Collected]) -> int:
    """1 something failed and waits, 2 something was refused, 3 a person has to look."""
    outcomes = {line.outcome for line in found}
    if "failed" in outcomes:
        return 1
    if "refused" in outcomes:
        return 2
    return 3 if outcomes & {"held", "late", "missing"} else 0


def waiting(stores: Stores, tenant: Tenant) -> bool:
    """Whether a tenant has anything to collect; costs a look into a few folders."""
    return stores.inboxes.waiting(tenant) or bool(stores.uploads.waiting(tenant.uid))


def collect(
    stores: Stores, config: Config, name: str, *, now: datetime, inbox: bool = True
) -> list[Collected]:
    """Take in what waits for one tenant, and clear what was kept long enough.

    Args:
        inbox: whether to look into the tenant's inbox, too.
    """
    tenant = stores.ledger.tenant(name)
    with stores.uploads.alone(tenant.uid):
        kept = now - timedelta(days=config.deliveries.keep_days)
        stores.uploads.sweep(tenant.uid, kept)
        stores.inboxes.sweep(tenant, kept)
        found = list(_arrived(stores, config, tenant, now))
        found += _uploads(stores, config, tenant, now)
        if inbox:
            stores.inboxes.bring(tenant)
            found += _arrived(stores, config, tenant, now)
            found += _late(stores, config, tenant, now)
            found += _missing(stores, config, tenant, now)
    return found


def _uploads(stores: Stores, config: Config, tenant: Tenant, now: datetime) -> Iterator[Collected]:
    for ticket, file in stores.uploads.waiting(tenant.uid):
        tries = stores.uploads.tries(tenant.uid, ticket)
        found = _tried(tries, stores, config, tenant, {ticket.table: file}, now, ticket)
        if found.outcome != "failed":
            outcome = {
                **found.as_json(),
                "as_of": as_of(
                    tenant,
                    stores.datasets.stamp(tenant.uid),
                    stores.erased.of(tenant.uid).marks,
                ),
            }
            stores.uploads.settle(tenant.uid, ticket, outcome)
        yield found


def _arrived(stores: Stores, config: Config, tenant: Tenant, now: datetime) -> Iterator[Collected]:
    inboxes = stores.inboxes
    for path in inboxes.strange(tenant):
        found = _refused(tenant, [path], _STRANGE)
        inboxes.settle(tenant, [path], "refused", now, found.as_json())
        yield found
    for files in inboxes.arrived(tenant):
        found = _tried(inboxes.tries(tenant), stores, config, tenant, files, now)
        if found.outcome == "refused":
            inboxes.settle(tenant, list(files.values()), "refused", now, found.as_json())
        elif found.outcome != "failed":
            inboxes.settle(tenant, list(files.values()), "taken", now)
        yield found
        if found.outcome == "failed":
            return  # what came later must not be overtaken by it when it is tried again


_STRANGE = Refused(
    "it is no file, or its name does not begin with a table",
    "drop the file itself, as customers-….csv, products-….csv or interactions-….csv",
    code="DATA_WRONG_NAME",
)


def _tried(
    tries: Tries,
    stores: Stores,
    config: Config,
    tenant: Tenant,
    files: Mapping[str, Path],
    now: datetime,
    ticket: Ticket | None = None,
) -> Collected:
    """Import a delivery, unless too many processes died of it."""
    if tries.before >= _DEATHS:
        tries.end()
        return _refused(tenant, list(files.values()), _DEADLY)
    tries.begin()
    try:
        found = _import(stores, config, tenant, files, now, ticket)
    except MemoryError:  # not ended: as if the process had died of it
        return _failed(
            tenant, files, Problem("there is not enough memory for it", "wait", "MEMORY")
        )
    tries.end()
    return found


_DEADLY = Refused(
    f"its import was begun {_DEATHS} times and never came to an end",
    "send it in smaller parts; the operator finds the reason in the log",
    code="DATA_IMPORT_DIED",
)


def _import(
    stores: Stores,
    config: Config,
    tenant: Tenant,
    files: Mapping[str, Path],
    now: datetime,
    ticket: Ticket | None,
) -> Collected:
    limits = settings_of(config.template, tenant.changes).intake
    by, dry_run = (ticket.by, ticket.dry_run) if ticket else ("inbox", False)
    how: dict[str, How] = {ticket.table: ticket.how} if ticket and ticket.how else {}
    try:
        report = import_files(
            stores, tenant, files, limits, by=by, now=now, dry_run=dry_run, how=how
        )
    except (Problem, FactoryError) as error:
        problem = error.problem if isinstance(error, FactoryError) else error
        if isinstance(problem, Refused):
            return _refused(tenant, list(files.values()), problem)
        return _failed(tenant, files, problem)
    except PermissionError:
        return _refused(tenant, list(files.values()), _UNREADABLE)
    except MemoryError:
        raise
    except Exception as error:  # whatever it is, it is this tenant's: the others are collected
        log.exception("%s: import of %s", tenant.tenant, _shown(files.values()))
        return _failed(
            tenant, files, Problem(f"{type(error).__name__}: {error}", "see the log", "DEFECT")
        )
    told = report.as_json()
    outcome = told.get("state", "accepted")
    return Collected(tenant.tenant, _shown(files.values()), outcome, told)


_UNREADABLE = Refused(
    "it may not be read by this program",
    "give it rights to read what is dropped",
    code="DATA_UNREADABLE",
)


def _late(stores: Stores, config: Config, tenant: Tenant, now: datetime) -> Iterator[Collected]:
    """Files whose marker does not come; each is told of once."""
    since = now - timedelta(hours=config.deliveries.settle_hours)
    for late in stores.inboxes.late(tenant, since):
        changed = datetime.fromtimestamp(late.changed_at, UTC)
        problem = Problem(
            f"there is no marker yet, and the file has not changed since {changed:%Y-%m-%d %H:%M} UTC",
            f"when it is whole, write an empty file {escaped(late.name)}.done beside it",
            code="DATA_NOT_SETTLED",
        )
        name = escaped(late.name)
        found = Collected(tenant.tenant, (name,), "late", problem=as_json(problem, name))
        stores.inboxes.tell(tenant, late.name, found.as_json())
        yield found


def _missing(stores: Stores, config: Config, tenant: Tenant, now: datetime) -> list[Collected]:
    """Whether a delivery that somebody waits for did not come."""
    hours = settings_of(config.template, tenant.changes).intake.expected_hours
    if not hours:
        return []
    good = (
        line["imported_at"]
        for line in stores.imports.reports(tenant.tenant)
        if line.get("state", "accepted") in ("accepted", "released")
    )
    last = next(good, None)
    if last is not None and now - last <= timedelta(hours=hours):
        return []
    age = f"the last good one is {(now - last) / timedelta(days=1):.1f} days old" if last else ""
    problem = Problem(
        f"no delivery came within {hours:g} hours; {age or 'there never was a good one'}",
        "ask whoever delivers; `recfactory data show TENANT` shows what came",
        code="DATA_MISSING",
    )
    return [Collected(tenant.tenant, (), "missing", problem=as_json(problem))]


def _refused(tenant: Tenant, files: Sequence[Path], problem: Refused) -> Collected:
    names = _shown(files)
    file = names[0] if len(names) == 1 else None
    return Collected(tenant.tenant, names, "refused", problem=as_json(problem, file))


def _failed(tenant: Tenant, files: Mapping[str, Path], problem: Problem) -> Collected:
    return Collected(tenant.tenant, _shown(files.values()), "failed", problem=as_json(problem))


def _shown(files: Any) -> tuple[str, ...]:
    return tuple(escaped(path.name) for path in files)


def collect_fleet(
    stores: Stores, config: Config, names: Sequence[TenantId], done: Callable[[Collected], None]
) -> None:
    """Collect several tenants, each on its own: whatever one does, the others are collected.

    Workers are bounded in memory and time as ``deliveries`` in config.yaml says; one that dies
    costs its tenant this attempt.
    """
    if config.nightly.executor == "in-process":
        for name in names:
            for found in _collected(stores, config, name):
                done(found)
        return
    deliveries = config.deliveries
    with ProcessPool(
        max_workers=min(deliveries.imports, len(names) or 1),
        max_tasks=200,
        context=get_context("spawn"),
        initializer=_prepare,
        initargs=(config,),
    ) as pool:
        futures = [
            pool.schedule(_work, args=(name,), timeout=deliveries.import_minutes * 60)
            for name in names
        ]
        try:
            for name, future in zip(names, futures, strict=True):
                try:
                    results = future.result()
                except (ProcessExpired, CancelledError, TimeoutError) as error:
                    results = [_lost(name, f"its worker process was lost ({error})")]
                for found in results:
                    done(found)
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]  # what it was at is taken up again
            raise


_STORES: list[tuple[Stores, Config]] = []


def _prepare(config: Config) -> None:
    most = config.deliveries.import_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    _STORES[:] = [(open_stores(config), config)]


def _work(name: TenantId) -> list[Collected]:
    return _collected(*_STORES[0], name)


def _collected(stores: Stores, config: Config, name: TenantId) -> list[Collected]:
    try:
        return collect(stores, config, name, now=datetime.now(UTC))
    except Exception as error:  # the inbox is no folder, say: this tenant's matter, and told
        log.exception("%s: its deliveries", name)
        return [_lost(name, str(error))]


def _lost(name: TenantId, what: str) -> Collected:
    return Collected(name, (), "failed", problem=as_json(Problem(what, "see the log", "COLLECT")))
