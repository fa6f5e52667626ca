"""A tenant's rules at ranking: which products a list has to hold so that a lookup can obey them.

The lookup decides the order (tenants/rules.py); here a list is filled so that the first ten places of
any lookup, new products, bought ones or both, are those of the whole catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.top import Keys, cells_of, key_scores, merged, product_numbers, sort_keys
from schema.rules import FIRST_TEN, Ruling
from schema.settings import ListSettings

_Numbers = NDArray[np.int64]
_Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Steering:
    """What the rules say of P products, as arrays; made once, used on every block.

    Attributes:
        allowed: (P,) whether a product can be on a list at all.
        moved: (m,) products whose odds are multiplied; factors: (m,) by how much.
        pins: (product numbers, how many of them a list has to hold).
        limits: (product numbers of one category, how many of them an answer may hold).
    """

    allowed: NDArray[np.bool_]
    moved: _Numbers
    factors: _Floats
    pins: Sequence[tuple[_Numbers, int]]
    limits: Sequence[tuple[_Numbers, int]]

    @property
    def reorders(self) -> bool:
        """Whether it does more than hide."""
        return bool(len(self.moved) or self.pins or self.limits)

    def width(self, settings: ListSettings) -> int:
        """Places of a list: its length, or what the rules need beside ten of the model's own."""
        if not self.reorders:
            return settings.length
        pinned = sum(count for _, count in self.pins)
        sure = sum(_least(settings)) + 2 * pinned  # of new and of bought products
        return max(settings.length, sure + FIRST_TEN)


def steering(ruling: Ruling, sellable: NDArray[np.bool_]) -> Steering:
    """Rules laid over a catalogue whose places are the product numbers of ``sellable``."""
    allowed = sellable.copy()
    allowed[sorted(ruling.hidden)] = False
    # An earlier pin may take what a later one is about: so many more are held for that.
    places = np.cumsum([places for _, places in ruling.pins])
    limited: dict[tuple[str, int], list[int]] = {}
    for number, limit in ruling.limits.items():
        limited.setdefault(limit, []).append(number)
    return Steering(
        allowed=allowed,
        moved=np.array(list(ruling.odds), np.int64),
        factors=np.array(list(ruling.odds.values()), np.float32),
        pins=[
            (np.array(sorted(numbers)), min(len(numbers), int(most)))
            for (numbers, _), most in zip(ruling.pins, places, strict=True)
        ],
        limits=[
            (np.array(sorted(numbers)), most)
            for (_, most), numbers in limited.items()
            if len(numbers) > most
        ],
    )


def adjusted(p: _Floats, rules: Steering) -> _Floats:
    """(C, P) what to sort by: the probability with its odds multiplied; never shown."""
    if not len(rules.moved):
        return p
    scores = p.copy()
    raised = p[:, rules.moved] * rules.factors
    scores[:, rules.moved] = raised / (1 - p[:, rules.moved] + raised)
    return scores


def chosen(
    p: _Floats,
    owned: tuple[_Numbers, NDArray[np.integer]],
    rules: Steering,
    settings: ListSettings,
) -> Keys:
    """(C, width) the products of each list, as keys of the model's own probability, best first.

    Of new and of bought products each: the pinned ones, then the best by adjusted odds, no more of a
    category than an answer may hold. The rest is the model's own choice, at least ten of them: so
    a rule that is removed by day gives the list back that was there without it.

    Args:
        p: (C, P) probabilities. owned: (place in C, product) of the pairs bought before.
    """
    numbered = np.arange(p.shape[1])
    keys = _masked(sort_keys(adjusted(p, rules), numbered), rules)
    own = _masked(sort_keys(p, numbered), rules)
    bought = np.zeros_like(keys)
    bought[owned] = keys[owned]
    keys[owned] = 0
    sure = [
        part
        for kind, least in zip((keys, bought), _least(settings), strict=True)
        for part in (*_pinned(kind, rules), merged(_limited(kind, rules), least))
    ]
    numbers = product_numbers(np.concatenate(sure, axis=1))
    row, place = cells_of(numbers >= 0)
    picked = np.zeros(p.shape, bool)
    picked[row, numbers[row, place]] = True
    width = rules.width(settings)
    others = merged(np.where(picked, np.uint64(0), own), width)
    room = width - picked.sum(1)
    others[np.arange(width)[None, :] >= room[:, None]] = 0
    first = merged(np.where(picked, own, np.uint64(0)), width)
    return merged(np.concatenate([first, others], axis=1), width)


def missed(p: _Floats, chosen: Keys, allowed: NDArray[np.bool_]) -> _Numbers:
    """(P,) on how many of these lists a product would stand among the first ten, were it allowed.

    Each by itself and by the model's own probability; 0 for those that are allowed.

    Args:
        chosen: (C, L) the lists, best first, the model's ten best allowed products among them.
    """
    found = np.zeros(p.shape[1], np.int64)
    hidden = np.flatnonzero(~allowed)
    tenth = key_scores(chosen[:, FIRST_TEN - 1]) if chosen.shape[1] >= FIRST_TEN else np.float32(0)
    found[hidden] = (p[:, hidden] > np.reshape(tenth, (-1, 1))).sum(0)
    return found


def _least(settings: ListSettings) -> tuple[int, int]:
    """New and bought products that a list has to hold: ten where the tenant asks for fewer."""
    return max(settings.at_least_new, FIRST_TEN), max(settings.at_least_bought, FIRST_TEN)


def _masked(keys: Keys, rules: Steering) -> Keys:
    keys[:, ~rules.allowed] = 0
    return keys


def _pinned(keys: Keys, rules: Steering) -> list[Keys]:
    return [merged(keys[:, numbers], count) for numbers, count in rules.pins]


def _limited(keys: Keys, rules: Steering) -> Keys:
    """The best few of each limited category, and all others."""
    if not rules.limits:
        return keys
    kept = keys.copy()
    for numbers, most in rules.limits:
        block = keys[:, numbers]
        last = np.partition(block, len(numbers) - most, axis=1)[:, len(numbers) - most]
        kept[:, numbers] = np.where(block >= last[:, None], block, np.uint64(0))
    return kept
