from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from factory import als, blend
from factory.affinity import AFFINITY
from factory.blend import (
    FRESH,
    REPEAT,
    Lessons,
    Scene,
    customer_bias,
    lessons,
    moment,
    probabilities,
    product_bias,
    teach,
)
from factory.evidence import as_of, bought_between, taste
from factory.features import CUSTOMER, PAIR, PRODUCT
from factory.logistic import sigmoid
from factory.prior import PRIOR
from schema.records import Blend, History
from schema.settings import AlsSettings, BlendSettings
from tests.factory.build import checkerboard

ALS = AlsSettings(factors=4, regularization=0.5)
ALL = BlendSettings(sample=1_000_000)
TOLD = replace(
    checkerboard(),
    category=np.arange(20, dtype=np.int32) % 3,
    segment=np.arange(40, dtype=np.int32) % 4 - 1,
)
EVERYBODY = np.arange(40)
SELLABLE = np.ones(20, bool)


def seen(day: int, told: History = TOLD) -> Scene:
    what = taste(told, day, 60)
    factors = als.fit(what, ALS, seed=0).products
    return Scene(moment(as_of(told, day, 14)), what, factors, ALS)


SCENE = seen(100)


def lesson(
    day: int = 100,
    rule: BlendSettings = ALL,
    importance: float = 1.0,
    sellable: np.ndarray = SELLABLE,
    seed: int = 0,
) -> Lessons:
    scene = SCENE if day == 100 else seen(day)
    rng = np.random.default_rng(seed)
    labels = bought_between(TOLD, day, day + 14)
    return lessons(scene, labels, sellable, rule, importance=importance, rng=rng)


def taught(*parts: Lessons, rule: BlendSettings = ALL, without: Collection[str] = ()) -> Blend:
    return teach(parts, rule, without=without)


def by_hand(customer: int, product: int, model: Blend) -> float:
    """The logit of one pair: every feature that counts for it, times its coefficient."""
    known = SCENE.moment
    pair = [
        row
        for row in np.flatnonzero(known.evidence.customer == customer)
        if known.evidence.product[row] == product
    ]
    affinities = known.affinities.of(np.array([customer]))
    values = {
        "intercept": 1.0,
        "als": SCENE.vectors(np.array([customer]))[0] @ SCENE.factors[product],
        **{name: table[0, product] for name, table in affinities.items()},
        **dict(zip(PRODUCT, known.features.product[product], strict=True)),
        **dict(zip(CUSTOMER, known.features.customer[customer], strict=True)),
    }
    coefficients = {name: model.fresh[name] for name in FRESH}
    if pair:
        coefficients = {name: model.repeat[name] for name in REPEAT}
        values |= dict(zip(PAIR, known.features.pair[pair[0]], strict=True))
    return float(sum(weight * values[name] for name, weight in coefficients.items()))


class TestAProbability:
    def test_is_one_for_every_pair(self) -> None:
        p = probabilities(SCENE, PRIOR, EVERYBODY)
        assert p.shape == (40, 20)
        assert p.dtype == np.float32
        assert ((p >= 0) & (p <= 1)).all()

    def test_is_the_sum_of_all_features_by_the_coefficients_of_new_or_of_known_pairs(self) -> None:
        p = probabilities(SCENE, PRIOR, EVERYBODY)
        for customer in (0, 7, 39):
            for product in range(20):
                expected = 1 / (1 + np.exp(-by_hand(customer, product, PRIOR)))
                assert p[customer, product] == pytest.approx(expected, rel=1e-3)

    def test_is_the_same_for_a_customer_alone_and_in_company(self) -> None:
        together = probabilities(SCENE, PRIOR, EVERYBODY)
        for customer in (0, 17):
            alone = probabilities(SCENE, PRIOR, np.array([customer]))
            assert np.allclose(alone[0], together[customer], atol=1e-6)

    def test_is_the_same_where_the_affinities_were_there_already(self) -> None:
        given = SCENE.moment.affinities.of(EVERYBODY)
        before = {name: table.copy() for name, table in given.items()}
        found = probabilities(SCENE, PRIOR, EVERYBODY, given)
        assert (found == probabilities(SCENE, PRIOR, EVERYBODY)).all()
        assert all((given[name] == before[name]).all() for name in before)

    def test_of_a_baseline_goes_without_factors(self) -> None:
        none = replace(SCENE, factors=np.zeros((20, 0), np.float32))
        blind = {name: value for name, value in PRIOR.fresh.items() if name != "als"}
        p = probabilities(none, replace(PRIOR, fresh=blind), EVERYBODY)
        assert ((p >= 0) & (p <= 1)).all()

    def test_of_a_new_product_for_somebody_without_taste_is_what_both_bring(self) -> None:
        """How the popular list scores a stranger: the biases of product and customer alone."""
        plain = replace(
            PRIOR, fresh={name: v for name, v in PRIOR.fresh.items() if name not in AFFINITY}
        )
        new = ~(SCENE.moment.evidence.by_pair(SCENE.moment.evidence.times).toarray() > 0)
        bias = customer_bias(SCENE, plain)[:, None] + product_bias(SCENE, plain)
        nobody = replace(SCENE, factors=np.zeros_like(SCENE.factors))
        p = probabilities(nobody, plain, EVERYBODY)
        assert p[new] == pytest.approx(sigmoid(bias)[new], rel=1e-4)


class TestALesson:
    def test_holds_every_pair_that_was_bought_before_and_whether_it_was_bought_again(self) -> None:
        evidence = SCENE.moment.evidence
        found = lesson().repeat
        assert len(found.label) == len(evidence.times)
        labels = bought_between(TOLD, 100, 114).toarray() > 0
        assert (found.label == labels[evidence.customer, evidence.product]).all()
        assert (found.weight == 1).all()

    def test_holds_every_new_pair_where_the_sample_is_large_enough(self) -> None:
        found = lesson().fresh
        new = SCENE.moment.evidence.by_pair(SCENE.moment.evidence.times).toarray() == 0
        labels = bought_between(TOLD, 100, 114).toarray() > 0
        assert len(found.label) == new.sum()
        assert (found.weight == 1).all()
        assert found.label.tolist() == labels[new].tolist()

    def test_designs_are_the_features_that_the_probabilities_go_by(self) -> None:
        found = lesson()
        p = probabilities(SCENE, PRIOR, EVERYBODY)
        known = SCENE.moment.evidence
        before = known.by_pair(known.times).toarray() > 0
        for part, names, mask, coefficients in (
            (found.repeat, REPEAT, before, PRIOR.repeat),
            (found.fresh, FRESH, ~before, PRIOR.fresh),
        ):
            beta = np.array([coefficients[name] for name in names], np.float32)
            assert sigmoid(part.design @ beta) == pytest.approx(p[mask], rel=1e-3)

    def test_takes_all_that_was_bought_and_weighs_a_sample_of_the_rest_back(self) -> None:
        everything, part = lesson().fresh, lesson(rule=BlendSettings(sample=1_000)).fresh
        few = lesson(rule=BlendSettings.model_construct(customers=800, sample=200)).fresh
        assert len(few.label) < len(part.label) <= len(everything.label)
        assert few.label.sum() == everything.label.sum()
        assert (few.weight[few.label] == 1).all()
        assert few.weight[~few.label] == pytest.approx(40 * 20 / 200)
        assert few.weight.sum() == pytest.approx(everything.weight.sum(), rel=0.2)

    def test_counts_as_much_as_its_window(self) -> None:
        whole, half = lesson(), lesson(importance=0.5)
        assert (half.repeat.weight == whole.repeat.weight / 2).all()
        assert (half.fresh.weight == whole.fresh.weight / 2).all()

    def test_is_of_no_product_that_cannot_be_sold(self) -> None:
        sellable = np.arange(20) >= 5
        evidence = SCENE.moment.evidence
        found = lesson(sellable=sellable)
        assert len(found.repeat.label) == sellable[evidence.product].sum()
        assert len(found.fresh.label) + len(found.repeat.label) == 40 * 15

    def test_is_of_so_many_customers_at_most_and_of_others_with_another_seed(self) -> None:
        few = BlendSettings(customers=10, sample=1_000_000)
        found = [lesson(rule=few, seed=seed) for seed in (0, 0, 1)]
        assert [len(one.fresh.label) + len(one.repeat.label) for one in found] == [10 * 20] * 3
        designs = [one.fresh.design.tobytes() for one in found]
        assert designs[0] == designs[1] != designs[2]

    def test_is_of_nobody_who_was_unknown(self) -> None:
        before = replace(SCENE, moment=moment(as_of(TOLD, 0, 14)))
        nothing = lessons(
            before,
            bought_between(TOLD, 0, 14),
            SELLABLE,
            ALL,
            importance=1.0,
            rng=np.random.default_rng(0),
        )
        assert len(nothing.repeat.label) == len(nothing.fresh.label) == 0

    def test_is_the_same_in_small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = BlendSettings.model_construct(customers=800, sample=200)
        whole = lesson(rule=rule)
        monkeypatch.setattr(blend, "TAUGHT_AT_ONCE", 7)
        blocks = lesson(rule=rule)
        for one, other in ((whole.repeat, blocks.repeat), (whole.fresh, blocks.fresh)):
            assert one.design == pytest.approx(other.design, abs=1e-4)
            assert one.label.tolist() == other.label.tolist()
            assert one.weight.tolist() == other.weight.tolist()


class TestTeaching:
    def test_leaves_the_templates_coefficients_where_nothing_was_taught(self) -> None:
        assert taught() == PRIOR

    def test_predicts_the_share_that_is_bought(self) -> None:
        model = taught(lesson(), rule=BlendSettings(sample=1_000_000, ridge=0.01))
        p = probabilities(SCENE, model, EVERYBODY)
        assert np.isclose(p.sum(), bought_between(TOLD, 100, 114).sum(), rtol=0.05)

    def test_on_a_sample_hardly_differs_from_teaching_on_all(self) -> None:
        part = BlendSettings.model_construct(customers=800, sample=400)
        everything = probabilities(SCENE, taught(lesson()), EVERYBODY)
        sampled = probabilities(SCENE, taught(lesson(rule=part)), EVERYBODY)
        assert np.isclose(everything.sum(), sampled.sum(), rtol=0.2)

    def test_counts_a_window_of_twice_the_weight_like_two_of_them(self) -> None:
        one, other = lesson(60), lesson(100)
        twice = taught(lesson(60, importance=2.0), other)
        repeated = taught(one, one, other)
        assert twice != taught(one, other)
        assert twice.fresh == pytest.approx(repeated.fresh, abs=1e-3)
        assert twice.repeat == pytest.approx(repeated.repeat, abs=1e-3)

    @pytest.mark.parametrize("name", ["als", "neighbours", "share", "silence", "times"])
    def test_knows_nothing_of_a_feature_that_is_left_out(self, name: str) -> None:
        model = taught(lesson(), without={name})
        assert name not in {*model.fresh, *model.repeat}
        assert set(model.repeat) == set(REPEAT) - {name}
        assert set(model.fresh) == set(FRESH) - {name}
        p = probabilities(SCENE, model, EVERYBODY)
        assert np.isfinite(p).all()

    def test_leaves_out_of_the_probability_what_it_leaves_out_of_the_model(self) -> None:
        """A coefficient that is missing weighs 0."""
        model = taught(lesson(), without={"neighbours", "age"})
        zero = Blend(
            {**model.repeat, "neighbours": 0.0, "age": 0.0}, {**model.fresh, "neighbours": 0.0}
        )
        one, other = (probabilities(SCENE, each, EVERYBODY) for each in (model, zero))
        assert np.allclose(one, other, rtol=1e-5)
