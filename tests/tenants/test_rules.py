"""Rules over a list at read time: pure, whole, and the same when laid over twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.records import Entry
from schema.rules import NO_RULING, Ruling
from tenants.rules import adjusted, ordered

# product: 0    1    2    3    4    5    6    7
CHANCES = (0.80, 0.70, 0.60, 0.50, 0.40, 0.30, 0.20, 0.10)
LIST = [Entry(n, -1, p, 0, 0, 0, 2) for n, p in enumerate(CHANCES)]


def order(ruling: Ruling) -> list[int]:
    return [entry.product for entry in ordered(LIST, ruling)]


def limits(most: int, *categories: str) -> dict[int, tuple[str, int]]:
    return {n: (category, most) for n, category in enumerate(categories)}


class TestAList:
    def test_without_rules_is_as_it_was(self) -> None:
        assert ordered(LIST, NO_RULING) == LIST

    def test_loses_what_is_hidden(self) -> None:
        assert order(Ruling(hidden=frozenset({0, 3}))) == [1, 2, 4, 5, 6, 7]

    def test_moves_by_odds_and_shows_the_models_own_probability(self) -> None:
        """Odds of 0.5 are 1; tripled they are 3, as those of 0.75."""
        found = ordered(LIST, Ruling(odds={3: 3.0}))

        assert [entry.product for entry in found][:3] == [0, 3, 1]
        assert found[1].probability == 0.50

    def test_moves_what_is_buried_down_and_keeps_it(self) -> None:
        assert order(Ruling(odds={0: 0.001})) == [1, 2, 3, 4, 5, 6, 7, 0]

    def test_begins_with_the_pins_in_their_order(self) -> None:
        assert order(Ruling(pins=((frozenset({6}), 1), (frozenset({4}), 1))))[:3] == [6, 4, 0]

    def test_begins_with_a_customers_best_of_a_pinned_category(self) -> None:
        assert order(Ruling(pins=((frozenset({3, 5, 7}), 2),))) == [3, 5, 0, 1, 2, 4, 6, 7]

    def test_names_the_best_of_a_pinned_category_by_adjusted_odds(self) -> None:
        found = order(Ruling(pins=((frozenset({3, 7}), 1),), odds={3: 0.01}))

        assert found[0] == 7

    def test_shows_a_product_once_that_two_pins_are_about(self) -> None:
        found = order(Ruling(pins=((frozenset({5}), 1), (frozenset({5, 6}), 1))))

        assert found == [5, 6, 0, 1, 2, 3, 4, 7]

    def test_holds_at_most_so_many_of_a_category(self) -> None:
        assert order(Ruling(limits=limits(1, "a", "a", "b", "a", "b", "c"))) == [0, 2, 5, 6, 7]

    def test_counts_a_pin_towards_its_category_but_never_drops_it(self) -> None:
        rules = Ruling(pins=((frozenset({4}), 1), (frozenset({5}), 1)), limits=limits(1, *"aaaaaa"))

        assert order(rules) == [4, 5, 6, 7]


class TestOdds:
    @pytest.mark.parametrize("p", [0.0, 1.0])
    def test_of_certainty_stay(self, p: float) -> None:
        assert adjusted(p, 5.0) == adjusted(p, 0.1) == p

    @given(p=st.floats(0, 1), factor=st.floats(0.001, 1000))
    def test_multiplied_are_those_of_a_probability_that_moved_their_way(
        self, p: float, factor: float
    ) -> None:
        found = adjusted(p, factor)

        assert 0 <= found <= 1
        assert (found - p) * (factor - 1) >= -1e-9


@st.composite
def rulings(draw: st.DrawFn, products: int = 12) -> Ruling:
    """Any rules over a small catalogue."""
    numbers = st.frozensets(st.integers(0, products - 1), max_size=products)
    hidden = draw(numbers)
    pins = draw(st.lists(st.tuples(numbers, st.integers(1, 3)), max_size=3))
    odds = draw(
        st.dictionaries(st.integers(0, products - 1), st.sampled_from([0.01, 0.5, 2.0, 9.0]))
    )
    most = draw(st.integers(1, 3))
    categories = draw(
        st.dictionaries(st.integers(0, products - 1), st.sampled_from("abc"), max_size=products)
    )
    return Ruling(
        hidden=hidden,
        odds=odds,
        pins=tuple((mine - hidden, places) for mine, places in pins if mine - hidden),
        limits={n: (category, most) for n, category in categories.items()},
    )


@st.composite
def lists(draw: st.DrawFn, products: int = 12) -> list[Entry]:
    """Any list over it, by probability and then product, ties among them."""
    chances = draw(
        st.dictionaries(
            st.integers(0, products - 1), st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0])
        )
    )
    entries = [Entry(n, -1, p, 0, 0, 0, 2) for n, p in chances.items()]
    return sorted(entries, key=lambda entry: (-entry.probability, entry.product))


class TestWhateverTheRules:
    @given(entries=lists(), ruling=rulings())
    def test_laid_over_twice_they_change_nothing_more(
        self, entries: list[Entry], ruling: Ruling
    ) -> None:
        once = ordered(entries, ruling)

        assert ordered(once, ruling) == once

    @given(entries=lists(), ruling=rulings())
    def test_nothing_hidden_is_shown_nothing_twice_and_nothing_new(
        self, entries: list[Entry], ruling: Ruling
    ) -> None:
        shown = ordered(entries, ruling)

        assert len({entry.product for entry in shown}) == len(shown)
        assert set(shown) <= set(entries)
        assert not ruling.hidden & {entry.product for entry in shown}

    @given(entries=lists(), ruling=rulings())
    def test_without_a_limit_nothing_else_is_lost(
        self, entries: list[Entry], ruling: Ruling
    ) -> None:
        free = Ruling(ruling.hidden, ruling.odds, ruling.pins)

        kept = {entry for entry in entries if entry.product not in ruling.hidden}
        assert set(ordered(entries, free)) == kept
