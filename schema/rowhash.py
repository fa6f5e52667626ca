"""A number for a row, and one for many rows whatever their order: what "the same rows" means.

Text, numbers and times are hashed by value, so that the same rows out of a CSV, a Parquet file or
another order of lines have the same content. Not for secrets: whoever wants to can make two equal
ones.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

_ODD = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15], np.uint64)
_FIRST = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
"""Masks that leave the first n bytes of eight."""
_SLICE = 1 << 16
"""Rows hashed at once: their numbers stay in the processor's cache."""


def row_hashes(rows: pa.Table) -> Numbers:
    """Hash every row by its columns' names and values; the order of the columns does not matter.

    A null adds nothing: a column that a later version adds leaves the hashes of older rows alone.

    Args:
        rows: columns of text (or dictionaries of text), numbers or times.

    Returns:
        (2, n): two halves. Those of two different rows are both equal by chance with 2^-128, as
        long as no two different texts of a column share 64 bits (a million texts: 3e-8).
    """
    slices = [_hashes(rows.slice(start, _SLICE)) for start in range(0, len(rows), _SLICE)]
    return np.concatenate(slices, axis=1) if slices else np.zeros((2, 0), np.uint64)


def content_of(hashes: Numbers) -> str:
    """What these rows are together, as 32 hexadecimal digits; no rows are all zeros.

    A sum, so that the order does not matter and parts can be put together (``joined``).
    """
    first, second = (int(half) for half in hashes.sum(axis=1, dtype=np.uint64))
    return f"{first:016x}{second:016x}"


def joined(contents: Iterable[str]) -> str:
    """The content of parts together."""
    first = second = 0
    for content in contents:
        padded = content.rjust(32, "0")
        first += int(padded[:16], 16)
        second += int(padded[16:], 16)
    return f"{first % 2**64:016x}{second % 2**64:016x}"


def _hashes(rows: pa.Table) -> Numbers:
    halves = np.zeros((2, len(rows)), np.uint64)
    for name in rows.column_names:
        seed = hashlib.blake2b(name.encode(), digest_size=16).digest()
        salt, factor = np.frombuffer(seed, np.uint64)
        hashed = _column(rows[name], salt)
        halves[0] += hashed
        hashed *= factor | np.uint64(1)
        halves[1] += hashed
    return _mixed(halves)


def _column(column: pa.ChunkedArray, salt: np.uint64) -> Numbers:
    pieces = [_array(chunk, salt) for chunk in column.chunks]
    return np.concatenate(pieces) if pieces else np.empty(0, np.uint64)


def _array(values: pa.Array, salt: np.uint64) -> Numbers:
    if pa.types.is_dictionary(values.type):
        codes = values.indices.fill_null(0).to_numpy(zero_copy_only=False)
        words = _mixed(_texts(values.dictionary.cast(pa.string())) + salt)
        hashed = words[codes] if len(words) else np.zeros(len(values), np.uint64)
    elif pa.types.is_string(values.type):
        hashed = _mixed(_texts(values) + salt)
    else:
        hashed = _mixed(_bits(values) + salt)
    if values.null_count:
        hashed[values.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashed


def _bits(values: pa.Array) -> Numbers:
    """Of numbers by value, of times in their unit."""
    if pa.types.is_floating(values.type):
        numbers = values.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
        return np.asarray(numbers + 0.0).view(np.uint64)  # -0.0 is 0
    whole = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(whole).view(np.uint64)


def _texts(words: pa.StringArray) -> Numbers:
    """Eight bytes of every text at a time, each step mixed into the one before."""
    _, offsets, data = words.buffers()
    if offsets is None or not len(words):
        return np.empty(0, np.uint64)
    ends = np.frombuffer(offsets, np.int32)[words.offset : words.offset + len(words) + 1]
    text = np.frombuffer(b"" if data is None else data, np.uint8)[ends[0] : ends[-1]]
    padded = np.concatenate([text, np.zeros(8, np.uint8)])
    eights = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
    left = np.diff(ends)
    at = ends[:-1] - ends[0]
    hashed = _mixed(left.astype(np.uint64))
    row = np.flatnonzero(left > 0)
    while len(row):
        bytes_here = eights[at[row]] & _FIRST[np.minimum(left[row], 8)]
        hashed[row] = _mixed(hashed[row] ^ bytes_here) + _ODD[2]
        at, left = at + np.int32(8), left - np.int32(8)
        row = row[left[row] > 0]
    return hashed


def _mixed(numbers: Numbers) -> Numbers:
    """Every bit decides about every other and nothing is lost (SplitMix64's last step)."""
    shifted = numbers >> np.uint64(30)
    mixed = numbers ^ shifted
    mixed *= _ODD[0]
    mixed ^= np.right_shift(mixed, np.uint64(27), out=shifted)
    mixed *= _ODD[1]
    mixed ^= np.right_shift(mixed, np.uint64(31), out=shifted)
    return mixed
