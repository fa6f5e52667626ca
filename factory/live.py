"""One customer's list, ranked anew during a call: numpy alone, from what the night published.

The answer is what tonight's ranking would have given this customer, at the edition's moment, had
what they said been among their interactions: for each product asked about one more event on a day
of its own, the last before that moment, as strong as the strongest interest the tenant counts. Such
an event is no purchase: it moves the customer's vector, by the exact fold-in, and thereby the ALS
score that the blend weighs; products' features, other customers and factors stay as published.
tests/factory/test_live.py holds it against that ranking.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from factory.alike import ASYMMETRY, NEAREST, lift, log_shares, nearest
from factory.foldin import shares, strength, system, vector
from factory.logistic import sigmoid
from factory.rules import chosen, steering
from factory.top import best, key_scores, product_numbers, sliced
from factory.why import LEAST_ODDS, reasons
from schema.records import ENTRY, Entry, Grounds, Said
from schema.rules import FIRST_TEN, Ruling
from schema.settings import ListSettings

_Doubles = NDArray[np.float64]
_Floats = NDArray[np.float32]
_Numbers = NDArray[np.int64]

SPREAD = 5
"""Products that a category asked about stands for: its most wanted ones."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list ranked anew.

    Attributes:
        entries: candidates, best first; enough of them, new and bought, for the answer.
        personal: whether anything is known of this customer, or was said.
        moved: whether what was said could move anything.
        spoken: products that what was said stands for, as their interest went into the ranking.
    """

    entries: list[Entry]
    personal: bool
    moved: bool
    spoken: frozenset[int]


def rerank(
    grounds: Grounds,
    customer: str,
    said: Said,
    sellable: NDArray[np.bool_],
    ruling: Ruling,
    *,
    most: int,
) -> Ranked:
    """Rank every sellable product for one customer, after what they just said.

    Args:
        customer: any id; one without a history has only what they said.
        sellable: (P,) what can be sold now; ruling: the tenant's rules in force.
        most: length of the longest answer that the entries have to fill, whatever it shows of
            products bought before.

    Cost: one system of k equations, one pass over the factors, some ten over P products.
    """
    row = _row(grounds, customer)
    cells = grounds.cells[grounds.starts[row] : grounds.starts[row + 1]]
    owned = cells[cells["times"] > 0]
    interest = _interest(grounds, said)
    spoken = np.flatnonzero(interest)
    personal = bool(len(cells) or len(spoken))
    taste = _Taste(grounds, cells, interest)
    if personal:
        p = _probabilities(grounds, row, owned, taste.score)
    else:
        row = len(grounds.customers)  # the popular list is everybody's, whatever their segment
        p = sigmoid(grounds.appeal[0] + grounds.average)
    least = max(most, FIRST_TEN)
    allowed = sellable & ~_among(len(sellable), [*said.rejected])
    keys = chosen(
        p[None, :],
        (np.zeros(len(owned), np.int64), owned["product"]),
        steering(ruling, allowed),
        ListSettings(length=2 * least, at_least_new=least, at_least_bought=least),
    )[0]
    keys = keys[keys > 0]
    entries = np.zeros(len(keys), np.dtype(list(ENTRY)))
    entries["product"], entries["probability"] = product_numbers(keys), key_scores(keys)
    _explain(grounds, row, owned, taste, said, spoken, entries)
    heeds = bool(grounds.factors.shape[1] and (grounds.als or grounds.als_again))
    return Ranked(
        [Entry._make(fields) for fields in entries.tolist()],
        personal,
        heeds and bool(len(spoken)),
        frozenset(spoken.tolist()),
    )


def _row(grounds: Grounds, customer: str) -> int:
    """The customer's row; that of the stranger for anybody else."""
    key = customer.encode("utf-8", "surrogatepass")
    row = bisect_left(grounds.customers, key)
    known = row < len(grounds.customers) and grounds.customers[row] == key
    return row if known else len(grounds.customers)


def _interest(grounds: Grounds, said: Said) -> _Floats:
    """(P,) weight of what was said.

    A category counts as much as one product does, shared out among its most wanted ones. With all
    its products instead, one word would outweigh years of purchases: even the weakest pair says
    "yes" to a product, and a category has hundreds.
    """
    weight = np.zeros(len(grounds.group), np.float32)
    weight[list(said.products)] = grounds.asked
    for products in said.categories.values():
        members = np.array(sorted(products), np.int64)
        wanted = sigmoid(grounds.appeal[0, members])[None, :]
        stand = members[product_numbers(best(wanted, min(SPREAD, len(members)))[0])]
        weight[stand] += grounds.asked / np.float32(max(len(stand), 1))
    return weight


class _Taste:
    """A customer folded in from what they did and what they just said.

    In double precision: one small system costs nothing, and the night's own rounding is then all
    that the two can differ by.
    """

    def __init__(self, grounds: Grounds, cells: NDArray[np.void], interest: _Floats) -> None:
        weight = interest.copy()
        weight[cells["product"]] += cells["weight"]
        self.products = np.flatnonzero(weight)
        self._factors = grounds.factors
        self._y = grounds.factors[self.products].astype(np.float64)
        self._c = strength(weight[self.products], float(grounds.alpha)).astype(np.float64)
        self._matrix = system(grounds.gram.astype(np.float64), self._y, self._c)
        self.vector = vector(self._matrix, self._y, self._c).astype(np.float32)
        self.score: _Floats = grounds.factors @ self.vector

    def shares(self, products: NDArray[np.integer]) -> _Doubles:
        """(len(self.products), len(products)) what each product of the taste adds to a score."""
        targets = self._factors[products].astype(np.float64)
        return np.asarray(shares(self._matrix, self._y, self._c, targets), np.float64)


def _probabilities(grounds: Grounds, row: int, owned: NDArray[np.void], score: _Floats) -> _Floats:
    """(P,) as ``factory.blend.probabilities``, for one customer and another score."""
    logits = grounds.als * score
    logits += grounds.appeal[grounds.segment[row]] + grounds.bias[row]
    if grounds.neighbours:
        logits += grounds.neighbours * _neighbours(grounds, row, owned["product"])
    if grounds.category and len(grounds.usual):
        own = np.bincount(
            grounds.group[owned["product"]], owned["habit"], minlength=len(grounds.usual)
        )
        logits += grounds.category * lift(own, grounds.usual)[grounds.group]
    product = owned["product"]
    logits[product] = grounds.als_again * score[product] + owned["standing"]
    return sigmoid(logits)


def _neighbours(grounds: Grounds, row: int, bought: NDArray[np.integer]) -> _Floats:
    """(P,) as ``factory.affinity.Neighbours``, for one customer."""
    mine = np.zeros(len(grounds.group), np.int64)
    mine[bought] = 1
    starts = grounds.compared_starts
    together = np.append(0, np.cumsum(mine[grounds.compared_products]))
    common = together[starts[1:]] - together[starts[:-1]]
    sizes = np.diff(starts) + 1e-9
    likeness = common * (len(bought) + 1e-9) ** -ASYMMETRY * sizes ** (ASYMMETRY - 1)
    likeness[grounds.compared == row] = 0  # nobody is their own neighbour
    weight = nearest(likeness.astype(np.float32)[None, :], NEAREST)[0]
    them = np.flatnonzero(weight)
    place, at = sliced(starts, them)
    lately = weight[them][place] * grounds.compared_shares[at]
    return log_shares(
        np.bincount(grounds.compared_products[at], lately, len(mine)).astype(np.float32)
    )


def _explain(
    grounds: Grounds,
    row: int,
    owned: NDArray[np.void],
    taste: _Taste,
    said: Said,
    spoken: _Numbers,
    entries: NDArray[np.void],
) -> None:
    """Fill in why each entry is on the list: as the night would, and by what was just said."""
    product = entries["product"]
    place = np.minimum(np.searchsorted(owned["product"], product), max(len(owned) - 1, 0))
    bought = owned["product"][place] == product if len(owned) else np.zeros(len(product), bool)
    for name in ("times", "days_ago", "every_days"):
        entries[name][bought] = owned[name][place[bought]]
    seed = np.full(len(product), -1, np.int64)
    asked = ~bought & (grounds.als * taste.score[product] >= LEAST_ODDS)
    nameable = _among(len(grounds.group), [*owned["product"], *spoken])[taste.products]
    if asked.any() and nameable.any():
        parts = taste.shares(product[asked])
        parts[~nameable] = -np.inf  # what was only looked at earlier is no reason to name
        named = taste.products[parts.argmax(0)]
        seed[asked] = np.where(parts.max(0) > 0, named, -1)
    about = _among(len(grounds.group), [*said.products, *chain(*said.categories.values())])
    seed = np.where(about[product] & ~bought, product, seed)
    segment = np.full(len(product), grounds.segment[row] - 1)
    liked = grounds.liked[grounds.segment[row], product]
    entries["reason"], entries["because"] = reasons(bought, seed, liked, segment)


def _among(size: int, numbers: Sequence[int]) -> NDArray[np.bool_]:
    found = np.zeros(size, bool)
    found[numbers] = True
    return found
