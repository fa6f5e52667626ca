"""What is wrong with delivered rows: counted over a whole file, with a few samples of each."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.columns import Found
from factory.mapped import LEFT_OUT, OF, OTHER_CURRENCY, OUT
from schema.codes import BY_NAME

SAMPLES = 5

Severity = Literal["error", "warning"]

HARMLESS = ("ROW_DUPLICATE", LEFT_OUT)
"""Codes of rows that are set aside without anything being wrong with the file."""

_OUT = {
    LEFT_OUT: "the mapping leaves these rows out",
    OTHER_CURRENCY: "the row is in another currency than the tenant's",
}


def escaped(value: str | None) -> str:
    """A value for a message: printable, at most 80 characters, nothing that could forge a line."""
    return "" if value is None else ascii(value)[1:-1][:80]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in one column.

    Attributes:
        count: rows; of ID_LOOKALIKE, pairs of ids; of SCHEMA_EXTRA, columns.
        samples: up to five (line, value) pairs; the line is that of the delivered file.
        severity: a warning says nothing against its rows; all are accepted, but for those of
            ROW_DUPLICATE, whose first one is.
        share: count of the rows read.
    """

    code: str
    column: str
    what: str
    count: int
    samples: tuple[tuple[int, str], ...]
    severity: Severity = "error"
    share: float = 0.0

    @property
    def fix(self) -> str:
        return BY_NAME[self.code].fix


def erasure(count: int) -> Fault:
    """How many rows were dropped because their customer was erased; it names nobody."""
    what = "the customer was erased; the rows are kept nowhere"
    return Fault("CUSTOMER_ERASED", "customer_id", what, count, (), "warning")


class Tally:
    """Faults of a whole file.

    Attributes:
        rows: quarantined rows by the code of their first fault.
    """

    def __init__(self) -> None:
        self._faults: dict[tuple[str, str, str], Fault] = {}
        self.rows: Counter[str] = Counter()

    def add(self, fault: Fault) -> None:
        key = fault.code, fault.column, fault.what
        if earlier := self._faults.get(key):
            samples = (*earlier.samples, *fault.samples)[:SAMPLES]
            fault = replace(fault, count=earlier.count + fault.count, samples=samples)
        self._faults[key] = fault

    def faults(self, read: int) -> tuple[Fault, ...]:
        return tuple(replace(f, share=f.count / read) for f in self._faults.values())


class Chunk:
    """Rows under examination; each keeps the code of its first fault.

    Attributes:
        good: rows that nothing spoke against so far.
        lines: of each, in the delivered file.
    """

    def __init__(
        self, rows: pa.Table, lines: NDArray[np.int64], came: pa.Table, tally: Tally
    ) -> None:
        """Start.

        Args:
            lines: of each row that came.
            came: the rows that a mapping made ``rows`` of; or these themselves.
        """
        self._came, self._tally = came, tally
        self._of = rows[OF].to_numpy() if OF in rows.column_names else np.arange(len(rows))
        self.lines = lines[self._of]
        self._codes: list[str] = []
        self._code = np.zeros(len(rows), np.uint8)
        self.good = np.ones(len(rows), bool)
        if OUT in rows.column_names:
            self._take_out(rows[OUT].combine_chunks())
        self._judged = self.good.copy()

    def mark(self, column: str, found: Found) -> None:
        """Count what was found; unless it is only a warning, its rows are no longer good."""
        rows = found.rows & (self.good if found.warning else self._judged)
        where = np.flatnonzero(rows)
        if not len(where):
            return
        shown = found.values.take(pa.array(where[:SAMPLES])).cast(pa.string()).to_pylist()
        samples = zip(self.lines[where[:SAMPLES]].tolist(), map(escaped, shown), strict=True)
        harmless = found.warning or found.code in HARMLESS
        severity: Severity = "warning" if harmless else "error"
        self._tally.add(Fault(found.code, column, found.what, len(where), tuple(samples), severity))
        if not found.warning:
            self._codes.append(found.code)
            self._code[rows & self.good] = len(self._codes) - 1
            self.good &= ~rows

    def quarantined(self) -> pa.Table:
        """The rows that are not good as they came, as text, with ``_line`` and ``_code``."""
        bad = np.flatnonzero(~self.good)
        codes = [self._codes[code] for code in self._code[bad].tolist()]
        self._tally.rows.update(codes)
        columns = {
            name: _as_text(self._came[name], self._of[bad]) for name in self._came.column_names
        }
        columns["_line"] = pa.chunked_array([pa.array(self.lines[bad], pa.int64())])
        columns["_code"] = pa.chunked_array([pa.array(codes, pa.string())])
        return pa.table(columns)

    def _take_out(self, codes: pa.Array) -> None:
        """Rows that the mapping has decided about are not judged."""
        self._judged = self.good.copy()
        for code, what in _OUT.items():
            out = pc.fill_null(pc.equal(codes, code), False).to_numpy(zero_copy_only=False)
            self.mark("", Found(code, what, out, self._told(out)))

    def _told(self, rows: NDArray[np.bool_]) -> pa.Array:
        """The first of these rows as they came, in one text each; nothing of any other."""
        some = np.flatnonzero(rows)[:SAMPLES]
        columns = (_as_text(column, self._of[some]).to_pylist() for column in self._came.columns)
        texts = np.full(len(rows), None, object)
        texts[some] = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
        return pa.array(texts, pa.string())


def _as_text(column: pa.ChunkedArray, rows: NDArray[np.int64]) -> pa.ChunkedArray:
    """Some rows of any column as text, for a person to read and repair."""
    try:
        return column.take(pa.array(rows)).cast(pa.string())
    except pa.ArrowException:
        told = [column[row].as_py() for row in rows.tolist()]
        texts = [None if value is None else str(value) for value in told]
        return pa.chunked_array([pa.array(texts, pa.string())])
