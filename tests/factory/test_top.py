import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from factory.top import best, key_scores, product_numbers, sort_keys

ROWS = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12)


@given(ROWS, st.integers(1, 15))
def test_the_best_come_by_score_and_ties_by_product_number(row: list[float], count: int) -> None:
    found = product_numbers(best(sort_keys(np.array([row], np.float32)), count))[0]
    expected = sorted(range(len(row)), key=lambda n: (-np.float32(row[n]), n))[:count]
    assert found.tolist() == expected + [-1] * (count - len(expected))


@given(ROWS)
def test_a_key_keeps_its_score(row: list[float]) -> None:
    scores = np.array([row], np.float32)
    assert (key_scores(sort_keys(scores)) == scores).all()
