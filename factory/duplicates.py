"""Which rows came before, and which ids are one but for their spelling."""

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schema.rowhash import Numbers

_SAMPLES = 5


class Seen:
    """Hashes of rows that came before: 16 bytes each, in sorted runs of doubling length.

    Two rows are the same where both halves are (schema/rowhash.py).
    """

    def __init__(self) -> None:
        self._runs: list[Numbers] = []

    def again(self, hashes: Numbers) -> NDArray[np.bool_]:
        """Which of these (2, n) came before, here or in an earlier call; from now on all have."""
        if not hashes.shape[1]:
            return np.zeros(0, bool)
        order = np.argsort(hashes[0])
        run = hashes[:, order]
        new = np.ones(len(order), bool)
        new[1:] = (run[0, 1:] != run[0, :-1]) | (run[1, 1:] != run[1, :-1])
        starts = np.flatnonzero(new)
        run, first = run[:, starts], np.minimum.reduceat(order, starts)
        fresh = np.ones(len(starts), bool)
        for earlier in self._runs:
            at = np.minimum(np.searchsorted(earlier[0], run[0]), earlier.shape[1] - 1)
            alike = np.flatnonzero(earlier[0, at] == run[0])
            fresh[alike[earlier[1, at[alike]] == run[1, alike]]] = False
        self._keep(run[:, fresh])
        again = np.ones(len(order), bool)
        again[first[fresh]] = False
        return again

    def _keep(self, run: Numbers) -> None:
        while self._runs and self._runs[-1].shape[1] < 2 * run.shape[1]:
            both = np.concatenate([self._runs.pop(), run], axis=1)
            run = both[:, np.argsort(both[0], kind="stable")]  # merges what is sorted already
        if run.shape[1]:
            self._runs.append(run)


class Spellings:
    """Ids that are known, and how others are written that are meant to be one of them.

    The form in which ids are one (``folded``) is NFKC, lower case, NFKC again (lower case may undo
    it), without blanks at the ends; what is folded stays as it is when it is folded again. An id
    is then written as it is known already; of two known ones that fold alike, as the first.
    """

    def __init__(self, values: Collection[str] | pa.Array) -> None:
        given = values if isinstance(values, pa.Array) else pa.array(list(values))
        self.values: pa.Array = given.cast(pa.string())
        self._folded: pa.Array | None = None

    def place(self, ids: pa.Array) -> pa.Array:
        """Where each id is among the known ones; null where it is not."""
        return pc.index_in(ids, self.values)

    def spelled(self, ids: pa.Array) -> pa.Array:
        """Each id as it is known; as it is, where nothing known is meant."""
        if not len(self.values):
            return ids
        return pc.coalesce(self.values.take(self._meant(ids)), ids)

    def alike(self, ids: pa.Array) -> Iterator[tuple[int, str, str]]:
        """(position, id, known id) of ids that are not known, but for their spelling."""
        words = pc.unique(ids)
        first = pc.index_in(words, ids)
        theirs = self.values.take(self._meant(words))
        for row in np.flatnonzero(theirs.is_valid().to_numpy(zero_copy_only=False)):
            yield first[row].as_py(), words[row].as_py(), theirs[row].as_py()

    def _meant(self, ids: pa.Array) -> pa.Array:
        if self._folded is None:
            self._folded = folded(self.values)
        return pc.index_in(folded(ids), self._folded)


def folded(ids: pa.Array) -> pa.Array:
    """The form in which ids that differ by case, Unicode form or blanks at their ends are one."""
    lower = pc.utf8_lower(pc.utf8_normalize(ids, form="NFKC"))
    return pc.utf8_trim_whitespace(pc.utf8_normalize(lower, form="NFKC"))


def look_alikes(ids: pa.Array, others: pa.Array) -> tuple[int, list[tuple[int, str, str]]]:
    """How many pairs of different ids fold alike, one of them in ``ids``, and some of these pairs.

    Args:
        ids: no id twice.
        others: ids in force beside them; the same id may be in both.

    Returns:
        The number of pairs, and up to five (position in ids, id, id it looks like).
    """
    beside = others.filter(pc.invert(pc.is_in(others, ids)))
    every = pa.concat_arrays([ids, beside])
    codes = folded(every).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    sizes = np.bincount(codes, minlength=1)
    within_others = np.bincount(codes[len(ids) :], minlength=len(sizes))
    pairs = int((sizes * (sizes - 1) - within_others * (within_others - 1)).sum()) // 2
    samples = []
    for code in np.flatnonzero(sizes > 1)[:_SAMPLES]:
        first, second, *_ = np.flatnonzero(codes == code)
        row, alike = (second, first) if second < len(ids) else (first, second)
        if row < len(ids):
            samples.append((int(row), every[row].as_py(), every[alike].as_py()))
    return pairs, samples
