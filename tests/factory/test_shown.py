"""What lists look like, and when they got worse."""

from typing import Any

import numpy as np
import pytest

from factory.shown import WORSE, shown, worse
from schema.config import Brake
from schema.names import ProductId, Status
from schema.records import ENTRY, Lists, Product

RULE = Brake()
WELL: dict[str, Any] = {
    "lists": 100,
    "shown": {"empty": 0.0, "length": 40.0, "products": 200, "top_share": 0.2},
}


def lists(*rows: list[int], width: int = 12) -> Lists:
    """One list a row, of product numbers."""
    entries = np.zeros((len(rows), width), np.dtype(list(ENTRY)))
    entries["product"] = -1
    for place, row in enumerate(rows):
        entries["product"][place, : len(row)] = row
    products = tuple(
        Product(ProductId(f"P-{n}"), "", "", None, Status.SELLABLE, None) for n in range(20)
    )
    names = tuple(f"C-{n}" for n in range(len(rows)))
    return Lists(names, entries, entries[:1], products, ())


def changed(lists: int = 100, **figures: float) -> dict[str, Any]:
    return {"lists": lists, "shown": {**WELL["shown"], **figures}}


class TestShown:
    def test_counts_empty_lists_their_length_products_and_the_commonest_first_one(self) -> None:
        found = shown(lists([3, 1, 2], [3, 2], [0], []))
        assert found == {"empty": 0.25, "length": 1.5, "products": 4, "top_share": 0.5}

    def test_looks_for_products_on_the_first_ten_places(self) -> None:
        assert shown(lists([*range(12)]))["products"] == 10

    def test_of_no_lists_at_all_is_nothing(self) -> None:
        assert shown(lists()) == {"empty": 0.0, "length": 0.0, "products": 0, "top_share": 0.0}

    def test_of_lists_that_are_all_empty_is_just_that(self) -> None:
        assert shown(lists([], [])) == {
            "empty": 1.0,
            "length": 0.0,
            "products": 0,
            "top_share": 0.0,
        }


class TestWorse:
    @pytest.mark.parametrize(
        ("now", "sign"),
        [
            (changed(empty=0.2), "LISTS_EMPTY"),
            (changed(lists=40), "LISTS_GONE"),
            (changed(length=15.0), "LISTS_CUT"),
            (changed(products=90), "LISTS_NARROW"),
            (changed(top_share=0.95), "LISTS_SAME"),
        ],
    )
    def test_is_each_of_these(self, now: dict[str, Any], sign: str) -> None:
        assert worse(now, WELL, RULE) == (sign,)
        assert sign in WORSE

    @pytest.mark.parametrize(
        "now",
        [
            changed(empty=0.05),
            changed(lists=60),
            changed(length=25.0),
            changed(products=110),
            changed(top_share=0.8),
            changed(lists=300, length=50.0, products=900),
        ],
    )
    def test_is_not_what_comes_and_goes(self, now: dict[str, Any]) -> None:
        assert worse(now, WELL, RULE) == ()

    def test_is_not_what_was_so_before(self) -> None:
        same = changed(empty=0.6, top_share=0.95)
        assert worse(same, same, RULE) == ()

    def test_is_not_the_jump_of_a_tenant_with_few_lists(self) -> None:
        now, before = changed(3, products=2, top_share=1.0), changed(3, products=9, top_share=0.4)
        assert worse(now, before, RULE) == ()

    def test_on_a_first_night_is_only_that_lists_are_empty(self) -> None:
        assert worse(changed(empty=0.2, length=1.0), {}, RULE) == ("LISTS_EMPTY",)

    def test_after_a_night_of_an_older_version_goes_by_their_number(self) -> None:
        assert worse(changed(lists=40), {"lists": 100}, RULE) == ("LISTS_GONE",)
