"""A tenant's own rules about its lists: how one is written, and what they say of each product.

A rule hides products or moves them; the probability that is shown stays the model's own. So rules
can be laid over a list again and again, and one that is taken away stops acting at once. The night
lays them over every product, so that lists stay full (factory/rules.py); a lookup lays those that
are in force over the list (tenants/rules.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from schema.dates import midnight
from schema.errors import Refused
from schema.names import Action, ProductId
from schema.records import Product, Rule

FIRST_TEN = 10
"""What a salesperson sees unless they ask for more; rules are right up to there, whatever they say."""
MOST_PINNED = FIRST_TEN
"""Places that pins may take together: beyond them nobody would see a recommendation."""
MOST_RULES = 1_000

_WHOLESALE = (Action.MIN_PRICE, Action.MIN_MARGIN, Action.MAX_PER_CATEGORY)
"""About a category, or everything; the other actions are about a product or a category."""

_VALUES = {
    Action.PIN: (1, MOST_PINNED, "a whole number of places from 1 to 10"),
    Action.BOOST: (math.nextafter(1, 2), 1000, "a factor on the odds above 1, at most 1000"),
    Action.BURY: (0.001, math.nextafter(1, 0), "a factor on the odds from 0.001, below 1"),
    Action.MIN_PRICE: (math.nextafter(0, 1), 1e9, "a price above 0, at most 1000000000"),
    Action.MIN_MARGIN: (0, math.nextafter(1, 0), "a share of the price from 0, below 1"),
    Action.MAX_PER_CATEGORY: (1, 50, "a whole number from 1 to 50"),
}
_COUNTS = (Action.PIN, Action.MAX_PER_CATEGORY)


def written(
    action: Action,
    *,
    product: str | None = None,
    category: str | None = None,
    value: float | None = None,
    until: str | None = None,
    why: str,
    zone: ZoneInfo,
    by: str,
    at: datetime,
) -> Rule:
    """Write a rule; its number is 0 until the ledger has given it one.

    Args:
        until: the last day it holds, or a moment; see ``expiry``.

    Raises:
        Refused: the action does not go with that target (``RULE_TARGET``) or value
            (``RULE_VALUE``), or its end is unreadable or in the past (``RULE_EXPIRY``).
    """
    _check_target(action, product, category)
    ends = None if until is None else expiry(until, zone)
    if ends is not None and ends <= at:
        raise Refused(
            f"the rule would have ended at {ends.astimezone(zone):%Y-%m-%d %H:%M %Z}",
            "name a day or moment in the future",
            code="RULE_EXPIRY",
        )
    named = None if product is None else ProductId(product)
    checked = _value(action, value, by_category=category is not None)
    return Rule(0, action, named, category, checked, why, by, at, ends)


def _check_target(action: Action, product: str | None, category: str | None) -> None:
    if action in _WHOLESALE:
        fits, next_step = product is None, "name a category, or nothing for all of them"
    else:
        fits, next_step = (product is None) != (category is None), "name a product or a category"
    if not fits:
        target = [word for word, of in (("a product", product), ("a category", category)) if of]
        named = " and ".join(target) or "everything"
        raise Refused(f"{action} cannot be about {named}", next_step, code="RULE_TARGET")


def _value(action: Action, value: float | None, *, by_category: bool) -> float | None:
    if action is Action.EXCLUDE or (action is Action.PIN and not by_category):
        if value is not None:
            raise Refused(f"{action} has no value here", "leave it out", code="RULE_VALUE")
        return None
    if action is Action.PIN and value is None:
        return 1.0
    least, most, words = _VALUES[action]
    # written so that "not a number" fits nowhere
    fits = value is not None and least <= value <= most
    if value is None or not fits or (action in _COUNTS and value != int(value)):
        shown = "no value" if value is None else f"{value:g}"
        raise Refused(f"{action} with {shown} makes no sense", f"give {words}", code="RULE_VALUE")
    return float(value)


def expiry(text: str, zone: ZoneInfo) -> datetime:
    """When a rule ends: a date is the last local day it holds; a time without a zone is local.

    Raises:
        Refused: neither (``RULE_EXPIRY``).
    """
    try:
        if len(text) == len("2026-12-24"):
            return midnight(date.fromisoformat(text) + timedelta(days=1), zone)
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    except (ValueError, OverflowError) as error:
        raise Refused(
            f"{text[:80]!r} is no date or moment",
            "write 2026-12-24, 2026-12-24T18:00 or 2026-12-24T17:00:00Z",
            code="RULE_EXPIRY",
        ) from error


def admit(new: Rule, others: Sequence[Rule], now: datetime) -> None:
    """Check a new rule against those there are.

    Raises:
        Refused: one says so already (``RULE_EXISTS``), pins would take every place
            (``RULE_PINS``), or there are too many (``RULE_MANY``).
    """
    held = [rule for rule in others if in_force(rule, now)]
    for rule in held:
        if (rule.action, rule.product, rule.category) == (new.action, new.product, new.category):
            raise Refused(
                f"rule {rule.number} says so already: {told(rule)}",
                f"remove rule {rule.number} first",
                code="RULE_EXISTS",
            )
    pinned = sum(_places(rule) for rule in (*held, new) if rule.action is Action.PIN)
    if new.action is Action.PIN and pinned > MOST_PINNED:
        raise Refused(
            f"pins would take {pinned} places of the first {MOST_PINNED}",
            "remove another pin first",
            code="RULE_PINS",
        )
    if len(others) >= MOST_RULES:
        raise Refused(f"there are {len(others)} rules", "remove those that ended", code="RULE_MANY")


def in_force(rule: Rule, now: datetime) -> bool:
    return rule.expires_at is None or now < rule.expires_at


def state(rule: Rule, now: datetime) -> Literal["in force", "expired"]:
    return "in force" if in_force(rule, now) else "expired"


def told(rule: Rule) -> str:
    """A rule in words: "boost category Stout, odds × 2"."""
    target = (
        f"product {rule.product}"
        if rule.product is not None
        else f"category {rule.category}"
        if rule.category is not None
        else "everything"
    )
    value = rule.value
    if rule.action in (Action.BOOST, Action.BURY):
        return f"{rule.action} {target}, odds × {value:g}"
    if rule.action is Action.MIN_MARGIN:
        return f"{rule.action} {target}, {value:.1%} of the price"
    return f"{rule.action} {target}" + ("" if value is None else f", {value:g}")


def _places(rule: Rule) -> int:
    return int(rule.value or 1)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules in force say of each product, by its place in the catalogue they were laid over.

    Attributes:
        hidden: never shown.
        odds: what a product's odds are multiplied by, for the order only.
        pins: (products, places): so many of them stand first, the pins in this order.
        limits: a product's category, and how many of that an answer may hold.
        touched: by rule number, the products it acts on.
        until: when the first of the rules expires, and this has to be made anew.
    """

    hidden: frozenset[int] = frozenset()
    odds: Mapping[int, float] = field(default_factory=dict)
    pins: tuple[tuple[frozenset[int], int], ...] = ()
    limits: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    touched: Mapping[int, frozenset[int]] = field(default_factory=dict)
    until: datetime | None = None

    @property
    def reorders(self) -> bool:
        """Whether it does more than hide."""
        return bool(self.odds or self.pins or self.limits)


NO_RULING = Ruling()


def ruling(rules: Sequence[Rule], products: Sequence[Product], now: datetime) -> Ruling:
    """Lay the rules in force at a moment over a catalogue.

    What hides wins over what moves; several factors multiply; of several limits the lowest holds. A
    product without a price is not touched by min_price, one without price or cost not by min_margin,
    one without a category by nothing that is about categories: what is not known is no reason.

    Cost: O(products + what the rules touch).
    """
    held = [rule for rule in rules if in_force(rule, now)]
    if not held:
        return NO_RULING
    by_id = {product.product_id: place for place, product in enumerate(products)}
    by_category: dict[str, list[int]] = {}
    for place, product in enumerate(products):
        if product.category is not None:
            by_category.setdefault(product.category, []).append(place)

    def about(rule: Rule) -> Sequence[int]:
        if rule.product is not None:
            return [by_id[rule.product]] if rule.product in by_id else []
        if rule.category is not None:
            return by_category.get(rule.category, [])
        return range(len(products))

    touched = {rule.number: _touched(rule, about(rule), products) for rule in held}
    acting = [(rule, touched[rule.number]) for rule in held]
    odds: dict[int, float] = {}
    limits: dict[int, tuple[str, int]] = {}
    for rule, places in acting:
        if rule.action in (Action.BOOST, Action.BURY):
            odds |= {place: odds.get(place, 1.0) * (rule.value or 1.0) for place in places}
        elif rule.action is Action.MAX_PER_CATEGORY:
            for place in places:
                most = min(limits.get(place, ("", 50))[1], int(rule.value or 1))
                limits[place] = (products[place].category or "", most)
    hidden = frozenset().union(*(places for rule, places in acting if rule.action in _HIDING))
    pins = [
        (places - hidden, _places(rule)) for rule, places in acting if rule.action is Action.PIN
    ]
    return Ruling(
        hidden=hidden,
        odds=odds,
        pins=tuple(pin for pin in pins if pin[0]),
        limits=limits,
        touched=touched,
        until=min((rule.expires_at for rule in held if rule.expires_at), default=None),
    )


_HIDING = (Action.EXCLUDE, Action.MIN_PRICE, Action.MIN_MARGIN)


def hides(rule: Rule) -> bool:
    """Whether a rule takes products away, and does not only move them."""
    return rule.action in _HIDING


def _touched(rule: Rule, places: Sequence[int], products: Sequence[Product]) -> frozenset[int]:
    least = rule.value or 0.0
    if rule.action is Action.MIN_PRICE:
        return frozenset(n for n in places if _below(products[n].price, least))
    if rule.action is Action.MIN_MARGIN:
        return frozenset(n for n in places if _below(margin(products[n]), least))
    if rule.action is Action.MAX_PER_CATEGORY:
        return frozenset(n for n in places if products[n].category is not None)
    return frozenset(places)


def margin(product: Product) -> float | None:
    """(price - cost) / price; None where either is unknown or the price is nothing."""
    if product.price is None or product.cost is None or product.price <= 0:
        return None
    return (product.price - product.cost) / product.price


def _below(value: float | None, least: float) -> bool:
    return value is not None and value < least
