import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from factory import als
from factory.evidence import as_of
from schema.errors import Problem
from schema.settings import AlsSettings
from tests.factory.build import checkerboard

SETTINGS = AlsSettings(factors=6, regularization=0.5)
TASTE = as_of(checkerboard(), 120, 7, 60).taste


class TestALS:
    def test_finds_the_one_product_left_out_for_each_customer(self) -> None:
        """The checkerboard: the missing cell of a customer's own colour scores best of the unknown."""
        factors = als.fit(TASTE, SETTINGS, seed=0)
        scores = als.fold_in(TASTE, factors, SETTINGS) @ factors.T
        scores[TASTE.toarray() > 0] = -np.inf
        expected = np.arange(40) % 20
        assert (scores.argmax(1) == expected).all()

    def test_gives_the_same_bytes_for_the_same_seed(self) -> None:
        again = [als.fit(TASTE, SETTINGS, seed=3).tobytes() for _ in range(2)]
        assert again[0] == again[1]
        assert als.fit(TASTE, SETTINGS, seed=4).tobytes() != again[0]

    def test_carries_on_from_given_factors_and_leaves_them_as_they_were(self) -> None:
        start = als.fit(TASTE, SETTINGS, seed=0)
        before = start.copy()
        moved = als.fit(TASTE, SETTINGS, seed=0, start=start)
        assert (start == before).all()
        scores = [als.fold_in(TASTE, y, SETTINGS) @ y.T for y in (start, moved)]
        assert not np.array_equal(start, moved)
        assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.9

    def test_leaves_its_input_as_it_was(self) -> None:
        before = TASTE.data.copy()
        als.fit(TASTE, SETTINGS, seed=0)
        assert (TASTE.data == before).all()

    def test_folds_in_by_exact_least_squares(self) -> None:
        factors = als.fit(TASTE, SETTINGS, seed=0)
        vectors = als.fold_in(TASTE, factors, SETTINGS)
        y = factors.astype(np.float64)
        for customer in (0, 7):
            weights = als.confidence(TASTE, SETTINGS)[customer].toarray().ravel()
            c = np.where(weights > 0, weights, 1)
            a = y.T @ (y * c[:, None]) + SETTINGS.regularization * np.eye(6)
            b = y.T @ (c * (weights > 0))
            assert np.allclose(vectors[customer], np.linalg.solve(a, b), atol=1e-4)

    def test_gives_a_customer_without_interactions_no_taste(self) -> None:
        factors = als.fit(TASTE, SETTINGS, seed=0)
        nobody = csr_matrix(np.zeros((1, TASTE.shape[1]), np.float32))
        assert not als.fold_in(nobody, factors, SETTINGS).any()


class TestTheAdapterRefuses:
    """What would crash the process, or poison the factors, inside the library."""

    def test_an_empty_matrix(self) -> None:
        with pytest.raises(Problem, match="no interaction"):
            als.fit(csr_matrix(np.zeros((3, 3), np.float32)), SETTINGS, seed=0)

    @pytest.mark.parametrize("weight", [np.nan, np.inf, 0.0, -1.0])
    def test_a_weight_that_is_not_a_positive_number(self, weight: float) -> None:
        matrix = csr_matrix((np.array([weight], np.float32), ([0], [0])), shape=(2, 2))
        with pytest.raises(Problem, match="zero, negative or not a number"):
            als.fit(matrix, SETTINGS, seed=0)

    def test_a_product_number_outside_the_matrix(self) -> None:
        matrix = csr_matrix((np.ones(1, np.float32), ([0], [1])), shape=(2, 2))
        matrix.indices[0] = 900_000_000
        with pytest.raises(Problem, match="outside the matrix"):
            als.fit(matrix, SETTINGS, seed=0)

    def test_factors_of_another_catalogue(self) -> None:
        with pytest.raises(Problem, match="align"):
            als.fold_in(TASTE, np.zeros((3, 6), np.float32), SETTINGS)


def test_the_library_still_needs_the_exact_fold_in() -> None:
    """Its fitted customers lag half a step behind its products; should that change, simplify us."""
    weights = als.confidence(TASTE, SETTINGS)
    model = AlternatingLeastSquares(factors=6, iterations=3, random_state=0, num_threads=1)
    model.fit(weights, show_progress=False)
    exact = model.recalculate_user(np.arange(weights.shape[0]), weights)
    assert np.abs(exact - model.user_factors).max() > 1e-4
