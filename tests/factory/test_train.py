from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory import als
from factory.blend import Moment, probabilities
from factory.evidence import as_of, taste
from factory.prior import PRIOR
from factory.train import (
    ALS,
    BASELINE,
    aligned,
    study,
    template_baseline,
    train,
    view,
)
from factory.windows import choose
from schema.records import History, Ids, Model, Windows
from schema.settings import AlsSettings, BlendSettings, TenantSettings, WindowSettings
from tests.factory.build import checkerboard, history, kept, retold

SETTINGS = TenantSettings(
    als=AlsSettings(factors=4, regularization=0.5), windows=WindowSettings(min_pairs=20)
)
TOLD = checkerboard()


def cut(told: History, tonight: int = 120) -> Windows:
    windows = choose(told, tonight, SETTINGS.windows, SETTINGS.blend)
    assert windows is not None
    return windows


WINDOWS = cut(TOLD)


def trained(told: History, kind: str = ALS, start: Model | None = None) -> Model:
    return train(told, WINDOWS, SETTINGS, kind=kind, fingerprint="f", start=start)


def content(model: Model) -> tuple[object, ...]:
    """Every byte that a night would write, but for the ids."""
    return (
        model.factors.tobytes(),
        model.early_factors.tobytes(),
        dict(model.blend.repeat),
        dict(model.blend.fresh),
        (model.horizon_days, model.taught_from, model.trained_through, model.seed),
    )


def otherwise(told: History, rows: np.ndarray) -> History:
    """These rows were of the next product."""
    return replace(told, product=np.where(rows, (told.product + 1) % 20, told.product))


class TestTraining:
    @pytest.mark.parametrize("kind", [ALS, BASELINE])
    def test_sees_nothing_of_the_judge_window(self, kind: str) -> None:
        """Other purchases in the judge window leave the model byte for byte the same."""
        changed = otherwise(TOLD, TOLD.day >= WINDOWS.judge)
        assert content(trained(changed, kind)) == content(trained(TOLD, kind))

    @settings(max_examples=15)
    @given(
        st.lists(st.tuples(st.integers(0, 39), st.integers(0, 19), st.integers(0, 30)), max_size=9)
    )
    def test_sees_nothing_of_whatever_happens_from_the_judge_window_on(
        self, late: list[tuple[int, int, int]]
    ) -> None:
        rows = [(customer, product, WINDOWS.judge + day) for customer, product, day in late]
        known = trained(kept(TOLD, TOLD.day < WINDOWS.judge))
        assert content(trained(retold(TOLD, rows))) == content(known)

    def test_does_see_what_happened_before(self) -> None:
        assert content(trained(otherwise(TOLD, TOLD.day < 30))) != content(trained(TOLD))
        last = (WINDOWS.teach[-1] <= TOLD.day) & (TOLD.day < WINDOWS.judge)
        assert content(trained(otherwise(TOLD, last))) != content(trained(TOLD))

    def test_gives_the_same_model_for_the_same_seed(self) -> None:
        assert content(trained(TOLD)) == content(trained(TOLD))

    def test_of_a_baseline_has_no_factors_and_no_weight_for_them(self) -> None:
        model = trained(TOLD, BASELINE)
        assert model.factors.shape == model.early_factors.shape == (20, 0)
        assert "als" not in {*model.blend.fresh, *model.blend.repeat}

    def test_leaves_out_the_features_that_the_tenant_does_without(self) -> None:
        without = BlendSettings(without=("neighbours", "age"))
        settings = SETTINGS.model_copy(update={"blend": without})
        model = train(TOLD, WINDOWS, settings, kind=ALS, fingerprint="f")
        assert not {"neighbours", "age"} & {*model.blend.fresh, *model.blend.repeat}

    def test_says_from_and_through_which_day_it_saw(self) -> None:
        model = trained(TOLD)
        assert (model.taught_from, model.trained_through) == (WINDOWS.teach[0], WINDOWS.judge)

    def test_teaches_each_window_with_factors_that_never_saw_it(self) -> None:
        """What is bought in the last teach window is a label: no factors know of it."""
        last = TOLD.day >= WINDOWS.teach[-1]
        early, factors, _ = study(TOLD, WINDOWS, SETTINGS, kind=ALS)
        found = study(otherwise(TOLD, last), WINDOWS, SETTINGS, kind=ALS)
        assert (found[0].tobytes(), found[1].tobytes()) == (early.tobytes(), factors.tobytes())
        assert factors.tobytes() != early.tobytes()

    def test_counts_a_window_less_the_longer_ago_it_is(self) -> None:
        _, _, taught = study(TOLD, WINDOWS, SETTINGS, kind=BASELINE)
        each = [lessons.repeat.weight.max() for lessons in taught]
        decay = SETTINGS.blend.window_decay
        assert each == pytest.approx([decay ** (len(taught) - 1 - n) for n in range(len(taught))])

    def test_counts_a_missing_window_like_any_other_for_the_age_of_those_before(self) -> None:
        """A window's weight goes by how long ago it is, not by its place."""
        gap = Windows(14, 120, (WINDOWS.judge - 3 * 14, WINDOWS.judge - 14))
        _, _, taught = study(TOLD, gap, SETTINGS, kind=BASELINE)
        assert [lessons.repeat.weight.max() for lessons in taught] == pytest.approx([0.7**2, 1])


class TestModelsOfTheSameLessons:
    def test_are_what_each_would_be_of_its_own(self) -> None:
        learned = study(TOLD, WINDOWS, SETTINGS, kind=ALS)
        for kind in (BASELINE, ALS):
            made = train(TOLD, WINDOWS, SETTINGS, kind=kind, fingerprint="f", learned=learned)
            assert made.kind == kind
            assert content(made) == content(trained(TOLD, kind))


class TestCarryingOn:
    """Tonight's fit may begin where an earlier model's first one ended."""

    EARLIER = train(TOLD, cut(TOLD, 106), SETTINGS, kind=ALS, fingerprint="f")

    def test_begins_from_the_earlier_models_early_factors(self) -> None:
        assert self.EARLIER.taught_from <= WINDOWS.teach[0]
        seen = taste(TOLD, WINDOWS.teach[0], SETTINGS.als.memory * WINDOWS.days)
        start = als.Fit(np.zeros((40, 4), np.float32), self.EARLIER.early_factors)
        expected = als.fit(seen, SETTINGS.als, seed=SETTINGS.seed, start=start).products
        assert (trained(TOLD, start=self.EARLIER).early_factors == expected).all()
        assert content(trained(TOLD, start=self.EARLIER)) != content(trained(TOLD))

    def test_does_not_look_at_the_factors_that_know_the_earlier_teach_windows(self) -> None:
        later = replace(self.EARLIER, factors=np.full_like(self.EARLIER.factors, np.nan))
        assert content(trained(TOLD, start=later)) == content(trained(TOLD, start=self.EARLIER))

    @pytest.mark.parametrize(
        "start",
        [
            replace(EARLIER, taught_from=WINDOWS.teach[0] + 1),
            replace(EARLIER, early_factors=EARLIER.early_factors[:, :3]),
            replace(EARLIER, kind=BASELINE),
        ],
        ids=["saw what is taught", "another number of factors", "a baseline"],
    )
    def test_is_left_out_where_it_would_not_do(self, start: Model) -> None:
        assert content(trained(TOLD, start=start)) == content(trained(TOLD))

    def test_may_begin_on_the_very_day_the_earlier_one_was_taught_from(self) -> None:
        start = replace(self.EARLIER, taught_from=WINDOWS.teach[0])
        assert content(trained(TOLD, start=start)) == content(trained(TOLD, start=self.EARLIER))

    def test_sees_nothing_of_the_judge_window_either(self) -> None:
        changed = otherwise(TOLD, TOLD.day >= WINDOWS.judge)
        assert content(trained(changed, start=self.EARLIER)) == content(
            trained(TOLD, start=self.EARLIER)
        )

    def test_finds_the_factors_of_a_catalogue_that_was_renumbered(self) -> None:
        """A product that came in front of all others moves every number, and no factor."""
        moved = history(
            zip(
                TOLD.customer.tolist(), (TOLD.product + 1).tolist(), TOLD.day.tolist(), strict=True
            ),
            40,
            21,
        )
        moved = replace(moved, products=Ids(["A-new", *TOLD.products.names]))
        found = trained(moved, start=self.EARLIER)
        assert not found.early_factors[0].any()
        assert np.allclose(
            found.early_factors[1:], trained(TOLD, start=self.EARLIER).early_factors, atol=1e-5
        )

    def test_judges_a_new_product_by_what_was_bought_of_it(self) -> None:
        """A product the earlier model never knew gets factors like any other."""
        few = replace(
            self.EARLIER,
            products=Ids(self.EARLIER.products.names[:-1]),
            early_factors=self.EARLIER.early_factors[:-1],
        )
        assert trained(TOLD, start=few).early_factors[-1].any()


class TestTheTemplateBaseline:
    def test_has_the_templates_coefficients(self) -> None:
        few = history([(0, 0, 1), (1, 1, 3)], 2, 2)
        model = template_baseline(few, 10, SETTINGS, "f")
        assert model.blend == PRIOR
        assert model.kind == BASELINE

    def test_works_without_any_interaction(self) -> None:
        model = template_baseline(history([], 2, 2), 10, SETTINGS, "f")
        assert model.factors.shape == model.early_factors.shape == (2, 0)

    def test_saw_nothing_of_the_tenant(self) -> None:
        few = history([(0, 0, 1), (1, 1, 3)], 2, 2)
        model = template_baseline(few, 10, SETTINGS, "f")
        assert model.taught_from == model.trained_through == 1


class TestAView:
    MODEL = trained(TOLD)

    def test_has_the_newest_evidence_and_nothing_from_its_day_on(self) -> None:
        later = kept(TOLD, TOLD.day < 110)
        for told in (TOLD, later):
            scene = view(self.MODEL, told, 110)
            assert scene.moment.evidence.day == 110
            assert scene.moment.evidence.horizon == self.MODEL.horizon_days
        known, honest = (view(self.MODEL, told, 110) for told in (TOLD, later))
        assert (known.factors == honest.factors).all()
        assert (known.taste.toarray() == honest.taste.toarray()).all()

    def test_carries_the_factors_on_to_its_day_and_leaves_the_model_as_it_was(self) -> None:
        before = content(self.MODEL)
        scene = view(self.MODEL, TOLD, 120)
        seen = taste(TOLD, 120, self.MODEL.settings.als.memory * self.MODEL.horizon_days)
        start = als.Fit(np.zeros((40, 4), np.float32), self.MODEL.factors)
        expected = als.fit(seen, self.MODEL.settings.als, seed=self.MODEL.seed, start=start)
        assert (scene.factors == expected.products).all()
        assert content(self.MODEL) == before

    def test_is_the_same_procedure_for_every_model_and_day(self) -> None:
        """Model and day decide, whoever asks: what is judged is what is served."""
        for model in (self.MODEL, trained(TOLD, BASELINE)):
            for day in (WINDOWS.judge, 120):
                one, other = view(model, TOLD, day), view(model, TOLD, day, {})
                p = [
                    probabilities(scene, model.blend, np.arange(40)).tobytes()
                    for scene in (one, other)
                ]
                assert p[0] == p[1]

    def test_gives_factors_to_products_the_model_never_knew_where_somebody_bought_them(
        self,
    ) -> None:
        rows = [(customer, 20, 112) for customer in range(0, 40, 2)]
        wide = retold(TOLD, rows, products=22)
        scene = view(self.MODEL, wide, 120)
        assert scene.factors.shape == (22, 4)
        assert scene.factors[20].any()
        assert not scene.factors[21].any()
        taste_of = scene.vectors(np.arange(40)) @ scene.factors[20]
        assert taste_of[::2].min() > taste_of[1::2].max()  # even customers bought it

    def test_forgets_products_that_are_in_no_history_any_more(self) -> None:
        few = kept(TOLD, TOLD.product < 18, products=18)
        assert view(self.MODEL, few, 120).factors.shape == (18, 4)

    def test_of_a_day_before_anything_happened_is_empty_and_whole(self) -> None:
        scene = view(self.MODEL, TOLD, 0)
        p = probabilities(scene, self.MODEL.blend, np.arange(40))
        assert not scene.moment.evidence.known.any()
        assert np.isfinite(p).all()

    def test_shares_what_was_known_that_day_between_models_of_the_same_horizon(self) -> None:
        moments: dict[int, Moment] = {}
        week = replace(self.MODEL, horizon_days=7)
        scenes = [view(model, TOLD, 120, moments) for model in (self.MODEL, self.MODEL, week)]
        assert scenes[0].moment is scenes[1].moment
        assert scenes[2].moment is not scenes[0].moment
        assert set(moments) == {self.MODEL.horizon_days, 7}
        assert scenes[2].moment.evidence.decayed.tolist() == as_of(TOLD, 120, 7).decayed.tolist()


class TestAlignedFactors:
    def test_follow_the_products_and_are_zero_for_one_the_model_does_not_know(self) -> None:
        model = replace(trained(TOLD), products=Ids(["a", "b"]))
        factors = np.array([[1.0], [2.0]], np.float32)
        assert aligned(model, factors, ["b", "new", "a"]).tolist() == [[2.0], [0.0], [1.0]]

    def test_may_be_the_early_ones(self) -> None:
        model = trained(TOLD)
        names = TOLD.products.names[::-1]
        assert (aligned(model, model.early_factors, names) == model.early_factors[::-1]).all()
