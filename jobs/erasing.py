"""What follows an erasure: everything that is still stored about a customer is looked for and
removed, store by store, by mark and not by id. So it can be repeated at any time, after whatever
stopped it, and after a backup was put back.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jobs.owner import alive
from schema.errors import Problem
from schema.mapping import Reading
from schema.names import TenantId
from schema.records import Erasure, NewEdition, Tenant
from schema.settings import IntakeSettings
from storage import delivered
from storage.database import compact
from storage.editions import Current
from storage.erased import Marks
from storage.inbox import delivery
from storage.stores import Stores

log = logging.getLogger("recfactory.erasing")

RESTORED = "found beside the ledger: erased before this ledger was put back"


def finish(
    stores: Stores, now: datetime, *, only: TenantId | None = None, again: bool = False
) -> list[Erasure]:
    """Finish what is pending, of every tenant or of one; what cannot be done now stays pending.

    Args:
        again: look for everybody who was ever erased once more, as after a backup was put back.

    Returns:
        The receipts that were looked at, as they stand now.
    """
    looked: list[Erasure] = []
    receipted, marked = stores.erasures.tenants(), stores.erased.uids()
    for tenant in stores.ledger.tenants():
        if only not in (None, tenant.tenant):
            continue
        if tenant.tenant not in receipted and tenant.uid not in marked:
            continue  # nearly all of a fleet: they cost no query
        try:
            due = replayed(stores, tenant, now)
            due = [receipt for receipt in due if again or not receipt.finished_at]
            if due:
                _finish(stores, tenant, due, now)
                numbers = {receipt.receipt for receipt in due}
                looked += [r for r in stores.erasures.of(tenant.tenant) if r.receipt in numbers]
        except (Problem, OSError) as error:  # the others' are finished; this one's is tried again
            log.warning("%s: an erasure waits: %s", tenant.tenant, error)
            looked += [r for r in stores.erasures.of(tenant.tenant) if not r.finished_at]
    return looked


def replayed(stores: Stores, tenant: Tenant, now: datetime) -> list[Erasure]:
    """The receipts in force, after ledger and marks were brought together.

    A ledger from before an erasure has no receipt for a mark that lies beside it: it gets one. A
    receipt without its mark puts the mark back.
    """
    receipts = stores.erasures.of(tenant.tenant)
    known = {receipt.mark for receipt in receipts}
    marks = stores.erased.of(tenant.uid).marks
    for mark in sorted(marks - known):
        stores.erasures.record(
            tenant.tenant, mark, known=True, by="recfactory", why=RESTORED, at=now
        )
    force = [r for r in stores.erasures.of(tenant.tenant) if not r.returned_at]
    if missing := {receipt.mark for receipt in force} - marks:
        stores.erased.add(tenant.uid, missing)
    return force


def _finish(stores: Stores, tenant: Tenant, due: list[Erasure], now: datetime) -> None:
    if stores.nights.running(tenant.tenant, alive, now):
        log.info("%s: an erasure waits for the end of the night", tenant.tenant)
        return
    marks = stores.erased.of(tenant.uid).only(receipt.mark for receipt in due)
    _deliver(stores)
    found = _everywhere(stores, tenant, marks, remove=False)
    counts = {
        receipt.receipt: {name: hits[receipt.mark] for name, hits in found.items()}
        for receipt in due
    }
    stores.erasures.found(tenant.tenant, counts)  # before: an attempt that dies must not lose them
    _everywhere(stores, tenant, marks, remove=True)
    if _spooled(stores, tenant, marks):
        log.info("%s: an erasure waits for a server's spool", tenant.tenant)
        return
    places = delivered.waiting(stores.home, tenant.uid)
    if delivered.holding(places, marks, partial(_texts, tenant)):
        log.info("%s: an erasure waits for the import of what was delivered", tenant.tenant)
        return
    compact(stores.engine)
    if any(receipt.finished_at is None for receipt in due):
        stores.erasures.finish(tenant.tenant, list(counts), at=now)


def _deliver(stores: Stores) -> None:
    try:
        stores.feedback.deliver()
    except (Problem, OSError) as error:
        log.info("spooled feedback waits: %s", error)


def _everywhere(
    stores: Stores, tenant: Tenant, marks: Marks, *, remove: bool
) -> Mapping[str, Counter[str]]:
    """How much there is of each mark, by store (``schema.records.FORGOTTEN``)."""
    places = delivered.folders(stores.home, tenant.tenant, tenant.uid)
    if remove:  # reports of settled uploads: they only save an import
        with stores.uploads.alone(tenant.uid):
            stores.uploads.sweep(tenant.uid, datetime.max.replace(tzinfo=UTC))
    return {
        **stores.datasets.forget(tenant.uid, marks, remove=remove),
        "delivered_files": delivered.forget(
            stores.disk, places, marks, partial(_texts, tenant), remove=remove
        ),
        "feedback": stores.feedback.forget(tenant.tenant, marks, remove=remove),
        "spool": _spooled(stores, tenant, marks, remove=remove),
        "reports": stores.imports.forget(tenant.tenant, marks, remove=remove),
        "editions": _editions(stores, tenant, marks, remove=remove),
    }


def _texts(tenant: Tenant, path: Path) -> Iterator[str]:
    """Everything a delivered file says: how its sender declared it may have changed since."""
    limits = IntakeSettings(max_file_bytes=path.stat().st_size + 1)
    found = delivery(path, Reading(), limits, tenant=tenant.tenant)
    yield from found.columns  # a file without a header has a row there
    for chunk in found.chunks():
        for column in chunk.rows.columns:
            yield from (str(value) for value in column.unique().to_pylist() if value is not None)
        yield from (line.text for line in chunk.ragged)


def _spooled(stores: Stores, tenant: Tenant, marks: Marks, *, remove: bool = False) -> Counter[str]:
    if remove:
        stores.feedback.spool.forget(
            lambda name, event: name == tenant.tenant and marks.holds(event["customer_id"])
        )
    about = (
        e["customer_id"] for name, e in stores.feedback.spool.events() if name == tenant.tenant
    )
    return Counter(mark for mark in map(marks.of, about) if mark in marks.marks)


def _editions(stores: Stores, tenant: Tenant, marks: Marks, *, remove: bool) -> Counter[str]:
    """What is served is sealed again without them, under the next number; older ones expire."""
    uid, found = tenant.uid, Counter[str]()
    if remove:
        stores.editions.sweep(uid)
    current = stores.editions.current(uid)
    served = current.edition if current else None
    for number in stores.editions.numbers(uid):
        try:
            gone = stores.editions.erased(uid, number, marks)
        except Problem:  # a damaged one cannot be gone back to, and may hold anybody
            if number == served:
                raise
            gone = {"": ""}
        found.update(mark for mark in gone.values() if mark)
        if remove and gone:
            if current is not None and number == served:
                _serve_without(stores, tenant, current, gone)
            stores.editions.discard(uid, number)
    return found


def _serve_without(
    stores: Stores, tenant: Tenant, current: Current, gone: Mapping[str, str]
) -> None:
    uid, old = tenant.uid, current.edition
    row = {r["edition"]: r for r in stores.nights.editions(tenant.tenant)}.get(old)
    if row is None:
        raise Problem(
            f"edition {old} is served, but its night was not recorded",
            "repeat the night; then this goes on",
            code="NOT_RECORDED",
        )
    taken = stores.nights.before([tenant.tenant])[tenant.tenant].edition_taken
    number, sha, lists = stores.editions.seal_without(uid, old, taken, list(gone))
    new = NewEdition(number, row["model"], lists, sha)
    stores.nights.resealed(tenant.tenant, old, new)

    def point() -> None:
        if stores.editions.current(uid) != current:
            raise Problem(
                "another edition was published meanwhile", "try again", code="EDITION_MOVED"
            )
        stores.editions.point(uid, Current(number, sha, current.fence, current.published_at))

    stores.nights.undisturbed(tenant.tenant, point)
