"""Do a tenant's customers buy the same again: measured, and what lookups show by that."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from factory.distinct import distinct
from schema.names import Bought
from schema.records import History, Windows

LEAST_RATE = 0.1
"""Below it, lookups leave out what was bought before unless they are asked for it.

Where fewer than one bought pair in ten is a repeat, a list without them loses next to nothing and
nobody on the phone is offered what they already have. It lies in a wide gap: of 20 tenants measured,
films and office equipment had 0.00 and 0.01, everybody else (bicycles, groceries, gifts) 0.16 to 0.99.
"""


@dataclass(frozen=True, slots=True)
class BoughtBefore:
    """What lookups do with products bought before, unless they say it themselves.

    Attributes:
        decided: include or exclude.
        rate: share of the judge window's bought pairs that were bought before it; None where no
            window is large enough to measure it.
        pairs: the bought pairs it was measured on.
        by: "auto", or "setting" where the tenant chose itself.
    """

    decided: Bought
    rate: float | None
    pairs: int
    by: str

    def figures(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def bought_before(
    history: History, windows: Windows | None, setting: Literal["auto", "include", "exclude"]
) -> BoughtBefore:
    """Decide by the tenant's setting, or by how often its customers buy the same again.

    Looks at history and windows only, so it is known before anything is judged. Measured on the
    distinct pairs of customers known when the judge window began, as the judge counts them;
    included where there is no window to measure by: an empty list is worse than a known product.
    """
    rate, pairs = (None, 0) if windows is None else _measured(history, windows)
    if setting != "auto":
        return BoughtBefore(Bought(setting), rate, pairs, "setting")
    rare = rate is not None and rate < LEAST_RATE
    return BoughtBefore(Bought.EXCLUDE if rare else Bought.INCLUDE, rate, pairs, "auto")


def _measured(history: History, windows: Windows) -> tuple[float | None, int]:
    pair = history.customer.astype(np.int64) * len(history.products) + history.product
    past = history.day < windows.judge
    known = np.zeros(len(history.customers), bool)
    known[history.customer[past]] = True
    inside = history.bought & known[history.customer] & ~past & (history.day < windows.tonight)
    now = distinct(pair[inside])
    before = pair[history.bought & past]  # in order, as the history is
    again = np.searchsorted(before, now, "right") > np.searchsorted(before, now)
    return (float(again.mean()) if len(now) else None), len(now)
