"""Cut the history into past, teach and judge.

─────────── past ───────────┬── teach … ──┬── teach ──┬── judge ──┐ T = tonight
"""

import numpy as np

from factory.history import span_days
from schema.records import History, Windows
from schema.settings import BlendSettings, WindowSettings


def choose(
    history: History, tonight: int, windows: WindowSettings, blend: BlendSettings
) -> Windows | None:
    """Take the shortest window that holds enough purchases to judge by.

    Args:
        tonight: day number T; the judge window ends just before it.

    Returns:
        None where no length up to ``max_share`` of the history holds ``min_pairs`` bought pairs
        of customers who were known when the window began: the tenant is too small to judge.
    """
    span = span_days(history, tonight)
    for days in sorted(windows.days):
        if days > windows.max_share * span:
            return None
        if bought_pairs(history, tonight - days, tonight) >= windows.min_pairs:
            return Windows(days, tonight, _teach(tonight - days, days, span, blend.teach_windows))
    return None


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
    return len(np.unique(pair + history.product[inside]))
