import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from factory import als
from factory.evidence import taste
from schema.errors import Problem
from schema.settings import AlsSettings
from tests.factory.build import checkerboard

SETTINGS = AlsSettings(factors=6, regularization=0.5)
TASTE = taste(checkerboard(), 120, 60)


def fitted(seed: int = 0) -> als.Fit:
    return als.fit(TASTE, SETTINGS, seed=seed)


def bytes_of(fit: als.Fit) -> tuple[bytes, bytes]:
    return fit.customers.tobytes(), fit.products.tobytes()


def scores(products: als.Factors) -> np.ndarray:
    return als.fold_in(TASTE, products, SETTINGS) @ products.T


class TestALS:
    def test_finds_the_one_product_left_out_for_each_customer(self) -> None:
        """The checkerboard: the missing cell of a customer's own colour scores best of the unknown."""
        found = scores(fitted().products)
        found[TASTE.toarray() > 0] = -np.inf
        expected = np.arange(40) % 20
        assert (found.argmax(1) == expected).all()

    def test_gives_the_same_bytes_for_the_same_seed(self) -> None:
        again = [bytes_of(fitted(seed=3)) for _ in range(2)]
        assert again[0] == again[1]
        assert bytes_of(fitted(seed=4)) != again[0]

    def test_carries_on_from_a_given_fit_and_leaves_it_as_it_was(self) -> None:
        start = fitted()
        before = bytes_of(start)
        moved = als.fit(TASTE, SETTINGS, seed=0, start=start)
        assert bytes_of(start) == before
        assert not np.array_equal(start.products, moved.products)
        assert (
            np.corrcoef(scores(start.products).ravel(), scores(moved.products).ravel())[0, 1] > 0.9
        )

    def test_carries_on_for_as_many_iterations_as_are_set(self) -> None:
        """Three and three more are six: nothing but the fit itself is carried over."""
        short = SETTINGS.model_copy(update={"iterations": 3, "continued_iterations": 3})
        half = als.fit(TASTE, short, seed=0)
        whole = als.fit(TASTE, SETTINGS.model_copy(update={"iterations": 6}), seed=0)
        assert bytes_of(als.fit(TASTE, short, seed=0, start=half)) == bytes_of(whole)

    def test_stays_where_it_is_carried_on_for_no_iteration(self) -> None:
        still = SETTINGS.model_copy(update={"continued_iterations": 0})
        start = fitted()
        assert bytes_of(als.fit(TASTE, still, seed=0, start=start)) == bytes_of(start)

    def test_leaves_its_input_as_it_was(self) -> None:
        before = TASTE.data.copy()
        fitted()
        assert (TASTE.data == before).all()

    def test_folds_in_by_exact_least_squares(self) -> None:
        factors = fitted().products
        vectors = als.fold_in(TASTE, factors, SETTINGS)
        y = factors.astype(np.float64)
        for customer in (0, 7):
            weights = als.confidence(TASTE, SETTINGS)[customer].toarray().ravel()
            c = np.where(weights > 0, weights, 1)
            a = y.T @ (y * c[:, None]) + SETTINGS.regularization * np.eye(6)
            b = y.T @ (c * (weights > 0))
            assert np.allclose(vectors[customer], np.linalg.solve(a, b), atol=1e-4)

    def test_gives_a_customer_without_interactions_no_taste(self) -> None:
        factors = fitted().products
        nobody = csr_matrix(np.zeros((1, TASTE.shape[1]), np.float32))
        assert not als.fold_in(nobody, factors, SETTINGS).any()

    def test_folds_a_customer_in_the_same_alone_and_in_company(self) -> None:
        factors = fitted().products
        together = als.fold_in(TASTE, factors, SETTINGS)
        assert np.allclose(als.fold_in(TASTE[5], factors, SETTINGS)[0], together[5], atol=1e-5)


class TestConfidence:
    """How sure a weight w makes us that a customer likes a product."""

    @staticmethod
    def of(*weights: float) -> np.ndarray:
        row = csr_matrix(np.array([weights], np.float32))
        return np.asarray(als.confidence(row, SETTINGS).toarray()[0])

    def test_grows_with_the_logarithm_of_the_weight(self) -> None:
        expected = SETTINGS.alpha * np.log1p(np.array([0.5, 1.0, 8.0]) / 0.2)
        assert self.of(0.5, 1.0, 8.0) == pytest.approx(expected)

    def test_is_never_below_that_of_a_pair_that_was_not_seen(self) -> None:
        assert self.of(0.001, 1e-12) == pytest.approx([1, 1])

    def test_of_what_was_not_seen_stays_empty(self) -> None:
        assert self.of(0.0, 1.0)[0] == 0


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

    def test_a_fit_that_does_not_stay_finite(self) -> None:
        start = als.Fit(np.zeros((40, 6), np.float32), np.full((20, 6), np.nan, np.float32))
        with pytest.raises(Problem, match="did not stay finite"):
            als.fit(TASTE, SETTINGS, seed=0, start=start)

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
