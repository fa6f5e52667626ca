"""The best products of each row, with ties broken by product number: one order, everywhere."""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def sort_keys(scores: NDArray[np.float32], products: NDArray[np.integer]) -> Keys:
    """One integer a cell that sorts by score, then by lower product number; 0 means "not listed".

    Works because the bits of non-negative floats sort like the floats; so sorting plain integers
    is exact and the same on every machine.

    Args:
        scores: float32, ≥ 0 and finite; 0 is not listed. products: of the same shape, or a row.
    """
    keys = np.ascontiguousarray(scores, np.float32).view(np.uint32).astype(np.uint64)
    listed = keys > 0
    keys <<= _SHIFT
    keys |= _LOW - products.astype(np.uint64)
    keys *= listed
    return keys


def best(scores: NDArray[np.float32], count: int) -> Keys:
    """(C, count) keys of the highest scores of each row, best first, padded with 0.

    Args:
        scores: (C, P) float32, ≥ 0 and finite; 0 is not listed.

    Cost: a partial sort of the scores; keys only for what may be among the best.
    """
    width = scores.shape[1]
    if not 0 < count < width:
        return merged(sort_keys(scores, np.arange(width)), count)
    least = np.maximum(highest(scores, count), np.finfo(np.float32).smallest_subnormal)
    rows, products = cells_of(scores >= least)
    return best_pairs(rows, products, scores[rows, products], len(scores), count)


def highest(scores: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(C, 1) the ``count``-th highest score of each row.

    Args:
        scores: (C, P) float32, ≥ 0 and finite, P ≥ count; their bits sort like the floats, and a
            partial sort of integers takes half the time.
    """
    place = scores.shape[1] - count
    bits = np.partition(np.ascontiguousarray(scores, np.float32).view(np.int32), place, axis=1)[
        :, place, None
    ]
    return bits.view(np.float32)


def best_pairs(
    rows: NDArray[np.integer],
    products: NDArray[np.integer],
    scores: NDArray[np.float32],
    size: int,
    count: int,
) -> Keys:
    """(size, count) keys of the highest scores of each row, where only some cells have one.

    Args:
        rows: ascending, 0..size - 1.
    """
    each = np.bincount(rows, minlength=size)
    begin = np.cumsum(each) - each
    padded = np.zeros((size, int(each.max(initial=0))), np.uint64)
    padded[rows, np.arange(len(rows)) - begin[rows]] = sort_keys(scores, products)
    return merged(padded, count)


def merged(keys: Keys, count: int) -> Keys:
    """(C, count) the highest keys of each row, best first, padded with 0."""
    width = keys.shape[1]
    if 0 < 4 * count < width:
        keys = np.partition(keys, width - count, axis=1)[:, width - count :]
    found = np.zeros((len(keys), count), np.uint64)
    found[:, : keys.shape[1]] = np.sort(keys, axis=1)[:, : -count - 1 : -1]
    return found


def cells_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the true cells, row by row: ``nonzero``, several times faster."""
    return np.divmod(np.flatnonzero(mask), max(mask.shape[1], 1))


def sliced(
    starts: NDArray[np.integer], rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the given rows of a table in row order lie: (place in ``rows``, place in the table).

    Args:
        starts: slices of the table by row.
    """
    begin = starts[rows]
    counts = starts[np.asarray(rows) + 1] - begin
    place = np.repeat(np.arange(len(counts)), counts)
    first = np.repeat(begin - np.cumsum(counts) + counts, counts)
    return place, first + np.arange(len(place))


def product_numbers(keys: Keys) -> NDArray[np.int32]:
    """Which product each key stands for; -1 for "not listed"."""
    return np.where(keys > 0, (_LOW - (keys & _LOW)).astype(np.int64), -1).astype(np.int32)


def key_scores(keys: Keys) -> NDArray[np.float32]:
    """The score inside each key."""
    return (keys >> _SHIFT).astype(np.uint32).view(np.float32)
