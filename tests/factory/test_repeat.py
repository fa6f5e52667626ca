"""Whether lookups show what was bought before: measured, decided, and overruled by the tenant."""

import pytest

from factory.repeat import LEAST_RATE, bought_before
from schema.names import Bought
from schema.records import History, Windows
from tests.factory.build import history

WINDOWS = Windows(days=10, tonight=100, teach=(80,))
"""The judge window is [90, 100)."""


def told(again: int, new: int) -> History:
    """One customer who knows products 0 … 9, and buys so many of them again and so many others."""
    before = [(0, product, 10) for product in range(20)]
    repeats = [(0, product, 95) for product in range(again)]
    return history([*before, *repeats, *((0, 20 + n, 95) for n in range(new))], 1, 60)


class TestTheRepeatRate:
    def test_is_the_share_of_bought_pairs_that_were_bought_before(self) -> None:
        found = bought_before(told(again=3, new=9), WINDOWS, "auto")

        assert (found.rate, found.pairs) == (0.25, 12)

    def test_counts_a_pair_once_however_often_it_is_bought(self) -> None:
        rows = [(0, 1, 10), (0, 1, 91), (0, 1, 95), (0, 2, 93), (0, 2, 97)]

        assert bought_before(history(rows, 1, 3), WINDOWS, "auto").rate == 0.5

    def test_leaves_out_customers_who_were_unknown_when_the_window_began(self) -> None:
        rows = [(0, 1, 10), (0, 1, 95), (1, 1, 95), (1, 2, 96)]

        found = bought_before(history(rows, 2, 3), WINDOWS, "auto")

        assert (found.rate, found.pairs) == (1.0, 1)

    def test_does_not_count_a_look_as_a_purchase(self) -> None:
        rows = [(0, 1, 10), (0, 1, 95), (0, 2, 5), (0, 2, 95)]
        looked = history(rows, 1, 3, weights=[1, 1, 0.1, 1])

        assert bought_before(looked, WINDOWS, "auto").rate == 0.5

    def test_knows_nothing_of_tonight_and_later(self) -> None:
        rows = [(0, 1, 10), (0, 1, 95), (0, 2, 100), (0, 3, 101)]

        assert bought_before(history(rows, 1, 4), WINDOWS, "auto").rate == 1.0


class TestADecision:
    @pytest.mark.parametrize(
        ("again", "new", "decided"),
        [
            (0, 20, Bought.EXCLUDE),
            (1, 19, Bought.EXCLUDE),
            (2, 18, Bought.INCLUDE),
            (9, 1, Bought.INCLUDE),
        ],
    )
    def test_leaves_bought_products_out_where_hardly_anybody_buys_them_again(
        self, again: int, new: int, decided: Bought
    ) -> None:
        found = bought_before(told(again, new), WINDOWS, "auto")

        assert (found.decided, found.by) == (decided, "auto")
        assert (found.decided is Bought.EXCLUDE) is (again / 20 < LEAST_RATE)

    def test_includes_them_where_nothing_can_be_measured(self) -> None:
        found = bought_before(told(0, 20), None, "auto")

        assert (found.decided, found.rate, found.pairs) == (Bought.INCLUDE, None, 0)

    def test_includes_them_where_nobody_bought_anything(self) -> None:
        assert bought_before(history([], 1, 1), WINDOWS, "auto").decided is Bought.INCLUDE

    def test_is_the_tenants_own_where_it_chose_and_the_rate_is_told_all_the_same(self) -> None:
        found = bought_before(told(again=3, new=9), WINDOWS, "exclude")

        assert (found.decided, found.by, found.rate) == (Bought.EXCLUDE, "setting", 0.25)
