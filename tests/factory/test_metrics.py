import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from factory import metrics

LISTS = st.lists(st.booleans(), min_size=10, max_size=10)


def by_hand(hits: list[bool], relevant: int) -> dict[str, float]:
    """The textbook, one customer at a time."""
    places = [place for place, hit in enumerate(hits, start=1) if hit]
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(10, relevant) + 1))
    precisions = [sum(1 for other in places if other <= place) / place for place in places]
    return {
        "ndcg": sum(1 / math.log2(place + 1) for place in places) / ideal,
        "recall": len(places) / relevant,
        "average_precision": sum(precisions) / min(10, relevant),
        "hit_rate": float(bool(places)),
    }


@given(LISTS, st.integers(0, 20))
def test_every_measure_agrees_with_the_textbook(hits: list[bool], missed: int) -> None:
    relevant = sum(hits) + missed
    if not relevant:
        return
    expected = by_hand(hits, relevant)
    for name, value in expected.items():
        found = getattr(metrics, name)(np.array([hits]), np.array([relevant]))[0]
        assert math.isclose(found, value, abs_tol=1e-12), name


def test_a_customer_who_bought_nothing_has_no_measure() -> None:
    hits, relevant = np.zeros((2, 10), bool), np.array([0, 2])
    for measure in (metrics.ndcg, metrics.recall, metrics.average_precision, metrics.hit_rate):
        assert np.isnan(measure(hits, relevant)).tolist() == [True, False]
        assert metrics.mean(measure(hits, relevant)) == 0.0


def test_the_mean_of_nobody_is_zero() -> None:
    assert metrics.mean(np.array([np.nan])) == 0.0
