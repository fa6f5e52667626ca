"""Ranking measures over top-ten lists: ours, vectorised, with every edge defined.

Relevance is binary. A list may be shorter than ten; a customer without truth has no measure
(NaN), and means are taken over the others.
"""

import numpy as np
from numpy.typing import NDArray

_Doubles = NDArray[np.float64]
_Flags = NDArray[np.bool_]

DISCOUNT = 1 / np.log2(np.arange(2, 12))


def ndcg(hits: _Flags, relevant: NDArray[np.integer]) -> _Doubles:
    """NDCG@10 by customer: Σ hit / log2(rank + 1), over the best possible sum.

    Args:
        hits: (C, 10) whether the product at each rank was bought; relevant: (C,) bought products.

    Source: Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.

    >>> ndcg(np.array([[True] + [False] * 9]), np.array([1])).tolist()
    [1.0]
    """
    ideal = np.concatenate([[np.nan], np.cumsum(DISCOUNT)])[np.minimum(relevant, 10)]
    return np.asarray(hits @ DISCOUNT / ideal)


def recall(hits: _Flags, relevant: NDArray[np.integer]) -> _Doubles:
    """Share of the bought products that stand on the list."""
    return np.asarray(hits.sum(1) / np.where(relevant > 0, relevant, np.nan))


def average_precision(hits: _Flags, relevant: NDArray[np.integer]) -> _Doubles:
    """Mean of precision at each hit, over min(10, bought products)."""
    precision = np.cumsum(hits, 1) / np.arange(1, 11)
    best = np.where(relevant > 0, np.minimum(relevant, 10), np.nan)
    return np.asarray((precision * hits).sum(1) / best)


def hit_rate(hits: _Flags, relevant: NDArray[np.integer]) -> _Doubles:
    """1 where anything on the list was bought."""
    return np.where(relevant > 0, hits.any(1).astype(float), np.nan)


def mean(values: _Doubles) -> float:
    """Mean over customers with truth; 0 where nobody has any."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else 0.0
