"""A tenant's rules at read time: laid over a list that the night has ranked."""

from collections import Counter
from collections.abc import Iterable

from schema.records import Entry
from schema.rules import Ruling


def ordered(entries: Iterable[Entry], ruling: Ruling) -> list[Entry]:
    """Drop what is hidden; pins first; the rest by adjusted odds, at most so many of a category.

    Laid over its own result it changes nothing; ties keep their order. A pin counts towards the
    limit of its category, but no limit removes it: somebody asked for it by name.

    Args:
        entries: candidates in the order of their probability; what cannot be sold or was not
            asked for is gone already.
    """
    kept = [entry for entry in entries if entry.product not in ruling.hidden]
    if ruling.odds:
        kept.sort(
            key=lambda entry: adjusted(entry.probability, ruling.odds.get(entry.product)),
            reverse=True,
        )
    first: dict[int, Entry] = {}
    for products, places in ruling.pins:
        mine = (e for e in kept if e.product in products and e.product not in first)
        first |= {entry.product: entry for entry, _ in zip(mine, range(places), strict=False)}
    if not ruling.limits:
        return [*first.values(), *(entry for entry in kept if entry.product not in first)]
    count = Counter(ruling.limits[n][0] for n in first if n in ruling.limits)
    shown = list(first.values())
    for entry in kept:
        category, most = ruling.limits.get(entry.product, ("", 0))
        if entry.product in first or (most and count[category] >= most):
            continue
        count[category] += 1
        shown.append(entry)
    return shown


def adjusted(p: float, factor: float | None) -> float:
    """The probability whose odds are ``factor`` times those of ``p``."""
    return p if factor is None else factor * p / (1 - p + factor * p)
