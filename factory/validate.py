"""Does this table fit the universal schema? All faults at once, with counts and rows.

A row that does not fit is quarantined with the code of its first fault. One about a customer who was
erased is dropped, whatever else is wrong with it: it is counted, and nothing of it is told. Accepted +
quarantined + erased = read, always. A table that cannot be used at all is refused whole.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schema.errors import Refused
from schema.names import Event
from schema.tables import CONTROL, ID_MAX_BYTES, Column, Kind, Table

EARLIEST = pd.Timestamp("1990-01-01", tz="UTC")
"""Nothing a tenant sells from was sold before; an older time is a unit or format gone wrong."""

SAMPLES = 5

_CUSTOMER = "customer_id"
_CALENDAR_SECONDS = 200 * 366 * 86_400
"""Two centuries around 1970: beyond it time zones and calendars cannot be asked."""

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_ISO_TIME = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s?(Z|[+-]\d{2}:?\d{2})?)?$"
_ZONED = r"(Z|[T ].*[+-]\d{2}:?\d{2})$"


def escaped(value: str | None) -> str:
    """A value for a message: printable, at most 80 characters, nothing that could forge a line."""
    return "" if value is None else ascii(value)[1:-1][:80]


_FIX = {
    "ID_EMPTY": "send an id, or leave the row out",
    "ID_TOO_LONG": f"shorten ids to {ID_MAX_BYTES} bytes",
    "ID_CONTROL_CHAR": "remove control characters from ids",
    "KEY_DUPLICATE": "send each id once; the first row was kept",
    "REF_UNKNOWN": "send the missing customers or products first, then this file again",
    "VALUE_TYPE": "send a plain number with a decimal point",
    "VALUE_NOT_FINITE": "send a finite number, or leave it empty",
    "VALUE_RANGE": "correct the value",
    "VALUE_CHOICE": "use one of the listed words",
    "VALUE_MISSING": "this column must not be empty",
    "TIME_FORMAT": "use ISO 8601, like 2026-03-08T10:00:00Z",
    "TIME_RANGE": "correct the time",
    "CSV_SHAPE": "give every line as many fields as the header has",
    "CUSTOMER_ERASED": "nothing, unless the customer came back on purpose: `recfactory data unerase`",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in one column.

    Attributes:
        samples: up to five (row, value) pairs; rows count from 1, the header not included.
    """

    code: str
    column: str
    what: str
    count: int
    samples: tuple[tuple[int, str], ...]

    @property
    def fix(self) -> str:
        return _FIX[self.code]


@dataclass(frozen=True, slots=True)
class Checked:
    """A table after validation.

    Attributes:
        accepted: the schema's columns and types, rows in the order they came.
        quarantined: the rows as they came, as text, with ``_row`` and ``_code``.
        ignored: columns the schema does not know.
        erased: rows about customers who were erased; they are nowhere.
    """

    table: str
    read: int
    accepted: pa.Table
    quarantined: pa.Table
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]
    erased: int = 0


def erasure(count: int) -> Fault:
    """How many rows were dropped because their customer was erased; it names nobody."""
    what = "the customer was erased; the rows are kept nowhere"
    return Fault("CUSTOMER_ERASED", "customer_id", what, count, ())


def check(
    rows: pa.Table,
    table: Table,
    *,
    zone: ZoneInfo,
    now: datetime,
    known: Mapping[str, Collection[str] | pa.Array],
    erased: Callable[[pa.Array], pa.Array] | None = None,
) -> Checked:
    """Bring a delivered table into the universal schema.

    Args:
        rows: columns of any type; text is parsed as each column's kind says.
        zone: of times that name none. Where a local time occurs twice the first is taken.
        now: aware; times more than a day later are faults.
        known: by table name, the ids that an id pointing there may have.
        erased: by customer id, whether it was erased.

    Raises:
        Refused: no rows, a required column missing or twice, a column of an unusable type.
    """
    _check_shape(rows, table)
    judge = _Judge(rows, now, zone)
    if erased is not None and _CUSTOMER in rows.column_names:
        judge.leave_out(_flags(erased(rows[_CUSTOMER])))
    columns = {}
    for column in table.columns:
        given = _text_or_native(rows, column)
        columns[column.name] = judge.read(column, given)
        if column.points_to:
            judge.refer(column, columns[column.name], known.get(column.points_to, ()))
    if table.key:
        judge.unique(table.column(table.key), columns[table.key])
    if table.name == "interactions":
        judge.quantity_sign(columns["event"], columns["quantity"])
    accepted = pa.table({column.name: columns[column.name] for column in table.columns})
    known_names = {column.name for column in table.columns}
    return Checked(
        table=table.name,
        read=len(rows),
        accepted=accepted.filter(pa.array(judge.good)),
        quarantined=judge.quarantined(),
        faults=(*judge.faults, *([erasure(judge.erased)] if judge.erased else [])),
        ignored=tuple(name for name in rows.column_names if name not in known_names),
        erased=judge.erased,
    )


def _check_shape(rows: pa.Table, table: Table) -> None:
    names = rows.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(
            f"column {twice[0]!r} appears twice", "name every column once", code="SCHEMA_DUPLICATE"
        )
    missing = [c.name for c in table.columns if c.required and c.name not in names]
    if missing:
        raise Refused(
            f"column {missing[0]!r} not found; found: {', '.join(names)[:200]}",
            f"rename the columns of {table.name} as `recfactory data schema` lists them",
            code="SCHEMA_MISSING",
        )
    if not len(rows):
        raise Refused(
            "header found, 0 data rows",
            "send the rows, or do not send the file",
            code="DATA_NO_ROWS",
        )


def _text_or_native(rows: pa.Table, column: Column) -> pa.Array | None:
    """The delivered values: text, numbers or timestamps; None where the column is absent."""
    if column.name not in rows.column_names:
        return None
    values = rows[column.name].combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # an empty table combines to no chunk at all
        values = pa.array([], values.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    readable = _READABLE[column.kind]
    if not (_is_text(values.type) or any(fits(values.type) for fits in readable)):
        raise Refused(
            f"column {column.name!r} has the type {values.type}",
            "send plain text, or numbers and times where the schema has them",
            code="PARQUET_UNSUPPORTED",
        )
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        raise Refused(
            f"column {column.name!r} holds bytes that are not UTF-8 text: {error}",
            "write the file again",
            code="TEXT_ENCODING",
        ) from error
    return values.cast(pa.string()) if _is_text(values.type) else values


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    )


_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_READABLE: Mapping[Kind, tuple[Callable[[pa.DataType], bool], ...]] = {
    Kind.ID: _NUMBERS,
    Kind.TEXT: (*_NUMBERS, pa.types.is_boolean, pa.types.is_date),
    Kind.NUMBER: _NUMBERS,
    Kind.TIME: (pa.types.is_timestamp, pa.types.is_date, pa.types.is_integer),
    Kind.CHOICE: (),
}
"""Types a column of each kind may have beside text."""


class _Judge:
    """Collects faults; a row keeps the code of its first one."""

    def __init__(self, rows: pa.Table, now: datetime, zone: ZoneInfo) -> None:
        self._rows, self._now, self._zone = rows, now, zone
        self.good = np.ones(len(rows), bool)
        self._out = np.zeros(len(rows), bool)
        self._codes = np.full(len(rows), "", object)
        self.faults: list[Fault] = []

    @property
    def erased(self) -> int:
        return int(self._out.sum())

    def leave_out(self, rows: NDArray[np.bool_]) -> None:
        """Neither accept nor quarantine these rows, and find no fault with them."""
        self._out = rows
        self.good &= ~rows

    def read(self, column: Column, given: pa.Array | None) -> pa.Array:
        if given is None:
            given = pa.nulls(len(self._rows), pa.string())
        readers: dict[Kind, Callable[[Column, pa.Array], pa.Array]] = {
            Kind.ID: self._id,
            Kind.TEXT: self._plain_text,
            Kind.NUMBER: self._number,
            Kind.TIME: self._time,
            Kind.CHOICE: self._choice,
        }
        return readers[column.kind](column, given)

    def refer(self, column: Column, ids: pa.Array, known: Collection[str] | pa.Array) -> None:
        values = known if isinstance(known, pa.Array) else pa.array(list(known), pa.string())
        found = _flags(pc.is_in(ids, values.cast(pa.string())))
        what = f"{column.name} is not among the {column.points_to}"
        self._fault("REF_UNKNOWN", column, ~found & self.good, ids, what)

    def unique(self, column: Column, ids: pa.Array) -> None:
        fitting = pd.Series(ids.to_pandas())[self.good]
        again = np.zeros(len(ids), bool)
        again[self.good] = fitting.duplicated(keep="first").to_numpy()
        self._fault("KEY_DUPLICATE", column, again, ids, f"{column.name} comes twice")

    def quantity_sign(self, events: pa.Array, quantities: pa.Array) -> None:
        returns = _flags(pc.equal(events, Event.RETURN.value))
        wrong = ~returns & _flags(pc.less_equal(quantities, 0.0))
        what = "quantity must be above 0; only a return may be negative"
        column = Column("quantity", Kind.NUMBER, "")
        self._fault("VALUE_RANGE", column, wrong & self.good, quantities, what)

    def quarantined(self) -> pa.Table:
        bad = np.flatnonzero(~self.good & ~self._out)
        names = self._rows.column_names
        columns = {name: _as_text(self._rows[name]).take(pa.array(bad)) for name in names}
        columns["_row"] = pa.chunked_array([pa.array(bad + 1)])
        columns["_code"] = pa.chunked_array([pa.array(self._codes[bad], pa.string())])
        return pa.table(columns)

    def _id(self, column: Column, given: pa.Array) -> pa.Array:
        if pa.types.is_floating(given.type):
            raise Refused(
                f"{column.name} is a column of decimal numbers; ids like 17733.0 are damaged",
                "export ids as text",
                code="ID_NUMERIC_DAMAGE",
            )
        ids = given.cast(pa.string())
        empty = _flags(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(ids)), 0), missing=True)
        if column.required:
            self._fault("ID_EMPTY", column, empty, ids, f"{column.name} is empty")
        long = _flags(pc.greater(pc.binary_length(ids), ID_MAX_BYTES))
        self._fault("ID_TOO_LONG", column, long, ids, f"{column.name} is over {ID_MAX_BYTES} bytes")
        control = _flags(pc.match_substring_regex(ids, CONTROL))
        what = f"{column.name} holds a control character"
        self._fault("ID_CONTROL_CHAR", column, control, ids, what)
        return ids

    def _plain_text(self, column: Column, given: pa.Array) -> pa.Array:
        return _emptied(given.cast(pa.string()))

    def _number(self, column: Column, given: pa.Array) -> pa.Array:
        if pa.types.is_string(given.type):
            text = _emptied(given)
            word = _flags(pc.match_substring_regex(text, r"(?i)^\s*[+-]?(nan|inf(inity)?)\s*$"))
            shaped = _flags(pc.match_substring_regex(text, _NUMBER))
            wrong = ~shaped & ~word & _flags(pc.is_valid(text))
            self._fault("VALUE_TYPE", column, wrong, text, f"{column.name} is not a number")
            readable = pc.if_else(pa.array(shaped | word), pc.utf8_trim_whitespace(text), None)
            numbers = readable.cast(pa.float64())
        else:
            numbers = given.cast(pa.float64(), safe=False)
        endless = _flags(pc.invert(pc.is_finite(numbers)))
        what = f"{column.name} is not a finite number"
        self._fault("VALUE_NOT_FINITE", column, endless, numbers, what)
        outside = np.zeros(len(numbers), bool)
        if column.least is not None:
            outside |= _flags(pc.less(numbers, column.least))
        if column.most is not None:
            outside |= _flags(pc.greater(numbers, column.most))
        what = (
            f"{column.name} is outside {column.least:g} to {column.most:g}" if outside.any() else ""
        )
        self._fault("VALUE_RANGE", column, outside & ~endless, numbers, what)
        if column.default is not None:
            numbers = pc.fill_null(numbers, column.default)
        return numbers

    def _choice(self, column: Column, given: pa.Array) -> pa.Array:
        words = pc.utf8_trim_whitespace(_emptied(given.cast(pa.string())))
        if column.default is not None:
            words = pc.fill_null(words, column.default)
        elif column.required:
            missing = _flags(pc.is_null(words))
            self._fault("VALUE_MISSING", column, missing, words, f"{column.name} is empty")
        right = _flags(pc.is_in(words, pa.array(column.choices)), missing=True)
        what = f"{column.name} is none of {', '.join(column.choices)}"
        self._fault("VALUE_CHOICE", column, ~right & _flags(pc.is_valid(words)), words, what)
        return words

    def _time(self, column: Column, given: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(given.type) or pa.types.is_date(given.type):
            text = given
            instants, far = self._native_times(given)
        else:
            text = _emptied(given.cast(pa.string()))
            instants, far = self._parsed_times(text), np.zeros(len(text), bool)
        valid = _flags(pc.is_valid(text))
        if column.required:
            self._fault("VALUE_MISSING", column, ~valid, text, f"{column.name} is empty")
        unread = valid & instants.isna().to_numpy() & ~far
        self._fault("TIME_FORMAT", column, unread, text, f"{column.name} cannot be read as a time")
        latest = pd.Timestamp(self._now) + timedelta(days=1)
        outside = ((instants < EARLIEST) | (instants > latest)).to_numpy() | far
        what = f"{column.name} is before {EARLIEST.year} or more than a day in the future"
        self._fault("TIME_RANGE", column, outside, text, what)
        return pa.array(instants.dt.as_unit("us"), pa.timestamp("us", "UTC"))

    def _parsed_times(self, text: pa.Array) -> "pd.Series[pd.Timestamp]":
        shaped = _flags(pc.match_substring_regex(text, _ISO_TIME))
        zoned = shaped & _flags(pc.match_substring_regex(text, _ZONED))
        words = pd.Series(text.to_pandas(), dtype=object)
        instants = pd.Series(pd.NaT, index=words.index, dtype="datetime64[us, UTC]")
        if zoned.any():
            read = pd.to_datetime(words[zoned], format="ISO8601", utc=True, errors="coerce")
            instants[zoned] = read.dt.as_unit("us")
        local = shaped & ~zoned
        if local.any():
            read = pd.to_datetime(words[local], format="ISO8601", errors="coerce")
            instants[local] = self._in_zone(read)
        return instants

    def _native_times(self, given: pa.Array) -> tuple["pd.Series[pd.Timestamp]", NDArray[np.bool_]]:
        """Instants, and which rows lie so far off that no calendar holds them."""
        zoned = pa.types.is_timestamp(given.type) and given.type.tz is not None
        if pa.types.is_timestamp(given.type):
            given = given.cast(pa.timestamp(given.type.unit))
        wide = given.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        far = _flags(pc.greater(pc.abs_checked(pc.fill_null(wide, 0)), _CALENDAR_SECONDS))
        kept = pc.if_else(pa.array(far), pa.scalar(None, given.type), given)
        times = pd.Series(kept.cast(pa.timestamp("us"), safe=False).to_pandas())
        times = times.astype("datetime64[us]")
        return (times.dt.tz_localize("UTC") if zoned else self._in_zone(times)), far

    def _in_zone(self, local: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
        first = np.ones(len(local), bool)  # "ambiguous" True: summer time, the first occurrence
        placed = local.dt.tz_localize(self._zone, ambiguous=first, nonexistent="shift_forward")
        return placed.dt.tz_convert("UTC").dt.as_unit("us")

    def _fault(
        self, code: str, column: Column, rows: NDArray[np.bool_], values: pa.Array, what: str
    ) -> None:
        rows = rows & ~self._out
        where = np.flatnonzero(rows)
        if not len(where):
            return
        shown = values.take(pa.array(where[:SAMPLES])).cast(pa.string()).to_pylist()
        samples = tuple(
            (int(row) + 1, escaped(value))
            for row, value in zip(where[:SAMPLES], shown, strict=True)
        )
        self.faults.append(Fault(code, column.name, what, len(where), samples))
        first = rows & self.good
        self._codes[first] = code
        self.good &= ~rows


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Any column as text, for a person to read and repair."""
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        told = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(told, pa.string())])


def _flags(values: pa.Array, *, missing: bool = False) -> NDArray[np.bool_]:
    filled = pc.fill_null(values, missing)
    return np.asarray(filled.to_numpy(zero_copy_only=False), bool)


def _emptied(text: pa.Array) -> pa.Array:
    """Blank text becomes null: an empty CSV field says nothing."""
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)
    return pc.if_else(pc.fill_null(blank, True), pa.scalar(None, pa.string()), text)
