"""What a night works on: accepted tables, and the feedback that joins them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from schema.dates import midnight
from schema.names import CustomerStatus, Event, FeedbackKind, Status
from schema.records import History, Product, Tenant
from storage.dataset import Dataset
from storage.stores import Stores
from tenants.order import zone

TOLD = {
    FeedbackKind.CLICKED: Event.CLICK,
    FeedbackKind.ACCEPTED: Event.ADD_TO_CART,
    FeedbackKind.PURCHASED: Event.PURCHASE,
}
"""What a salesperson's feedback says about the customer; "shown" and "dismissed" are no interest."""


@dataclass(frozen=True, slots=True)
class Data:
    """A tenant's accepted tables; interactions with the feedback joined in."""

    customers: pa.Table
    products: pa.Table
    interactions: pa.Table
    fingerprint: str

    def listed(self, history: History) -> list[Product]:
        """What each product number of a history shows; a product out of the catalogue shows little."""
        columns = ("product_id", "name", "category", "price", "status", "cost")
        unknown = [None] * len(self.products)  # a column that a later version has added
        rows = zip(
            *(
                self.products[name].to_pylist() if name in self.products.column_names else unknown
                for name in columns
            ),
            strict=True,
        )
        catalogue = {row[0]: Product(*row) for row in rows}
        return [
            catalogue.get(name) or Product(name, None, None, None, Status.DISCONTINUED.value)
            for name in history.products.names
        ]


MOST_A_DAY = 100
"""Lines of feedback that count for one customer and local day: longer lists nobody was shown, and
whoever sends more must not steer what others see."""


def read_data(
    stores: Stores,
    tenant: Tenant,
    night: date,
    feedback_until: datetime | None = None,
    *,
    heard: bool = True,
) -> Data:
    """Read what a night of this date may know; one version of the data, whatever is imported now.

    Whoever was erased is not in it, even where their rows still are: erased a moment ago, or put
    back with a backup.

    Args:
        feedback_until: leave out feedback that reached the ledger later (None: take all).
        heard: whether there is any feedback; most of a fleet gave none, and is not asked for it.

    Raises:
        Problem: nothing was ever imported (``DATA_MISSING``).
    """
    dataset = stores.datasets.required(tenant.uid)
    erased = stores.erased.of(tenant.uid)
    told = _told(stores, tenant, night, feedback_until) if heard else []
    tables = {
        name: stores.datasets.read(tenant.uid, name, dataset)
        for name in ("customers", "products", "interactions")
    }
    return Data(
        customers=_active(erased.without(tables["customers"])),
        products=tables["products"],
        interactions=with_feedback(erased.without(tables["interactions"]), told),
        fingerprint=_fingerprint(dataset, told),
    )


def fingerprint(
    stores: Stores,
    tenant: Tenant,
    night: date,
    feedback_until: datetime | None = None,
    *,
    heard: bool = True,
) -> str:
    """What ``read_data`` would say its data are, without reading them."""
    dataset = stores.datasets.required(tenant.uid)
    told = _told(stores, tenant, night, feedback_until) if heard else []
    return _fingerprint(dataset, told)


def _told(
    stores: Stores, tenant: Tenant, night: date, until: datetime | None
) -> list[dict[str, Any]]:
    local, erased = zone(tenant.timezone), stores.erased.of(tenant.uid)
    events = stores.feedback.events(tenant.tenant, midnight(night, local), list(TOLD), until)
    return capped([event for event in events if not erased.holds(event["customer_id"])], local)


def _fingerprint(dataset: Dataset, told: Sequence[dict[str, Any]]) -> str:
    if not told:
        return dataset.fingerprint
    ids = hashlib.sha256("\n".join(event["event_id"] for event in told).encode()).hexdigest()[:8]
    return f"{dataset.fingerprint}+{ids}"


def _active(customers: pa.Table) -> pa.Table:
    """Without those who are closed: as if a full file had left them out."""
    if "status" not in customers.column_names:  # accepted before the column was there
        return customers
    closed = pc.equal(customers["status"], CustomerStatus.CLOSED.value)
    return customers.filter(pc.invert(pc.fill_null(closed, False)))


def capped(told: Sequence[dict[str, Any]], local: ZoneInfo) -> list[dict[str, Any]]:
    """The first MOST_A_DAY lines of every customer and local day; the others do not count.

    Args:
        told: in the order of their time.
    """
    seen: Counter[tuple[str, date]] = Counter()
    kept = []
    for event in told:
        day = event["customer_id"], event["occurred_at"].astimezone(local).date()
        seen[day] += 1
        if seen[day] <= MOST_A_DAY:
            kept.append(event)
    return kept


def with_feedback(interactions: pa.Table, told: Sequence[dict[str, Any]]) -> pa.Table:
    """Add feedback to the interactions.

    A purchase that a salesperson reported usually arrives again with the tenant's own orders; the
    history merges what one customer bought of one product on one day, so it counts once.
    """
    if not told:
        return interactions
    rows = pa.table(
        {
            "customer_id": [event["customer_id"] for event in told],
            "product_id": [event["product_id"] for event in told],
            "event": [TOLD[FeedbackKind(event["kind"])].value for event in told],
            "quantity": pa.array([event["quantity"] or 1.0 for event in told], pa.float64()),
            "value": pa.array([event["value"] for event in told], pa.float64()),
            "occurred_at": pa.array(
                [event["occurred_at"] for event in told], pa.timestamp("us", "UTC")
            ),
        },
        schema=interactions.schema,
    )
    return pa.concat_tables([interactions, rows])
