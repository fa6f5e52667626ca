"""Texts and native times -> instants in UTC; a time without a zone is taken in the tenant's."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schema.dates import day_date, day_number, midnight

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Nothing a tenant sells from was sold before; an older time is a unit or format gone wrong."""

LATEST_AHEAD = timedelta(days=1)

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_NOWHEN = np.iinfo(np.int64).min

_CALENDAR_SECONDS = 200 * 366 * 86_400
"""Two centuries around 1970: beyond it time zones and calendars cannot be asked."""

_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
_ZONED = r"(Z|[T ].*[+-]\d{2}(:?\d{2})?)$"
_LOCAL_LENGTHS = (10, 16, 19)
_ZONED_LENGTHS = (17, 20, 21, 22, 24, 25)
"""Of day, minute and second; the fast way below also reads "2026-03-01 10", which is left out."""


@dataclass(frozen=True, slots=True)
class Instants:
    """What a column of times became.

    Attributes:
        micros: microseconds since 1970 UTC.
        read: which of them could be read; ``micros`` of the others means nothing.
        far: which lie so far off that no calendar holds them.
        twice, never: local times that occur twice (the first is taken) or never (the first
            instant after the gap is taken).
    """

    micros: NDArray[np.int64]
    read: NDArray[np.bool_]
    far: NDArray[np.bool_]
    twice: NDArray[np.bool_]
    never: NDArray[np.bool_]


class LocalTime:
    """A tenant's clock: local times -> instants, by one offset a day.

    On a day whose clock changes every time is asked for by itself.
    """

    def __init__(self, zone: ZoneInfo, until: datetime) -> None:
        self._zone = zone
        self._first = day_number(EARLIEST.date()) - 40
        days = day_number(until.date()) + 40 - self._first
        self._known, self._changes = np.zeros((2, days), bool)
        self._offsets = np.zeros(days, np.int64)

    def instants(
        self, local: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Microseconds of local time -> of UTC, and which of them occur twice, and never.

        Outside of what the tenant's data may hold (EARLIEST, until) the time is left as it is.
        """
        days = np.floor_divide(local, _DAY) - self._first
        inside = (days >= 0) & (days < len(self._offsets))
        days = np.where(inside, days, 0)
        self._ask(days)
        instants = local - np.where(inside, self._offsets[days], 0)
        twice, never = np.zeros((2, len(local)), bool)
        asked = np.flatnonzero(inside & self._changes[days])
        if len(asked):
            times = pd.Series(local[asked].astype("datetime64[us]"))
            first, second = (self._placed(times, summer) for summer in (True, False))
            instants[asked] = first
            twice[asked] = first != second
            back = pd.Series(first.astype("datetime64[us]")).dt.tz_localize("UTC")
            shown = back.dt.tz_convert(self._zone).dt.tz_localize(None)
            never[asked] = (shown != times).to_numpy()
        return instants, twice, never

    def _ask(self, days: NDArray[np.int64]) -> None:
        new = np.zeros(len(self._known), bool)
        new[days] = True
        for day in np.flatnonzero(new & ~self._known).tolist():
            self._offsets[day] = self._offset(day)
            self._changes[day] = self._offset(day + 1) != self._offsets[day]
            self._known[day] = True

    def _placed(self, times: "pd.Series[pd.Timestamp]", summer: bool) -> NDArray[np.int64]:
        placed = times.dt.tz_localize(
            self._zone, ambiguous=np.full(len(times), summer), nonexistent="shift_forward"
        )
        utc = placed.dt.tz_convert("UTC").dt.tz_localize(None).dt.as_unit("us")
        return utc.to_numpy().astype(np.int64)

    def _offset(self, day: int) -> int:
        number = self._first + day
        return number * _DAY - int(midnight(day_date(number), self._zone).timestamp()) * _SECOND


def from_text(text: pa.Array, clock: LocalTime) -> Instants:
    """Read ISO 8601; the fast way takes columns in which every time is well formed."""
    kind = "UTC" if _zoned(text) else None
    if _have(text, _LOCAL_LENGTHS if kind is None else _ZONED_LENGTHS):
        read = _cast(text, kind)
        if read is not None:
            return _placed(read, _valid(text), clock if kind is None else None)
    shaped = _flags(pc.match_substring_regex(text, _ISO))
    zoned = shaped & _flags(pc.match_substring_regex(text, _ZONED))
    parts = [(zoned, "UTC"), (shaped & ~zoned, None)]
    found = _nothing(len(text))
    for rows, kind in parts:
        words = text.filter(pa.array(rows))
        read = _cast(words, kind)
        if read is None:
            read = _one_by_one(words, kind)
        _fill(found, rows, _placed(read, _valid(read), clock if kind is None else None))
    return found


def from_native(given: pa.Array, clock: LocalTime) -> Instants:
    """Timestamps and dates; those with a zone are instants already."""
    zoned = pa.types.is_timestamp(given.type) and given.type.tz is not None
    if pa.types.is_timestamp(given.type):
        given = given.cast(pa.timestamp(given.type.unit))
    seconds = given.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    far = _flags(pc.greater(pc.abs(pc.fill_null(seconds, 0)), _CALENDAR_SECONDS))
    far |= _flags(pc.equal(pc.fill_null(seconds, 0), _NOWHEN))  # which has no positive
    kept = pc.if_else(pa.array(far), pa.scalar(None, given.type), given)
    micros = kept.cast(pa.timestamp("us"), safe=False)
    placed = _placed(micros, _valid(micros), None if zoned else clock)
    return Instants(placed.micros, placed.read, far, placed.twice, placed.never)


def _zoned(text: pa.Array) -> bool:
    """Whether the first time names a zone; as a rule all do or none does."""
    first = next((value for value in text[:100].to_pylist() if value is not None), "")
    return bool(re.search(_ZONED, first))


def _have(text: pa.Array, lengths: tuple[int, ...]) -> bool:
    """Whether every text has one of these lengths, or a fraction of a second as well."""
    found = pc.unique(pc.binary_length(text)).drop_null().to_pylist()
    return all(length in lengths or length > lengths[-1] for length in found)


def _cast(text: pa.Array, kind: str | None) -> pa.Array | None:
    try:
        return text.cast(pa.timestamp("us", kind))
    except pa.ArrowInvalid:
        return None


def _one_by_one(words: pa.Array, kind: str | None) -> pa.Array:
    told = pd.Series(words.to_pandas(), dtype=object)
    read = pd.to_datetime(told, format="ISO8601", utc=kind is not None, errors="coerce")
    if kind is not None:
        read = read.dt.tz_localize(None)
    return pa.array(read.astype("datetime64[us]"), pa.timestamp("us"))


def _placed(times: pa.Array, read: NDArray[np.bool_], clock: LocalTime | None) -> Instants:
    micros = np.array(pc.fill_null(times.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
    nothing = np.zeros(len(micros), bool)
    if clock is None:
        return Instants(micros, read, nothing, nothing, nothing)
    instants, twice, never = clock.instants(micros)
    return Instants(instants, read, nothing, twice & read, never & read)


def _nothing(size: int) -> Instants:
    read, far, twice, never = np.zeros((4, size), bool)
    return Instants(np.zeros(size, np.int64), read, far, twice, never)


def _fill(goal: Instants, rows: NDArray[np.bool_], part: Instants) -> None:
    for name in ("micros", "read", "far", "twice", "never"):
        getattr(goal, name)[rows] = getattr(part, name)


def _valid(values: pa.Array) -> NDArray[np.bool_]:
    return _flags(pc.is_valid(values))


def _flags(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), bool)
