"""What was known about every customer, product and pair as of one day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from factory.distinct import distinct
from factory.top import sliced
from schema.records import History

_Doubles = NDArray[np.float64]
_Ints = NDArray[np.int32]

SEASON = 3
"""Horizons that count as "this season": between the last window and ever."""

HALF_LIVES = (0.5, 2.0, 6.0)
"""Memories of decayed counts, in horizons: of late, this season, as a habit."""

SHORT, MIDDLE, LONG = range(3)
"""Which of HALF_LIVES."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the features of a pair are made of; rows of the history before ``day`` only.

    C customers, P products, m pairs bought before (sorted by customer, then product). A visit is
    a day on which a customer bought anything. Spans are in days, as of ``day``.

    Attributes:
        known: (C,) customers with any interaction before the day.
        starts: (C + 1,) slices of the pair arrays by customer.
        customer, product: (m,) whose pair, and of what.
        times: (m,) days on which it was bought; first, last: day numbers.
        decayed: (3, m) purchases, each halved every HALF_LIVES horizons.
        buyers: (P,) customers who ever bought; recent_buyers: (P,) in the last ``horizon`` days;
            season_buyers: (P,) in the last SEASON horizons.
        newcomers: (P,) customers who bought it for the first time in the last ``horizon`` days;
            season_newcomers: (P,) in the last SEASON horizons.
        sales: (P,) purchases, each halved every HALF_LIVES[SHORT] horizons.
        on_sale_since, last_sold: (P,) day numbers; the day itself where it never sold.
        visits: (C,) visits; recent_visits: (C,) each halved every HALF_LIVES[MIDDLE] horizons.
        first_visit, last_visit: (C,) day numbers; the day itself where there is none.
        variety: (C,) different products bought; discoveries: (C,) first purchases of a product,
            each halved every HALF_LIVES[MIDDLE] horizons.
        purchases: (C,) products bought, counted once a visit.
        category, segment: (P,), (C,) numbers of the groups, -1 for none, as in the history.
    """

    day: int
    horizon: int
    known: NDArray[np.bool_]
    starts: NDArray[np.int64]
    customer: _Ints
    product: _Ints
    times: _Doubles
    first: _Ints
    last: _Ints
    decayed: _Doubles
    buyers: _Doubles
    recent_buyers: _Doubles
    season_buyers: _Doubles
    newcomers: _Doubles
    season_newcomers: _Doubles
    sales: _Doubles
    on_sale_since: _Ints
    last_sold: _Ints
    visits: _Doubles
    recent_visits: _Doubles
    first_visit: _Ints
    last_visit: _Ints
    variety: _Doubles
    discoveries: _Doubles
    purchases: _Doubles
    category: _Ints
    segment: _Ints

    def pairs_of(
        self, customers: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs bought before by these customers: (place in ``customers``, row of the pair)."""
        return sliced(self.starts, customers)

    def by_pair(self, values: NDArray[np.floating]) -> csr_matrix:
        """(C, P) CSR float32 with one value for every pair bought before."""
        shape = (len(self.known), len(self.buyers))
        return csr_matrix((values.astype(np.float32), self.product, self.starts), shape=shape)


def as_of(history: History, day: int, horizon: int) -> Evidence:
    """Gather the evidence before ``day``.

    Cost: O(rows); the history is already sorted by (customer, product, day).
    """
    customers, products = len(history.customers), len(history.products)
    past = history.day < day
    known = np.zeros(customers, bool)
    known[history.customer[past]] = True
    past &= history.bought
    customer, product, when = history.customer[past], history.product[past], history.day[past]
    recent, season = day - horizon, day - SEASON * horizon

    begin = _starts_of_pairs(customer, product)
    end = np.append(begin[1:], len(customer))
    pair_customer, pair_product = customer[begin], product[begin]
    first, last = when[begin], when[end - 1] if len(begin) else when[:0]
    decays = np.stack([fading(day - when, half * horizon) for half in HALF_LIVES])
    decayed = np.add.reduceat(decays, begin, axis=1) if len(begin) else decays

    visitor, visited = _visits(customer, when)
    return Evidence(
        day=day,
        horizon=horizon,
        known=known,
        starts=np.searchsorted(pair_customer, np.arange(customers + 1)).astype(np.int64),
        customer=pair_customer,
        product=pair_product,
        times=(end - begin).astype(np.float64),
        first=first,
        last=last,
        decayed=decayed,
        buyers=_count(pair_product, products),
        recent_buyers=_count(pair_product[last >= recent], products),
        season_buyers=_count(pair_product[last >= season], products),
        newcomers=_count(pair_product[first >= recent], products),
        season_newcomers=_count(pair_product[first >= season], products),
        sales=_count(product, products, decays[SHORT]),
        on_sale_since=_earliest(pair_product, first, products, day),
        last_sold=_latest(pair_product, last, products, day),
        visits=_count(visitor, customers),
        recent_visits=_count(visitor, customers, fading(day - visited, HALF_LIVES[MIDDLE] * horizon)),
        first_visit=_earliest(visitor, visited, customers, day),
        last_visit=_latest(visitor, visited, customers, day),
        variety=_count(pair_customer, customers),
        discoveries=_count(pair_customer, customers, fading(day - first, HALF_LIVES[MIDDLE] * horizon)),
        purchases=_count(customer, customers),
        category=history.category,
        segment=history.segment,
    )  # fmt: skip


def taste(history: History, day: int, half_life_days: float) -> csr_matrix:
    """(C, P) CSR float32: event weights before ``day``, each halved every half-life, summed."""
    past = history.day < day
    customer, product = history.customer[past], history.product[past]
    value = history.weight[past] * fading(day - history.day[past], half_life_days)
    begin = _starts_of_pairs(customer, product)
    starts = np.searchsorted(customer[begin], np.arange(len(history.customers) + 1))
    sums = np.add.reduceat(value, begin) if len(begin) else value
    return csr_matrix(
        (sums.astype(np.float32), product[begin], starts.astype(np.int32)),
        shape=(len(history.customers), len(history.products)),
    )


def fading(ago: NDArray[np.integer], half_life_days: float) -> _Doubles:
    """``2^(-(days ago - 1) / half-life)``: yesterday weighs 1.

    Never below 2^-100: above what float32 holds at all, below what could matter.
    """
    return np.exp2(np.maximum(-(ago - 1) / half_life_days, -100))


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


def usual_interval(evidence: Evidence, pairs: NDArray[np.integer]) -> _Doubles:
    """(len(pairs),) mean days between a pair's purchases; 0 where it was bought once."""
    times = evidence.times[pairs]
    span = evidence.last[pairs] - evidence.first[pairs]
    return np.where(times > 1, span / np.maximum(times - 1, 1), 0.0)


def _starts_of_pairs(customer: _Ints, product: _Ints) -> NDArray[np.int64]:
    """Rows at which another pair begins, in rows sorted by pair."""
    new = np.ones(len(customer), bool)
    new[1:] = (customer[1:] != customer[:-1]) | (product[1:] != product[:-1])
    return np.flatnonzero(new)


def _visits(customer: _Ints, when: _Ints) -> tuple[_Ints, _Ints]:
    """Every (customer, day) once."""
    if not len(when):
        return customer, when
    epoch, span = int(when.min()), int(np.ptp(when)) + 1
    days = distinct(customer.astype(np.int64) * span + (when - epoch))
    return (days // span).astype(np.int32), (days % span + epoch).astype(np.int32)


def _count(rows: NDArray[np.integer], size: int, weight: _Doubles | None = None) -> _Doubles:
    return np.bincount(rows, weight, minlength=size).astype(np.float64)


def _earliest(rows: _Ints, days: _Ints, size: int, otherwise: int) -> _Ints:
    found = np.full(size, otherwise, np.int32)
    np.minimum.at(found, rows, days)
    return found


def _latest(rows: _Ints, days: _Ints, size: int, otherwise: int) -> _Ints:
    found = np.full(size, np.iinfo(np.int32).min, np.int32)
    np.maximum.at(found, rows, days)
    found[found == np.iinfo(np.int32).min] = otherwise
    return found
