from collections.abc import Sequence
from dataclasses import astuple, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import Refused
from schema.names import Bought, Mode, Reason, Status
from schema.records import LINES_FORM, PACKED, Catalogue, Entry, Product, entries, unpacked_lines
from schema.rules import NO_RULING, Ruling
from tenants.answer import (
    MOST,
    Ask,
    Shown,
    answer,
    ask,
    first_lines,
    nothing,
    ready,
    stale_from,
    unsold,
)
from tenants.rules import ordered

WHY = tuple(Reason)
PRODUCTS = tuple(
    Product(f"P-{n}", f"product {n}", "tools", 1.5 * n, Status.SELLABLE.value) for n in range(60)
)
PUBLISHED = datetime(2026, 4, 1, 0, 14, 9, tzinfo=UTC)
SHOWN = Shown(edition=31, model=12, published_at=PUBLISHED, products=PRODUCTS)


def catalogue(products: Sequence[Product]) -> Catalogue:
    return Catalogue(astuple(product) for product in products)


def packed(places: Sequence[Entry]) -> bytes:
    return b"".join(PACKED.pack(*place) for place in places)


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
    shown: Shown = SHOWN,
    popular: Sequence[Entry] = (),
    products: Sequence[Product] = PRODUCTS,
    ruling: Ruling = NO_RULING,
    stale: bool = False,
) -> dict[str, Any]:
    """The answer, read back from its JSON; what can be sold is as the products say."""
    known = catalogue(products)
    shown = replace(
        shown,
        products=known,
        popular=packed(popular),
        unsold=unsold(known, None),
        ruling=ruling,
        _words={},
    )
    own = None if personal is None else packed(personal)
    body: dict[str, Any] = orjson.loads(
        answer("acme", "C-1", mode, shown, own, asked or Ask(), stale=stale)
    )
    return body


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
            "stale": False,
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


class TestTheCatalogueOfNow:
    """It wins over what the edition's night knew."""

    KNOWN = catalogue(
        (
            Product("P-0", None, None, None, Status.SELLABLE.value),
            Product("P-1", None, None, None, Status.OUT_OF_STOCK.value),
            Product("P-2", None, None, None, Status.DISCONTINUED.value),
        )
    )

    @pytest.mark.parametrize(
        ("sellable", "hidden"),
        [
            (None, {1, 2}),
            (frozenset({"P-0", "P-1", "P-2"}), set()),
            (frozenset({"P-1", "new"}), {0, 2}),
            (frozenset(), {0, 1, 2}),
        ],
    )
    def test_says_what_can_be_sold_and_the_night_does_where_there_is_none(
        self, sellable: frozenset[str] | None, hidden: set[int]
    ) -> None:
        assert unsold(self.KNOWN, sellable) == hidden

    def test_of_an_edition_without_products_hides_nothing(self) -> None:
        assert unsold(catalogue(()), frozenset({"P-0"})) == unsold(catalogue(()), None) == set()


class TestACategory:
    MIXED_UP = tuple(
        replace(product, category=("even", "odd", None)[n % 3])
        for n, product in enumerate(PRODUCTS)
    )

    def test_that_was_asked_for_is_all_there_is_in_the_same_order(self) -> None:
        whole = answered(asked=Ask(MOST), products=self.MIXED_UP)["recommendations"]
        part = answered(asked=Ask(MOST, category="odd"), products=self.MIXED_UP)["recommendations"]

        assert [line["product_id"] for line in part] == [
            line["product_id"] for line in whole if line["category"] == "odd"
        ]
        assert [line["rank"] for line in part] == list(range(1, len(part) + 1))

    def test_leaves_the_list_full_as_long_as_there_are_products(self) -> None:
        assert (
            len(shown_ids(answered(asked=Ask(10, category="even"), products=self.MIXED_UP))) == 10
        )

    def test_holds_for_strangers_and_beside_what_was_bought_before(self) -> None:
        asked = Ask(MOST, Bought.EXCLUDE, "even")

        lines = answered(None, asked, popular=MIXED, products=self.MIXED_UP)["recommendations"]

        assert lines
        assert {(line["category"], line["bought_before"]) for line in lines} == {("even", False)}

    def test_shows_nothing_that_is_hidden(self) -> None:
        asked = Ask(MOST, category="even")
        first, *rest = shown_ids(answered(asked=asked, products=self.MIXED_UP))
        rules = Ruling(hidden=frozenset({int(first.removeprefix("P-"))}))

        assert shown_ids(answered(asked=asked, products=self.MIXED_UP, ruling=rules)) == rest

    def test_may_be_empty_for_this_customer(self) -> None:
        only = [place(n) for n in range(0, 30, 3)]

        assert shown_ids(answered(only, Ask(10, category="odd"), products=self.MIXED_UP)) == []

    @pytest.mark.parametrize(
        "word", ["", "Even", "even ", "tools", "null", "None", "%", "x" * 9999, '"', "\x00", "偶"]
    )
    def test_that_no_product_has_is_refused(self, word: str) -> None:
        with pytest.raises(Refused, match="there is no category") as told:
            answered(asked=Ask(10, category=word), products=self.MIXED_UP)

        assert told.value.code == "CATEGORY"
        assert len(told.value.what) < 400


class TestAnEditionsAge:
    NIGHT = date(2026, 3, 27)  # Europe changes its clocks on the 29th
    ZURICH = ZoneInfo("Europe/Zurich")

    def test_counts_from_its_nights_beginning_where_the_tenant_is(self) -> None:
        assert stale_from(self.NIGHT, 1, self.ZURICH) == datetime(2026, 3, 27, 23, tzinfo=UTC)
        assert stale_from(self.NIGHT, 3, self.ZURICH) == datetime(2026, 3, 29, 22, tzinfo=UTC)
        assert stale_from(self.NIGHT, 0.5, ZoneInfo("UTC")) == datetime(2026, 3, 27, 12, tzinfo=UTC)

    def test_makes_it_stale_from_the_limit_on(self) -> None:
        limit = stale_from(self.NIGHT, 3, self.ZURICH)
        shown = replace(SHOWN, stale_from=limit)

        assert not shown.stale(limit.astimezone(UTC) - timedelta(microseconds=1))
        assert shown.stale(limit.astimezone(UTC))

    def test_does_not_matter_where_there_is_no_limit(self) -> None:
        assert not SHOWN.stale(datetime.max.replace(tzinfo=UTC))

    @pytest.mark.parametrize("mode", [Mode.ON, Mode.FREEZE])
    def test_is_told_and_changes_nothing_else(self, mode: Mode) -> None:
        assert answered(mode=mode, stale=True) == {**answered(mode=mode), "stale": True}


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
        body = orjson.loads(nothing("acme", "C-1"))

        assert body == {
            "tenant": "acme",
            "customer": "C-1",
            "mode": "off",
            "bought": None,
            "source": None,
            "edition": None,
            "model": None,
            "published_at": None,
            "stale": None,
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


def span(days: int) -> str:
    """A time as a person says it, put together the slow way."""
    number, unit = (
        (days, "day")
        if days < 14
        else (round(days / 7), "week")
        if days < 60
        else (round(days / 30.4), "month")
    )
    return f"{number} {unit}{'' if number == 1 else 's'}"


def spoken(entry: Entry, shown: Shown) -> dict[str, Any]:
    """A reason, put together the slow way."""
    kind, product = WHY[entry.reason], shown.products[entry.product]
    if kind is Reason.REORDER:
        text = f"Bought {'once' if entry.times == 1 else f'{entry.times} times'}"
        if entry.times > 2 and entry.every_days:
            text += f", usually every {span(entry.every_days)}"
        text += ", last " + ("yesterday" if entry.days_ago == 1 else f"{span(entry.days_ago)} ago")
        return {"kind": kind.value, "because": [product.product_id], "text": text}
    if kind is Reason.SIMILAR:
        seed = shown.products[entry.because]
        text = f"Goes with {seed.name or seed.product_id}, bought before"
        return {"kind": kind.value, "because": [seed.product_id], "text": text}
    if kind is Reason.SEGMENT:
        text = f"Popular with customers in {shown.segments[entry.because]}"
        return {"kind": kind.value, "because": [], "text": text}
    return {"kind": kind.value, "because": [], "text": "Popular with other customers now"}


def plainly(
    tenant: str,
    customer: str,
    mode: Mode,
    shown: Shown,
    personal: bytes | None,
    asked: Ask,
    *,
    stale: bool,
) -> dict[str, Any]:
    """What ``answer`` promises, as anybody would write it who has time."""
    bought = asked.bought or shown.bought
    left = [
        entry
        for entry in entries(shown.popular if personal is None else personal)
        if entry.product not in shown.unsold
        and (bought is Bought.INCLUDE or (entry.times > 0) == (bought is Bought.ONLY))
        and asked.category in (None, shown.products[entry.product].category)
    ]
    return {
        "tenant": tenant,
        "customer": customer,
        "mode": mode.value,
        "bought": bought.value,
        "source": "popular" if personal is None else "personal",
        "edition": shown.edition,
        "model": shown.model,
        "published_at": shown.published_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "stale": stale,
        "recommendations": [
            {
                "rank": rank,
                "product_id": shown.products[entry.product].product_id,
                "name": shown.products[entry.product].name,
                "category": shown.products[entry.product].category,
                "price": shown.products[entry.product].price,
                "probability": round(entry.probability, 5),
                "bought_before": entry.times > 0,
                "reason": spoken(entry, shown),
            }
            for rank, entry in enumerate(ordered(left, shown.ruling)[: asked.limit], start=1)
        ],
    }


WORDS = st.text(max_size=12) | st.sampled_from(
    (
        '"',
        "\\",
        "\\u0000",
        "\x00\x1f\x7f",
        "</script>",
        "\u2028\ufeff",
        "🦆\U0010ffff",
        "{0}%s",
        "null",
    )
)
"""Whatever a tenant may call things; no lone surrogates, which neither UTF-8 nor a file can hold."""
CATALOGUES = st.lists(
    st.builds(
        Product,
        product_id=WORDS,
        name=st.none() | WORDS,
        category=st.none() | WORDS,
        price=st.none() | st.floats(0, 1e12),
        status=st.sampled_from([status.value for status in Status]),
    ),
    min_size=1,
    max_size=6,
)
SEGMENTS = st.lists(WORDS, min_size=1, max_size=3)


@st.composite
def lists(draw: st.DrawFn, products: int, segments: int) -> bytes:
    """A packed list: every product at most once, whatever else it says."""
    places = []
    for product in draw(st.permutations(range(products)))[: draw(st.integers(0, products))]:
        kind = draw(st.sampled_from(WHY))
        because = draw(st.integers(0, (segments if kind is Reason.SEGMENT else products) - 1))
        chance = draw(st.floats(0, 1, width=32))
        times, ago, every = (draw(st.integers(0, 2**16 - 1)) for _ in range(3))
        places.append(Entry(product, because, chance, times, ago, every, WHY.index(kind)))
    return packed(places)


@st.composite
def rulings(draw: st.DrawFn, products: int) -> Ruling:
    some = st.frozensets(st.integers(0, products - 1))
    pins = st.lists(st.tuples(some, st.integers(1, 3)), max_size=2).map(tuple)
    odds = st.dictionaries(st.integers(0, products - 1), st.floats(0.001, 1000))
    return draw(st.just(NO_RULING) | st.builds(Ruling, hidden=some, pins=pins, odds=odds))


class TestTheTextOfAnAnswer:
    @given(data=st.data(), products=CATALOGUES, segments=SEGMENTS)
    def test_is_json_that_says_what_it_should_whatever_things_are_called(
        self, data: st.DataObject, products: list[Product], segments: list[str]
    ) -> None:
        known = catalogue(products)
        some = lists(len(products), len(segments))
        shown = Shown(
            data.draw(st.integers(0, 2**31)),
            data.draw(st.integers(0, 2**31)),
            data.draw(st.datetimes(datetime(1970, 1, 1))),
            known,
            data.draw(some),
            segments,
            data.draw(st.sampled_from(Bought)),
            unsold=unsold(known, data.draw(st.none() | st.frozensets(st.sampled_from(known.ids)))),
            ruling=data.draw(rulings(len(products))),
        )
        categories = sorted(shown.categories)
        for _ in range(2):  # the second is made from words that the first has left
            asked = Ask(
                data.draw(st.integers(1, MOST)),
                data.draw(st.none() | st.sampled_from(Bought)),
                data.draw(st.sampled_from([None, *categories])),
            )
            own = data.draw(st.none() | some)
            whose, mode = (data.draw(WORDS), data.draw(WORDS)), data.draw(st.sampled_from(Mode))
            stale = data.draw(st.booleans())

            body = answer(*whose, mode, shown, own, asked, stale=stale)

            assert orjson.loads(body) == plainly(*whose, mode, shown, own, asked, stale=stale)

    @given(tenant=WORDS, customer=WORDS)
    def test_of_a_tenant_that_is_off_is_json_as_well(self, tenant: str, customer: str) -> None:
        body = orjson.loads(nothing(tenant, customer))

        assert (body["tenant"], body["customer"]) == (tenant, customer)

    @pytest.mark.parametrize("body", [rb'["\ud800"]', b'["\xed\xa0\x80"]'])
    def test_needs_no_care_for_lone_surrogates_because_no_edition_can_hold_one(
        self, body: bytes
    ) -> None:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(body)


class TestLinesTheNightHasMade:
    @given(data=st.data(), products=CATALOGUES, segments=SEGMENTS, bought=st.sampled_from(Bought))
    def test_give_the_same_bytes_as_a_lookup_would(
        self, data: st.DataObject, products: list[Product], segments: list[str], bought: Bought
    ) -> None:
        copies = data.draw(st.integers(1, 3))  # so that there are lists of more than ten
        known = catalogue(products * copies)
        own = data.draw(lists(len(known), len(segments)))
        hidden = st.frozensets(st.integers(0, len(known) - 1), max_size=2)
        ruling = data.draw(rulings(len(known)))
        shown = Shown(
            1, 1, PUBLISHED, known, own, segments, bought, unsold=data.draw(hidden), ruling=ruling
        )
        limit, category = data.draw(st.sampled_from((10, 10, 9, 50))), None
        if shown.categories:
            category = data.draw(st.sampled_from([None, None, *sorted(shown.categories)]))
        asked = Ask(limit, data.draw(st.sampled_from([None, *Bought])), category)

        [first] = first_lines(products * copies, segments, bought)([own])
        lines = ready(first, shown, asked)

        for personal in (own, None):  # the popular list is the same one here
            plain = answer("t", "c", Mode.ON, shown, personal, asked, stale=False)
            quick = answer("t", "c", Mode.ON, shown, personal, asked, stale=False, lines=lines)
            assert quick == plain

    @pytest.mark.parametrize("bought", Bought)
    def test_are_shown_where_nothing_speaks_against_them(self, bought: Bought) -> None:
        shown = replace(SHOWN, bought=bought, unsold=frozenset({59}))
        first, empty = first_lines(PRODUCTS, (), bought)([packed(MIXED), b""])

        assert ready(first, shown, Ask()) == ready(first, shown, Ask(10, bought)) is not None
        assert ready(empty, shown, Ask()) == b""

    @pytest.mark.parametrize(
        ("asked", "changed"),
        [
            (Ask(9), {}),
            (Ask(11), {}),
            (Ask(bought=Bought.ONLY), {}),
            (Ask(category="tools"), {}),
            (Ask(), {"unsold": frozenset({FRESH[0].product})}),
            (Ask(), {"ruling": Ruling(hidden=frozenset({OWNED[4].product}))}),
            (Ask(), {"ruling": Ruling(odds={59: 2.0})}),
        ],
        ids=["fewer", "more", "bought", "category", "unsold", "hidden", "reordered"],
    )
    def test_are_not_shown_where_something_does(self, asked: Ask, changed: dict[str, Any]) -> None:
        [first] = first_lines(PRODUCTS, (), Bought.INCLUDE)([packed(MIXED)])

        assert ready(first, replace(SHOWN, **changed), asked) is None

    @pytest.mark.parametrize("bought", Bought)
    def test_are_the_same_however_many_lists_are_made_at_once(self, bought: Bought) -> None:
        lists = [packed(MIXED), b"", packed(FRESH), packed(OWNED), packed(MIXED[:3])]
        lines = first_lines(PRODUCTS, (), bought)

        assert lines(lists) == [first for body in lists for first in lines([body])]
        assert lines([]) == []

    def test_of_another_form_are_not_shown(self) -> None:
        [first] = first_lines(PRODUCTS, (), Bought.INCLUDE)([packed(MIXED)])

        assert ready(bytes((LINES_FORM + 1,)) + first[1:], SHOWN, Ask()) is None

    def test_look_as_their_form_says(self) -> None:
        """Where this changes, LINES_FORM has to: older editions hold lines as they were."""
        places = [
            place(0),
            place(1, times=3, days_ago=20, every_days=70),
            place(2, because=1, reason=WHY.index(Reason.SIMILAR)),
            place(3, because=0, reason=WHY.index(Reason.SEGMENT)),
        ]
        [first] = first_lines(PRODUCTS, ("bars",), Bought.INCLUDE)([packed(places)])
        found = unpacked_lines(first)

        assert LINES_FORM == 1
        assert found is not None
        assert found[0] == (0, 1, 2, 3)
        assert found[1].decode().replace("},{", "},\n{").split("\n") == [
            '{"rank":1,"product_id":"P-0","name":"product 0","category":"tools","price":0.0,"probability":0.50000,'
            '"bought_before":false,"reason":{"kind":"popular","because":[],"text":"Popular with other customers now"}},',
            '{"rank":2,"product_id":"P-1","name":"product 1","category":"tools","price":1.5,"probability":0.50000,'
            '"bought_before":true,"reason":{"kind":"reorder","because":["P-1"],"text":"Bought 3 times, usually every 2 months, last 3 weeks ago"}},',
            '{"rank":3,"product_id":"P-2","name":"product 2","category":"tools","price":3.0,"probability":0.50000,'
            '"bought_before":false,"reason":{"kind":"similar","because":["P-1"],"text":"Goes with product 1, bought before"}},',
            '{"rank":4,"product_id":"P-3","name":"product 3","category":"tools","price":4.5,"probability":0.50000,'
            '"bought_before":false,"reason":{"kind":"segment","because":[],"text":"Popular with customers in bars"}}',
        ]
