"""Which of the first ten places were bought, gathered block by block."""

import numpy as np
from numpy.typing import NDArray

from factory.top import Keys, product_numbers

PLACES = 10


class Hits:
    """Hits of the top ten, and how many products were there to be hit."""

    def __init__(self) -> None:
        self._hits: list[NDArray[np.bool_]] = []
        self._relevant: list[NDArray[np.int64]] = []

    def add(
        self, top: Keys, bought: NDArray[np.float32], relevant: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Add a block.

        Args:
            top: (C, 10) as of ``best``; bought: (C, P); relevant: (C,) bought products that could
                have been listed.

        Returns:
            (C, 10) listed columns, -1 where a list is short.
        """
        listed = product_numbers(top)
        hits = np.take_along_axis(bought, np.maximum(listed, 0).astype(np.int64), axis=1) > 0
        self._hits.append(hits & (listed >= 0))
        self._relevant.append(relevant)
        return listed

    def joined(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """All blocks: (C, 10) hits, (C,) relevant products."""
        if not self._hits:
            return np.zeros((0, PLACES), bool), np.zeros(0, np.int64)
        return np.concatenate(self._hits), np.concatenate(self._relevant)


def relevant(
    scores: NDArray[np.float32], bought: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """(C,) bought products that are listed at all: those with a score above 0.

    Args:
        bought: (row, product) of each.
    """
    rows, products = bought
    return np.bincount(rows[scores[rows, products] > 0], minlength=len(scores)).astype(np.int64)
