"""The bytes of an edition's grounds: one plain NumPy file, mapped into memory instead of read.

The file holds a single record with a field for each of ``schema.records.Grounds``: so NumPy's own
format says names, types and shapes, and every worker shares the pages it touches.
"""

import io
import threading
from dataclasses import fields
from pathlib import Path

import numpy as np

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
