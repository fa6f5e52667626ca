"""The blend's only learner, against the objective that its docstring writes down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from factory.logistic import Lesson, joined, regress, sigmoid

_Doubles = NDArray[np.float64]


def lesson(rows: int = 400, features: int = 3, seed: int = 0, share: float = 0.3) -> Lesson:
    """Columns of different units and means, weights of different size."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(
        rng.normal(0, 2, features), rng.uniform(0.2, 5, features), (rows, features)
    )
    design = np.concatenate([np.ones((rows, 1)), columns], axis=1).astype(np.float32)
    score = (columns - columns.mean(0)) / columns.std(0) @ rng.normal(0, 1, features)
    label = rng.random(rows) < 1 / (1 + np.exp(-score - np.log(share / (1 - share))))
    return Lesson(design, label, rng.uniform(0.5, 3, rows))


def prior_of(told: Lesson, seed: int = 1) -> _Doubles:
    return np.asarray(np.random.default_rng(seed).normal(0, 0.5, told.design.shape[1]))


def documented(told: Lesson, beta: _Doubles, prior: _Doubles, ridge: float) -> float:
    """The objective as the docstring of ``regress`` states it, in double precision."""
    design = told.design.astype(np.float64)
    weight = told.weight / told.weight.sum()
    mean = weight @ design
    spread = np.sqrt(weight @ (design - mean) ** 2)
    logit = design @ beta
    loss = told.weight @ (np.logaddexp(0, logit) - told.label * logit)
    pull = ridge * np.sum(spread[1:] ** 2 * (beta[1:] - prior[1:]) ** 2)
    middle = (beta[0] - prior[0]) + mean[1:] @ (beta[1:] - prior[1:])
    return float(loss + (pull + middle**2) / 2)


class TestARegression:
    @pytest.mark.parametrize("ridge", [1e-3, 1.0, 20.0, 1_000.0])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_finds_what_a_generic_optimiser_finds(self, ridge: float, seed: int) -> None:
        told = lesson(seed=seed)
        prior = prior_of(told)
        found = regress(told, prior, ridge)

        def objective(beta: _Doubles) -> float:
            return documented(told, beta, prior, ridge)

        other = minimize(objective, prior, method="BFGS", tol=1e-9).x
        assert found == pytest.approx(other, abs=2e-3)
        least = documented(told, other, prior, ridge)
        assert documented(told, found, prior, ridge) == pytest.approx(least, rel=1e-5)

    def test_recovers_planted_coefficients(self) -> None:
        rng = np.random.default_rng(0)
        design = np.concatenate([np.ones((20_000, 1)), rng.normal(size=(20_000, 2))], axis=1)
        planted = np.array([-2.0, 1.0, -0.5])
        label = rng.random(20_000) < sigmoid(design @ planted)
        told = Lesson(design.astype(np.float32), label, np.ones(20_000))
        assert np.allclose(regress(told, np.zeros(3), 1.0), planted, atol=0.08)

    def test_is_calibrated_but_for_the_one_observation_that_the_prior_is_worth(self) -> None:
        """Predicted less happened is exactly the pull on the intercept, which is of size 1."""
        told = lesson(2_000, share=0.03)
        prior = np.array([-1.0, 0, 0, 0])
        beta = regress(told, prior, 20.0)
        predicted = told.weight @ sigmoid(told.design.astype(np.float64) @ beta)
        middle = told.weight @ told.design.astype(np.float64) / told.weight.sum() @ (beta - prior)
        assert predicted - told.weight @ told.label == pytest.approx(-middle, rel=0.05)
        assert abs(middle) < 0.02 * predicted

    def test_counts_a_weighted_row_as_so_many_rows(self) -> None:
        told = lesson(300)
        weight = np.where(np.arange(300) < 100, 3.0, 1.0)
        rows = np.repeat(np.arange(300), weight.astype(int))
        one = regress(Lesson(told.design, told.label, weight), np.zeros(4), 1.0)
        repeated = Lesson(told.design[rows], told.label[rows], np.ones(len(rows)))
        assert regress(repeated, np.zeros(4), 1.0) == pytest.approx(one, abs=1e-4)

    @pytest.mark.parametrize("factor", [1_000.0, 0.001])
    def test_predicts_the_same_whatever_the_unit_of_a_column(self, factor: float) -> None:
        told = lesson()
        prior = prior_of(told)
        design, scaled = told.design.copy(), prior.copy()
        design[:, 2] *= np.float32(factor)
        scaled[2] /= factor
        found = regress(Lesson(design, told.label, told.weight), scaled, 20.0)
        one = sigmoid(told.design.astype(np.float64) @ regress(told, prior, 20.0))
        assert sigmoid(design.astype(np.float64) @ found) == pytest.approx(one, abs=1e-4)

    @pytest.mark.parametrize("at", [0.0, 1.0, -7.3])
    def test_keeps_the_priors_coefficient_of_a_column_that_does_not_vary(self, at: float) -> None:
        told = lesson()
        told.design[:, 2] = at
        prior = prior_of(told)
        found = regress(told, prior, 20.0)
        assert found[2] == prior[2]
        p = sigmoid(told.design.astype(np.float64) @ found)
        assert told.weight @ p == pytest.approx(told.weight @ told.label, rel=0.02)

    def test_keeps_the_priors_coefficient_of_a_column_that_hardly_varies(self) -> None:
        """Rounding is no evidence, however large the column's mean."""
        told = lesson()
        told.design[:, 2] = np.float32(-8) + np.float32(1e-6) * np.sign(told.design[:, 2])
        prior = prior_of(told)
        assert regress(told, prior, 20.0)[2] == prior[2]

    @pytest.mark.parametrize("happened", [False, True])
    def test_is_the_prior_where_nothing_or_everything_happened(self, happened: bool) -> None:
        told = lesson()
        prior = prior_of(told)
        alike = Lesson(told.design, np.full(400, happened), told.weight)
        assert (regress(alike, prior, 20.0) == prior).all()

    def test_is_the_prior_without_any_row(self) -> None:
        prior = np.array([0.3, -0.2])
        found = regress(joined([], 2), prior, 1.0)
        assert (found == prior).all()
        assert found is not prior

    def test_moves_from_the_prior_as_far_as_the_evidence_carries(self) -> None:
        prior = np.zeros(4)
        moved = [
            float(np.abs(regress(lesson(), prior, ridge)[1:]).sum())
            for ridge in (1e6, 1e3, 10.0, 0.1)
        ]
        assert moved == sorted(moved)
        assert moved[0] < 0.01 < moved[-1]

    def test_leaves_the_lesson_as_it_was(self) -> None:
        told = lesson()
        before = told.design.copy()
        regress(told, np.zeros(4), 1.0)
        assert (told.design == before).all()

    @given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
    def test_is_never_worse_than_the_prior(self, seed: int, ridge: float) -> None:
        """By its own objective; so it is finite, whatever the lesson."""
        told = lesson(30, 2, seed)
        prior = prior_of(told, seed)
        found = regress(told, prior, ridge)
        assert np.isfinite(found).all()
        at_prior = documented(told, prior, prior, ridge)
        assert documented(told, found, prior, ridge) <= at_prior * (1 + 1e-5) + 1e-5

    def test_stays_finite_where_a_column_tells_everything(self) -> None:
        column = np.linspace(-1, 1, 60, dtype=np.float32)
        design = np.stack([np.ones(60, np.float32), column], axis=1)
        found = regress(Lesson(design, column > 0, np.ones(60)), np.zeros(2), 1.0)
        assert np.isfinite(found).all()
        assert found[1] > 0


class TestLessons:
    def test_are_joined_row_after_row(self) -> None:
        one, other = lesson(5), lesson(3, seed=1)
        both = joined([one, other], 4)
        assert (both.design == np.concatenate([one.design, other.design])).all()
        assert both.label.tolist() == [*one.label, *other.label]
        assert both.weight.tolist() == [*one.weight, *other.weight]

    def test_of_nothing_are_as_wide_as_asked(self) -> None:
        assert joined([], 7).design.shape == (0, 7)


class TestTheSigmoid:
    @given(st.floats(-(2.0**100), 2.0**100, width=32))
    def test_is_a_probability_whatever_the_score(self, score: float) -> None:
        p = sigmoid(np.array([score], np.float32))
        assert p.dtype == np.float32
        assert 0 <= p[0] <= 1

    def test_is_exact_far_into_both_tails(self) -> None:
        assert sigmoid(np.array([-700.0]))[0] == pytest.approx(np.exp(-700), rel=1e-12)
        assert sigmoid(np.array([-80.0], np.float32))[0] == pytest.approx(np.exp(-80), rel=1e-5)
        assert sigmoid(np.array([40.0]))[0] == 1.0
