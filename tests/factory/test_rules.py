"""Lists that the night makes hold whatever a lookup needs to obey the tenant's rules."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from factory.rank import rank
from factory.rules import adjusted, chosen, missed, steering
from factory.top import key_scores, product_numbers
from schema.names import Bought
from schema.records import Entry, Lists
from schema.rules import FIRST_TEN, NO_RULING, Ruling
from schema.settings import ListSettings
from tenants.rules import ordered
from tests.factory.build import catalogue
from tests.factory.test_rank import MODEL, listed, ranked
from tests.factory.test_train import TOLD
from tests.tenants.test_rules import rulings

PRODUCTS = 60
EVERY = np.ones(PRODUCTS, bool)
SHORT = ListSettings(length=24, at_least_new=10, at_least_bought=10)


def chances(customers: int = 3, seed: int = 0) -> NDArray[np.float32]:
    """Distinct probabilities, so that no tie is broken by rounding."""
    rng = np.random.default_rng(seed)
    p = (np.argsort(rng.random((customers, PRODUCTS))) + 1) / (PRODUCTS + 2)
    return np.asarray(p, np.float32)


def bought_by(customers: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    at, product = np.nonzero(np.random.default_rng(seed).random((customers, PRODUCTS)) < 0.4)
    return at, product


class TestAListUnderRules:
    @given(ruling=rulings(PRODUCTS), seed=st.integers(0, 1000))
    def test_gives_the_ten_places_that_the_whole_catalogue_would_give(
        self, ruling: Ruling, seed: int
    ) -> None:
        """New products, bought ones or both; and all ten, where the catalogue has them."""
        p, owned = chances(seed=seed), bought_by(3, seed)
        rules = steering(ruling, EVERY)
        if not rules.reorders:
            return
        lists = product_numbers(chosen(p, owned, rules, SHORT))
        for row in range(3):
            times = np.zeros(PRODUCTS, int)
            times[owned[1][owned[0] == row]] = 1
            everything = sorted(range(PRODUCTS), key=lambda n, r=row: -p[r, n])  # type: ignore[misc]
            mine = [int(n) for n in lists[row] if n >= 0]
            assert len(set(mine)) == len(mine)
            for bought in Bought:
                wanted = {
                    n
                    for n in range(PRODUCTS)
                    if bought is Bought.INCLUDE or (times[n] > 0) is (bought is Bought.ONLY)
                }
                first = [
                    [
                        entry.product
                        for entry in ordered(
                            [
                                Entry(n, -1, float(p[row, n]), times[n], 0, 0, 0)
                                for n in numbers
                                if n in wanted
                            ],
                            ruling,
                        )
                    ][:FIRST_TEN]
                    for numbers in (mine, everything)
                ]
                assert first[0] == first[1]

    @given(ruling=rulings(PRODUCTS), seed=st.integers(0, 1000))
    def test_gives_the_models_own_ten_once_the_rules_that_reorder_are_removed(
        self, ruling: Ruling, seed: int
    ) -> None:
        p = chances(seed=seed)
        rules = steering(ruling, EVERY)
        if not rules.reorders:
            return
        lists = chosen(p, bought_by(3, seed), rules, SHORT)
        for row in range(3):
            allowed = [n for n in np.argsort(-p[row]) if n not in ruling.hidden]
            assert product_numbers(lists)[row][:FIRST_TEN].tolist() == allowed[:FIRST_TEN]
            assert (np.diff(key_scores(lists[row])) <= 0).all()

    def test_is_as_long_as_the_tenant_asked_or_as_its_rules_need(self) -> None:
        free = steering(NO_RULING, EVERY)
        pinned = steering(Ruling(pins=((frozenset({1}), 1),)), EVERY)

        assert free.width(ListSettings()) == 50
        assert pinned.width(ListSettings()) == 52
        assert pinned.width(ListSettings(length=5, at_least_new=1, at_least_bought=1)) == 32


class TestOddsAtRanking:
    def test_are_multiplied_as_a_lookup_does_it_and_the_probabilities_stay(self) -> None:
        p = chances()
        before = p.copy()

        scores = adjusted(p, steering(Ruling(odds={2: 4.0, 9: 0.25}), EVERY))

        assert scores[0, 2] == pytest.approx(4 * p[0, 2] / (1 + 3 * p[0, 2]), rel=1e-6)
        assert scores[1, 9] < p[1, 9]
        assert (np.delete(scores, [2, 9], 1) == np.delete(p, [2, 9], 1)).all()
        assert (p == before).all()


class TestWhatWasMissed:
    def test_counts_lists_where_a_hidden_product_is_better_than_the_tenth(self) -> None:
        p = np.tile(np.linspace(0.9, 0.1, 20, dtype=np.float32), (3, 1))
        p[2, 0] = 0.01
        allowed = np.ones(20, bool)
        allowed[[0, 19]] = False
        rules = replace(steering(Ruling(odds={1: 2.0}), np.ones(20, bool)), allowed=allowed)
        nothing = np.empty(0, np.int64)

        found = missed(p, chosen(p, (nothing, nothing), rules, SHORT), allowed)

        assert found.tolist() == [2, *[0] * 19]

    def test_counts_every_list_that_is_not_full_anyway(self) -> None:
        p = np.full((2, 4), 0.1, np.float32)
        allowed = np.array([True, True, True, False])
        rules = replace(steering(Ruling(odds={1: 2.0}), np.ones(4, bool)), allowed=allowed)
        nothing = np.empty(0, np.int64)

        found = missed(p, chosen(p, (nothing, nothing), rules, SHORT), allowed)

        assert found.tolist() == [0, 0, 0, 2]


def ruled(ruling: Ruling, settings: ListSettings = ListSettings()) -> Lists:  # noqa: B008
    return rank(MODEL, TOLD, 120, catalogue(TOLD), settings, ruling)


def everywhere(lists: Lists) -> set[int]:
    own = {n for row in range(len(lists.customers)) for n in listed(lists, row)}
    return own | {int(n) for n in lists.popular["product"] if n >= 0}


class TestRanking:
    def test_without_rules_is_byte_for_byte_as_before(self) -> None:
        settings = ListSettings(length=12, at_least_new=4, at_least_bought=4)

        assert ruled(NO_RULING, settings).entries.tobytes() == ranked().entries.tobytes()

    def test_lists_no_hidden_product_for_anybody(self) -> None:
        lists = ruled(Ruling(hidden=frozenset({0, 7})))

        assert not {0, 7} & everywhere(lists)

    def test_lists_a_pinned_product_for_everybody_strangers_too(self) -> None:
        settings = ListSettings(length=5, at_least_new=1, at_least_bought=1)
        popular = {int(n) for n in ruled(NO_RULING, settings).popular["product"]}
        [rare, *_] = set(range(20)) - popular

        lists = ruled(Ruling(pins=((frozenset({rare}), 1),)), settings)

        assert all(rare in listed(lists, row) for row in range(len(lists.customers)))
        assert rare in lists.popular["product"]

    def test_shows_the_probability_the_model_was_judged_by_whatever_is_boosted(self) -> None:
        free, boosted = ruled(NO_RULING), ruled(Ruling(odds={3: 100.0, 4: 0.01}))

        for row in range(40):
            shown = [
                {int(e["product"]): float(e["probability"]) for e in lists.entries[row]}
                for lists in (free, boosted)
            ]
            assert shown[0] | shown[1] == shown[1] | shown[0]

    def test_tells_who_missed_what_is_hidden(self) -> None:
        free = ruled(NO_RULING)
        first = free.entries["product"][:, :FIRST_TEN]

        lists = ruled(Ruling(hidden=frozenset({5})))

        assert free.missed is not None
        assert lists.missed is not None
        assert free.missed.sum() == 0
        assert lists.missed[5] == lists.missed.sum() == (first == 5).sum()
