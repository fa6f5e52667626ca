"""The features of a (customer, product) pair, as of a day.

A feature belongs to the product, to the customer, or to a pair that was bought before; those that
every pair has of its own are affinities (factory/affinity.py). All are logarithms of order one,
and free of the tenant's size, so that coefficients of different tenants can be compared.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from factory.evidence import LONG, MIDDLE, SHORT, Evidence

_Doubles = NDArray[np.float64]
_Floats = NDArray[np.float32]

PRODUCT = (
    "share", "recent_share", "season_share", "newcomers", "season_newcomers", "sales",
    "unsold", "on_sale", "category_share", "category_recent_share",
)  # fmt: skip
CUSTOMER = ("visits", "recent_visits", "silence", "variety", "basket", "discoveries", "visit_due")
PAIR = ("times", "age", "decayed_short", "decayed_middle", "decayed_long", "due")

_DOUBT = 20
"""Pseudo-observations behind a product's own usual interval."""

_NEVER = 26
"""Horizons for which a product that never sold counts as unsold."""


@dataclass(frozen=True, slots=True)
class Features:
    """Feature values as of one day: (P, 10) by product, (C, 7) by customer, (m, 6) by pair."""

    product: _Floats
    customer: _Floats
    pair: _Floats


def features(evidence: Evidence) -> Features:
    """Compute every feature but the affinities; columns as in PRODUCT, CUSTOMER and PAIR."""
    return Features(_of_products(evidence), _of_customers(evidence), _of_pairs(evidence))


def stranger(evidence: Evidence) -> _Floats:
    """(1, 7) what CUSTOMER says of somebody who never bought anything, as of the same day."""
    nothing, today = np.zeros(1), np.full(1, evidence.day, np.int32)
    return _of_customers(
        replace(
            evidence,
            visits=nothing,
            recent_visits=nothing,
            first_visit=today,
            last_visit=today,
            variety=nothing,
            discoveries=nothing,
            purchases=nothing,
        )
    )


def _of_products(evidence: Evidence) -> _Floats:
    """Shares of the known customers, what sells, since when, and how its group does.

    ``share = log((buyers + ½) / (N + 1))`` with N known customers, likewise for the last window,
    the season, first-time buyers of both, and decayed sales; ``unsold``: log(1 + 4 × horizons
    since the last sale), ``on_sale``: log(1 + horizons since the first); ``category_share``: log
    share of the category in decayed purchases, ``category_recent_share`` in the last window's
    buyers.
    """
    known = float(evidence.known.sum()) + 1
    shares = [
        np.log((count + 0.5) / known)
        for count in (
            evidence.buyers,
            evidence.recent_buyers,
            evidence.season_buyers,
            evidence.newcomers,
            evidence.season_newcomers,
            evidence.sales,
        )
    ]
    sold = evidence.buyers > 0
    unsold = np.where(sold, (evidence.day - evidence.last_sold) / evidence.horizon, _NEVER)
    on_sale = (evidence.day - evidence.on_sale_since) / evidence.horizon
    habit = np.zeros(len(sold))
    np.add.at(habit, evidence.product, evidence.decayed[LONG])
    columns = [
        *shares,
        np.log1p(4 * np.minimum(unsold, _NEVER)),
        np.log1p(on_sale),
        group_share(evidence.category, habit),
        group_share(evidence.category, evidence.recent_buyers),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def group_share(group: NDArray[np.int32], weight: _Doubles) -> _Doubles:
    """(P,) log of the share of all ``weight`` that falls to the product's group."""
    sums = np.bincount(group + 1, weight)
    return np.asarray(np.log((sums + 0.5) / (sums.sum() + 1))[group + 1])


def _of_customers(evidence: Evidence) -> _Floats:
    """How often, how lately, how varied a customer buys, and whether a visit is due."""
    horizon = evidence.horizon
    silence = evidence.day - evidence.last_visit
    interval = (evidence.last_visit - evidence.first_visit + 2 * horizon) / np.maximum(
        evidence.visits, 1
    )
    columns = [
        np.log(evidence.visits + 0.5),
        np.log(evidence.recent_visits + 0.1),
        np.log1p(4 * silence / horizon),
        np.log(evidence.variety + 0.5),
        np.log(evidence.purchases / np.maximum(evidence.visits, 1) + 0.5),
        np.log(evidence.discoveries + 0.1),
        np.log(np.maximum(silence, 1) / np.maximum(interval, 1)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _of_pairs(evidence: Evidence) -> _Floats:
    """How often and how lately this customer bought this product, and whether it is due.

    ``age``: log(1 + 4 × horizons since the last purchase); ``due``: log of the days since then over
    the pair's usual interval, which is shrunk to the product's, and that to the horizon.
    """
    horizon = evidence.horizon
    age = evidence.day - evidence.last
    span = (evidence.last - evidence.first).astype(np.float64)
    size = len(evidence.buyers)
    gaps = np.bincount(evidence.product, evidence.times - 1, minlength=size)
    spans = np.bincount(evidence.product, span, minlength=size)
    product_interval = (spans + _DOUBT * horizon) / (gaps + _DOUBT)
    interval = (span + product_interval[evidence.product]) / evidence.times
    columns = [
        np.log(evidence.times),
        np.log1p(4 * age / horizon),
        *(np.log(evidence.decayed[half] + 0.02) for half in (SHORT, MIDDLE, LONG)),
        np.log(np.maximum(age, 1) / np.maximum(interval, 1)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)
