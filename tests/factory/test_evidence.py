import numpy as np

from factory.evidence import as_of, bought_between
from tests.factory.build import history

TOLD = history([(0, 0, 1), (0, 0, 5), (0, 2, 5), (1, 0, 8), (1, 1, 10)], 3, 3)


class TestEvidence:
    def test_knows_nothing_from_its_day_on(self) -> None:
        seen = as_of(TOLD, 10, horizon=5, half_life_days=30)
        assert (1, 1) not in zip(seen.customer.tolist(), seen.product.tolist(), strict=True)

    def test_counts_days_bought_first_and_last(self) -> None:
        seen = as_of(TOLD, 10, horizon=5, half_life_days=30)
        assert list(zip(seen.customer.tolist(), seen.product.tolist(), strict=True)) == [
            (0, 0),
            (0, 2),
            (1, 0),
        ]
        assert seen.times.tolist() == [2, 1, 1]
        assert (seen.first.tolist(), seen.last.tolist()) == ([1, 5, 8], [5, 5, 8])

    def test_counts_buyers_ever_lately_and_again(self) -> None:
        seen = as_of(TOLD, 10, horizon=5, half_life_days=30)
        assert seen.buyers.tolist() == [2, 0, 1]
        assert seen.recent_buyers.tolist() == [2, 0, 1]
        assert seen.repeaters.tolist() == [1, 0, 0]
        assert as_of(TOLD, 10, horizon=2, half_life_days=30).recent_buyers.tolist() == [1, 0, 0]

    def test_halves_a_purchase_every_half_life(self) -> None:
        seen = as_of(TOLD, 10, horizon=5, half_life_days=4)
        # Yesterday counts whole: ages are 8 and 4, 4, and 1 days.
        assert np.allclose(seen.decayed, [2**-2 + 2**-1, 2**-1, 2**-0.25])

    def test_finds_the_pairs_of_any_customers(self) -> None:
        seen = as_of(TOLD, 10, horizon=5, half_life_days=30)
        rows, pairs = seen.pairs_of(np.array([2, 0]))
        assert rows.tolist() == [1, 1]
        assert seen.product[pairs].tolist() == [0, 2]

    def test_of_interest_alone_makes_a_customer_known_without_a_purchase(self) -> None:
        looked = history([(0, 0, 1)], 1, 1, weights=[0.1])
        seen = as_of(looked, 5, horizon=5, half_life_days=30)
        assert seen.known.tolist() == [True]
        assert len(seen.times) == 0

    def test_of_an_empty_past_is_empty(self) -> None:
        seen = as_of(TOLD, 0, horizon=5, half_life_days=30)
        assert not seen.known.any()
        assert seen.taste.nnz == 0


def test_labels_of_a_window_are_ones_where_a_customer_bought_in_it() -> None:
    labels = bought_between(TOLD, 5, 9)
    assert labels.toarray().tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
