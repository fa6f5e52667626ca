"""Days as numbers, and where a local day begins."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Days since 1970-01-01: how dates stand in arrays."""
    return (day - EPOCH).days


def day_date(number: int) -> date:
    return EPOCH + timedelta(days=int(number))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant a local day begins, in UTC.

    Where a change of clocks makes midnight occur twice the first counts; where it does not exist,
    the first instant after the gap.
    """
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
