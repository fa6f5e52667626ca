"""What a night works on: accepted tables, and the feedback that joins them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.history import local_days
from schema.dates import midnight
from schema.names import Event, FeedbackKind, Status
from schema.records import History, Product, Tenant
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
        columns = ("product_id", "name", "category", "price", "status")
        rows = zip(*(self.products[name].to_pylist() for name in columns), strict=True)
        catalogue = {row[0]: Product(*row) for row in rows}
        return [
            catalogue.get(name) or Product(name, None, None, None, Status.DISCONTINUED.value)
            for name in history.products.names
        ]


def read_data(stores: Stores, tenant: Tenant, night: date) -> Data:
    """Read what a night of this date may know.

    Raises:
        Problem: nothing was ever imported (``DATA_MISSING``).
    """
    interactions = stores.datasets.read(tenant.uid, "interactions")
    before = midnight(night, zone(tenant.timezone))
    told = stores.feedback.events(tenant.tenant, before, list(TOLD))
    dataset = stores.datasets.of(tenant.uid)
    assert dataset is not None  # read() has just found it
    return Data(
        customers=stores.datasets.read(tenant.uid, "customers"),
        products=stores.datasets.read(tenant.uid, "products"),
        interactions=with_feedback(interactions, told),
        fingerprint=f"{dataset.fingerprint}+{len(told)}",
    )


def with_feedback(interactions: pa.Table, told: Sequence[dict[str, Any]]) -> pa.Table:
    """Add feedback to the interactions, each purchase once.

    A purchase that a salesperson reported usually arrives again with the tenant's own orders: it
    is left out if the same customer bought the same product on the same day (UTC) there.
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
    days = [_days(table) for table in (rows, interactions)]
    purchases = pc.equal(interactions["event"], Event.PURCHASE.value).to_numpy()
    told_customers = pc.is_in(interactions["customer_id"], rows["customer_id"]).to_numpy()
    known = {
        (customer, product, day)
        for customer, product, day in zip(
            *_chosen(interactions, purchases & told_customers),
            days[1][purchases & told_customers],
            strict=True,
        )
    }
    fresh = [
        event != Event.PURCHASE.value or (customer, product, day) not in known
        for customer, product, event, day in zip(
            rows["customer_id"].to_pylist(),
            rows["product_id"].to_pylist(),
            rows["event"].to_pylist(),
            days[0],
            strict=True,
        )
    ]
    return pa.concat_tables([interactions, rows.filter(pa.array(fresh))])


def _days(table: pa.Table) -> "np.ndarray[Any, np.dtype[np.int32]]":
    return local_days(table["occurred_at"].cast(pa.int64()).to_numpy(), zone("UTC"))


def _chosen(table: pa.Table, rows: Any) -> tuple[list[str], list[str]]:
    chosen = table.filter(pa.array(rows))
    return chosen["customer_id"].to_pylist(), chosen["product_id"].to_pylist()
