from dataclasses import replace

import numpy as np

from factory.blend import PRIOR
from factory.train import ALS, BASELINE, aligned, template_baseline, train
from factory.windows import choose
from schema.records import History, Ids, Model, Windows
from schema.settings import AlsSettings, TenantSettings, WindowSettings
from tests.factory.build import checkerboard, history

SETTINGS = TenantSettings(
    als=AlsSettings(factors=4, regularization=0.5), windows=WindowSettings(min_pairs=20)
)
TOLD = checkerboard()


def cut(told: History) -> Windows:
    windows = choose(told, 120, SETTINGS.windows, SETTINGS.blend)
    assert windows is not None
    return windows


def trained(told: History, kind: str = ALS) -> Model:
    return train(told, cut(TOLD), SETTINGS, kind=kind, fingerprint="f")


def content(model: Model) -> tuple[bytes, dict[str, float], dict[str, float]]:
    return model.factors.tobytes(), dict(model.blend.repeat), dict(model.blend.fresh)


class TestTraining:
    def test_sees_nothing_of_the_judge_window(self) -> None:
        """Other purchases in the judge window leave the model byte for byte the same."""
        judge = cut(TOLD).judge
        later = TOLD.day >= judge
        changed = replace(
            TOLD, product=np.where(later, (TOLD.product + 1) % 20, TOLD.product).astype(np.int32)
        )
        assert content(trained(changed)) == content(trained(TOLD))

    def test_does_see_what_happened_before(self) -> None:
        earlier = TOLD.day < 30
        changed = replace(
            TOLD, product=np.where(earlier, (TOLD.product + 1) % 20, TOLD.product).astype(np.int32)
        )
        assert content(trained(changed)) != content(trained(TOLD))

    def test_gives_the_same_model_for_the_same_seed(self) -> None:
        assert content(trained(TOLD)) == content(trained(TOLD))

    def test_of_a_baseline_has_no_factors(self) -> None:
        assert trained(TOLD, BASELINE).factors.shape == (20, 0)

    def test_says_through_which_day_it_saw(self) -> None:
        assert trained(TOLD).trained_through == cut(TOLD).judge


class TestTheTemplateBaseline:
    def test_has_the_templates_coefficients(self) -> None:
        few = history([(0, 0, 1), (1, 1, 3)], 2, 2)
        model = template_baseline(few, 10, SETTINGS, "f")
        assert model.blend == PRIOR
        assert model.kind == BASELINE

    def test_works_without_any_interaction(self) -> None:
        assert template_baseline(history([], 2, 2), 10, SETTINGS, "f").factors.shape == (2, 0)


def test_a_product_the_model_does_not_know_gets_no_taste() -> None:
    model = replace(
        trained(TOLD), products=Ids(["a", "b"]), factors=np.array([[1.0], [2.0]], np.float32)
    )
    assert aligned(model, ["b", "new", "a"]).tolist() == [[2.0], [0.0], [1.0]]
