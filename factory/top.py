"""The best products of each row, with ties broken by product number: one order, everywhere."""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def sort_keys(scores: NDArray[np.float32]) -> Keys:
    """One integer a cell that sorts by score, then by lower product number; 0 means "not listed".

    Works because the bits of non-negative floats sort like the floats; so a partial sort of
    plain integers is exact and the same on every machine.

    Args:
        scores: (C, P) float32, ≥ 0 and finite.
    """
    bits = np.ascontiguousarray(scores, np.float32).view(np.uint32).astype(np.uint64)
    numbers = _LOW - np.arange(scores.shape[1], dtype=np.uint64)
    return (bits << _SHIFT) | numbers[None, :]


def best(keys: Keys, count: int) -> Keys:
    """(C, count) the highest keys of each row, best first, padded with 0."""
    width = keys.shape[1]
    if count < width:
        keys = np.partition(keys, width - count, axis=1)[:, width - count :]
    ordered = np.sort(keys, axis=1)[:, ::-1]
    if count > width:
        ordered = np.pad(ordered, ((0, 0), (0, count - width)))
    return ordered


def product_numbers(keys: Keys) -> NDArray[np.int32]:
    """Which product each key stands for; -1 for "not listed"."""
    return np.where(keys > 0, (_LOW - (keys & _LOW)).astype(np.int64), -1).astype(np.int32)


def key_scores(keys: Keys) -> NDArray[np.float32]:
    """The score inside each key."""
    return (keys >> _SHIFT).astype(np.uint32).view(np.float32)
