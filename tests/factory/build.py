"""Small histories, written as a person would tell them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from schema.records import History, Ids, Product

Bought = tuple[int, int, int]  # customer, product, day


def history(
    rows: Iterable[Bought],
    customers: int,
    products: int,
    *,
    unsellable: Sequence[int] = (),
    weights: Sequence[float] | None = None,
    category: Sequence[int] = (),
    segment: Sequence[int] = (),
) -> History:
    """A history of purchases; days are any whole numbers.

    Args:
        weights: of the rows in the order of customer, product and day; below 1 is interest.
        category, segment: group of each product and each customer, -1 for none; without them
            nobody is in any.
    """
    told = sorted(set(rows))
    table = np.array(told, np.int32).reshape(-1, 3)
    sellable = np.ones(products, bool)
    sellable[list(unsellable)] = False
    weight = np.ones(len(told), np.float32) if weights is None else np.array(weights, np.float32)
    return History(
        customers=Ids(f"C-{n:03}" for n in range(customers)),
        products=Ids(f"P-{n:03}" for n in range(products)),
        sellable=sellable,
        customer=table[:, 0],
        product=table[:, 1],
        day=table[:, 2],
        bought=weight >= 1,
        weight=weight,
        categories=Ids(f"group {n}" for n in range(max(category, default=-1) + 1)),
        category=np.array(category or [-1] * products, np.int32),
        segments=Ids(f"segment {n}" for n in range(max(segment, default=-1) + 1)),
        segment=np.array(segment or [-1] * customers, np.int32),
    )


def kept(told: History, rows: NDArray[np.bool_], products: int | None = None) -> History:
    """Only these rows happened; only the first ``products`` are in the catalogue."""
    names = ("customer", "product", "day", "bought", "weight")
    left = replace(told, **{name: getattr(told, name)[rows] for name in names})
    if products is None:
        return left
    return replace(
        left,
        products=Ids(told.products.names[:products]),
        sellable=told.sellable[:products],
        category=told.category[:products],
    )


def retold(told: History, rows: Iterable[Bought], products: int | None = None) -> History:
    """The same purchases and these; ``products`` widens the catalogue."""
    known = zip(told.customer.tolist(), told.product.tolist(), told.day.tolist(), strict=True)
    return history([*known, *rows], len(told.customers), products or len(told.products))


def catalogue(of: History) -> list[Product]:
    """What each product number shows."""
    return [Product(name, f"name of {name}", None, None, "sellable") for name in of.products.names]


def checkerboard(customers: int = 40, products: int = 20, days: int = 120) -> History:
    """Even customers buy even products, odd ones odd; nobody ever buys the one of their own number.

    So the product a customer is most sure to like, and does not know, is known beforehand.
    """
    rng = np.random.default_rng(1)
    rows = []
    for customer in range(customers):
        own = customer % products
        liked = [p for p in range(products) if p % 2 == customer % 2 and p != own]
        rows += [(customer, p, int(rng.integers(0, days))) for p in liked]
        rows += [(customer, int(rng.choice(liked)), int(day)) for day in rng.integers(0, days, 12)]
    return history(rows, customers, products)
