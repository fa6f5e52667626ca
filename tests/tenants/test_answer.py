from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import Refused
from schema.names import Bought, Mode, Reason, Status
from schema.records import Entry, Product
from schema.rules import NO_RULING, Ruling
from tenants.answer import MOST, Ask, Shown, answer, ask

SHOWN = Shown(edition=31, model=12, published_at=datetime(2026, 4, 1, 0, 14, 9, tzinfo=UTC))
WHY = tuple(Reason)
PRODUCTS = tuple(
    Product(f"P-{n}", f"product {n}", "tools", 1.5 * n, Status.SELLABLE.value) for n in range(60)
)


def place(product: int, **fields: Any) -> Entry:
    """One place on a list; of a product never bought, popular, unless said otherwise."""
    known = {"because": -1, "probability": 0.5, "times": 0, "days_ago": 0, "every_days": 0}
    reason = WHY.index(Reason.REORDER if fields.get("times") else Reason.POPULAR)
    return Entry(**{"product": product, **known, "reason": reason, **fields})


FRESH = [place(n) for n in range(0, 40, 2)]
OWNED = [place(n, times=2, days_ago=3, every_days=9) for n in range(1, 41, 2)]
MIXED = [entry for pair in zip(FRESH, OWNED, strict=True) for entry in pair]


def answered(
    personal: Sequence[Entry] | None = MIXED,
    asked: Ask | None = None,
    *,
    mode: Mode = Mode.ON,
    shown: Shown | None = SHOWN,
    popular: Sequence[Entry] = (),
    products: Sequence[Product] = PRODUCTS,
    ruling: Ruling = NO_RULING,
) -> dict[str, Any]:
    return answer(
        "acme", "C-1", mode, shown, personal, popular, products, asked or Ask(), ruling
    )  # fmt: skip


def shown_ids(body: dict[str, Any]) -> list[str]:
    return [line["product_id"] for line in body["recommendations"]]


def reason(entry: Entry, products: Sequence[Product] = PRODUCTS) -> dict[str, Any]:
    found: dict[str, Any] = answered([entry], products=products)["recommendations"][0]["reason"]
    return found


class TestAnAsk:
    @pytest.mark.parametrize("limit", [1, 10, MOST])
    def test_may_be_for_1_to_50_products(self, limit: int) -> None:
        assert ask(limit, "include").limit == limit

    @pytest.mark.parametrize("limit", [-1, 0, MOST + 1, 10**30])
    def test_for_another_number_is_refused(self, limit: int) -> None:
        with pytest.raises(Refused, match="outside 1 to 50") as told:
            ask(limit, "include")

        assert told.value.code == "LIMIT"

    @pytest.mark.parametrize("word", ["", "Include", "maybe", "only ", "x" * 9999])
    def test_with_an_unknown_word_is_refused_and_told_the_right_ones(self, word: str) -> None:
        with pytest.raises(Refused, match="include, exclude, only") as told:
            ask(10, word)

        assert told.value.code == "BOUGHT"
        assert len(told.value.what) < 200

    @pytest.mark.parametrize("word", list(Bought))
    def test_knows_these_words(self, word: Bought) -> None:
        assert ask(10, word.value).bought is word


class TestAnAnswer:
    def test_says_whose_it_is_and_where_it_comes_from(self) -> None:
        body = answered()

        facts = {name: value for name, value in body.items() if name != "recommendations"}
        assert facts == {
            "tenant": "acme",
            "customer": "C-1",
            "mode": "on",
            "bought": "include",
            "source": "personal",
            "edition": 31,
            "model": 12,
            "published_at": "2026-04-01T00:14:09Z",
        }

    def test_shows_a_product_as_its_edition_has_it(self) -> None:
        line = answered([place(4, probability=0.1234567)])["recommendations"][0]

        assert line == {
            "rank": 1,
            "product_id": "P-4",
            "name": "product 4",
            "category": "tools",
            "price": 6.0,
            "probability": 0.12346,
            "bought_before": False,
            "reason": {
                "kind": "popular",
                "because": [],
                "text": "Popular with other customers now",
            },
        }

    def test_is_the_customers_own_list_in_its_order(self) -> None:
        assert shown_ids(answered(asked=Ask(4))) == ["P-0", "P-1", "P-2", "P-3"]

    @pytest.mark.parametrize("limit", [1, 10, 40])
    def test_holds_as_many_products_as_were_asked_for(self, limit: int) -> None:
        assert len(shown_ids(answered(asked=Ask(limit)))) == limit

    def test_holds_fewer_where_the_list_has_no_more(self) -> None:
        assert len(shown_ids(answered([place(1)], Ask(10)))) == 1

    @given(limit=st.integers(1, MOST), bought=st.sampled_from(Bought))
    def test_ranks_from_1_without_a_gap(self, limit: int, bought: Bought) -> None:
        lines = answered(asked=Ask(limit, bought))["recommendations"]

        assert [line["rank"] for line in lines] == list(range(1, len(lines) + 1))

    def test_tells_what_was_bought_before(self) -> None:
        lines = answered(asked=Ask(2))["recommendations"]

        assert [line["bought_before"] for line in lines] == [False, True]


class TestProductsBoughtBefore:
    def test_are_mixed_in_where_they_are_included(self) -> None:
        assert shown_ids(answered(asked=Ask(3, Bought.INCLUDE))) == ["P-0", "P-1", "P-2"]

    def test_are_left_out_where_they_are_excluded_and_the_list_stays_full(self) -> None:
        body = answered(asked=Ask(10, Bought.EXCLUDE))

        assert shown_ids(body) == [f"P-{n}" for n in range(0, 20, 2)]

    def test_are_all_there_is_where_only_they_were_asked_for(self) -> None:
        body = answered(asked=Ask(10, Bought.ONLY))

        assert shown_ids(body) == [f"P-{n}" for n in range(1, 21, 2)]

    @given(limit=st.integers(1, MOST))
    def test_and_new_ones_together_are_everything(self, limit: int) -> None:
        new, old, both = (
            shown_ids(answered(asked=Ask(MOST, bought)))
            for bought in (Bought.EXCLUDE, Bought.ONLY, Bought.INCLUDE)
        )

        assert set(new) | set(old) == set(both)
        assert not set(new) & set(old)


class TestWithoutAWordAboutProductsBoughtBefore:
    @pytest.mark.parametrize("default", [Bought.INCLUDE, Bought.EXCLUDE])
    def test_the_editions_own_default_holds_and_is_told(self, default: Bought) -> None:
        shown = replace(SHOWN, bought=default)

        body = answered(asked=Ask(10), shown=shown)

        assert body["bought"] == default.value
        assert shown_ids(body) == shown_ids(answered(asked=Ask(10, default)))

    @pytest.mark.parametrize("asked", list(Bought))
    def test_but_a_lookup_that_says_it_gets_what_it_asked_for(self, asked: Bought) -> None:
        shown = replace(SHOWN, bought=Bought.EXCLUDE)

        body = answered(asked=Ask(10, asked), shown=shown)

        assert body["bought"] == asked.value
        assert shown_ids(body) == shown_ids(answered(asked=Ask(10, asked)))


class TestRulesOverAnAnswer:
    def test_hold_and_the_list_stays_full(self) -> None:
        rules = Ruling(hidden=frozenset({0}), pins=((frozenset({30}), 1),))

        body = answered(asked=Ask(10), ruling=rules)

        assert shown_ids(body) == ["P-30", *(f"P-{n}" for n in range(1, 10))]
        assert [line["rank"] for line in body["recommendations"]] == list(range(1, 11))

    def test_hold_for_strangers_too(self) -> None:
        body = answered(None, popular=FRESH, ruling=Ruling(hidden=frozenset({0})))

        assert shown_ids(body)[0] == "P-2"

    def test_pin_nothing_that_cannot_be_sold_or_was_not_asked_for(self) -> None:
        gone = Product("P-1", None, None, None, Status.OUT_OF_STOCK.value)
        rules = Ruling(pins=((frozenset({1}), 1), (frozenset({3}), 1)))

        shown = shown_ids(answered(products=(PRODUCTS[0], gone, *PRODUCTS[2:]), ruling=rules))
        new = shown_ids(answered(asked=Ask(10, Bought.EXCLUDE), ruling=rules))

        assert shown[0] == "P-3"
        assert "P-1" not in shown
        assert not {"P-1", "P-3"} & set(new)


class TestAProductThatCannotBeSold:
    @pytest.mark.parametrize("status", [Status.OUT_OF_STOCK, Status.DISCONTINUED])
    def test_disappears_and_the_list_stays_full(self, status: Status) -> None:
        gone = Product("P-1", "product 1", None, None, status.value)
        products = (PRODUCTS[0], gone, *PRODUCTS[2:])

        body = answered(asked=Ask(10), products=products)

        assert shown_ids(body) == ["P-0", *(f"P-{n}" for n in range(2, 11))]
        assert [line["rank"] for line in body["recommendations"]] == list(range(1, 11))

    def test_disappears_from_the_popular_list_as_well(self) -> None:
        gone = Product("P-0", None, None, None, Status.DISCONTINUED.value)

        body = answered(None, popular=FRESH, products=(gone, *PRODUCTS[1:]))

        assert "P-0" not in shown_ids(body)
        assert len(shown_ids(body)) == 10


class TestAStranger:
    def test_gets_the_popular_list_marked_so(self) -> None:
        body = answered(None, popular=FRESH)

        assert body["source"] == "popular"
        assert shown_ids(body) == [f"P-{n}" for n in range(0, 20, 2)]

    def test_has_bought_nothing_before(self) -> None:
        assert shown_ids(answered(None, Ask(10, Bought.ONLY), popular=FRESH)) == []

    def test_is_not_somebody_whose_own_list_is_empty(self) -> None:
        body = answered([], popular=FRESH)

        assert body["source"] == "personal"
        assert shown_ids(body) == []


class TestATenantThatIsOff:
    def test_shows_nothing_and_names_no_edition(self) -> None:
        body = answered(MIXED, mode=Mode.OFF, shown=None, popular=FRESH)

        assert body == {
            "tenant": "acme",
            "customer": "C-1",
            "mode": "off",
            "bought": None,
            "source": None,
            "edition": None,
            "model": None,
            "published_at": None,
            "recommendations": [],
        }

    def test_is_not_one_that_is_frozen(self) -> None:
        body = answered(mode=Mode.FREEZE)

        assert body["mode"] == "freeze"
        assert len(shown_ids(body)) == 10


class TestAReason:
    """A salesperson says it aloud: it has to be true."""

    @pytest.mark.parametrize(
        ("times", "days_ago", "every_days", "text"),
        [
            (1, 1, 0, "Bought once, last yesterday"),
            (1, 31, 0, "Bought once, last 4 weeks ago"),
            (2, 5, 12, "Bought 2 times, last 5 days ago"),
            (6, 49, 35, "Bought 6 times, usually every 5 weeks, last 7 weeks ago"),
            (3, 2, 1, "Bought 3 times, usually every 1 day, last 2 days ago"),
            (4, 13, 59, "Bought 4 times, usually every 8 weeks, last 13 days ago"),
            (4, 60, 100, "Bought 4 times, usually every 3 months, last 2 months ago"),
        ],
    )
    def test_to_buy_again_counts_days_and_dates(
        self, times: int, days_ago: int, every_days: int, text: str
    ) -> None:
        told = reason(place(7, times=times, days_ago=days_ago, every_days=every_days))

        assert told == {"kind": "reorder", "because": ["P-7"], "text": text}

    def test_names_no_interval_where_none_is_known(self) -> None:
        told = reason(place(7, times=5, days_ago=4, every_days=0))

        assert "every 0 days" not in told["text"]

    def test_of_likeness_names_the_product_bought_before(self) -> None:
        told = reason(place(7, because=3, reason=WHY.index(Reason.SIMILAR)))

        assert told == {
            "kind": "similar",
            "because": ["P-3"],
            "text": "Goes with product 3, bought before",
        }

    def test_of_likeness_names_the_id_where_the_product_has_no_name(self) -> None:
        nameless = Product("P-3", None, None, None, Status.DISCONTINUED.value)
        products = (*PRODUCTS[:3], nameless, *PRODUCTS[4:])

        told = reason(place(7, because=3, reason=WHY.index(Reason.SIMILAR)), products)

        assert told["text"] == "Goes with P-3, bought before"

    def test_of_the_customers_own_kind_names_the_segment(self) -> None:
        shown = replace(SHOWN, segments=("farms", "schools"))
        segment = place(7, because=1, reason=WHY.index(Reason.SEGMENT))

        told = answered([segment], shown=shown)["recommendations"][0]["reason"]

        assert told == {
            "kind": "segment",
            "because": [],
            "text": "Popular with customers in schools",
        }

    def test_of_popularity_names_no_product(self) -> None:
        told = reason(place(7))

        assert told == {
            "kind": "popular",
            "because": [],
            "text": "Popular with other customers now",
        }
