import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from factory import als
from factory.blend import PRIOR, Scene, logistic, probabilities, scene, sigmoid, teach
from factory.evidence import as_of, bought_between
from factory.features import FRESH, REPEAT
from schema.settings import AlsSettings, BlendSettings
from tests.factory.build import checkerboard

ALS = AlsSettings(factors=4, regularization=0.5)
TOLD = checkerboard()


def seen(day: int) -> Scene:
    moment = as_of(TOLD, day, 14, 60)
    factors = als.fit(moment.taste, ALS, seed=0)
    return scene(moment, als.fold_in(moment.taste, factors, ALS), factors)


class TestLogisticRegression:
    def test_recovers_planted_coefficients(self) -> None:
        rng = np.random.default_rng(0)
        design = np.concatenate([np.ones((20_000, 1)), rng.normal(size=(20_000, 2))], axis=1)
        planted = np.array([-2.0, 1.0, -0.5])
        label = (rng.random(20_000) < sigmoid(design @ planted)).astype(float)
        found = logistic(design, label, np.ones(20_000), np.zeros(3), ridge=1.0)
        assert np.allclose(found, planted, atol=0.08)

    def test_is_calibrated_its_mean_is_the_observed_share(self) -> None:
        rng = np.random.default_rng(1)
        design = np.concatenate([np.ones((2_000, 1)), rng.normal(size=(2_000, 1))], axis=1)
        label = (rng.random(2_000) < 0.03).astype(float)
        beta = logistic(design, label, np.ones(2_000), np.zeros(2), ridge=1e-6)
        assert np.isclose(sigmoid(design @ beta).mean(), label.mean())

    def test_counts_a_weighted_row_as_so_many_rows(self) -> None:
        rng = np.random.default_rng(2)
        design = rng.normal(size=(300, 2))
        label = (rng.random(300) < 0.5).astype(float)
        weight = np.where(np.arange(300) < 100, 3.0, 1.0)
        repeated = np.repeat(np.arange(300), weight.astype(int))
        one = logistic(design, label, weight, np.zeros(2), ridge=1.0)
        other = logistic(
            design[repeated], label[repeated], np.ones(len(repeated)), np.zeros(2), 1.0
        )
        assert np.allclose(one, other, atol=1e-5)

    def test_stays_at_the_prior_without_evidence(self) -> None:
        prior = np.array([0.3, -0.2])
        nothing = logistic(np.zeros((0, 2)), np.zeros(0), np.zeros(0), prior, ridge=1.0)
        assert np.allclose(nothing, prior)

    def test_stays_finite_where_everybody_bought(self) -> None:
        beta = logistic(np.ones((50, 1)), np.ones(50), np.ones(50), np.zeros(1), ridge=1.0)
        assert np.isfinite(beta).all()


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_a_probability_is_a_probability_whatever_the_score(score: float) -> None:
    p = sigmoid(np.array([score], np.float32))[0]
    assert 0 <= p <= 1


class TestTheBlend:
    def test_gives_every_pair_a_probability(self) -> None:
        p = probabilities(seen(100), PRIOR, np.arange(40))
        assert p.shape == (40, 20)
        assert p.dtype == np.float32
        assert ((p >= 0) & (p <= 1)).all()

    def test_scores_a_customer_the_same_alone_and_in_company(self) -> None:
        view = seen(100)
        together = probabilities(view, PRIOR, np.arange(40))
        for customer in (0, 17):
            alone = probabilities(view, PRIOR, np.array([customer]))
            assert np.allclose(alone[0], together[customer], atol=1e-6)

    def test_is_the_templates_where_nothing_was_taught(self) -> None:
        sellable = np.ones(20, bool)
        assert teach([], [], sellable, BlendSettings(), seed=0, with_als=True) == PRIOR

    def test_taught_predicts_the_share_that_is_bought(self) -> None:
        view, labels = seen(100), bought_between(TOLD, 100, 114)
        rule = BlendSettings(sample=100_000, ridge=0.01)
        blend = teach([view], [labels], np.ones(20, bool), rule, seed=0, with_als=True)
        p = probabilities(view, blend, np.arange(40))
        assert np.isclose(p.sum(), labels.sum(), rtol=0.05)

    def test_taught_on_a_sample_hardly_differs_from_taught_on_all(self) -> None:
        view, labels = seen(60), bought_between(TOLD, 60, 74)
        everything = BlendSettings(sample=100_000)
        part = BlendSettings(sample=1_000)
        found = [
            teach([view], [labels], np.ones(20, bool), rule, seed=0, with_als=True)
            for rule in (everything, part)
        ]
        p = [probabilities(view, blend, np.arange(40)).sum() for blend in found]
        assert np.isclose(p[0], p[1], rtol=0.2)

    def test_is_blind_to_the_factors_as_a_baseline(self) -> None:
        view, labels = seen(100), bought_between(TOLD, 100, 114)
        blend = teach([view], [labels], np.ones(20, bool), BlendSettings(), seed=0, with_als=False)
        assert "als" not in blend.fresh
        assert "als" not in blend.repeat

    def test_names_a_coefficient_for_every_feature(self) -> None:
        assert (tuple(PRIOR.fresh), tuple(PRIOR.repeat)) == (FRESH, REPEAT)
