"""What a delivered table looks like in a few figures, to be held against the deliveries before it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from factory.history import local_days
from schema.dates import day_date
from schema.tables import Table

DAYS = 400
"""Local days of which a profile keeps figures, the newest; older rows count in the total only."""
SKETCH = 1024
"""Smallest hashes kept to tell how many different ids there are: exact up to so many, above them
with a standard error of 1/sqrt(SKETCH - 2), 3.1 %."""
COUNTERS = 4096
"""Ids whose rows are counted at once. With more of them a count is too small by at most
rows / COUNTERS, 0.024 % of the rows, and never too large."""

Day = tuple[int, float, float]
"""Rows, summed quantity, summed value."""
Spread = tuple[int, float, float]
"""Rows, mean and standard deviation of log(1 + |x|): of the logarithm, so that one order of 80,000
pieces does not make every other day look constant."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A delivered table in figures. Of the accepted rows, unless it says otherwise.

    Attributes:
        read: rows delivered.
        given: columns the delivery had, with the share of rows that hold a value.
        faults: rows by code, as the check counted them.
        days: figures by local day, of the newest DAYS.
        customers, products: different ids (see SKETCH).
        largest, largest_rows: who has most rows, and how many (see COUNTERS); never kept in JSON.
        favourite_rows: the same for the product.
        spread: by "event.column".
        before: ids in force when the table came, of a table with a key, …
        shared: … of them still there, …
        named, renamed: … of these how many have a name before and after, and another one.
    """

    table: str
    read: int = 0
    rows: int = 0
    given: Mapping[str, float] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    days: Mapping[str, Day] = field(default_factory=dict)
    customers: int = 0
    products: int = 0
    largest: str = ""
    largest_rows: int = 0
    favourite_rows: int = 0
    spread: Mapping[str, Spread] = field(default_factory=dict)
    before: int = 0
    shared: int = 0
    named: int = 0
    renamed: int = 0

    @property
    def newest(self) -> date | None:
        return date.fromisoformat(max(self.days)) if self.days else None

    def as_json(self) -> dict[str, Any]:
        """Without anybody's id: figures of a delivery outlive the people in it."""
        return asdict(replace(self, largest=""))


class Profiler:
    """Makes the profile of one table, chunk by chunk; memory does not grow with the rows."""

    def __init__(self, table: Table, zone: ZoneInfo, in_force: pa.Table | None = None) -> None:
        """Start.

        Args:
            zone: the tenant's, for its days.
            in_force: the rows that a table with a key would replace or change.
        """
        self._table, self._zone = table, zone
        self._rows = 0
        self._filled: Counter[str] = Counter()
        self._days: dict[int, NDArray[np.float64]] = {}
        self._sums: dict[str, NDArray[np.float64]] = {}
        ids = [column.name for column in table.columns if column.points_to]
        self._distinct = {name: _Distinct() for name in ids}
        self._most = {name: _Most() for name in ids}
        self._known = _Known(table, in_force) if table.key and in_force is not None else None

    def add(self, accepted: pa.Table) -> None:
        """Count rows of the universal schema's columns and types."""
        if not len(accepted):
            return
        self._rows += len(accepted)
        for name in accepted.column_names:
            self._filled[name] += len(accepted) - accepted[name].null_count
        for name in self._distinct:
            counts = pc.value_counts(accepted[name])
            ids, rows = counts.field(0), counts.field(1).to_numpy()
            self._distinct[name].add(ids)
            self._most[name].add(ids, rows)
        if self._known is not None:
            self._known.add(accepted)
        if "occurred_at" in accepted.column_names:
            self._add_days(accepted)
            self._add_spread(accepted)

    def done(self, read: int, given: Sequence[str], faults: Mapping[str, int]) -> Profile:
        """The profile.

        Args:
            read: rows delivered, fitting or not.
            given: columns the delivery had; a default fills the others, which says nothing.
            faults: rows by code.
        """
        newest = sorted(self._days)[-DAYS:]
        who, most = self._most["customer_id"].top() if "customer_id" in self._most else ("", 0)
        known = self._known
        return Profile(
            table=self._table.name,
            read=read,
            rows=self._rows,
            given={
                column.name: self._filled[column.name] / max(self._rows, 1)
                for column in self._table.columns
                if column.name in given
            },
            faults=dict(faults),
            days={day_date(day).isoformat(): _day(self._days[day]) for day in newest},
            customers=self._count("customer_id"),
            products=self._count("product_id"),
            largest=who,
            largest_rows=most,
            favourite_rows=self._most["product_id"].top()[1] if "product_id" in self._most else 0,
            spread={name: _spread(sums) for name, sums in sorted(self._sums.items())},
            before=known.before if known else 0,
            shared=known.shared if known else 0,
            named=known.named if known else 0,
            renamed=known.renamed if known else 0,
        )

    def _count(self, name: str) -> int:
        if name == self._table.key:
            return self._rows
        return self._distinct[name].count() if name in self._distinct else 0

    def _add_days(self, rows: pa.Table) -> None:
        instants = rows["occurred_at"].cast(pa.int64()).to_numpy()
        days, place = np.unique(local_days(instants, self._zone), return_inverse=True)
        sums = [
            np.bincount(place, weights)
            for weights in (None, _numbers(rows["quantity"]), _numbers(rows["value"]))
        ]
        for number, *figures in zip(days, *sums, strict=True):
            found = np.array(figures, np.float64)
            day = int(number)
            self._days[day] = self._days[day] + found if day in self._days else found
        if len(self._days) > 2 * DAYS:
            for day in sorted(self._days)[:-DAYS]:
                del self._days[day]

    def _add_spread(self, rows: pa.Table) -> None:
        events = rows["event"].combine_chunks().dictionary_encode()
        code = events.indices.to_numpy(zero_copy_only=False)
        for column in ("quantity", "value"):
            values = rows[column].to_numpy()
            held = ~np.isnan(values)
            logs = np.log1p(np.abs(values[held]))
            for weights, place in ((None, 0), (logs, 1), (logs**2, 2)):
                found = np.bincount(code[held], weights, minlength=len(events.dictionary))
                for event, total in zip(events.dictionary.to_pylist(), found, strict=True):
                    self._sums.setdefault(f"{event}.{column}", np.zeros(3))[place] += total


def merged(profiles: Sequence[Profile]) -> dict[date, int]:
    """Rows by local day, over several deliveries."""
    rows: Counter[date] = Counter()
    for profile in profiles:
        for day, figures in profile.days.items():
            rows[date.fromisoformat(day)] += figures[0]
    return dict(rows)


def window(rows: Mapping[date, int], last: date, days: int) -> dict[date, int]:
    """Of the ``days`` local days up to ``last``, those with rows."""
    first = last - timedelta(days=days - 1)
    return {day: count for day, count in rows.items() if first <= day <= last}


class _Distinct:
    """How many different ids: the k smallest hashes (Bar-Yossef et al., RANDOM 2002)."""

    def __init__(self) -> None:
        self._smallest = np.empty(0, np.uint64)

    def add(self, ids: pa.Array) -> None:
        hashes = pd.util.hash_array(ids.to_numpy(zero_copy_only=False), categorize=False)
        self._smallest = np.unique(np.concatenate([self._smallest, hashes]))[:SKETCH]

    def count(self) -> int:
        if len(self._smallest) < SKETCH:
            return len(self._smallest)
        return round((SKETCH - 1) / (float(self._smallest[-1]) / 2.0**64))


class _Most:
    """Who has most rows (Misra-Gries; merged as Agarwal et al., "Mergeable Summaries", 2012)."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()

    def add(self, ids: pa.Array, rows: NDArray[np.int64]) -> None:
        self._rows.update(dict(zip(ids.to_pylist(), rows.tolist(), strict=True)))
        if len(self._rows) > COUNTERS:
            least = sorted(self._rows.values(), reverse=True)[COUNTERS]
            self._rows = Counter(
                {name: count - least for name, count in self._rows.items() if count > least}
            )

    def top(self) -> tuple[str, int]:
        return max(self._rows.items(), key=lambda item: item[1], default=("", 0))


class _Known:
    """What became of the ids in force."""

    def __init__(self, table: Table, in_force: pa.Table) -> None:
        self._key = table.key
        self._ids = in_force[table.key].combine_chunks()
        self._names = in_force["name"].combine_chunks()
        self.before = len(in_force)
        self.shared = self.named = self.renamed = 0

    def add(self, rows: pa.Table) -> None:
        place = pc.index_in(rows[self._key].combine_chunks(), self._ids)
        found = pc.is_valid(place)
        now = rows["name"].combine_chunks().filter(found)
        before = self._names.take(place.filter(found))
        self.shared += len(now)
        same = pc.equal(now, before)
        self.named += len(same) - same.null_count
        self.renamed += pc.sum(pc.invert(same)).as_py() or 0


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pc.fill_null(column, 0.0).to_numpy()
    return values


def _day(figures: NDArray[np.float64]) -> Day:
    rows, quantity, value = figures.tolist()
    return int(rows), round(quantity, 4), round(value, 4)


def _spread(sums: NDArray[np.float64]) -> Spread:
    rows, total, squares = sums.tolist()
    mean = total / rows if rows else 0.0
    deviation = max(squares / rows - mean**2, 0.0) ** 0.5 if rows else 0.0
    return int(rows), mean, deviation
