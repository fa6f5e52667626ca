"""On, freeze, off: what each allows, and which date a tenant's night has."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from schema.names import Mode
from schema.settings import TenantSettings


def trains(mode: Mode) -> bool:
    """Whether a night trains and judges a challenger."""
    return mode is Mode.ON


def publishes(mode: Mode, settings: TenantSettings) -> bool:
    """Whether a night may put a new edition in force.

    A frozen tenant keeps its edition exactly as it is, unless it asked for lists that are
    re-ranked with the frozen model.
    """
    return mode is Mode.ON or (mode is Mode.FREEZE and settings.frozen_lists == "rerank")


def stands(began: Mode, now: Mode) -> bool:
    """Whether the work of a night that began in one mode may be published in another.

    Off and freeze win over a night that is already running, even where a frozen tenant's lists
    are re-ranked: a model trained while it was on must not slip in.
    """
    return now is began or now is Mode.ON


def serves(mode: Mode) -> bool:
    """Whether a lookup shows products."""
    return mode is not Mode.OFF


def business_date(now: datetime, zone: ZoneInfo) -> date:
    """The date whose night is due: it began at the tenant's last local midnight.

    The night of a date uses what occurred before that date, so it can run at any moment of it.
    One date has one night, however often its midnight occurs (or whether it exists at all).
    """
    return now.astimezone(zone).date()
