import numpy as np
import pytest

from factory import judge as judging
from factory.blend import probabilities
from factory.evidence import bought_between
from factory.judge import judge
from factory.train import view
from schema.records import Judgement, Model, Windows
from tests.factory.test_train import TOLD, cut, trained

MODEL, WINDOWS = trained(TOLD), cut(TOLD)


def judged() -> Judgement:
    return judge(MODEL, TOLD, WINDOWS)


def table(model: Model, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and what was bought before, for every known customer."""
    scene = view(model, TOLD, windows.judge)
    rows = np.flatnonzero(scene.evidence.known)
    labels = bought_between(TOLD, windows.judge, windows.tonight).toarray()[rows]
    before = np.zeros((len(rows), 20), bool)
    at, pairs = scene.evidence.pairs_of(rows)
    before[at, scene.evidence.product[pairs]] = True
    return probabilities(scene, model.blend, rows).astype(np.float64), labels, before


class TestRMSE:
    def test_is_the_root_of_the_mean_squared_error_over_every_pair(self) -> None:
        p, y, _ = table(MODEL, WINDOWS)
        found = judged()
        assert found.pairs == p.size
        assert found.bought == int(y.sum())
        assert found.rmse == pytest.approx(np.sqrt(((y - p) ** 2).mean()), rel=1e-6)
        assert found.mae == pytest.approx(np.abs(y - p).mean(), rel=1e-6)

    def test_is_the_same_in_small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = judged()
        monkeypatch.setattr(judging, "CHUNK_CELLS", 60)
        assert judged().rmse == pytest.approx(whole.rmse, rel=1e-6)
        assert judged().ndcg_at_10 == pytest.approx(whole.ndcg_at_10)

    def test_leaves_out_what_cannot_be_sold(self) -> None:
        from dataclasses import replace

        sellable = np.arange(20) < 15
        found = judge(MODEL, replace(TOLD, sellable=sellable), WINDOWS)
        assert found.pairs == found.customers * 15

    def test_judges_a_seeded_sample_of_many_customers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judging, "MOST_CUSTOMERS", 10)
        assert judged().customers == 10
        assert judged().rmse == judged().rmse


class TestTheOtherFigures:
    def test_ndcg_is_that_of_the_lists_by_probability(self) -> None:
        p, y, before = table(MODEL, WINDOWS)
        for task, found in (("any", judged().ndcg_at_10), ("new", judged().ndcg_new_at_10)):
            values = []
            for scores, truth, known in zip(p, y, before, strict=True):
                kept = np.where(known, -1, scores) if task == "new" else scores
                wanted = truth * ~known if task == "new" else truth
                if wanted.sum():
                    top = np.lexsort((np.arange(20), -kept))[:10]
                    gains = (wanted[top] * (kept[top] >= 0)) / np.log2(np.arange(2, 12))
                    ideal = (1 / np.log2(np.arange(2, 12)))[: int(wanted.sum())].sum()
                    values.append(gains.sum() / ideal)
            assert found == pytest.approx(np.mean(values)), task

    def test_the_reliability_table_holds_every_pair(self) -> None:
        found = judged()
        assert sum(pairs for pairs, _, _ in found.reliability) == found.pairs

    def test_shares_are_shares(self) -> None:
        found = judged()
        assert 0 < found.coverage <= 1
        assert 0 < found.top_share <= 1

    def test_by_customer_errors_add_up_to_the_whole(self) -> None:
        found = judged()
        assert found.rmse**2 * found.pairs == pytest.approx(found.squared_errors.sum())

    def test_a_model_that_knows_nothing_has_less_skill(self) -> None:
        from dataclasses import replace

        from schema.records import Blend

        zero = Blend(dict.fromkeys(MODEL.blend.repeat, 0.0), dict.fromkeys(MODEL.blend.fresh, 0.0))
        coin = judge(replace(MODEL, blend=zero), TOLD, WINDOWS)
        assert coin.skill < 0 < judged().skill
