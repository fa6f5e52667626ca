"""Each view of a pair against its formula, computed one cell after the other."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from factory import affinity
from factory.affinity import AFFINITY, Affinities
from factory.evidence import Evidence, as_of
from schema.records import History
from tests.factory.build import Bought, history

DAY, HORIZON = 60, 7
CUSTOMERS, PRODUCTS = 12, 9
EVERYBODY = np.arange(CUSTOMERS)


def rows_of(seed: int = 0) -> list[Bought]:
    """A few dozen purchases; customer 11 and product 8 have none."""
    rng = np.random.default_rng(seed)
    return [
        (int(rng.integers(CUSTOMERS - 1)), int(rng.integers(PRODUCTS - 1)), int(rng.integers(DAY)))
        for _ in range(60)
    ]


def told(seed: int = 0) -> History:
    return history(
        rows_of(seed),
        CUSTOMERS,
        PRODUCTS,
        category=[0, 0, 0, 1, 1, -1, 2, 2, 1],
        segment=[0, 1, 1, -1, 0, 1, 0, -1, 1, 1, 0, 0],
    )


def seen(seed: int = 0) -> Evidence:
    return as_of(told(seed), DAY, HORIZON)


def decayed(seed: int, half_life: float) -> NDArray[np.float64]:
    """(C, P) purchases, each halved every so many horizons."""
    table = np.zeros((CUSTOMERS, PRODUCTS))
    for customer, product, day in set(rows_of(seed)):
        table[customer, product] += 2 ** (-(DAY - day - 1) / (half_life * HORIZON))
    return table


def neighbours(seed: int) -> NDArray[np.float64]:
    """UP-CF: |u ∩ v| / (|u|^¾ |v|^¼), to the power of 4, over what v buys lately."""
    lately, bought = decayed(seed, 2.0), decayed(seed, 2.0) > 0
    found = np.zeros((CUSTOMERS, PRODUCTS))
    for one in range(CUSTOMERS):
        likeness = np.zeros(CUSTOMERS)
        for other in range(CUSTOMERS):
            shared = (bought[one] & bought[other]).sum()
            if one != other and shared:
                size = bought[one].sum() ** 0.75 * bought[other].sum() ** 0.25
                likeness[other] = (shared / size) ** 4
        likeness /= likeness.sum() + 1e-9
        shares = lately / (lately.sum(1, keepdims=True) + 0.5)
        found[one] = np.log(likeness @ shares + 1e-4)
    return found


def category(seed: int) -> NDArray[np.float64]:
    """The category's share of a customer's purchases against its share of all."""
    habit, group = decayed(seed, 6.0), told().category
    found = np.zeros((CUSTOMERS, PRODUCTS))
    for one in range(CUSTOMERS):
        for product in range(PRODUCTS):
            mine = group == group[product]
            usual = habit[:, mine].sum() / habit.sum()
            share = (habit[one, mine].sum() + 2 * usual) / (habit[one].sum() + 2)
            found[one, product] = math.log((share + 1e-4) / (usual + 1e-4))
    return found


def segment(seed: int) -> NDArray[np.float64]:
    """A product's share of a segment's customers, shrunk to its share of all, against that."""
    bought, group = decayed(seed, 2.0) > 0, told().segment
    known = bought.any(1)
    found = np.zeros((CUSTOMERS, PRODUCTS))
    for one in range(CUSTOMERS):
        if group[one] < 0:
            continue
        mine = known & (group == group[one])
        for product in range(PRODUCTS):
            usual = (bought[:, product].sum() + 0.5) / (known.sum() + 1)
            share = (bought[mine, product].sum() + 20 * usual) / (mine.sum() + 20)
            found[one, product] = math.log(share / usual)
    return found


FORMULAS = {"neighbours": neighbours, "category": category, "segment": segment}


class TestAnAffinity:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    @pytest.mark.parametrize("name", AFFINITY)
    def test_is_its_formula_for_every_pair(self, name: str, seed: int) -> None:
        found = Affinities(seen(seed)).of(EVERYBODY)[name]
        assert found.dtype == np.float32
        assert np.allclose(found, FORMULAS[name](seed), rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("name", AFFINITY)
    def test_is_the_same_whoever_is_asked_about_together(self, name: str) -> None:
        prepared = Affinities(seen())
        whole = prepared.of(EVERYBODY)[name]
        for block in (EVERYBODY[:5], EVERYBODY[5:], EVERYBODY[[7]], EVERYBODY[::-1]):
            assert np.allclose(prepared.of(block)[name], whole[block], atol=1e-5)

    def test_is_finite_for_somebody_unknown_and_for_a_product_nobody_bought(self) -> None:
        found = Affinities(seen()).of(EVERYBODY)
        assert all(np.isfinite(table).all() for table in found.values())

    def test_is_finite_where_nothing_ever_happened(self) -> None:
        empty = history([], 3, 4, category=[0, 0, 1, -1], segment=[0, 1, -1])
        found = Affinities(as_of(empty, 10, 7)).of(np.arange(3))
        assert set(found) == set(AFFINITY)
        assert all(np.isfinite(table).all() for table in found.values())

    def test_of_groups_is_absent_where_the_tenant_has_no_groups(self) -> None:
        plain = history(rows_of(), CUSTOMERS, PRODUCTS)
        assert set(Affinities(as_of(plain, DAY, HORIZON)).of(EVERYBODY)) == {"neighbours"}

    def test_of_segments_is_absent_where_there_is_only_one(self) -> None:
        """Everybody in the same group says nothing about anybody."""
        alike = history(rows_of(), CUSTOMERS, PRODUCTS, segment=[0] * CUSTOMERS)
        assert "segment" not in Affinities(as_of(alike, DAY, HORIZON)).of(EVERYBODY)


class TestNeighbours:
    def test_are_other_people(self) -> None:
        """A customer who shares nothing with anybody hears of nothing, least of all from themself."""
        rows = [(0, 0, 50), (0, 1, 55), (1, 2, 50), (2, 2, 55), (2, 3, 51)]
        found = Affinities(as_of(history(rows, 3, 4), DAY, HORIZON)).of(np.arange(3))
        assert found["neighbours"][0] == pytest.approx([math.log(1e-4)] * 4)
        assert found["neighbours"][1].argmax() in (2, 3)
        assert found["neighbours"][1, 3] > math.log(1e-4)

    def test_are_only_customers_who_bought_enough_of_late(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of many customers those who bought most are the ones that the others hear of."""
        monkeypatch.setattr(affinity, "MOST_COMPARED", 1)
        rows = [(0, 0, 50), (1, 0, 50), (1, 1, 58), (1, 2, 59), (2, 0, 50), (2, 3, 51)]
        found = Affinities(as_of(history(rows, 3, 4), DAY, HORIZON)).of(np.arange(3))
        nothing = math.log(1e-4)
        assert found["neighbours"][0, 1] > nothing
        assert found["neighbours"][0, 3] == pytest.approx(nothing)
        assert found["neighbours"][1] == pytest.approx([nothing] * 4)  # the only one compared with

    def test_are_only_the_most_alike_and_those_as_alike_as_they(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(affinity, "NEAREST", 1)
        alike = [(c, p, 50) for c in (0, 1, 2) for p in (0, 1)] + [(1, 2, 55), (2, 3, 55)]
        far = [(3, 0, 50), (3, 4, 55), (3, 5, 56)]
        found = Affinities(as_of(history([*alike, *far], 4, 6), DAY, HORIZON)).of(np.arange(4))
        nothing = math.log(1e-4)
        assert (found["neighbours"][0, [2, 3]] > nothing).all()
        assert found["neighbours"][0, [4, 5]] == pytest.approx([nothing] * 2)
