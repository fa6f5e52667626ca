"""What holds for any tenant's lists, by the way a night goes: train, then rank."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.rank import rank
from factory.train import view
from jobs.evaluate import read_folder
from schema.records import History, Lists
from schema.settings import ListSettings
from tests.factory.build import Bought, catalogue, history
from tests.factory.planted import (
    SMALL,
    WHOLE,
    folder_of,
    listed,
    lists_of,
    model_of,
    tables,
    tonight,
)

CUSTOMERS, PRODUCTS, DAYS = 30, 14, 100
UNSELLABLE = (3, 11)
EAGER = SMALL.model_copy(update={"windows": SMALL.windows.model_copy(update={"min_pairs": 1})})
SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=15)


def told_by(seed: int) -> History:
    """A tenant drawn at random: sparse or dense, steady or bursting, with returns of taste."""
    rng = np.random.default_rng(seed)
    rate = 10 ** rng.uniform(-2.5, -0.3)
    taste = rng.dirichlet(np.full(PRODUCTS, rng.choice([0.1, 1.0, 10.0])), CUSTOMERS)
    begin = int(rng.choice([0, DAYS // 2]))
    rows: list[Bought] = [
        (customer, int(rng.choice(PRODUCTS, p=taste[customer])), day)
        for customer in range(CUSTOMERS)
        for day in range(begin, DAYS)
        if rng.random() < rate
    ]
    return history(rows, CUSTOMERS, PRODUCTS, unsellable=UNSELLABLE)


class TestAnyTenantsLists:
    @FEW
    @given(SEEDS, st.integers(0, 20), st.integers(1, 10), st.integers(1, 10))
    def test_hold_nothing_twice_nothing_unknown_and_nothing_excluded(
        self, seed: int, room: int, new: int, bought: int
    ) -> None:
        told = told_by(seed)
        model = model_of(told, DAYS, EAGER)
        for rule in (
            WHOLE,
            ListSettings(length=new + bought + room, at_least_new=new, at_least_bought=bought),
        ):
            lists = rank(model, told, DAYS, catalogue(told), rule)
            for entries in (*lists.entries, lists.popular):
                shown = [int(n) for n in entries["product"] if n >= 0]
                assert len(set(shown)) == len(shown)
                assert set(shown) <= set(range(PRODUCTS)) - set(UNSELLABLE)
                assert len(shown) == min(rule.length, PRODUCTS - len(UNSELLABLE))

    @FEW
    @given(SEEDS)
    def test_show_probabilities_within_zero_and_one(self, seed: int) -> None:
        lists = lists_of(told_by(seed), DAYS, EAGER)
        for entries in (lists.entries, lists.popular):
            p = entries["probability"][entries["product"] >= 0]
            assert np.isfinite(p).all()
            assert ((p >= 0) & (p <= 1)).all()

    @FEW
    @given(SEEDS)
    def test_come_by_probability_and_ties_by_product_id(self, seed: int) -> None:
        lists = lists_of(told_by(seed), DAYS, EAGER)
        for entries in (*lists.entries, lists.popular):
            shown = entries[entries["product"] >= 0]
            order = [(-float(e["probability"]), int(e["product"])) for e in shown]
            assert order == sorted(order)

    @FEW
    @given(SEEDS)
    def test_are_the_same_bytes_for_the_same_seed(self, seed: int) -> None:
        assert everything(lists_of(told_by(seed), DAYS, EAGER)) == everything(
            lists_of(told_by(seed), DAYS, EAGER)
        )

    @FEW
    @given(SEEDS)
    def test_know_nothing_of_what_happened_from_tonight_on(self, seed: int) -> None:
        told = told_by(seed)
        later = [(c, int((c * 7) % PRODUCTS), DAYS + c % 9) for c in range(CUSTOMERS)]
        rows = list(
            zip(told.customer.tolist(), told.product.tolist(), told.day.tolist(), strict=True)
        )
        more = history([*rows, *later], CUSTOMERS, PRODUCTS, unsellable=UNSELLABLE)
        assert everything(lists_of(more, DAYS, EAGER)) == everything(lists_of(told, DAYS, EAGER))


def everything(lists: Lists) -> tuple[object, ...]:
    return lists.customers, lists.entries.tobytes(), lists.popular.tobytes()


class TestProductsWithTheSameEvidence:
    def test_stand_in_the_order_of_their_ids_where_nobody_ever_bought_them(self) -> None:
        told = told_by(1)
        wide = history(
            zip(told.customer.tolist(), told.product.tolist(), told.day.tolist(), strict=True),
            CUSTOMERS,
            PRODUCTS + 9,
        )
        lists = lists_of(wide, DAYS, EAGER)
        assert model_of(wide, DAYS, EAGER).kind == "als"
        for row in range(len(lists.customers)):
            cold = [n for n in listed(lists, row) if n >= PRODUCTS]
            assert cold == sorted(cold)


class TestADelivery:
    """The order in which rows arrive is nobody's business."""

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_gives_the_same_lists_in_any_order_of_its_rows(self, tmp_path: Path, seed: int) -> None:
        told = told_by(5)
        rows = zip(told.customer.tolist(), told.product.tolist(), told.day.tolist(), strict=True)
        made = tables(list(rows), CUSTOMERS, PRODUCTS, [f"group {n % 3}" for n in range(PRODUCTS)])
        rng = np.random.default_rng(seed)
        shuffled = {name: rows.take(rng.permutation(len(rows))) for name, rows in made.items()}
        assert self.lists(tmp_path / "one", made) == self.lists(tmp_path / "other", shuffled)

    def lists(self, place: Path, made: dict[str, pa.Table]) -> tuple[object, ...]:
        told = read_folder(folder_of(place, made), EAGER, datetime.now(UTC))
        return everything(lists_of(told, tonight(DAYS), EAGER))


BACKGROUND = [(c, (c + 5 * d) % 12, d) for c in range(1, 40) for d in range(c % 6, DAYS, 6)]
"""Thirty-nine customers who come every six days and go round the shelves."""


class TestMoreEvidence:
    """The same rhythm for longer: every ``gap`` days, last bought ``age`` days ago."""

    OWNED, OTHERS = 2, (5, 8)

    def regular(self, times: int, gap: int, age: int) -> History:
        last = DAYS - 1 - age
        mine = [(0, self.OWNED, last - gap * n) for n in range(times)]
        mine += [(0, other, last - n) for n, other in enumerate(self.OTHERS)]
        return history([*BACKGROUND, *mine], 40, 16)

    @settings(max_examples=40)
    @given(st.integers(2, 12), st.integers(1, 12), st.integers(1, 7), st.integers(0, 7))
    def test_never_lowers_an_owned_products_place(
        self, fewer: int, more: int, gap: int, age: int
    ) -> None:
        model = model_of(self.regular(6, 6, 3), DAYS, EAGER)
        places = []
        for times in (fewer, fewer + more):
            told = self.regular(min(times, (DAYS - 1 - age) // gap), gap, age)
            lists = lists_of(told, DAYS, model=model)
            places.append(listed(lists, 0).index(self.OWNED))
        assert places[1] <= places[0]

    def test_of_a_thousand_purchases_stays_first_and_finite(self) -> None:
        """Somebody who bought one product daily for years: no weight runs away."""
        years = 1_100
        rows = [(c, p, d + years - DAYS) for c, p, d in BACKGROUND]
        daily = [(0, self.OWNED, day) for day in range(years)] + [(0, 5, years - 3)]
        told = history([*rows, *daily], 40, 16)
        lists = lists_of(told, years, EAGER)
        assert listed(lists, 0)[0] == self.OWNED
        assert np.isfinite(lists.entries["probability"]).all()
        scene = view(model_of(told, years, EAGER), told, years)
        assert np.isfinite(scene.vectors(np.arange(40))).all()


PRINTED = """
import hashlib
from tests.factory.planted import lists_of
from tests.factory.test_properties import DAYS, EAGER, everything, told_by
print(hashlib.sha256(repr(everything(lists_of(told_by(7), DAYS, EAGER))).encode()).hexdigest())
"""


def test_two_processes_make_the_same_bytes() -> None:
    """Neither the order of a set nor what ran before has a say."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", PRINTED],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
