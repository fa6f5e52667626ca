"""The formulas behind the affinities, in numpy alone: by night for all, during a call for one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Doubles = NDArray[np.float64]
_Floats = NDArray[np.float32]

NEAREST = 100
"""Of the customers compared with, those most alike count."""

ASYMMETRY = 0.75
"""UP-CF: how far a neighbour's size counts. Likeness counts to the power of 4."""


def nearest(likeness: _Floats, most: int) -> _Floats:
    """(…, N) how much each counts: the ``most`` highest cells of each row, 0 for the others.

    Ties at the border all count; nobody does who is not alike at all. Weights of a row sum to 1.
    """
    weight = np.square(likeness)
    np.square(weight, out=weight)
    if likeness.shape[1] > most:
        # Likenesses have few values, and a partial sort of equal ones is slower than a whole one;
        # np.where is slow where the mask is random.
        weight *= likeness >= np.sort(likeness, axis=1)[:, -most, None]
    weight /= weight.sum(1, keepdims=True) + np.float32(1e-9)
    return weight


def log_shares(shares: _Floats) -> _Floats:
    """Log of what alike customers buy lately; used up."""
    shares += np.float32(1e-4)
    return np.log(shares, out=shares)


def lift(own: NDArray[Any], usual: NDArray[Any]) -> _Floats:
    """(…, G) log of how much more of each group a customer buys than the others do.

    Args:
        own: (…, G) decayed purchases; usual: (G,) the share of each group in everybody's.
    """
    share = (own + 2 * usual) / (own.sum(-1, keepdims=True) + 2)
    return np.asarray(np.log((share + 1e-4) / (usual + 1e-4)), np.float32)
