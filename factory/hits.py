"""Which of the first ten places were bought, gathered block by block."""

import numpy as np
from numpy.typing import NDArray

from factory.top import Keys, best, product_numbers


class Hits:
    """Hits of the top ten, and how many products were there to be hit.

    A cell whose key is 0 is not listed, and does not count as relevant either: so masking the
    products bought before turns "any product" into "products new to the customer".
    """

    def __init__(self) -> None:
        self._hits: list[NDArray[np.bool_]] = []
        self._relevant: list[NDArray[np.int64]] = []

    def add(self, keys: Keys, bought: NDArray[np.float32]) -> NDArray[np.int32]:
        """Add a block; returns its (C, 10) listed columns, -1 where a list is short."""
        top = product_numbers(best(keys, 10))
        hits = np.take_along_axis(bought, np.maximum(top, 0).astype(np.int64), axis=1) > 0
        self._hits.append(hits & (top >= 0))
        self._relevant.append(((bought > 0) & (keys > 0)).sum(1).astype(np.int64))
        return top

    def joined(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """All blocks: (C, 10) hits, (C,) relevant products."""
        if not self._hits:
            return np.zeros((0, 10), bool), np.zeros(0, np.int64)
        return np.concatenate(self._hits), np.concatenate(self._relevant)
