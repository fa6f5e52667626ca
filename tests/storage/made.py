"""Small lists and models with an answer known beforehand."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import numpy as np

from schema.names import Bought
from schema.records import ENTRY, Blend, Ids, Lists, Model, Product
from schema.settings import TenantSettings
from storage.editions import Current, Editions

NIGHT = date(2026, 4, 1)
AT = datetime(2026, 4, 1, 0, 5, tzinfo=UTC)
ONE, OTHER = "t-one", "t-other"
"""Two tenants' folders."""


def lists(
    customers: Sequence[str] = ("C-1", "C-2", "C-3"), products: int = 4, tag: str = "P"
) -> Lists:
    """Customer n likes product n best, then the ones after it; the last place is padding."""
    entries = np.zeros((len(customers), products), np.dtype(list(ENTRY)))
    entries["because"] = -1
    for row in range(len(customers)):
        entries["product"][row] = [*((row + place) % products for place in range(products - 1)), -1]
        entries["probability"][row] = [0.5 / (place + 1) for place in range(products)]
    popular = entries[0].copy() if len(customers) else np.zeros(products, entries.dtype)
    return Lists(
        customers=tuple(customers),
        entries=entries,
        popular=popular,
        products=tuple(
            Product(f"{tag}-{n}", f"product {n}", None, 1.0, "sellable") for n in range(products)
        ),
    )


def model(seed: int = 0, kind: str = "als") -> Model:
    """Three products, two factors, one coefficient each."""
    return Model(
        kind=kind,
        products=Ids(("P-0", "P-1", "P-2")),
        factors=np.random.default_rng(seed).normal(size=(3, 2)).astype(np.float32),
        blend=Blend(repeat={"intercept": 0.1 + seed}, fresh={"intercept": -1 / 3}),
        settings=TenantSettings(seed=seed),
        horizon_days=7,
        trained_through=20_544,
        seed=seed,
        data_fingerprint="0123456789abcdef+0",
    )


def seal(
    editions: Editions,
    uid: str = ONE,
    taken: int = 0,
    made: Lists | None = None,
    *,
    model: int = 1,
    night: date = NIGHT,
    bought: Bought = Bought.INCLUDE,
) -> tuple[int, str]:
    """Seal an edition; by default the first one of ``lists()``."""
    return editions.seal(
        uid, taken, made or lists(), model=model, night=night, horizon_days=7, bought=bought
    )


def publish(
    editions: Editions, uid: str = ONE, taken: int = 0, *, model: int = 1, fence: int = 1
) -> Current:
    """Seal an edition after ``taken`` and serve it."""
    number, sha = seal(editions, uid, taken, model=model)
    current = Current(number, sha, fence, AT)
    editions.point(uid, current)
    return current
