import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.top import (
    best,
    best_pairs,
    cells_of,
    highest,
    key_scores,
    merged,
    product_numbers,
    sort_keys,
)

SCORES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5]), st.floats(0, 2.0**70, width=32, allow_subnormal=False)
)
ROWS = st.lists(SCORES, min_size=1, max_size=40)


def expected(row: list[float], count: int) -> list[int]:
    """Sorted in plain Python; 0 is not listed."""
    listed = [n for n in range(len(row)) if np.float32(row[n]) > 0]
    order = sorted(listed, key=lambda n: (-np.float32(row[n]), n))[:count]
    return order + [-1] * (count - len(order))


@given(ROWS, st.integers(0, 45))
def test_the_best_come_by_score_and_ties_by_product_number(row: list[float], count: int) -> None:
    scores = np.array([row, row[::-1]], np.float32)
    found = product_numbers(best(scores, count))
    assert found.tolist() == [expected(row, count), expected(row[::-1], count)]


@given(ROWS)
def test_a_key_keeps_its_score(row: list[float]) -> None:
    scores = np.array([row], np.float32)
    assert (key_scores(sort_keys(scores, np.arange(len(row)))) == scores).all()


@given(ROWS, st.integers(1, 9))
def test_a_key_keeps_its_product_and_none_stands_for_what_is_not_listed(
    row: list[float], step: int
) -> None:
    numbers = np.arange(len(row)) * step
    found = product_numbers(sort_keys(np.array(row, np.float32), numbers))
    listed = np.array(row, np.float32) > 0
    assert found.tolist() == np.where(listed, numbers, -1).tolist()


def test_the_best_hold_a_score_however_small_while_it_is_above_zero() -> None:
    scores = np.array([[0.5, 0, 1e-40, 0]], np.float32)
    assert product_numbers(best(scores, 3)).tolist() == [[0, 2, -1]]


def test_the_best_none_are_none() -> None:
    assert best(np.ones((3, 7), np.float32), 0).shape == (3, 0)
    assert best(np.ones((0, 7), np.float32), 4).shape == (0, 4)
    assert best(np.ones((3, 0), np.float32), 4).tolist() == [[0] * 4] * 3


@given(ROWS, st.data())
def test_the_nth_highest_is_that_of_a_whole_sort(row: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(row)))
    scores = np.array([row, row[::-1]], np.float32)
    assert highest(scores, count).tolist() == [[sorted(scores[0].tolist())[-count]]] * 2


def test_the_nth_highest_is_found_in_columns_of_a_larger_table_too() -> None:
    scores = np.arange(12, dtype=np.float32).reshape(3, 4)[:, [2, 0, 3]]
    assert highest(scores, 2).tolist() == [[2], [6], [10]]


def test_the_best_leave_the_scores_as_they_were() -> None:
    scores = np.random.default_rng(0).random((4, 30), np.float32)
    before = scores.copy()
    best(scores, 5)
    assert (scores == before).all()


@given(ROWS, st.integers(0, 9), st.integers(0, 10_000))
def test_the_best_of_some_pairs_are_the_best_where_only_those_have_a_score(
    row: list[float], count: int, seed: int
) -> None:
    """Rows without any pair come out empty."""
    table = np.zeros((4, len(row)), np.float32)
    table[1], table[3] = row, row[::-1]
    some = np.random.default_rng(seed).random(table.shape) < 0.5
    some[[0, 2]] = False
    rows, products = np.nonzero(some)
    found = best_pairs(rows, products, table[rows, products], 4, count)
    assert found.tolist() == best(np.where(some, table, 0), count).tolist()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30), st.integers(0, 35))
def test_merged_keys_are_the_highest_of_each_row_padded_with_none(
    row: list[int], count: int
) -> None:
    keys = np.array([row, row[::-1]], np.uint64)
    wanted = [*sorted(row, reverse=True)[:count], *[0] * (count - len(row))]
    assert merged(keys, count).tolist() == [wanted, wanted]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (4, 5)])
def test_cells_are_the_true_ones_row_by_row(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    assert [found.tolist() for found in cells_of(mask)] == [
        found.tolist() for found in np.nonzero(mask)
    ]
