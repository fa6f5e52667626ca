"""What a customer said during a call, found in the catalogue of an edition."""

from collections.abc import Collection, Sequence

from schema.errors import Refused
from schema.records import Product, Said

_MOST_NAMED = 5
"""Unknown names that one sentence lists."""


def heard(
    catalogue: Sequence[Product],
    *,
    products: Collection[str] = (),
    categories: Collection[str] = (),
    rejected_products: Collection[str] = (),
    rejected_categories: Collection[str] = (),
) -> Said:
    """Look up everything that was named; what was rejected counts as no interest, however it was said.

    Raises:
        Refused: something is in no catalogue of the tenant, and which (``RERANK_UNKNOWN_REF``).
    """
    named = {*products, *rejected_products}
    number = {p.product_id: n for n, p in enumerate(catalogue) if p.product_id in named}
    members: dict[str | None, set[int]] = {c: set() for c in (*categories, *rejected_categories)}
    for n, product in enumerate(catalogue) if members else ():
        if product.category in members:
            members[product.category].add(n)
    _refuse_unknown("product", named - set(number))
    _refuse_unknown("category", {str(name) for name, found in members.items() if not found})
    rejected = {number[name] for name in rejected_products}
    rejected = rejected.union(*(members[name] for name in rejected_categories))
    return Said(
        products=frozenset({number[name] for name in products} - rejected),
        categories={
            name: frozenset(members[name] - rejected)
            for name in sorted(set(categories))
            if members[name] - rejected
        },
        rejected=frozenset(rejected),
    )


def _refuse_unknown(kind: str, names: Collection[str]) -> None:
    if names:
        first = ", ".join(repr(name[:80]) for name in sorted(names)[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise Refused(
            f"there is no {kind} {first}{more} in the edition that is served",
            f"leave the {kind} out, or send it as the catalogue has it",
            code="RERANK_UNKNOWN_REF",
        )


def in_words(said: Said, spoken: Collection[int], catalogue: Sequence[Product]) -> dict[int, str]:
    """What was asked about, by the products that stand for it in the ranking."""
    words = {}
    for n in spoken:
        product = catalogue[n]
        by_name = n in said.products
        words[n] = (product.name if by_name else product.category) or product.product_id
    return words
