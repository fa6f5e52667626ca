"""Does a delivery look like this tenant's others? What does not is held for a person.

Every rule compares a tenant with itself, and a share or a factor alone never holds anything: there
has to be a number of rows or ids behind it as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import exp, log
from statistics import median
from typing import Any

from factory.profile import Profile, Spread, merged, window
from schema.settings import HoldSettings

WEEK = 7
"""Days that have to be there before volumes are compared; and over which too few rows are told from
a holiday."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a delivery waits for a person; ``sentence`` has no full stop."""

    code: str
    table: str
    sentence: str
    figures: Mapping[str, Any]


def reasons(
    now: Profile, before: Sequence[Profile], settings: HoldSettings, *, replaces: bool
) -> tuple[Hold, ...]:
    """Everything about a delivered table that a person should see before it counts.

    Args:
        before: of the same table in the tenant's accepted deliveries, oldest first; of interactions
            that are replaced, only the last.
        replaces: the table takes the place of the one in force, it does not add to it.
    """
    rules = [_duplicates, _unknown, _alike, _columns]
    if now.days:
        rules += [_older, _dominated, _favourite, _more, _spread]
        rules += [_shorter] if replaces else [_repeated, _fewer]
    elif replaces:
        rules += [_shrunk, _rekeyed]
    return tuple(
        Hold(code, now.table, sentence, figures)
        for rule in rules
        for code, sentence, figures in rule(now, before, settings)
    )


Told = Iterator[tuple[str, str, Mapping[str, Any]]]


def _duplicates(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    count = now.faults.get("ROW_DUPLICATE", 0)
    if count > max(settings.duplicates_share * now.read, settings.least_rows):
        said = f"{count:,} of {now.read:,} rows are exact duplicates"
        yield "ROW_DUPLICATE", said, {"rows": count, "read": now.read}


def _unknown(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    count = now.faults.get("REF_UNKNOWN", 0)
    if count > max(settings.unknown_share * now.read, settings.least_ids):
        said = f"{count:,} of {now.read:,} rows name an unknown customer or product"
        yield "REF_UNKNOWN", said, {"rows": count, "read": now.read}


def _alike(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """Whether they mean the same is nothing to guess: the check says it until a setting does."""
    count = now.faults.get("ID_LOOKALIKE", 0)
    if count:
        said = f"{count:,} ids are equal but for case, blanks or the form of their letters"
        yield "ID_LOOKALIKE", said, {"ids": count}


def _columns(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """A column that every delivery had filled is gone, or as good as empty."""
    if not before or now.rows < settings.least_ids:
        return
    given = now.given
    for column in before[-1].given:
        usual = min(profile.given.get(column, 0.0) for profile in before)
        if usual > 0.5 and given.get(column, 0.0) < 0.1 * usual:
            share = given.get(column)
            told = "is not there" if share is None else f"is filled in {share:.0%} of the rows"
            said = f"column {column} {told}, before it was filled in {usual:.0%}"
            yield "SCHEMA_CHANGED", said, {"column": column, "filled": share, "usual": usual}


def _older(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    there = max(merged(before), default=None)
    assert now.newest is not None
    if there is not None and (there - now.newest).days > settings.late_days:
        said = f"its newest day {now.newest} is before {there}, which is there already"
        yield "DATA_OLDER", said, {"newest": str(now.newest), "accepted": str(there)}


def _repeated(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """Whole days that are, in rows and sums, what an earlier delivery held: sent again."""
    there = {(day, *figures) for profile in before for day, figures in profile.days.items()}
    again = [day for day, figures in now.days.items() if (day, *figures) in there]
    count = sum(now.days[day][0] for day in again)
    if count > max(settings.duplicates_share * now.rows, settings.least_rows):
        said = (
            f"{count:,} of {now.rows:,} rows lie on {len(again):,} days that came before with as "
            "many rows, pieces and the same value"
        )
        yield "ROW_DUPLICATE", said, {"rows": count, "read": now.rows, "days": len(again)}


def _dominated(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """More than its share, more than ten times what is fair, and three times what is usual."""
    usual = _median([profile.largest_rows / profile.rows for profile in before if profile.rows])
    fair = max(10 / max(now.customers, 1), settings.volume_factor * usual)
    share = max(settings.customer_share, min(fair, 0.5))
    if now.largest_rows > max(share * now.rows, settings.least_rows):
        # Cut, it could not be taken out when they are erased.
        who = f"customer {now.largest!r}" if len(now.largest) <= 80 else "one customer"
        said = f"{who} made {now.largest_rows / now.rows:.0%} of {now.rows:,} rows"
        figures = {"customer": now.largest, "rows": now.largest_rows, "of": now.rows}
        yield "DATA_DOMINATED", said, {**figures, "usual": usual}


def _favourite(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """One product in most lines, where it never was so: a broken join."""
    usual = _median([profile.favourite_rows / profile.rows for profile in before if profile.rows])
    share = max(0.5, settings.volume_factor * usual)
    if before and now.favourite_rows > max(share * now.rows, settings.least_rows):
        said = f"one product is in {now.favourite_rows / now.rows:.0%} of {now.rows:,} rows"
        yield "DATA_DOMINATED", said, {"rows": now.favourite_rows, "of": now.rows, "usual": usual}


def _more(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """Most rows lie on days that hold many times what such a weekday usually does."""
    usual = _Usual.of(before, settings)
    if usual is None:
        return
    rows = merged([now])
    full = {d: n for d, n in rows.items() if n > settings.volume_factor * usual.on(d)}
    count, expected = sum(full.values()), sum(usual.on(day) for day in full)
    if count > 0.5 * now.rows and count - expected > settings.least_rows:
        said = f"{count:,} rows on {_days(len(full))}, where {expected:,.0f} are usual"
        yield "DRIFT_VOLUME", said, {"rows": count, "usual": expected, "days": len(full)}


def _fewer(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """Even the busiest day of a week is thin: a holiday leaves one that is not."""
    usual = _Usual.of(before, settings)
    if usual is None or now.newest is None or now.newest < usual.last:
        return
    rows = merged([now])
    days = max(WEEK, len(rows))
    week = window(merged([*before, now]), now.newest, days)
    busiest = max(week.values())
    missing = sum(usual.day - count for count in week.values())
    if busiest * settings.volume_factor < usual.day and missing > settings.least_rows:
        said = (
            f"the busiest of the {days} days to {now.newest} has {busiest:,} rows, half of the "
            f"days before had {usual.day:,.0f} or more"
        )
        yield "DRIFT_VOLUME", said, {"rows": busiest, "usual": usual.day, "days": days}


def _spread(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    for name, (rows, mean, deviation) in now.spread.items():
        event, column = name.split(".")
        if rows <= settings.least_rows:
            continue
        past = [profile.spread[name] for profile in before if name in profile.spread]
        past = [spread for spread in past if spread[0]]
        figures = {"column": column, "event": event, "rows": rows}
        if event == "rating" and column == "value" and deviation < _ALIKE and not past:
            yield "DRIFT_VARIANCE", f"all {rows:,} ratings are {exp(mean) - 1:.3g}", figures
        if not past:
            continue
        usual = _pooled(past)
        told = f"{column} of {rows:,} {event} rows"
        if usual[2] > _ALIKE and deviation * settings.spread_factor < usual[2]:
            said = f"{told} is {exp(mean) - 1:.3g} nearly everywhere, it never was so much alike"
            yield "DRIFT_VARIANCE", said, {**figures, "spread": deviation, "usual": usual[2]}
        elif abs(mean - usual[1]) > log(settings.spread_factor):
            typical, then = exp(mean) - 1, exp(usual[1]) - 1
            said = f"{told} is around {typical:.3g}, before it was around {then:.3g}"
            yield "DRIFT_VARIANCE", said, {**figures, "typical": typical, "usual": then}


_ALIKE = 0.01
"""Spread of the logarithm below which values are as good as constant."""


def _shrunk(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    gone = now.before - now.rows
    if gone > max(settings.shrink_share * now.before, settings.least_ids):
        said = f"{now.table} {now.before:,} -> {now.rows:,} (-{gone / now.before:.0%})"
        yield "DRIFT_SHRINK", said, {"before": now.before, "now": now.rows}


def _shorter(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """A whole history that lost much of what the last one had."""
    there = before[-1].rows if before else 0
    gone = there - now.rows
    if gone > max(settings.shrink_share * there, settings.least_rows):
        said = f"{now.table} {there:,} -> {now.rows:,} (-{gone / there:.0%})"
        yield "DRIFT_SHRINK", said, {"before": there, "now": now.rows}


def _rekeyed(now: Profile, before: Sequence[Profile], settings: HoldSettings) -> Told:
    """Ids that nobody knows, or the same ids with other names.

    Of a table that adds, and of one that shrinks honestly, not every id before has to be there:
    what counts is the smaller of the two.
    """
    both = min(now.before, now.rows)
    if both - now.shared > max((1 - settings.shared_share) * both, settings.least_ids):
        said = (
            f"{now.shared / both:.0%} of the ids of {now.table} are known since the last delivery"
        )
        yield "DRIFT_REKEY", said, {"ids": both, "shared": now.shared}
    elif now.renamed > max((1 - settings.shared_share) * now.named, settings.least_ids):
        said = f"{now.renamed / now.named:.0%} of the {now.table} have another name under their id"
        yield "DRIFT_REKEY", said, {"ids": now.named, "renamed": now.renamed}


@dataclass(frozen=True, slots=True)
class _Usual:
    """Rows of a usual day: of those that have any, and of each weekday."""

    last: date
    day: float
    weekdays: Mapping[int, float]

    @classmethod
    def of(cls, before: Sequence[Profile], settings: HoldSettings) -> "_Usual | None":
        """None where too few days are there to say what is usual."""
        rows = merged(before)
        if not rows:
            return None
        last = max(rows)
        rows = window(rows, last, settings.days)
        if len(rows) < WEEK:
            return None
        by_weekday: dict[int, list[int]] = {}
        for day, count in rows.items():
            by_weekday.setdefault(day.weekday(), []).append(count)
        weekdays = {weekday: _median(counts) for weekday, counts in by_weekday.items()}
        return cls(last, _median(list(rows.values())), weekdays)

    def on(self, day: date) -> float:
        """A shop that opens on a Sunday has no more rows than on another day."""
        return max(self.weekdays.get(day.weekday(), 0.0), self.day)


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0


def _pooled(spreads: Sequence[Spread]) -> Spread:
    """Of several deliveries: the median of each figure, so that a single odd one does not count."""
    return (
        sum(spread[0] for spread in spreads),
        _median([spread[1] for spread in spreads]),
        _median([spread[2] for spread in spreads]),
    )


def _days(count: int) -> str:
    return f"{count:,} day{'s' * (count != 1)}"
