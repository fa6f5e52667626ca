"""The bytes of an edition's grounds: one plain NumPy file, mapped into memory instead of read.

The file holds a single record with a field for each of ``schema.records.Grounds``: so NumPy's own
format says names, types and shapes, and every worker shares the pages it touches.
"""

import io
import threading
from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schema.errors import Problem
from schema.records import Grounds

_ONE_HEADER = threading.Lock()
"""NumPy reads a header by ``ast.literal_eval``, which two threads must not do at once before Python
3.12 (SystemError, python/cpython#106905).
"""
_NAMES = [field.name for field in fields(Grounds)]


def packed(grounds: Grounds) -> bytes:
    """The same grounds give the same bytes."""
    values = {name: np.asarray(getattr(grounds, name)) for name in _NAMES}
    shape = [(name, value.dtype, value.shape) for name, value in values.items()]
    record = np.zeros(1, np.dtype(shape, align=True))
    for name, value in values.items():
        record[name][0] = value
    buffer = io.BytesIO()
    np.save(buffer, record, allow_pickle=False)
    return buffer.getvalue()


def mapped(path: Path) -> Grounds:
    """Map a file whose bytes were checked; the mapping ends with the last of its arrays.

    Raises:
        Problem: another version wrote it.
    """
    with _ONE_HEADER:
        record = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    if record.dtype.names is None or not {*_NAMES} <= {*record.dtype.names}:
        raise Problem(
            f"{path.name} was made by another version",
            "the next night makes it anew; until then ask for the list of the night",
            code="GROUNDS_VERSION",
        )
    return Grounds(**{name: record[name][0] for name in _NAMES})


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
