"""A tenant's rows under the names and in the texts of the universal schema, as its mapping declares.

Nothing is judged here: a value that the declared form does not read stays as it came, marked so
that it is not read in another form either, and the check gives it its code.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schema.errors import Refused, listed
from schema.mapping import LEAVE_OUT, UNIX, Source, TableMapping
from schema.names import Event
from schema.tables import Column, Kind, Table

OF, OUT = "_of", "_out"
"""Columns beside the universal ones: which delivered row a row was made of (from 0), and the code
of its being out already (null: it goes on to be checked)."""

LEFT_OUT, OTHER_CURRENCY = "ROW_LEFT_OUT", "VALUE_CURRENCY"

NOT_AS_DECLARED = " (not as the mapping says)"
"""Stands behind a value that the declared form does not read."""


def mapped(
    rows: pa.Table, how: TableMapping, table: Table, *, delivered: datetime, currency: str = ""
) -> pa.Table:
    """Give delivered rows the universal names and texts.

    Args:
        rows: any part of a delivered file, no column named twice; text, or Parquet's own types.
        delivered: aware; what a source that is ``delivered`` becomes.
        currency: the tenant's own.

    Returns:
        The rows themselves where nothing is declared. Else at least one row for each that was
        delivered, in the same order: universal columns as text, numbers or timestamps, and OF, OUT.

    Raises:
        Refused: a column that the mapping names is not in the file (``SCHEMA_MISSING``).

    Cost: O(rows x columns), a few copies of the columns that need repair.
    """
    if how.changes_nothing:
        return rows
    _refuse_absent(rows, how, table)
    left_out = np.zeros(len(rows), bool)
    for name, words in how.leave_out.items():
        left_out |= _said(rows, name, words)
    foreign = np.zeros(len(rows), bool)
    if how.currency:
        foreign = ~_said(rows, how.currency, (currency, ""))
    made: dict[str, pa.Array] = {}
    of = np.arange(len(rows))
    if how.holdings:
        of, made["product_id"], none = _held(rows, how.holdings)
        rows, left_out, foreign = rows.take(of), left_out[of] | none, foreign[of]
    maker = _Maker(rows, how, delivered)
    for column in sorted(table.columns, key=lambda column: column.name != "event"):  # others ask it
        if column.name not in made:
            maker.make(column, made)
    left_out |= maker.left_out
    code = pc.if_else(pa.array(foreign), OTHER_CURRENCY, pa.scalar(None, pa.string()))
    out = pc.if_else(pa.array(left_out), LEFT_OUT, code)
    return pa.table({**made, OF: pa.array(of), OUT: out})


class _Maker:
    """Makes one universal column after the other; notes the rows that a word leaves out."""

    def __init__(self, rows: pa.Table, how: TableMapping, delivered: datetime) -> None:
        self._rows, self._how, self._delivered = rows, how, delivered
        self.left_out = np.zeros(len(rows), bool)

    def make(self, column: Column, made: dict[str, pa.Array]) -> None:
        """Add the column to those that are made; one that is nowhere is not added."""
        source = self._how.columns.get(column.name)
        if source is None and column.name in self._rows.column_names:
            source = Source(column=column.name)
        if source is not None:
            made[column.name] = self._values(source, column, made)
        if column.name == "event" and self._how.negative_quantity:
            made["event"] = self._with_returns(made.get("event"))

    def _values(self, source: Source, column: Column, made: Mapping[str, pa.Array]) -> pa.Array:
        if source.delivered:
            moment = pa.scalar(self._delivered.astimezone(UTC), pa.timestamp("us", "UTC"))
            return pa.repeat(moment, len(self._rows))
        if source.constant is not None:
            return pa.repeat(source.constant, len(self._rows))
        if source.product_of:
            one, other = (self._number(name, source, column) for name in source.product_of)
            return _product(one, other)
        if source.by_event:
            return self._by_event(source, column, made.get("event"))
        return self._repaired(self._rows[source.column], source, column)

    def _by_event(self, source: Source, column: Column, events: pa.Array | None) -> pa.Array:
        said = pa.nulls(len(self._rows), pa.string()) if events is None else events
        said = pc.fill_null(said, Event.PURCHASE.value)
        texts = pa.nulls(len(self._rows), pa.string())
        for event, name in source.by_event.items():
            texts = pc.if_else(pc.equal(said, event.value), _text(self._rows[name]), texts)
        return self._repaired(texts, source, column)

    def _with_returns(self, events: pa.Array | None) -> pa.Array:
        events = pa.nulls(len(self._rows), pa.string()) if events is None else events
        source = self._how.columns.get("quantity", Source(column="quantity"))
        if source.column not in self._rows.column_names:
            return events
        quantity = plain_numbers(self._number(source.column, source, _QUANTITY))
        negative = pc.fill_null(pc.less(quantity, 0), False)
        return pc.if_else(negative, Event.RETURN.value, events)

    def _number(self, name: str, source: Source, column: Column) -> pa.Array:
        return self._repaired(self._rows[name], source, column)

    def _repaired(
        self, given: pa.Array | pa.ChunkedArray, source: Source, column: Column
    ) -> pa.Array:
        """Native values stay native unless a text repair is declared for them."""
        number = pa.types.is_floating(given.type) or pa.types.is_integer(given.type)
        if column.kind is Kind.NUMBER and (number or pa.types.is_decimal(given.type)):
            return _whole(given)
        if source.time in UNIX and number:
            return _since_1970(_whole(given), source.time)
        textual = source.remove or source.ending or source.words or source.time or source.trim
        if not (textual or _is_text(given.type)):
            return _whole(given)
        text = _text(given)
        for unwanted in source.remove:
            text = pc.replace_substring(text, unwanted, "")
        if source.trim or source.words or column.kind not in (Kind.ID, Kind.TEXT):
            text = pc.utf8_trim_whitespace(text)
        if source.ending:
            ends = pc.ends_with(text, source.ending)
            text = pc.if_else(ends, pc.utf8_slice_codeunits(text, 0, -len(source.ending)), text)
        if source.words:
            text = self._translated(text, source.words)
        if source.decimal != "." or source.thousands:
            text = _in_plain_form(text, source)
        return _times(text, source.time) if source.time else text

    def _translated(self, text: pa.Array, words: Mapping[str, str]) -> pa.Array:
        place = pc.index_in(pc.fill_null(text, ""), pa.array(list(words)))
        ours = pa.array(list(words.values()), pa.string()).take(place)
        self.left_out |= _flags(pc.equal(ours, LEAVE_OUT))
        return pc.coalesce(ours, text)


def _refuse_absent(rows: pa.Table, how: TableMapping, table: Table) -> None:
    found = rows.column_names
    for name, column in how.needs:
        if column not in found:
            raise Refused(
                f"column {column[:80]!r}, of which the mapping makes {name!r}, is not in the file; "
                f"found: {listed(found)}",
                f"correct the mapping of {table.name}, or the file",
                code="SCHEMA_MISSING",
            )


def _held(
    rows: pa.Table, holdings: Mapping[str, Mapping[str, str]]
) -> tuple[NDArray[np.int64], pa.Array, NDArray[np.bool_]]:
    """For each line: its row, its product (null: the row holds none), and whether it holds none."""
    places, products = [], []
    for name, words in holdings.items():
        said = pc.utf8_trim_whitespace(_text(rows[name]))
        held = pa.array(list(words.values())).take(pc.index_in(said, pa.array(list(words))))
        where = np.flatnonzero(_flags(pc.is_valid(held)))
        places.append(where)
        products.append(held.take(pa.array(where)))
    idle = np.setdiff1d(np.arange(len(rows)), np.concatenate(places))
    of = np.concatenate([*places, idle])
    product = pa.concat_arrays([*products, pa.nulls(len(idle), pa.string())])
    order = np.argsort(of, kind="stable")
    product = product.take(pa.array(order))
    return of[order], product, _flags(pc.is_null(product))


def _in_plain_form(text: pa.Array, source: Source) -> pa.Array:
    """Numbers of the declared form as 1234.56; what is of no such form is marked."""
    point = rf"\{source.decimal}"
    parts = _PARTS[source.thousands]
    whole = rf"\d{{1,3}}({parts}\d{{3}})+|\d+" if parts else r"\d+"
    form = (
        rf"^([+-]?(({whole})({point}\d*)?|{point}\d+)([eE][+-]?\d+)?|(?i:[+-]?(nan|inf(inity)?)))?$"
    )
    shaped = pc.match_substring_regex(text, form)
    plain = pc.replace_substring_regex(text, parts, "") if parts else text
    plain = pc.replace_substring(plain, source.decimal, ".")
    return pc.if_else(shaped, plain, _marked(text))


_PARTS = {"": "", ",": ",", ".": r"\.", "'": "['\u2019]", " ": "[ \u00a0\u2009\u202f]"}
"""Regular expressions of what parts groups of three digits."""


def _times(text: pa.Array, form: str) -> pa.Array:
    """Timestamps; text, with what is of another form marked, where not all of it could be read."""
    text = pc.if_else(pc.equal(text, ""), None, text)
    if form in UNIX:
        shaped = pc.match_substring_regex(text, r"^-?\d{1,15}(\.0+)?$")
        digits = pc.replace_substring_regex(pc.if_else(shaped, text, None), r"\.0+$", "")
        instants = _since_1970(digits.cast(pa.int64()), form)
    else:
        words = pd.Series(text.to_pandas(), dtype=object)
        zoned = "%z" in form
        read = pd.to_datetime(words, format=form, errors="coerce", utc=zoned)
        instants = pa.array(read, pa.timestamp("us", "UTC" if zoned else None))
    unread = pc.and_(pc.is_null(instants), pc.is_valid(text))
    if not pc.any(unread).as_py():
        return instants
    return pc.if_else(unread, _marked(text), instants.cast(pa.string()))


def _since_1970(counts: pa.Array, form: str) -> pa.Array:
    whole = counts.cast(pa.int64(), safe=False)
    return whole.cast(pa.timestamp(UNIX[form], "UTC"))


def _product(one: pa.Array, other: pa.Array) -> pa.Array:
    """Of numbers; text that shows both where one of them cannot be read."""
    product = pc.multiply(plain_numbers(one), plain_numbers(other))
    texts = [_text(one), _text(other)]
    told = pc.and_(*(pc.not_equal(pc.fill_null(text, ""), "") for text in texts))
    unread = pc.and_(pc.is_null(product), told)
    if not pc.any(unread).as_py():
        return product
    shown = pc.binary_join_element_wise(*texts, " x ")
    return pc.if_else(unread, shown, product.cast(pa.string()))


def plain_numbers(values: pa.Array) -> pa.Array:
    """Numbers, or text that is a number with a decimal point, as float64; null for anything else."""
    if not _is_text(values.type):
        return values.cast(pa.float64(), safe=False)
    shaped = pc.match_substring_regex(values, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    return pc.if_else(shaped, values, None).cast(pa.float64())


def _said(rows: pa.Table, name: str, words: tuple[str, ...]) -> NDArray[np.bool_]:
    """Where a column holds one of these words; "" stands for an empty field."""
    text = pc.utf8_trim_whitespace(pc.fill_null(_text(rows[name]), ""))
    return _flags(pc.is_in(text, pa.array(words, pa.string())))


def _marked(text: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(text, NOT_AS_DECLARED, "")


def _text(given: pa.Array | pa.ChunkedArray) -> pa.Array:
    return _whole(given).cast(pa.string())


def _whole(given: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, no dictionary."""
    if isinstance(given, pa.ChunkedArray):
        given = given.combine_chunks() if given.num_chunks else pa.array([], given.type)
    return given.dictionary_decode() if pa.types.is_dictionary(given.type) else given


def _is_text(kind: pa.DataType) -> bool:
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_null,
        pa.types.is_dictionary,
    )
    return any(test(kind) for test in tests)


def _flags(values: pa.Array) -> NDArray[np.bool_]:
    filled = pc.fill_null(values, False)
    return np.asarray(filled.to_numpy(zero_copy_only=False), bool)


_QUANTITY = Column("quantity", Kind.NUMBER, "")
