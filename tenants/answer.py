"""What a salesperson sees: one customer's list, cut to what was asked and what can be sold.

Both doors answer through here, so that the command line and HTTP always agree.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from schema.errors import Refused
from schema.names import Bought, Mode, Reason, Source, Status
from schema.records import Entry, Product
from schema.rules import NO_RULING, Ruling
from tenants.rules import ordered

MOST = 50
"""Products one answer may hold."""

NOTHING_HEARD: Mapping[int, str] = {}

_REASONS = tuple(Reason)


@dataclass(frozen=True, slots=True)
class Ask:
    """What was asked for; ``bought`` None leaves it to the tenant's edition."""

    limit: int = 10
    bought: Bought | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The edition an answer comes from, and what it does with products bought before."""

    edition: int
    model: int
    published_at: datetime
    segments: Sequence[str] = ()
    bought: Bought = Bought.INCLUDE


def ask(limit: int, bought: str | None) -> Ask:
    """Check a question.

    Raises:
        Refused: limit outside 1..MOST (``LIMIT``), or an unknown word (``BOUGHT``).
    """
    if not 1 <= limit <= MOST:
        raise Refused(f"limit {limit} is outside 1 to {MOST}", "ask for fewer", code="LIMIT")
    if bought is None:
        return Ask(limit)
    try:
        return Ask(limit, Bought(bought))
    except ValueError as error:
        words = ", ".join(Bought)
        raise Refused(
            f"bought={bought[:80]!r} is none of {words}", "use one of them", code="BOUGHT"
        ) from error


def answer(
    tenant: str,
    customer: str,
    mode: Mode,
    shown: Shown | None,
    personal: Sequence[Entry] | None,
    popular: Sequence[Entry],
    products: Sequence[Product],
    asked: Ask,
    ruling: Ruling = NO_RULING,
    heard: Mapping[int, str] = NOTHING_HEARD,
) -> dict[str, Any]:
    """The answer to a lookup, ready for JSON.

    Args:
        shown: None while the tenant is off.
        personal: the customer's own list; None where the popular one has to do.
        ruling: the tenant's rules in force, laid over ``products``.
        heard: what the customer asked about just now, by the products that stand for it.
    """
    chosen: Iterable[Entry] = ()
    bought = asked.bought
    if shown is not None:
        bought = bought or shown.bought
        chosen = _fitting(popular if personal is None else personal, products, bought)
        if ruling is not NO_RULING:
            chosen = ordered(chosen, ruling)
    return {
        "tenant": tenant,
        "customer": customer,
        "mode": mode.value,
        "bought": bought.value if bought else None,
        "source": (Source.POPULAR if personal is None else Source.PERSONAL).value
        if shown
        else None,
        "edition": shown.edition if shown else None,
        "model": shown.model if shown else None,
        "published_at": shown.published_at.strftime("%Y-%m-%dT%H:%M:%SZ") if shown else None,
        "recommendations": [
            _line(rank, entry, products, shown.segments if shown else (), heard)
            for rank, entry in enumerate(islice(chosen, asked.limit), start=1)
        ],
    }


def _fitting(
    entries: Sequence[Entry], products: Sequence[Product], bought: Bought
) -> Iterator[Entry]:
    """Places that can be sold and were asked for; looked at one by one, as far as they are needed."""
    sellable, either, only = Status.SELLABLE.value, bought is Bought.INCLUDE, bought is Bought.ONLY
    for entry in entries:
        fits = either or (entry.times > 0) is only
        if fits and products[entry.product].status == sellable:
            yield entry


def _line(
    rank: int,
    entry: Entry,
    products: Sequence[Product],
    segments: Sequence[str],
    heard: Mapping[int, str],
) -> dict[str, Any]:
    product = products[entry.product]
    return {
        "rank": rank,
        "product_id": product.product_id,
        "name": product.name,
        "category": product.category,
        "price": product.price,
        "probability": round(entry.probability, 5),
        "bought_before": entry.times > 0,
        "reason": _reason(entry, products, segments, heard),
    }


def _reason(
    entry: Entry, products: Sequence[Product], segments: Sequence[str], heard: Mapping[int, str]
) -> dict[str, Any]:
    kind = _REASONS[entry.reason]
    if kind is Reason.REORDER:
        because = [products[entry.product].product_id]
        return {"kind": kind.value, "because": because, "text": _reorder(entry)}
    if kind is Reason.SIMILAR:
        seed = products[entry.because]
        text = f"Goes with {seed.name or seed.product_id}, bought before"
        if entry.because == entry.product:
            text = "Asked about just now"
        elif entry.because in heard:
            text = f"Goes with {heard[entry.because]}, asked about just now"
        return {"kind": kind.value, "because": [seed.product_id], "text": text}
    if kind is Reason.SEGMENT:
        text = f"Popular with customers in {segments[entry.because]}"
        return {"kind": kind.value, "because": [], "text": text}
    return {"kind": kind.value, "because": [], "text": "Popular with other customers now"}


def _reorder(entry: Entry) -> str:
    times = "once" if entry.times == 1 else f"{entry.times} times"
    usual = (
        f", usually every {_span(entry.every_days)}" if entry.times > 2 and entry.every_days else ""
    )
    ago = "yesterday" if entry.days_ago == 1 else f"{_span(entry.days_ago)} ago"
    return f"Bought {times}{usual}, last {ago}"


def _span(days: int) -> str:
    """As a person says it: in days up to a fortnight, then in weeks, from two months on in months."""
    count, word = days, "day"
    if days >= 60:
        count, word = round(days / 30.4), "month"
    elif days >= 14:
        count, word = round(days / 7), "week"
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
