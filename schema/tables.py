"""The universal schema: one definition for validation, documentation and test data.

Every tenant's data takes this form before anything else looks at it; it is what lets one template
serve thousands of tenants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from schema.names import CustomerStatus, Event, FeedbackKind, Status

VERSION = 2
"""1 had no status of customers."""

ID_MAX_BYTES = 128
"""Longest id in UTF-8; LMDB keys end at 511, and nobody reads longer ones aloud."""


CONTROL = r"[\x00-\x1f\x7f]"
"""Characters no id may hold: they forge lines and headers."""


class Kind(StrEnum):
    """How a column's values are read and checked."""

    ID = "id"
    """Text of 1 to ID_MAX_BYTES bytes without control characters."""
    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    """An instant; text is ISO 8601, a time without a zone is taken in the tenant's zone."""
    CHOICE = "choice"
    """One of ``choices``."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the universal schema.

    Attributes:
        least, most: inclusive range of a NUMBER, in ``unit``.
        default: what an absent or empty optional value becomes (None: stays unknown).
        points_to: the table whose key this id has to be found in.
        whole: a NUMBER without a fraction.
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    unit: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    default: str | float | None = None
    points_to: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the universal schema; ``key`` is unique in it ("" where rows repeat)."""

    name: str
    meaning: str
    key: str
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


CUSTOMERS = Table(
    "customers",
    "Who buys: one row per customer of the tenant. A file replaces the whole table, "
    "unless it is added: then each row takes the place of the one with its id.",
    "customer_id",
    (
        Column("customer_id", Kind.ID, "the tenant's own id of the customer", required=True),
        Column("name", Kind.TEXT, "what the salesperson calls the customer"),
        Column("segment", Kind.TEXT, "branch or size class, as the tenant sorts its customers"),
        Column("region", Kind.TEXT, "where the customer is"),
        Column(
            "status",
            Kind.CHOICE,
            "whether the customer is still one; who is closed gets no list",
            choices=tuple(CustomerStatus),
            default=CustomerStatus.ACTIVE.value,
        ),
    ),
)

PRODUCTS = Table(
    "products",
    "What is sold: one row per product. A file replaces the whole table; "
    "a product that is missing from it is no longer recommended. A file that is added changes "
    "only the products it names: one leaves by the status discontinued.",
    "product_id",
    (
        Column("product_id", Kind.ID, "the tenant's own id of the product", required=True),
        Column("name", Kind.TEXT, "what the salesperson reads aloud"),
        Column("category", Kind.TEXT, "the tenant's product group"),
        Column("price", Kind.NUMBER, "list price", unit="tenant's currency", least=0, most=1e9),
        Column(
            "cost",
            Kind.NUMBER,
            "what it costs the tenant, for the rule min_margin; never shown",
            unit="tenant's currency",
            least=0,
            most=1e9,
        ),
        Column(
            "status",
            Kind.CHOICE,
            "whether it can be sold now",
            choices=tuple(Status),
            default=Status.SELLABLE.value,
        ),
    ),
)

INTERACTIONS = Table(
    "interactions",
    "What happened: one row per line of an order, view, click, … A file adds to what is there.",
    "",
    (
        Column("customer_id", Kind.ID, "who", required=True, points_to="customers"),
        Column("product_id", Kind.ID, "what", required=True, points_to="products"),
        Column(
            "event",
            Kind.CHOICE,
            "what kind",
            choices=tuple(Event),
            default=Event.PURCHASE.value,
        ),
        Column(
            "quantity",
            Kind.NUMBER,
            "how many; negative for a return, else above zero",
            unit="pieces",
            least=-1e7,
            most=1e7,
            default=1.0,
        ),
        Column(
            "value",
            Kind.NUMBER,
            "money for the whole line, after discount; the stars of a rating",
            unit="tenant's currency",
            least=-1e12,
            most=1e12,
        ),
        Column("occurred_at", Kind.TIME, "when", required=True, unit="UTC"),
    ),
)

FEEDBACK = Table(
    "feedback",
    "What became of a recommendation, told by the salesperson's screen.",
    "event_id",
    (
        Column("event_id", Kind.ID, "made by the sender; counts once", required=True),
        Column("customer_id", Kind.ID, "who was shown it", required=True),
        Column("product_id", Kind.ID, "what was shown", required=True),
        Column(
            "kind", Kind.CHOICE, "what became of it", required=True, choices=tuple(FeedbackKind)
        ),
        Column("edition", Kind.NUMBER, "the edition shown", least=1, most=2**31, whole=True),
        Column("rank", Kind.NUMBER, "the place on the list", least=1, most=1000, whole=True),
        Column("quantity", Kind.NUMBER, "pieces bought", unit="pieces", least=0, most=1e7),
        Column("value", Kind.NUMBER, "money", unit="tenant's currency", least=0, most=1e12),
        Column("occurred_at", Kind.TIME, "when; empty means now", unit="UTC"),
    ),
)

TABLES = {table.name: table for table in (CUSTOMERS, PRODUCTS, INTERACTIONS, FEEDBACK)}
IMPORTED = (CUSTOMERS, PRODUCTS, INTERACTIONS)
"""In the order they have to be read: interactions point to the other two."""

How = Literal["add", "replace"]
"""``replace``: the file is the whole table. ``add``: of interactions, it comes beside what is
there; of customers and products, each row takes the place of the one with its key."""

HOW: Mapping[str, How] = {"customers": "replace", "products": "replace", "interactions": "add"}
"""How a table is taken where nobody says."""
