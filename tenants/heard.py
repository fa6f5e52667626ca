"""What a customer said during a call, found in the catalogue of an edition."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from schema.errors import Refused
from schema.records import Product, Said

_MOST_NAMED = 5
"""Unknown names that one sentence lists."""


@dataclass(frozen=True, slots=True)
class Index:
    """Where an edition's products and categories stand: made once, asked at every call."""

    products: Mapping[str, int]
    categories: Mapping[str, frozenset[int]]

    @classmethod
    def of(cls, catalogue: Sequence[Product]) -> Self:
        members: dict[str, list[int]] = {}
        for n, product in enumerate(catalogue):
            if product.category is not None:
                members.setdefault(product.category, []).append(n)
        return cls(
            {product.product_id: n for n, product in enumerate(catalogue)},
            {name: frozenset(found) for name, found in members.items()},
        )


def heard(
    index: Index,
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
    _refuse_unknown("product", {*products, *rejected_products} - index.products.keys())
    _refuse_unknown("category", {*categories, *rejected_categories} - index.categories.keys())
    rejected = frozenset(index.products[name] for name in rejected_products).union(
        *(index.categories[name] for name in rejected_categories)
    )
    wanted = {name: index.categories[name] - rejected for name in sorted(set(categories))}
    return Said(
        products=frozenset(index.products[name] for name in products) - rejected,
        categories={name: members for name, members in wanted.items() if members},
        rejected=rejected,
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
