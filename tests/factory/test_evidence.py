import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.evidence import HALF_LIVES, as_of, bought_between, fading, taste, usual_interval
from schema.records import History
from tests.factory.build import history

TOLD = history([(0, 0, 1), (0, 0, 5), (0, 2, 5), (1, 0, 8), (1, 1, 10)], 3, 3)
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 40)), max_size=30, unique=True
)


def looked_at(rows: list[tuple[int, int, int]]) -> History:
    """Every third row is interest only."""
    told = sorted(rows)
    return history(told, 4, 5, weights=[0.3 if n % 3 == 2 else 1.0 for n in range(len(told))])


class TestEvidence:
    def test_knows_nothing_from_its_day_on(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        assert (1, 1) not in zip(seen.customer.tolist(), seen.product.tolist(), strict=True)

    def test_counts_days_bought_first_and_last(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        assert list(zip(seen.customer.tolist(), seen.product.tolist(), strict=True)) == [
            (0, 0),
            (0, 2),
            (1, 0),
        ]
        assert seen.times.tolist() == [2, 1, 1]
        assert (seen.first.tolist(), seen.last.tolist()) == ([1, 5, 8], [5, 5, 8])

    def test_counts_buyers_ever_this_season_and_lately(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        assert seen.buyers.tolist() == [2, 0, 1]
        assert seen.recent_buyers.tolist() == [2, 0, 1]
        short = as_of(TOLD, 10, horizon=1)  # the season is three horizons: from day 7 on
        assert short.recent_buyers.tolist() == [0, 0, 0]
        assert short.season_buyers.tolist() == [1, 0, 0]

    def test_tells_first_time_buyers_from_those_who_came_back(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        assert seen.recent_buyers.tolist() == [2, 0, 1]
        assert seen.newcomers.tolist() == [1, 0, 1]  # customer 0 knew product 0 since day 1
        assert as_of(TOLD, 10, horizon=3).season_newcomers.tolist() == [2, 0, 1]

    def test_counts_a_visit_once_however_much_was_bought_in_it(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        assert seen.visits.tolist() == [2, 1, 0]
        assert seen.purchases.tolist() == [3, 1, 0]
        assert seen.variety.tolist() == [2, 1, 0]
        assert (seen.first_visit.tolist(), seen.last_visit.tolist()) == ([1, 8, 10], [5, 8, 10])

    def test_knows_since_when_and_until_when_a_product_sold(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        assert seen.on_sale_since.tolist() == [1, 10, 5]
        assert seen.last_sold.tolist() == [8, 10, 5]

    def test_halves_a_purchase_every_half_life_of_three_memories(self) -> None:
        seen = as_of(TOLD, 10, horizon=4)
        # Yesterday counts whole: ages are 8 and 4, 4, and 1 days.
        for row, half in enumerate(HALF_LIVES):
            expected = [
                2 ** (-8 / (4 * half)) + 2 ** (-4 / (4 * half)),
                2 ** (-4 / (4 * half)),
                2 ** (-1 / (4 * half)),
            ]
            assert seen.decayed[row] == pytest.approx(expected)

    def test_finds_the_pairs_of_any_customers(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        rows, pairs = seen.pairs_of(np.array([2, 0]))
        assert rows.tolist() == [1, 1]
        assert seen.product[pairs].tolist() == [0, 2]

    def test_puts_values_of_pairs_where_they_belong(self) -> None:
        seen = as_of(TOLD, 10, horizon=5)
        table = seen.by_pair(np.array([7.0, 8.0, 9.0])).toarray()
        assert table.tolist() == [[7, 0, 8], [9, 0, 0], [0, 0, 0]]

    def test_of_interest_alone_makes_a_customer_known_without_a_purchase(self) -> None:
        looked = history([(0, 0, 1)], 1, 1, weights=[0.1])
        seen = as_of(looked, 5, horizon=5)
        assert seen.known.tolist() == [True]
        assert len(seen.times) == 0
        assert seen.visits.tolist() == [0]

    def test_of_an_empty_past_is_empty(self) -> None:
        seen = as_of(TOLD, 0, horizon=5)
        assert not seen.known.any()
        assert seen.decayed.shape == (len(HALF_LIVES), 0)
        assert taste(TOLD, 0, 30).nnz == 0

    def test_hands_on_which_groups_products_and_customers_are_in(self) -> None:
        told = history([(0, 0, 1)], 2, 3, category=[1, -1, 0], segment=[-1, 0])
        seen = as_of(told, 5, horizon=5)
        assert (seen.category.tolist(), seen.segment.tolist()) == ([1, -1, 0], [-1, 0])

    @given(ROWS, st.integers(0, 45), st.integers(1, 9))
    def test_agrees_with_one_purchase_after_the_other(
        self, rows: list[tuple[int, int, int]], day: int, horizon: int
    ) -> None:
        """Every attribute, by the words of its own definition."""
        told = looked_at(rows)
        seen = as_of(told, day, horizon)
        past = [row for row, b in zip(sorted(rows), told.bought, strict=True) if b and row[2] < day]

        def faded(ago: int, half: float) -> float:
            return float(2 ** (-(ago - 1) / (half * horizon)))

        for product in range(5):
            by = {c: sorted(d for u, p, d in past if (u, p) == (c, product)) for c in range(4)}
            days = [d for each in by.values() for d in each]
            lasts, firsts = [d[-1] for d in by.values() if d], [d[0] for d in by.values() if d]
            assert seen.buyers[product] == len(lasts)
            assert seen.recent_buyers[product] == sum(d >= day - horizon for d in lasts)
            assert seen.season_buyers[product] == sum(d >= day - 3 * horizon for d in lasts)
            assert seen.newcomers[product] == sum(d >= day - horizon for d in firsts)
            assert seen.season_newcomers[product] == sum(d >= day - 3 * horizon for d in firsts)
            assert seen.sales[product] == pytest.approx(sum(faded(day - d, 0.5) for d in days))
            assert seen.on_sale_since[product] == min(days, default=day)
            assert seen.last_sold[product] == max(days, default=day)
        for customer in range(4):
            mine = [(p, d) for c, p, d in past if c == customer]
            visits = sorted({d for _, d in mine})
            firsts = [min(d for q, d in mine if q == p) for p in {p for p, _ in mine}]
            assert seen.known[customer] == any(c == customer and d < day for c, _, d in rows)
            assert seen.visits[customer] == len(visits)
            assert seen.recent_visits[customer] == pytest.approx(
                sum(faded(day - d, 2.0) for d in visits)
            )
            assert seen.first_visit[customer] == min(visits, default=day)
            assert seen.last_visit[customer] == max(visits, default=day)
            assert seen.variety[customer] == len(firsts)
            assert seen.discoveries[customer] == pytest.approx(
                sum(faded(day - d, 2.0) for d in firsts)
            )
            assert seen.purchases[customer] == len(mine)
        pairs = sorted({(c, p) for c, p, _ in past})
        found = zip(seen.customer.tolist(), seen.product.tolist(), strict=True)
        assert list(found) == pairs
        for row, pair in enumerate(pairs):
            days = sorted(d for *who, d in past if tuple(who) == pair)
            assert seen.times[row] == len(days)
            assert (seen.first[row], seen.last[row]) == (days[0], days[-1])
            assert seen.decayed[:, row] == pytest.approx(
                [sum(faded(day - d, half) for d in days) for half in HALF_LIVES]
            )


class TestTaste:
    def test_is_what_was_done_each_halved_every_half_life(self) -> None:
        found = taste(TOLD, 10, half_life_days=4).toarray()
        assert found[0] == pytest.approx([2**-2 + 2**-1, 0, 2**-1])
        assert found[1] == pytest.approx([2**-0.25, 0, 0])

    def test_counts_a_look_by_its_weight(self) -> None:
        looked = history([(0, 0, 4), (0, 1, 4)], 1, 2, weights=[0.3, 1.0])
        assert taste(looked, 5, half_life_days=9).toarray()[0] == pytest.approx([0.3, 1.0])

    def test_never_vanishes_so_that_every_product_bought_stays_known(self) -> None:
        ages = np.array([1, 10, 10_000])
        assert (np.float32(fading(ages, 0.5)) > 0).all()
        assert taste(history([(0, 0, -10_000)], 1, 1), 0, 0.5).nnz == 1


class TestTheUsualInterval:
    def test_is_the_mean_of_the_days_between(self) -> None:
        told = history([(0, 0, 1), (0, 0, 4), (0, 0, 11), (0, 1, 3)], 1, 2)
        found = as_of(told, 20, horizon=5)
        assert usual_interval(found, np.arange(2)).tolist() == [5, 0]
        assert usual_interval(found, np.array([1, 0, 0])).tolist() == [0, 5, 5]


def test_labels_of_a_window_are_ones_where_a_customer_bought_in_it() -> None:
    labels = bought_between(TOLD, 5, 9)
    assert labels.toarray().tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
