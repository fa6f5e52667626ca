"""A tenant's week as it should be, in shapes that would poison a model, and in honest ones."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.weeks import between_days
from tests.world import FIRST_DAY, NIGHT, tables

WEEK = NIGHT - timedelta(days=7)
"""The delivery in question is of the seven days before the night; all before is history."""

Delivery = dict[str, pa.Table]


def shop(name: str = "acme") -> Delivery:
    """Three months of 400 customers: about a thousand rows a week, a third of them ratings."""
    made = tables(name, customers=400, products=60)
    rows = made["interactions"]
    n = np.arange(len(rows))
    product = np.array([int(p[-2:]) for p in rows["product_id"].to_pylist()])
    quantity = 1.0 + (n * 7 + product) % 9
    rated = n % 3 == 0
    columns = {
        "event": pa.array(np.where(rated, "rating", "purchase").tolist()),
        "quantity": pa.array(quantity),
        "value": pa.array(np.where(rated, 1.0 + n % 5, 1.5 * (product + 1) * quantity)),
    }
    for column, values in columns.items():
        rows = with_column(rows, column, values)
    return {**made, "interactions": rows}


def history(made: Delivery) -> Delivery:
    return {**made, "interactions": between_days(made["interactions"], FIRST_DAY, WEEK)}


def week(made: Delivery) -> pa.Table:
    return between_days(made["interactions"], WEEK, NIGHT)


def with_column(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    if name not in rows.column_names:
        return rows.append_column(name, values)
    return rows.set_column(rows.column_names.index(name), name, values)


def times(rows: pa.Table, factor: float, only: Callable[[date], bool] = lambda _: True) -> pa.Table:
    """As many times the rows of some days: more of them a minute apart, fewer evenly left out."""
    days = [moment.date() for moment in rows["occurred_at"].to_pylist()]
    chosen = rows.filter(pa.array([only(day) for day in days]))
    others = rows.filter(pa.array([not only(day) for day in days]))
    wanted = np.arange(round(factor * len(chosen)))
    source = (wanted / factor).astype(int)
    copy = wanted - np.ceil(source * factor).astype(int)
    made = chosen.take(pa.array(source))
    minutes = pa.array(copy * 60_000_000, pa.duration("us"))
    made = with_column(made, "occurred_at", pc.add(made["occurred_at"], minutes))
    return pa.concat_tables([others, made])


def first(rows: pa.Table, share: float) -> pa.Table:
    return rows.slice(0, round(share * len(rows)))


def renamed(rows: pa.Table, column: str) -> pa.Table:
    return with_column(rows, column, pc.binary_join_element_wise("new", rows[column], "-"))


def replaced(rows: pa.Table, column: str, value: object, share: float = 1.0) -> pa.Table:
    chosen = pa.array(np.arange(len(rows)) % 10 < 10 * share)
    return with_column(rows, column, pc.if_else(chosen, pa.scalar(value), rows[column]))


def scaled(rows: pa.Table, column: str, factor: float, event: str | None = None) -> pa.Table:
    chosen = pc.equal(rows["event"], event) if event else pa.array([True] * len(rows))
    made = pc.if_else(chosen, pc.multiply(rows[column], factor), rows[column])
    return with_column(rows, column, made)


def rated_one(rows: pa.Table) -> pa.Table:
    rating = pc.equal(rows["event"], "rating")
    return with_column(rows, "value", pc.if_else(rating, 1.0, rows["value"]))


def dealt_anew(products: pa.Table) -> pa.Table:
    ids = products["product_id"].to_pylist()
    return with_column(products, "product_id", pa.array([*ids[1:], ids[0]]))


def again(made: Delivery) -> pa.Table:
    """The last week of the history once more, in another order: other bytes, the same rows."""
    rows = between_days(made["interactions"], WEEK - timedelta(days=7), WEEK)
    return rows.sort_by([("customer_id", "descending")])


def february(made: Delivery) -> pa.Table:
    return scaled(
        between_days(made["interactions"], date(2026, 2, 1), date(2026, 2, 8)), "quantity", 2.0
    )


POISON: Mapping[str, tuple[str, Callable[[Delivery], Delivery]]] = {
    "a tenth of the catalogue": (
        "DRIFT_SHRINK",
        lambda made: {"products": first(made["products"], 0.1)},
    ),
    "a tenth of the customers": (
        "DRIFT_SHRINK",
        lambda made: {"customers": first(made["customers"], 0.1)},
    ),
    "ten times the rows": (
        "DRIFT_VOLUME",
        lambda made: {"interactions": times(week(made), 10)},
    ),
    "a tenth of the rows": (
        "DRIFT_VOLUME",
        lambda made: {"interactions": times(week(made), 0.1)},
    ),
    "products under new ids": (
        "DRIFT_REKEY",
        lambda made: {"products": renamed(made["products"], "product_id")},
    ),
    "customers under new ids": (
        "DRIFT_REKEY",
        lambda made: {"customers": renamed(made["customers"], "customer_id")},
    ),
    "the products' ids dealt anew": (
        "DRIFT_REKEY",
        lambda made: {"products": dealt_anew(made["products"])},
    ),
    "one rating for everything": (
        "DRIFT_VARIANCE",
        lambda made: {"interactions": rated_one(week(made))},
    ),
    "one quantity for everything": (
        "DRIFT_VARIANCE",
        lambda made: {"interactions": replaced(week(made), "quantity", 1.0)},
    ),
    "values in cents": (
        "DRIFT_VARIANCE",
        lambda made: {"interactions": scaled(week(made), "value", 100.0, "purchase")},
    ),
    "a bot with three rows of ten": (
        "DATA_DOMINATED",
        lambda made: {"interactions": replaced(week(made), "customer_id", "C-0009", 0.3)},
    ),
    "one product in every row": (
        "DATA_DOMINATED",
        lambda made: {"interactions": replaced(week(made), "product_id", "acme-P-07")},
    ),
    "last week again": ("ROW_DUPLICATE", lambda made: {"interactions": again(made)}),
    "a week of February": ("DATA_OLDER", lambda made: {"interactions": february(made)}),
    "products nobody knows in three rows of ten": (
        "REF_UNKNOWN",
        lambda made: {"interactions": replaced(week(made), "product_id", "P-unknown", 0.3)},
    ),
    "a column that is gone": (
        "SCHEMA_CHANGED",
        lambda made: {"interactions": week(made).drop_columns(["value"])},
    ),
    "a catalogue without prices": (
        "SCHEMA_CHANGED",
        lambda made: {"products": made["products"].drop_columns(["price"])},
    ),
}
"""By what is wrong: the code that has to hold it, and how a week is made so."""


def new_branch(made: Delivery) -> Delivery:
    """A quarter more customers, who buy like the others."""
    rows, many = week(made), first(made["customers"], 0.25)
    theirs = rows.filter(pc.is_in(rows["customer_id"], many["customer_id"].combine_chunks()))
    return {
        "customers": pa.concat_tables([made["customers"], renamed(many, "customer_id")]),
        "interactions": pa.concat_tables([rows, renamed(theirs, "customer_id")]),
    }


def fewer_products(made: Delivery) -> Delivery:
    kept = first(made["products"], 0.8)
    rows = week(made)
    known = pc.is_in(rows["product_id"], kept["product_id"].combine_chunks())
    return {"products": kept, "interactions": rows.filter(known)}


def dearer(made: Delivery) -> Delivery:
    prices = pc.multiply(made["products"]["price"], 1.15)
    return {
        "products": with_column(made["products"], "price", prices),
        "interactions": scaled(week(made), "value", 1.15, "purchase"),
    }


HONEST: Mapping[str, Callable[[Delivery], Delivery]] = {
    "as ever": lambda made: {**made, "interactions": week(made)},
    "a fifth more rows": lambda made: {"interactions": times(week(made), 1.2)},
    "a fifth fewer rows": lambda made: {"interactions": times(week(made), 0.8)},
    "a fifth fewer products": fewer_products,
    "a new branch of customers": new_branch,
    "Christmas": lambda made: {
        "interactions": times(week(made), 2.5, lambda day: day.weekday() < 5)
    },
    "a holiday week with few rows": lambda made: {
        "interactions": times(week(made), 0.1, lambda day: day.weekday() not in (0, 2))
    },
    "a price rise": dearer,
}
