"""Cut the history into past, teach and judge.

─────────── past ───────────┬── teach … ──┬── teach ──┬── judge ──┐ T = tonight
"""

import numpy as np

from factory.distinct import distinct
from factory.history import span_days
from schema.records import History, Windows
from schema.settings import BlendSettings, WindowSettings

ABOUT = 0.8
"""Of the days customers usually stay away, how many a window should hold."""

FORTNIGHT = 14
"""Shorter windows are for short histories: measured, a week teaches worse (benchmarks/peers.py)."""

_DAYS = 2**20
"""More than there are day numbers."""


def choose(
    history: History,
    tonight: int,
    windows: WindowSettings,
    blend: BlendSettings,
    kept: int | None = None,
) -> Windows | None:
    """Take the shortest window that holds enough purchases, and about one visit of a customer.

    Customers who come every quarter tell little in a week: who buys in it, and what, follows the
    calendar, not their taste.

    Args:
        tonight: day number T; the judge window ends just before it.
        kept: length that the incumbent was trained for: stays as long as it holds enough, so that
            models of neighbouring nights speak of the same days.

    Returns:
        None where no length up to ``max_share`` of the history holds ``min_pairs`` bought pairs
        of customers who were known when the window began: the tenant is too small to judge.
        The longest that does, where even that is shorter than customers stay away.
    """
    span = span_days(history, tonight)
    enough = [
        days
        for days in sorted(windows.days)
        if days <= windows.max_share * span
        and bought_pairs(history, tonight - days, tonight) >= windows.min_pairs
    ]
    if not enough:
        return None
    wanted = max(FORTNIGHT, ABOUT * days_between_visits(history, tonight))
    days = next((days for days in enough if days >= wanted), enough[-1])
    days = kept if kept in enough else days
    return Windows(days, tonight, _teach(tonight - days, days, span, blend.teach_windows))


def days_between_visits(history: History, tonight: int) -> float:
    """Median days from one visit of a customer to the next; 0 where nobody came twice."""
    bought = history.bought & (history.day < tonight)
    visits = distinct(history.customer[bought].astype(np.int64) * _DAYS + history.day[bought])
    customer, day = np.divmod(visits, _DAYS)
    gaps = np.diff(day)[customer[1:] == customer[:-1]]
    return float(np.median(gaps)) if len(gaps) else 0.0


def _teach(judge: int, days: int, span: int, most: int) -> tuple[int, ...]:
    """As many windows before the judge window as leave half of the history as past."""
    room = max(1, int((span / 2 - days) // days))
    return tuple(judge - days * n for n in range(min(most, room), 0, -1))


def bought_pairs(history: History, start: int, end: int) -> int:
    """Distinct (customer, product) pairs bought in [start, end) by customers known at start."""
    known = np.zeros(len(history.customers), bool)
    known[history.customer[history.day < start]] = True
    inside = history.bought & (history.day >= start) & (history.day < end)
    inside &= known[history.customer]
    pair = history.customer[inside].astype(np.int64) * len(history.products)
    return len(distinct(pair + history.product[inside]))
