"""One column of a chunk -> the universal schema's values, and what is wrong with which row."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.localtime import EARLIEST, LATEST_AHEAD, LocalTime, from_native, from_text
from schema.errors import Refused
from schema.tables import CONTROL, ID_MAX_BYTES, Column, Kind

Flags = NDArray[np.bool_]

NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_NO_NUMBER = r"(?i)^\s*[+-]?(nan|inf(inity)?)\s*$"
_DAMAGED = r"^[+-]?\d+(\.0+|(\.\d+)?[eE]\+\d+)$"


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a chunk with the same thing wrong in the same column.

    Attributes:
        values: what to show of them; one a row.
        warning: the rows are accepted all the same.
    """

    code: str
    what: str
    rows: Flags
    values: pa.Array
    warning: bool = False


def usable(rows: pa.Table, column: Column) -> pa.Array:
    """The delivered values: text, numbers or times; nulls where the column is absent.

    Raises:
        Refused: they have a type that nothing can be made of, or hold no text.
    """
    if column.name not in rows.column_names:
        return pa.nulls(len(rows), pa.string())
    values = rows[column.name].combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # an empty table combines to no chunk at all
        values = pa.array([], values.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not (_is_text(values.type) or any(fits(values.type) for fits in _READABLE[column.kind])):
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
    if column.kind is Kind.ID and pa.types.is_floating(values.type):
        raise damaged(column.name)
    return values.cast(pa.string()) if _is_text(values.type) else values


def damaged(name: str) -> Refused:
    return Refused(
        f"{name} is a column of decimal numbers; ids like 17733.0 or 1E+05 are damaged",
        "export ids as text, or declare their ending in the mapping",
        code="ID_NUMERIC_DAMAGE",
    )


def read(
    column: Column, given: pa.Array, clock: LocalTime, now: datetime
) -> tuple[pa.Array, list[Found]]:
    """The schema's values of a column, and its faults in the order they count.

    Args:
        given: as ``usable`` gives it.
        now: times more than a day later are faults.
    """
    if column.kind is Kind.TIME:
        return _times(column, given, clock, now)
    readers = {
        Kind.ID: _ids,
        Kind.TEXT: lambda _, values: (_emptied(values.cast(pa.string())), []),
        Kind.NUMBER: _numbers,
        Kind.CHOICE: _choices,
    }
    return readers[column.kind](column, given)


def looks_damaged(ids: pa.Array) -> tuple[int, int]:
    """How many ids end in .0 or look like 1E+05, and how many there are at all."""
    filled = _emptied(ids).drop_null()
    return int(pc.sum(pc.match_substring_regex(filled, _DAMAGED)).as_py() or 0), len(filled)


def flags(values: pa.Array, *, missing: bool = False) -> Flags:
    filled = pc.fill_null(values, missing)
    return np.asarray(filled.to_numpy(zero_copy_only=False), bool)


def _ids(column: Column, given: pa.Array) -> tuple[pa.Array, list[Found]]:
    """Each different id is looked at once."""
    ids = given.cast(pa.string())
    encoded = ids.dictionary_encode(null_encoding="encode")
    words, codes = encoded.dictionary, encoded.indices.to_numpy()
    blank = flags(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(words)), 0), missing=True)
    wrong = [
        ("ID_EMPTY", f"{column.name} is empty", blank & column.required),
        (
            "ID_TOO_LONG",
            f"{column.name} is over {ID_MAX_BYTES} bytes",
            flags(pc.greater(pc.binary_length(words), ID_MAX_BYTES)),
        ),
        (
            "ID_CONTROL_CHAR",
            f"{column.name} holds a control character",
            flags(pc.match_substring_regex(words, CONTROL)),
        ),
    ]
    return ids, [Found(code, what, which[codes], ids) for code, what, which in wrong if which.any()]


def _numbers(column: Column, given: pa.Array) -> tuple[pa.Array, list[Found]]:
    numbers, found = _parsed(column, given) if pa.types.is_string(given.type) else (given, [])
    numbers = numbers.cast(pa.float64(), safe=False)
    endless = flags(pc.invert(pc.is_finite(numbers)))
    what = f"{column.name} is not a finite number"
    found.append(Found("VALUE_NOT_FINITE", what, endless, numbers))
    outside = np.zeros(len(numbers), bool)
    if column.least is not None:
        outside |= flags(pc.less(numbers, column.least))
    if column.most is not None:
        outside |= flags(pc.greater(numbers, column.most))
    if outside.any():
        what = f"{column.name} is outside {column.least:g} to {column.most:g}"
        found.append(Found("VALUE_RANGE", what, outside & ~endless, numbers))
    if column.default is not None:
        numbers = pc.fill_null(numbers, column.default)
    return numbers, found


def _parsed(column: Column, given: pa.Array) -> tuple[pa.Array, list[Found]]:
    """Text -> numbers; the fast way takes columns in which every number is well formed."""
    text = pc.if_else(pc.equal(given, ""), pa.scalar(None, pa.string()), given)
    try:
        numbers = text.cast(pa.float64())
        if pc.all(pc.is_finite(numbers)).as_py() is not False:
            return numbers, []
    except pa.ArrowInvalid:
        pass
    text = _emptied(given)
    word = flags(pc.match_substring_regex(text, _NO_NUMBER))
    shaped = flags(pc.match_substring_regex(text, NUMBER))
    wrong = ~shaped & ~word & flags(pc.is_valid(text))
    readable = pc.if_else(pa.array(shaped | word), pc.utf8_trim_whitespace(text), None)
    found = Found("VALUE_TYPE", f"{column.name} is not a number", wrong, text)
    return readable.cast(pa.float64()), [found]


def _choices(column: Column, given: pa.Array) -> tuple[pa.Array, list[Found]]:
    """Each different word is looked at once."""
    encoded = given.cast(pa.string()).dictionary_encode(null_encoding="encode")
    words, codes = encoded.dictionary, encoded.indices
    words = pc.utf8_trim_whitespace(_emptied(words))
    if column.default is not None:
        words = pc.fill_null(words, column.default)
    empty = flags(pc.is_null(words)) & column.required
    wrong = ~flags(pc.is_in(words, pa.array(column.choices))) & flags(pc.is_valid(words))
    values = words.take(codes)
    listed = f"{column.name} is none of {', '.join(column.choices)}"
    return values, [
        Found(code, what, which[codes.to_numpy()], values)
        for code, what, which in (
            ("VALUE_MISSING", f"{column.name} is empty", empty),
            ("VALUE_CHOICE", listed, wrong),
        )
        if which.any()
    ]


def _times(
    column: Column, given: pa.Array, clock: LocalTime, now: datetime
) -> tuple[pa.Array, list[Found]]:
    if pa.types.is_timestamp(given.type) or pa.types.is_date(given.type):
        shown, instants = given, from_native(given, clock)
    else:
        shown = _emptied(given.cast(pa.string()))
        instants = from_text(shown, clock)
    times = pa.array(instants.micros, mask=~instants.read).cast(pa.timestamp("us", "UTC"))
    valid = flags(pc.is_valid(shown))
    span = EARLIEST.timestamp(), (now + LATEST_AHEAD).timestamp()
    unread = valid & ~instants.read & ~instants.far
    seconds = instants.micros / 1e6
    outside = instants.read & ((seconds < span[0]) | (seconds > span[1])) | instants.far
    found = []
    if column.required:
        found.append(Found("VALUE_MISSING", f"{column.name} is empty", ~valid, shown))
    for mistaken in _mistaken(column, shown, times, unread, outside, span):
        found.append(mistaken)
        unread, outside = unread & ~mistaken.rows, outside & ~mistaken.rows
    what = f"{column.name} cannot be read as a time"
    found.append(Found("TIME_FORMAT", what, unread, shown))
    what = f"{column.name} is before {EARLIEST.year} or more than a day in the future"
    found.append(Found("TIME_RANGE", what, outside, shown))
    twice = f"{column.name} is a local time that occurs twice; the first was taken"
    never = f"{column.name} is a local time that never occurs; the end of the gap was taken"
    found.append(Found("TIME_ZONE", twice, instants.twice, shown, warning=True))
    found.append(Found("TIME_ZONE", never, instants.never, shown, warning=True))
    return times, found


def _mistaken(
    column: Column,
    shown: pa.Array,
    times: pa.Array,
    unread: Flags,
    outside: Flags,
    span: tuple[float, float],
) -> Iterator[Found]:
    """Times that would lie within the span, in seconds since 1970, if their unit were another."""
    if unread.any():
        for code, unit, digits in (
            ("TIME_RANGE", "milliseconds", r"^\d{12,13}$"),
            ("TIME_FORMAT", "seconds", r"^\d{9,10}$"),
        ):
            rows = unread & flags(pc.match_substring_regex(shown, digits))
            yield Found(code, f"{column.name} looks like {unit} since 1970", rows, shown)
    if outside.any():
        seconds = _seconds(times if pa.types.is_string(shown.type) else shown)
        for would_be, what in (
            (seconds // 1000, "milliseconds taken for seconds"),
            (seconds * 1000, "seconds taken for milliseconds"),
        ):
            rows = outside & (would_be >= span[0]) & (would_be <= span[1])
            yield Found("TIME_RANGE", f"{column.name} looks like {what}", rows, shown)


def _seconds(times: pa.Array) -> NDArray[np.float64]:
    whole = times.cast(pa.timestamp("s", getattr(times.type, "tz", None)), safe=False)
    counted = pc.fill_null(whole.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return np.asarray(counted, np.float64)


def _emptied(text: pa.Array) -> pa.Array:
    """Blank text becomes null: an empty CSV field says nothing."""
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)
    return pc.if_else(pc.fill_null(blank, True), pa.scalar(None, pa.string()), text)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    )


_WHOLE_OR_NOT = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_READABLE: Mapping[Kind, tuple[Callable[[pa.DataType], bool], ...]] = {
    Kind.ID: _WHOLE_OR_NOT,
    Kind.TEXT: (*_WHOLE_OR_NOT, pa.types.is_boolean, pa.types.is_date),
    Kind.NUMBER: _WHOLE_OR_NOT,
    Kind.TIME: (pa.types.is_timestamp, pa.types.is_date, pa.types.is_integer),
    Kind.CHOICE: (),
}
"""Types a column of each kind may have beside text."""
