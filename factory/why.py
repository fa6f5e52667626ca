"""Which reason a place on a list gets: one order, by night and during a call."""

import numpy as np
from numpy.typing import NDArray

from schema.names import Reason

LEAST_ODDS = np.log(1.2)
"""A taste that raises the odds by less than a fifth is no reason worth saying aloud."""

REASONS = tuple(Reason)
"""By the number that an entry holds."""

_FIRST = (Reason.REORDER, Reason.SIMILAR, Reason.SEGMENT)


def reasons(
    bought: NDArray[np.bool_],
    seed: NDArray[np.integer],
    liked: NDArray[np.bool_],
    segment: NDArray[np.integer],
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Place in ``Reason``, and what it names: the first that holds; popular where none does.

    Args:
        seed: the product that speaks for this one, -1 for none; liked: whether the customer's
            segment buys it clearly more than all do. All of one shape.
    """
    holds = [bought, seed >= 0, liked]
    kinds = [REASONS.index(reason) for reason in _FIRST]
    because = np.select(holds, [np.full_like(seed, -1), seed, segment], -1)
    return np.select(holds, kinds, REASONS.index(Reason.POPULAR)), because
