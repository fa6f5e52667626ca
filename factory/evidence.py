"""What was known about every customer, product and pair as of one day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from schema.records import History

_Doubles = NDArray[np.float64]

SEASON = 3
"""Horizons that count as "this season": between the last window and ever."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the features of a pair are made of; rows of the history before ``day`` only.

    C customers, P products, m pairs bought before (sorted by customer, then product).

    Attributes:
        known: (C,) customers with any interaction before the day.
        taste: (C, P) CSR float32, summed event weights, each halved every half-life.
        starts: (C + 1,) slices of the pair arrays by customer.
        product: (m,) the pair's product; customer: (m,) its customer.
        times: (m,) days on which it was bought; first, last: day numbers.
        decayed: (m,) purchases, each halved every half-life.
        buyers: (P,) customers who ever bought; recent_buyers: (P,) in the last ``horizon`` days.
        season_buyers: (P,) in the last SEASON horizons; newcomers: (P,) for the first time then.
        repeaters: (P,) customers who bought on more than one day.
        purchases: (C,) purchase days x products; recent_purchases: in the last ``horizon`` days.
        last_seen: (C,) day of the last purchase; the day itself where there is none.
    """

    day: int
    horizon: int
    known: NDArray[np.bool_]
    taste: csr_matrix
    starts: NDArray[np.int64]
    customer: NDArray[np.int32]
    product: NDArray[np.int32]
    times: _Doubles
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    decayed: _Doubles
    buyers: _Doubles
    recent_buyers: _Doubles
    season_buyers: _Doubles
    newcomers: _Doubles
    repeaters: _Doubles
    purchases: _Doubles
    recent_purchases: _Doubles
    last_seen: NDArray[np.int32]

    def pairs_of(
        self, customers: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs bought before by these customers: (place in ``customers``, row of the pair)."""
        begin = self.starts[customers]
        counts = self.starts[np.asarray(customers) + 1] - begin
        rows = np.repeat(np.arange(len(counts)), counts)
        first = np.repeat(begin - np.cumsum(counts) + counts, counts)
        return rows, first + np.arange(len(rows))


def as_of(history: History, day: int, horizon: int, half_life_days: float) -> Evidence:
    """Gather the evidence before ``day``.

    Cost: O(rows); the history is already sorted by (customer, product, day).
    """
    size = (len(history.customers), len(history.products))
    past = history.day < day
    customer, product, when = history.customer[past], history.product[past], history.day[past]
    # 2^-100: above what float32 holds at all, below what could matter.
    decay = np.exp2(np.maximum((when - day + 1) / half_life_days, -100))
    known = np.zeros(size[0], bool)
    known[customer] = True
    taste = _sum_by_pair(customer, product, history.weight[past] * decay, size)

    bought = history.bought[past]
    customer, product, when, decay = customer[bought], product[bought], when[bought], decay[bought]
    new = np.ones(len(customer), bool)
    new[1:] = (customer[1:] != customer[:-1]) | (product[1:] != product[:-1])
    begin = np.flatnonzero(new)
    end = np.append(begin[1:], len(customer))
    pair_customer, pair_product = customer[begin], product[begin]
    times = (end - begin).astype(np.float64)
    last = when[end - 1] if len(begin) else when[:0]
    recent = when >= day - horizon
    recent_pairs = np.unique(customer[recent].astype(np.int64) * size[1] + product[recent])
    last_seen = np.full(size[0], day, np.int32)
    seen = np.full(size[0], -1, np.int32)
    np.maximum.at(seen, customer, when)
    last_seen[seen >= 0] = seen[seen >= 0]
    return Evidence(
        day=day,
        horizon=horizon,
        known=known,
        taste=taste,
        starts=np.searchsorted(pair_customer, np.arange(size[0] + 1)).astype(np.int64),
        customer=pair_customer,
        product=pair_product,
        times=times,
        first=when[begin],
        last=last,
        decayed=np.add.reduceat(decay, begin) if len(begin) else decay[:0],
        buyers=_count(pair_product, size[1]),
        recent_buyers=_count((recent_pairs % max(size[1], 1)).astype(np.int64), size[1]),
        season_buyers=_count(pair_product[last >= day - SEASON * horizon], size[1]),
        newcomers=_count(pair_product[when[begin] >= day - SEASON * horizon], size[1]),
        repeaters=_count(pair_product[times > 1], size[1]),
        purchases=_count(customer, size[0]),
        recent_purchases=_count(customer[recent], size[0]),
        last_seen=last_seen,
    )


def bought_between(history: History, start: int, end: int) -> csr_matrix:
    """Labels of a window: (C, P) CSR of ones where a customer bought in [start, end)."""
    inside = history.bought & (history.day >= start) & (history.day < end)
    customer, product = history.customer[inside], history.product[inside]
    labels = csr_matrix(
        (np.ones(len(customer), np.float32), (customer, product)),
        shape=(len(history.customers), len(history.products)),
    )
    labels.sum_duplicates()
    labels.data[:] = 1
    return labels


def _sum_by_pair(
    customer: NDArray[np.int32],
    product: NDArray[np.int32],
    value: NDArray[np.floating],
    shape: tuple[int, int],
) -> csr_matrix:
    matrix = csr_matrix((value.astype(np.float32), (customer, product)), shape=shape)
    matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix


def _count(rows: NDArray[np.integer], size: int) -> _Doubles:
    return np.bincount(rows, minlength=size).astype(np.float64)
