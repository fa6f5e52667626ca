"""What a salesperson sees: one customer's list, cut to what was asked and what can be sold.

Both doors answer through here, so that the command line and HTTP always agree. An answer is put
together as text from parts that were made once, because it lies on the way of every lookup.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import islice, pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import orjson

from schema.errors import Refused
from schema.names import Bought, Mode, Reason, Source, Status
from schema.records import ENTRY, PACKED, Catalogue, Entry, Product, packed_lines, unpacked_lines
from schema.rules import FIRST_TEN, NO_RULING, Ruling
from tenants.rules import ordered

MOST = 50
"""Products one answer may hold."""

NOTHING_HEARD: Mapping[int, str] = {}

_REORDER, _SIMILAR, _SEGMENT = map(
    tuple(Reason).index, (Reason.REORDER, Reason.SIMILAR, Reason.SEGMENT)
)
_Place = tuple[Any, ...]  # the fields of an Entry; making one costs more than the rest of its line


@dataclass(frozen=True, slots=True)
class Ask:
    """What was asked for; ``bought`` None leaves it to the tenant's edition."""

    limit: int = FIRST_TEN
    bought: Bought | None = None
    category: str | None = None


@dataclass(frozen=True)
class Shown:
    """The edition an answer comes from, and what its tenant does with it now.

    Attributes:
        popular: the packed list for a customer without their own.
        bought: what is done with products bought before, unless a lookup says it.
        stale_from: from then on it is old enough to be marked so.
        unsold: products, by their place, that cannot be sold now.
        ruling: the tenant's rules in force, laid over ``products``.
    """

    edition: int
    model: int
    published_at: datetime
    products: Sequence[Product]
    popular: bytes = b""
    segments: Sequence[str] = ()
    bought: Bought = Bought.INCLUDE
    stale_from: datetime | None = None
    unsold: frozenset[int] = frozenset()
    ruling: Ruling = NO_RULING
    _words: "dict[int, _Words]" = field(
        default_factory=dict, repr=False
    )  # of products shown so far

    @cached_property
    def hidden(self) -> frozenset[int]:
        """Products, by their place, that no answer shows."""
        return self.unsold | self.ruling.hidden

    @cached_property
    def reorders(self) -> bool:
        """Whether the tenant's rules do more than hide."""
        return self.ruling.reorders

    @cached_property
    def head(self) -> str:
        at = self.published_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f'"edition":{self.edition},"model":{self.model},"published_at":"{at}"'

    @cached_property
    def categories(self) -> frozenset[str]:
        """Every category one can ask for."""
        return frozenset(p.category for p in self.products if p.category is not None)

    def stale(self, now: datetime) -> bool:
        return self.stale_from is not None and now >= self.stale_from

    def words(self, product: int) -> "_Words":
        """What an answer says of a product."""
        found = self._words.get(product)
        if found is None:
            found = self._words[product] = _words(self.products[product])
        return found


class _Words(NamedTuple):
    """Of one product, as JSON: its fields up to the probability, and reasons that name it."""

    fields: str
    reorder: str  # open: how often and when is still to come
    similar: str


def _words(product: Product) -> _Words:
    known = {
        "product_id": product.product_id,
        "name": product.name,
        "category": product.category,
        "price": product.price,
    }
    because = f'"because":[{_json(product.product_id)}],"text":'
    similar = _json(f"Goes with {product.name or product.product_id}, bought before")
    return _Words(
        fields=f'{_json(known)[1:-1]},"probability":',
        reorder=f'{{"kind":"{Reason.REORDER.value}",{because}"',
        similar=f'{{"kind":"{Reason.SIMILAR.value}",{because}{similar}}}',
    )


def ask(limit: int, bought: str | None, category: str | None = None) -> Ask:
    """Check a question.

    Raises:
        Refused: limit outside 1..MOST (``LIMIT``), or an unknown word (``BOUGHT``).
    """
    if not 1 <= limit <= MOST:
        raise Refused(f"limit {limit} is outside 1 to {MOST}", "ask for fewer", code="LIMIT")
    if bought is None:
        return Ask(limit, None, category)
    try:
        return Ask(limit, Bought(bought), category)
    except ValueError as error:
        words = ", ".join(Bought)
        raise Refused(
            f"bought={bought[:80]!r} is none of {words}", "use one of them", code="BOUGHT"
        ) from error


def unsold(products: Catalogue, sellable: Collection[str] | None) -> frozenset[int]:
    """Products, by their place, that cannot be sold.

    Args:
        sellable: ids in the catalogue of now, which wins over what the edition's night knew; None
            where there is none.
    """
    if sellable is None:
        return frozenset(n for n, s in enumerate(products.statuses) if s != Status.SELLABLE.value)
    return frozenset(n for n, name in enumerate(products.ids) if name not in sellable)


def stale_from(night: date, days: float, zone: ZoneInfo) -> datetime:
    """From when on an edition is marked stale: so many days after its night began."""
    return datetime(night.year, night.month, night.day, tzinfo=zone) + timedelta(days=days)


def nothing(tenant: str, customer: str) -> bytes:
    """The answer of a tenant that is off, as JSON."""
    return orjson.dumps(
        {
            "tenant": tenant,
            "customer": customer,
            "mode": Mode.OFF.value,
            "bought": None,
            "source": None,
            "edition": None,
            "model": None,
            "published_at": None,
            "stale": None,
            "recommendations": [],
        }
    )


def first_lines(
    products: Sequence[Product], segments: Sequence[str], bought: Bought
) -> Callable[[Sequence[bytes]], list[bytes]]:
    """For the night: what makes, of packed lists, the lines of a lookup that asks for nothing special.

    Nothing is hidden from them: what is hidden is known when they are shown (``ready``). All lists
    at once, because a night has thousands.
    """
    never = datetime.min.replace(tzinfo=UTC)  # lines say nothing of their edition
    shown = Shown(0, 0, never, products, segments=segments, bought=bought)

    def lines(bodies: Sequence[bytes]) -> list[bytes]:
        places = np.frombuffer(b"".join(bodies), np.dtype(list(ENTRY)))
        owner = np.repeat(np.arange(len(bodies)), [len(body) // PACKED.size for body in bodies])
        if bought is not Bought.INCLUDE:
            fitting = (places["times"] > 0) == (bought is Bought.ONLY)
            places, owner = places[fitting], owner[fitting]
        rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
        first = rank < FIRST_TEN
        places, owner = places[first], owner[first]
        ranks = [_RANKS[number] for number in rank[first].tolist()]
        parts = _parts(ranks, PACKED.iter_unpack(places.tobytes()), shown, NOTHING_HEARD)
        width, product = len(parts) // max(len(places), 1), places["product"].tolist()
        ends = np.searchsorted(owner, np.arange(len(bodies)), side="right").tolist()
        return [
            packed_lines(
                product[begin:end], "".join(parts[width * begin : width * end])[:-1].encode()
            )
            for begin, end in pairwise([0, *ends])
        ]

    return lines


def ready(first: bytes | None, shown: Shown, asked: Ask) -> bytes | None:
    """The lines of the answer, where the night has made just those; None where it has not.

    Args:
        first: as ``first_lines`` made it of the list that is to be shown; None where there is none.
    """
    if (
        first is None
        or asked.limit != FIRST_TEN
        or (asked.bought is not None and asked.bought is not shown.bought)
        or asked.category is not None
        or shown.reorders
    ):
        return None
    found = unpacked_lines(first)
    if found is None or not shown.hidden.isdisjoint(found[0]):
        return None
    return found[1]


def answer(
    tenant: str,
    customer: str,
    mode: Mode,
    shown: Shown,
    personal: bytes | None,
    asked: Ask,
    *,
    stale: bool,
    heard: Mapping[int, str] = NOTHING_HEARD,
    lines: bytes | None = None,
) -> bytes:
    """The answer to a lookup, as JSON.

    Args:
        personal: the customer's own packed list; None where the popular one has to do.
        heard: what the customer asked about just now, by the products that stand for it.
        lines: from ``ready``; of ``personal`` then only matters whether it is None.

    Raises:
        Refused: the tenant has no such category (``CATEGORY``).
    """
    bought = asked.bought or shown.bought
    source = Source.POPULAR if personal is None else Source.PERSONAL
    if lines is None:
        lines = _chosen(shown, personal, asked, bought, heard).encode()
    head = (
        f'{{"tenant":{_json(tenant)},"customer":{_json(customer)},"mode":"{mode}",'
        f'"bought":"{bought}","source":"{source}",{shown.head},'
        f'"stale":{"true" if stale else "false"},"recommendations":['
    )
    return b"".join((head.encode(), lines, b"]}"))


def _chosen(
    shown: Shown, personal: bytes | None, asked: Ask, bought: Bought, heard: Mapping[int, str]
) -> str:
    """The lines that were asked for."""
    if asked.category is not None and asked.category not in shown.categories:
        raise Refused(
            f"there is no category {asked.category[:80]!r} in this edition",
            "write it as the products do, or leave it out",
            code="CATEGORY",
        )
    places = PACKED.iter_unpack(shown.popular if personal is None else personal)
    chosen: Iterable[_Place] = places
    if shown.hidden or bought is not Bought.INCLUDE or asked.category is not None:
        chosen = _fitting(places, shown, bought, asked.category)
    if shown.reorders:
        chosen = ordered(map(Entry._make, chosen), shown.ruling)
    return _lines(islice(chosen, asked.limit), shown, heard)


def _fitting(
    places: Iterable[_Place], shown: Shown, bought: Bought, category: str | None
) -> Iterator[_Place]:
    """Places that can be shown and were asked for; looked at one by one, as far as they are needed."""
    hidden, either, only = shown.hidden, bought is Bought.INCLUDE, bought is Bought.ONLY
    for place in places:
        if place[0] in hidden or not (either or (place[3] > 0) is only):
            continue
        if category is None or shown.products[place[0]].category == category:
            yield place


def _lines(places: Iterable[_Place], shown: Shown, heard: Mapping[int, str]) -> str:
    """Each place as a JSON object."""
    return "".join(_parts(_RANKS, places, shown, heard))[:-1]


def _parts(
    ranks: Iterable[str], places: Iterable[_Place], shown: Shown, heard: Mapping[int, str]
) -> list[str]:
    """What the lines of all places are joined from, as many parts for each, a comma the last.

    One flat loop over ready parts: it is most of a lookup's work.
    """
    parts: list[str] = []
    known, bought = shown._words, _BOUGHT
    for rank, place in zip(ranks, places, strict=False):
        product, because, p, times, days_ago, every_days, kind = place
        fields, reorder, _ = known.get(product) or shown.words(product)
        chance = _CHANCES[int(p * 100_000 + 0.5)] or _chance(p)
        if kind == _REORDER:
            when = times, every_days, days_ago
            text = bought.get(when) or _bought(when)
            parts += (rank, fields, chance, _BEFORE, reorder, text)
            continue
        if kind == _SIMILAR:
            reason = (known.get(because) or shown.words(because)).similar
            reason = _heard(product, because, shown, heard) if heard else reason
        elif kind == _SEGMENT:
            reason = _popular(
                Reason.SEGMENT, f"Popular with customers in {shown.segments[because]}"
            )
        else:
            reason = _popular(Reason.POPULAR, "Popular with other customers now")
        before = _BEFORE if times else _NEVER
        parts += (rank, fields, chance, before, reason, "},")
    return parts


_BEFORE, _NEVER = ',"bought_before":true,"reason":', ',"bought_before":false,"reason":'
_RANKS = tuple(f'{{"rank":{rank},' for rank in range(1, 1_001))  # no list is longer
_CHANCES: list[str | None] = [None] * 100_001
_BOUGHT: dict[tuple[int, int, int], str] = {}
"""Texts made once: probabilities by their hundred thousandths; what closes a line that was bought
before. Both are bounded, the second by ``_BOUGHT_MOST``.
"""
_BOUGHT_MOST = 65_536


def _chance(p: float) -> str:
    found = _CHANCES[int(p * 100_000 + 0.5)] = f"{int(p * 100_000 + 0.5) / 100_000:.5f}"
    return found


def _heard(product: int, because: int, shown: Shown, heard: Mapping[int, str]) -> str:
    """A reason that may be what was said just now."""
    if because == product:
        text = "Asked about just now"
    elif because in heard:
        text = f"Goes with {heard[because]}, asked about just now"
    else:
        return shown.words(because).similar
    seed = shown.products[because].product_id
    return _json({"kind": Reason.SIMILAR.value, "because": [seed], "text": text})


@lru_cache(maxsize=4096)
def _popular(kind: Reason, text: str) -> str:
    return f'{{"kind":"{kind.value}","because":[],"text":{_json(text)}}}'


def _bought(when: tuple[int, int, int]) -> str:
    """How often, how regularly and how long ago, and the end of the line."""
    times, every_days, days_ago = when
    count = "once" if times == 1 else f"{times} times"
    usual = f", usually every {_span(every_days)}" if times > 2 and every_days else ""
    ago = "yesterday" if days_ago == 1 else f"{_span(days_ago)} ago"
    if len(_BOUGHT) >= _BOUGHT_MOST:
        _BOUGHT.clear()
    found = _BOUGHT[when] = f'Bought {count}{usual}, last {ago}"}}}},'
    return found


@lru_cache(maxsize=4096)
def _span(days: int) -> str:
    """As a person says it: in days up to a fortnight, then in weeks, from two months on in months."""
    count, word = days, "day"
    if days >= 60:
        count, word = round(days / 30.4), "month"
    elif days >= 14:
        count, word = round(days / 7), "week"
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
