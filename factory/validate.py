"""Does this table fit the universal schema? All faults at once, with counts and lines.

Chunk by chunk, so that a file may be larger than memory. A row that does not fit is quarantined
with the code of its first fault. One about a customer who was erased is dropped, whatever else is
wrong with it: it is counted, and nothing of it is told. Accepted + quarantined + erased = read,
always. A table that cannot be used at all is refused whole.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.columns import Found, damaged, flags, looks_damaged, read, usable
from factory.duplicates import Seen, Spellings, folded, look_alikes
from factory.faults import HARMLESS, SAMPLES, Chunk, Fault, Tally, erasure, escaped
from factory.localtime import LATEST_AHEAD, LocalTime
from factory.mapped import LEFT_OUT, OF, mapped
from schema.errors import Refused, listed
from schema.mapping import AS_IT_COMES, TableMapping
from schema.names import Event
from schema.rowhash import Numbers, row_hashes
from schema.settings import Duplicates, Matching
from schema.tables import Column, Table

_RATED = ["customer_id", "product_id", "event", "occurred_at"]
"""Two ratings that agree in these speak of the same thing."""


_CUSTOMER = "customer_id"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a table's rows.

    Attributes:
        erased: rows about customers who were erased; they are nowhere.
        rows: quarantined rows by the code of their first fault.
        ignored: columns that nothing was made of.
    """

    table: str
    read: int
    accepted: int
    quarantined: int
    erased: int
    faults: tuple[Fault, ...]
    rows: Mapping[str, int]
    ignored: tuple[str, ...]

    @property
    def unfit(self) -> int:
        """Quarantined rows that something is wrong with."""
        return sum(count for code, count in self.rows.items() if code not in HARMLESS)


@dataclass(frozen=True, slots=True)
class Checked:
    """A table that was checked in one piece; see ``Checker.add`` and ``Report``."""

    table: str
    read: int
    accepted: pa.Table
    quarantined: pa.Table
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]


def check(
    rows: pa.Table,
    table: Table,
    *,
    zone: ZoneInfo,
    now: datetime,
    known: Mapping[str, Collection[str] | pa.Array],
    ids: Matching = "exact",
    duplicates: Duplicates = "keep",
    how: TableMapping = AS_IT_COMES,
    currency: str = "",
) -> Checked:
    """Check a table that is there in one piece; lines count from 1. The rest is as in ``Checker``."""
    checker = Checker(
        table,
        zone=zone,
        now=now,
        known=known,
        ids=ids,
        duplicates=duplicates,
        how=how,
        currency=currency,
    )
    accepted, quarantined = checker.add(rows, np.arange(1, len(rows) + 1))
    report = checker.report()
    return Checked(table.name, report.read, accepted, quarantined, report.faults, report.ignored)


class Checker:
    """Brings a delivered table into the universal schema, chunk by chunk.

    Keeps 16 bytes of every interaction (32 of a rating), and the keys of customers and products.

    Attributes:
        accepted: rows so far.
        hashes: of the rows accepted last, where they were needed.
    """

    def __init__(
        self,
        table: Table,
        *,
        zone: ZoneInfo,
        now: datetime,
        known: Mapping[str, Collection[str] | pa.Array],
        ids: Matching = "exact",
        duplicates: Duplicates = "keep",
        how: TableMapping = AS_IT_COMES,
        currency: str = "",
        erased: Callable[[pa.Array], pa.Array] | None = None,
    ) -> None:
        """Start.

        Args:
            zone: of times that name none. Where a local time occurs twice the first is taken.
            now: aware; times more than a day later are faults.
            known: by table name, the ids that an id pointing there may have; of the table itself,
                ids that stay in force beside the delivered ones.
            ids, duplicates: schema.settings.IntakeSettings.
            how: what the tenant declared of its files; currency: the tenant's own.
            erased: by customer id, whether that customer was erased.
        """
        self._table, self._now, self._matching = table, now, ids
        self._drop = duplicates == "drop"
        self._how, self._currency, self._gone = how, currency, erased
        self._clock = LocalTime(zone, now + LATEST_AHEAD)
        self._known = {name: Spellings(values) for name, values in known.items()}
        self._tally = Tally()
        self._seen, self._rated = Seen(), Seen()
        self._keys: list[tuple[pa.Array, NDArray[np.int64]]] = []
        self._strangers: dict[str, dict[str, tuple[int, str]]] = {}
        self._damaged: set[str] = set()
        self._sound: set[str] = set()
        self._read = self.accepted = self._erased = 0
        self._ignored: tuple[str, ...] = ()
        self.hashes: Numbers | None = None

    def add(self, came: pa.Table, lines: NDArray[np.int64]) -> tuple[pa.Table, pa.Table]:
        """Check the next rows.

        Args:
            came: delivered columns of any type; text is parsed as each column's kind says.
            lines: of each row as it came, in the delivered file.

        Returns:
            Accepted rows, in the schema's columns and types and in their order; quarantined ones as
            they came, as text, with ``_line`` and ``_code``.

        Raises:
            Refused: a required column missing or twice, a column of an unusable type.
        """
        _refuse_twice(came.column_names)
        rows = mapped(came, self._how, self._table, delivered=self._now, currency=self._currency)
        _check_shape(rows, self._table, came.column_names)
        named = {column.name for column in self._table.columns} & set(rows.column_names)
        used = {column for _, column in self._how.needs} | named
        self.hashes = None
        self._ignored = tuple(name for name in came.column_names if name not in used)
        if self._gone is not None and _CUSTOMER in rows.column_names:
            whose = next(c for c in self._table.columns if c.name == _CUSTOMER)
            gone = flags(self._gone(usable(rows, whose)))
            if gone.any():
                self.drop(int(gone.sum()))
                rows = rows.filter(pa.array(~gone))
                if OF not in rows.column_names:
                    came, lines = rows, lines[~gone]
        chunk = Chunk(rows, lines, came, self._tally)
        values = {}
        for column in self._table.columns:
            given = usable(rows, column)
            if column.points_to:
                values[column.name] = self._refer(chunk, column, given)
            else:
                values[column.name], found = read(column, given, self._clock, self._now)
                for each in found:
                    chunk.mark(column.name, each)
            if column.name == self._table.key or column.points_to:
                self._watch(column.name, given)
        if self._table.key:
            values[self._table.key] = self._unique(chunk, values[self._table.key])
        else:
            self._signs(chunk, values["event"], values["quantity"])
        accepted = pa.table(values)
        if not self._table.key:
            self._repeats(chunk, accepted)
        if not chunk.good.all():
            accepted = accepted.filter(pa.array(chunk.good))
        self._read += len(rows)
        self.accepted += len(accepted)
        return accepted, chunk.quarantined()

    def drop(self, rows: int) -> None:
        """Count rows of erased customers: they are read, and kept nowhere."""
        self._read += rows
        self._erased += rows

    def add_ragged(self, ragged: Sequence[tuple[int, str, str, str]]) -> pa.Table:
        """Quarantine (line, text, code, what) of lines that are no rows of their file."""
        for line, text, code, what in ragged:
            self._tally.add(Fault(code, "", what, 1, ((line, escaped(text)),)))
            self._tally.rows[code] += 1
        self._read += len(ragged)
        lines, texts, codes, _ = zip(*ragged, strict=True) if ragged else ((), (), (), ())
        return pa.table(
            {
                "_line": pa.array(lines, pa.int64()),
                "_code": pa.array(codes, pa.string()),
                "_text": pa.array(texts, pa.string()),
            }
        )

    @property
    def keys(self) -> pa.Array:
        """Ids accepted so far, of a table with a key."""
        return pa.concat_arrays([ids for ids, _ in self._keys] or [pa.array([], pa.string())])

    def report(self) -> Report:
        """What became of all rows.

        Raises:
            Refused: there were none, or all ids of a column went through a program's numbers.
        """
        if not self._read:
            raise Refused(
                "header found, 0 data rows",
                "send the rows, or do not send the file",
                code="DATA_NO_ROWS",
            )
        for name in sorted(self._damaged - self._sound):
            raise damaged(name)
        if self._erased:
            self._tally.add(erasure(self._erased))
        if self._ignored:
            names = ", ".join(map(escaped, self._ignored))[:80]
            what = f"the schema does not have these columns: {names}"
            self._tally.add(Fault("SCHEMA_EXTRA", "", what, len(self._ignored), (), "warning"))
        if self._matching == "ask":
            for fault in self._look_alikes():
                self._tally.add(fault)
        return Report(
            table=self._table.name,
            read=self._read,
            accepted=self.accepted,
            quarantined=self._read - self.accepted - self._erased,
            erased=self._erased,
            faults=self._tally.faults(self._read),
            rows=dict(self._tally.rows),
            ignored=self._ignored,
        )

    def _refer(self, chunk: Chunk, column: Column, given: pa.Array) -> pa.Array:
        """Ids of another table: whoever is known there needs no further look."""
        ids = given.cast(pa.string())
        known = self._known.get(column.points_to) or Spellings(())
        if self._matching == "folded":
            ids = known.spelled(ids)
        at = known.place(ids)
        if not at.null_count:
            return ids
        strange = flags(pc.is_null(at))
        some = np.flatnonzero(strange)
        others = ids.take(pa.array(some))
        for found in read(column, others, self._clock, self._now)[1]:
            rows = np.zeros(len(ids), bool)
            rows[some] = found.rows
            chunk.mark(column.name, Found(found.code, found.what, rows, ids))
        what = f"{column.name} is not among the {column.points_to}"
        chunk.mark(column.name, Found("REF_UNKNOWN", what, strange & chunk.good, ids))
        if self._matching == "ask":
            met = self._strangers.setdefault(column.name, {})
            for row, mine, theirs in known.alike(others):
                met.setdefault(mine, (int(chunk.lines[some[row]]), theirs))
        return ids

    def _unique(self, chunk: Chunk, ids: pa.Array) -> pa.Array:
        same = ids
        if self._matching == "folded":
            in_force = self._known.get(self._table.name) or Spellings(())
            ids, same = in_force.spelled(ids), folded(ids)
        good = np.flatnonzero(chunk.good)
        again = np.zeros(len(ids), bool)
        again[good] = self._seen.again(row_hashes(pa.table({"": same.take(pa.array(good))})))
        what = f"{self._table.key} comes twice"
        code = LEFT_OUT if self._how.repeated_keys else "KEY_DUPLICATE"
        chunk.mark(self._table.key, Found(code, what, again, ids))
        self._keys.append((ids.filter(pa.array(chunk.good)), chunk.lines[chunk.good]))
        return ids

    def _signs(self, chunk: Chunk, events: pa.Array, quantities: pa.Array) -> None:
        returns = flags(pc.equal(events, Event.RETURN.value))
        wrong = ~returns & flags(pc.less_equal(quantities, 0.0))
        what = "quantity must be above 0; only a return may be negative"
        chunk.mark("quantity", Found("VALUE_RANGE", what, wrong & chunk.good, quantities))

    def _repeats(self, chunk: Chunk, rows: pa.Table) -> None:
        """Rows that are the same in every column; ratings that differ in their stars alone.

        Of a rating both stay, in their order: nothing reads the stars today, and whoever will can
        take the later line. Order lines that differ are two lines: in a year of a wholesaler's
        invoices there are ten thousand of them with the same product at the same minute.
        """
        ratings = flags(pc.equal(rows["event"], Event.RATING.value)) & chunk.good
        looked_at = chunk.good if self._drop else ratings
        again = np.zeros(len(rows), bool)
        if looked_at.any():
            some = rows if looked_at.all() else rows.filter(pa.array(looked_at))
            hashes = row_hashes(some)
            again[looked_at] = repeated = self._seen.again(hashes)
            self.hashes = hashes[:, ~repeated] if self._drop else None
        if self._drop and again.any():
            what = "the same in every column as a line before it"
            chunk.mark("", Found("ROW_DUPLICATE", what, again, _pairs(rows)))
        once = ratings & ~again
        if once.any():
            other = np.zeros(len(rows), bool)
            some = rows.select(_RATED).filter(pa.array(once))
            other[once] = self._rated.again(row_hashes(some))
            if other.any():
                what = "the same customer, product and time as a line before it, another rating"
                chunk.mark("value", Found("ROW_CONFLICT", what, other, _pairs(rows), warning=True))

    def _watch(self, name: str, given: pa.Array) -> None:
        """Remember whether a column holds nothing but ids that a spreadsheet made numbers of."""
        if name not in self._sound and pa.types.is_string(given.type):
            wrong, filled = looks_damaged(given)
            if wrong < filled:
                self._sound.add(name)
            elif filled:
                self._damaged.add(name)

    def _look_alikes(self) -> Iterator[Fault]:
        what = "ids that differ only by case, blanks at their ends or Unicode form"
        for name, met in self._strangers.items():
            pairs = [(line, mine, theirs) for mine, (line, theirs) in met.items()]
            if pairs:
                yield _alike(name, what, len(pairs), pairs)
        if self._keys:
            in_force = self._known.get(self._table.name) or Spellings(())
            lines = np.concatenate([lines for _, lines in self._keys])
            count, pairs_at = look_alikes(self.keys, in_force.values)
            if count:
                pairs = [(int(lines[row]), mine, theirs) for row, mine, theirs in pairs_at]
                yield _alike(self._table.key, what, count, pairs)


def _pairs(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["customer_id"], rows["product_id"], " ")


def _alike(column: str, what: str, count: int, pairs: Sequence[tuple[int, str, str]]) -> Fault:
    samples = tuple(
        (line, f"{escaped(mine)[:38]} = {escaped(theirs)[:38]}") for line, mine, theirs in pairs
    )
    return Fault("ID_LOOKALIKE", column, what, count, samples[:SAMPLES], "warning")


def _refuse_twice(found: Sequence[str]) -> None:
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise Refused(
            f"column {twice[0][:80]!r} appears twice",
            "name every column once",
            code="SCHEMA_DUPLICATE",
        )


def _check_shape(rows: pa.Table, table: Table, found: Sequence[str]) -> None:
    missing = [c.name for c in table.columns if c.required and c.name not in rows.column_names]
    if missing:
        raise Refused(
            f"column {missing[0]!r} not found; found: {listed(found)}",
            f"map the columns of {table.name}, as `recfactory data suggest FILE` proposes, or name "
            "them as `recfactory data schema` does",
            code="SCHEMA_MISSING",
        )
