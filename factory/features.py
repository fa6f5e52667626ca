"""The features of a (customer, product) pair, as of a day.

A feature belongs to the product, to the customer, or to a pair that was bought before; a feature
that every pair has (the ALS score) is handed in by the caller. All are logarithms or shares of
order one, so that coefficients of different tenants can be compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.evidence import Evidence

_Floats = NDArray[np.float32]

PRODUCT = ("share", "recent_share", "season_share", "newcomers")
CUSTOMER = ("purchases", "recent_purchases", "silence")
PAIR = ("times", "decayed", "age", "overdue", "repurchase", "own_share")
DENSE = ("als",)

FRESH = ("intercept", *DENSE, *PRODUCT, *CUSTOMER)
"""What the regression for products new to the customer sees."""
REPEAT = (*FRESH, *PAIR)
"""What the regression for products bought before sees."""


@dataclass(frozen=True, slots=True)
class Features:
    """Feature values as of one day: (P, 4) by product, (C, 3) by customer, (m, 6) by pair."""

    product: _Floats
    customer: _Floats
    pair: _Floats


def features(evidence: Evidence) -> Features:
    """Compute every feature but the dense ones.

    With N known customers, H the horizon: ``share = log((buyers + ½) / (N + 1))``, ``recent_share``
    the same over the last H days, ``season_share`` over three times that, ``newcomers`` over
    those who bought it then for the first time; ``purchases = log(1 + n)``, ``silence = log(1 + days since the last purchase)``; ``times = log(1 + n)``,
    ``decayed = log(Σ 2^(-age / half-life) + 0.01)``, ``age = log(1 + days since)``, ``overdue =
    log((1 + days since) / (1 + usual interval))`` where bought twice, ``repurchase`` the share of
    the product's buyers who came back for it, ``own_share`` of the product in the customer's
    purchases.
    """
    known = max(float(evidence.known.sum()), 1.0)
    counts = (
        evidence.buyers,
        evidence.recent_buyers,
        evidence.season_buyers,
        evidence.newcomers,
    )
    product = np.stack([np.log((count + 0.5) / (known + 1)) for count in counts], axis=1)

    customer = np.stack(
        [
            np.log1p(evidence.purchases),
            np.log1p(evidence.recent_purchases),
            np.log1p(np.maximum(evidence.day - evidence.last_seen, 0)),
        ],
        axis=1,
    )

    age = (evidence.day - evidence.last).astype(np.float64)
    interval = usual_interval(evidence)
    returning = (evidence.repeaters + 0.5) / (evidence.buyers + 2)
    pair = np.stack(
        [
            np.log1p(evidence.times),
            np.log(evidence.decayed + 0.01),
            np.log1p(age),
            np.where(interval > 0, np.log((1 + age) / (1 + interval)), 0),
            returning[evidence.product],
            evidence.times / np.maximum(evidence.purchases[evidence.customer], 1),
        ],
        axis=1,
    )
    return Features(
        product.astype(np.float32), customer.astype(np.float32), pair.astype(np.float32)
    )


def usual_interval(evidence: Evidence) -> NDArray[np.float64]:
    """(m,) mean days between a pair's purchases; 0 where it was bought once."""
    gaps = np.maximum(evidence.times - 1, 1)
    return np.where(evidence.times > 1, (evidence.last - evidence.first) / gaps, 0.0)
