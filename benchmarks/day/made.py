"""A made-up installation: thousands of tenants with published editions, no night needed.

Every product's id names its tenant and its edition (``t0007-e2-P-0042``), so that an answer which
mixes two of either is seen at once.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.progress import track
from sqlalchemy import insert

from schema.config import Config
from schema.names import Action, Bought, Mode, Reason, Role, TenantId
from schema.records import ENTRY, Lists, Product, Rule
from storage.durable import Disk
from storage.editions import Current, Editions
from storage.rows import TENANTS
from storage.secret import make_secret
from storage.stores import Stores, open_stores
from tenants.access import make_key
from tenants.answer import first_lines

PLACES, CATEGORIES, HIDDEN = 50, 20, 3


class Unsynced(Disk):
    """Forces nothing to disk: a thousand tenants are made in seconds, and lost with the power."""

    def create(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)

    def create_by(self, path: Path, write) -> None:  # type: ignore[no-untyped-def]
        write(path)

    def sync_folder(self, path: Path) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    tenants: int
    customers: int
    products: int


def name(tenant: int) -> TenantId:
    return TenantId(f"t{tenant:04}")


def customer(number: int) -> str:
    return f"C-{number:05}"


def build(home: Path, first: Size, others: Size) -> str:
    """Make an installation: tenant 0 of one size, the others of another; two editions of each.

    Tenant 0 has a rule that hides a category.

    Returns:
        An operator's key, which opens every tenant.
    """
    make_secret(home, Disk())
    stores = open_stores(Config(home=home))
    now = datetime.now(UTC)
    key, text = make_key(None, Role.OPERATOR, "benchmark", stores.pepper, at=now)
    stores.ledger.add_key(key, by="benchmark")
    numbers = range(1 + others.tenants)
    with stores.engine.begin() as connection:
        rows = [
            {
                "tenant": name(n),
                "uid": f"b{n:05}",
                "title": f"Tenant {n}",
                "timezone": "UTC",
                "mode": Mode.ON.value,
                "changes": {},
                "fence": 0,
                "created_at": now,
            }
            for n in numbers
        ]
        connection.execute(insert(TENANTS), rows)
    editions = Editions(home / "tenants", Unsynced())
    for n in track(numbers, "tenants", transient=True):
        size = others if n else first
        (home / "tenants" / f"b{n:05}").mkdir(parents=True)
        for number in (1, 2):
            lists = made_lists(n, number, size)
            _, sha = editions.seal(
                f"b{n:05}",
                number - 1,
                lists,
                model=1,
                night=datetime.now(UTC).date(),
                horizon_days=14,
                bought=Bought.INCLUDE,
                lines=first_lines(lists.products, lists.segments, Bought.INCLUDE),
            )
            editions.point(f"b{n:05}", Current(number, sha, number, now))
    _hide_one(stores, now)
    stores.engine.dispose()
    return text


def _hide_one(stores: Stores, now: datetime) -> None:
    rule = Rule(
        number=0,
        action=Action.EXCLUDE,
        product=None,
        category=f"category {HIDDEN}",
        value=None,
        why="benchmark",
        created_by="benchmark",
        created_at=now,
        expires_at=None,
    )
    stores.ledger.add_rule(name(0), rule, at=now)


def made_lists(tenant: int, edition: int, size: Size) -> Lists:
    """Seeded lists as a grocer's look: half bought before, reasons of every kind."""
    rng = np.random.default_rng([tenant, edition])
    shown = np.arange(size.products)
    if tenant == 0:  # as a night ranks that knows the rule
        shown = shown[shown % CATEGORIES != HIDDEN]
    entries = np.zeros((size.customers + 1, PLACES), np.dtype(list(ENTRY)))
    for row in entries:
        row["product"] = rng.choice(shown, PLACES, replace=False)
    entries["probability"] = -np.sort(-rng.beta(0.5, 12, entries.shape))
    bought = rng.random(entries.shape) < 0.5
    entries["times"] = np.where(bought, rng.integers(1, 40, entries.shape), 0)
    entries["days_ago"] = np.where(bought, rng.integers(1, 300, entries.shape), 0)
    entries["every_days"] = np.where(entries["times"] > 2, rng.integers(3, 120, entries.shape), 0)
    why = rng.choice([Reason.SIMILAR, Reason.POPULAR], entries.shape)
    reasons = list(Reason)
    fresh = np.where(
        why == Reason.SIMILAR, reasons.index(Reason.SIMILAR), reasons.index(Reason.POPULAR)
    )
    entries["reason"] = np.where(bought, reasons.index(Reason.REORDER), fresh)
    entries["because"] = rng.integers(0, size.products, entries.shape)
    entries["times"][-1] = 0
    entries["reason"][-1] = reasons.index(Reason.POPULAR)
    return Lists(
        customers=tuple(customer(n) for n in range(size.customers)),
        entries=entries[:-1],
        popular=entries[-1],
        products=tuple(
            Product(
                f"{name(tenant)}-e{edition}-P-{n:04}",
                f"Product {n} of category {n % CATEGORIES}, 500 ml",
                f"category {n % CATEGORIES}",
                round(1.5 + n % 97 * 0.35, 2),
                "sellable",
            )
            for n in range(size.products)
        ),
        segments=(),
    )
