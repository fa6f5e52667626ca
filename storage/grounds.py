"""The bytes of an edition's grounds: one plain file, mapped into memory instead of read.

A line of JSON says type, shape and place of each field of ``schema.records.Grounds``; their bytes
follow. So a look at it costs next to nothing, and every worker shares the pages it touches. (NumPy's
own format, of versions 0.3 and 0.4, has its header read as Python source: several times the rest of a
small file.)
"""

import mmap
import threading
from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from schema.errors import Problem
from schema.records import Grounds

_ONE_HEADER = threading.Lock()
"""NumPy reads a header by ``ast.literal_eval``, which two threads must not do at once before Python
3.12 (SystemError, python/cpython#106905).
"""
_NAMES = [field.name for field in fields(Grounds)]
_ALIGN = 64
"""Bytes: what NumPy's loops like an array's beginning to be a multiple of."""


def packed(grounds: Grounds) -> bytes:
    """The same grounds give the same bytes."""
    told, parts, place = {}, [], 0
    for name in _NAMES:
        value = np.asarray(getattr(grounds, name))
        data = value.tobytes()
        told[name] = np.lib.format.dtype_to_descr(value.dtype), value.shape, place
        parts.append(_padded(data))
        place += len(parts[-1])
    return b"".join([_padded(orjson.dumps(told) + b"\n"), *parts])


def mapped(path: Path) -> Grounds:
    """Map a file whose bytes were checked; the mapping ends with the last of its arrays.

    Raises:
        Problem: another version wrote it.
    """
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    end = data.find(b"\n")
    try:
        if data[:6] == np.lib.format.MAGIC_PREFIX:
            return _record(path)
        told = orjson.loads(data[: max(end, 0)])
        start = end + 1 + -(end + 1) % _ALIGN
        return Grounds(**{name: _field(data, start, *told[name]) for name in _NAMES})
    except (ValueError, TypeError, KeyError) as error:
        raise Problem(
            f"{path.name} was made by another version",
            "the next night makes it anew; until then ask for the list of the night",
            code="GROUNDS_VERSION",
        ) from error


def _record(path: Path) -> Grounds:
    """A file of version 0.3 or 0.4: one record with a field for each of ``Grounds``."""
    with _ONE_HEADER:
        record = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return Grounds(**{name: record[name][0] for name in _NAMES})


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGN)


def _field(data: mmap.mmap, start: int, descr: Any, shape: list[int], place: int) -> Any:
    dtype = np.dtype(descr if isinstance(descr, str) else [tuple(each) for each in descr])
    return np.ndarray(shape, dtype, data, start + place)[()]


def without(grounds: Grounds, customers: Collection[str]) -> Grounds:
    """The same without some customers: their rows, and their part in what others are compared with."""
    gone = np.isin(grounds.customers, [name.encode() for name in customers])
    stays = np.append(~gone, True)  # the stranger behind them
    place = np.cumsum(stays) - 1
    starts, cells = _slices(grounds.starts, stays)
    kept = ~gone[grounds.compared]
    compared_starts, lines = _slices(grounds.compared_starts, kept)
    return replace(
        grounds,
        customers=grounds.customers[~gone],
        starts=starts,
        cells=grounds.cells[cells],
        bias=grounds.bias[stays],
        segment=grounds.segment[stays],
        compared=place[grounds.compared[kept]].astype(grounds.compared.dtype),
        compared_starts=compared_starts,
        compared_products=grounds.compared_products[lines],
        compared_shares=grounds.compared_shares[lines],
    )


def _slices(
    starts: NDArray[np.int64], stays: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Starts of the slices that stay, and which of the rows behind them do."""
    sizes = np.diff(starts)
    return np.append(0, np.cumsum(sizes[stays])), np.repeat(stays, sizes)
