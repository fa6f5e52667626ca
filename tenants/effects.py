"""What each rule did to a night's lists, for the night's report."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from schema.names import Action, Status
from schema.records import Entry, Lists, Rule
from schema.rules import FIRST_TEN, Ruling, hides, state, told
from tenants.rules import ordered

_UP = (Action.PIN, Action.BOOST)


def effects(
    lists: Lists, ruling: Ruling, rules: Sequence[Rule], now: datetime
) -> list[dict[str, Any]]:
    """One line a rule, and one each for what is discontinued or out of stock, ready for JSON.

    Counted are places among the first ten of every customer's list: ``removed``, those its
    products lost (to a rule that hides them: that the model would have given them); ``added``,
    those they won; ``moved``, those where they stand higher (or lower, where the rule buries or
    limits) than the model would have put them. All rules act together, so where two are about
    one product both count its places.
    """
    missed = [0] * len(lists.products) if lists.missed is None else lists.missed.tolist()
    changes = _Changes()
    if ruling.reorders:
        for entries in _lists(lists):
            changes.add(entries[:FIRST_TEN], ordered(entries, ruling)[:FIRST_TEN])
    lines = []
    for rule in rules:
        products = ruling.touched.get(rule.number, frozenset())
        line = {
            "rule": rule.number,
            "what": told(rule),
            "state": state(rule, now),
            "products": len(products),
        }
        if hides(rule):
            lines.append(
                {**line, "removed": sum(missed[n] for n in products), "added": 0, "moved": 0}
            )
        else:
            moved = changes.up if rule.action in _UP else changes.down
            lines.append(
                {
                    **line,
                    "removed": _sum(changes.removed, products),
                    "added": _sum(changes.added, products),
                    "moved": _sum(moved, products),
                }
            )
    return lines + list(_unsellable(lists, missed))


def _lists(lists: Lists) -> Iterator[list[Entry]]:
    for row in lists.entries:
        yield [Entry._make(fields) for fields in row.tolist() if fields[0] >= 0]


def _unsellable(lists: Lists, missed: Sequence[int]) -> Iterator[dict[str, Any]]:
    for status in (Status.DISCONTINUED, Status.OUT_OF_STOCK):
        products = [n for n, p in enumerate(lists.products) if p.status == status.value]
        if products:
            yield {
                "rule": None,
                "what": status.value,
                "state": "in force",
                "products": len(products),
                "removed": sum(missed[n] for n in products),
                "added": 0,
                "moved": 0,
            }


def _sum(count: Counter[int], products: Iterable[int]) -> int:
    return sum(count[product] for product in products)


class _Changes:
    """Places won, lost and changed, by product, over many lists."""

    def __init__(self) -> None:
        self.removed: Counter[int] = Counter()
        self.added: Counter[int] = Counter()
        self.up: Counter[int] = Counter()
        self.down: Counter[int] = Counter()

    def add(self, before: Sequence[Entry], after: Sequence[Entry]) -> None:
        was = {entry.product: place for place, entry in enumerate(before)}
        is_now = {entry.product: place for place, entry in enumerate(after)}
        self.removed.update(was.keys() - is_now.keys())
        self.added.update(is_now.keys() - was.keys())
        self.up.update(product for product in was if is_now.get(product, FIRST_TEN) < was[product])
        self.down.update(
            product for product in was if FIRST_TEN > is_now.get(product, 0) > was[product]
        )
