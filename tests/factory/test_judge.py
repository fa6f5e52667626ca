from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from factory import judge as judging
from factory.blend import Moment, moment, probabilities
from factory.evidence import Evidence, as_of, bought_between
from factory.judge import BIN_EDGES, judge, judged_customers, over
from factory.train import BASELINE, template_baseline, train, view
from schema.records import Blend, History, Judgement, Model
from tests.factory.build import history
from tests.factory.test_train import SETTINGS, TOLD, WINDOWS, trained

_Table = NDArray[np.float64]

MODEL, PLAIN = trained(TOLD), trained(TOLD, BASELINE)


def judged(model: Model = MODEL, told: History = TOLD, *, new_only: bool = False) -> Judgement:
    [found] = judge([model], told, WINDOWS, new_only=new_only)
    return found


def table(model: Model, told: History = TOLD) -> tuple[_Table, _Table, NDArray[np.bool_]]:
    """Probabilities, labels and what was bought before: of known customers, sellable products."""
    scene = view(model, told, WINDOWS.judge)
    evidence = scene.moment.evidence
    rows = np.flatnonzero(evidence.known)
    labels = bought_between(told, WINDOWS.judge, WINDOWS.tonight).toarray()[rows]
    before = evidence.by_pair(evidence.times).toarray()[rows] > 0
    p = probabilities(scene, model.blend, rows).astype(np.float64)
    return p[:, told.sellable], labels[:, told.sellable], before[:, told.sellable]


def popularity(told: History) -> _Table:
    """(sellable products,) share of the known customers who bought in the window before."""
    before = bought_between(told, WINDOWS.judge - WINDOWS.days, WINDOWS.judge).toarray()
    known = as_of(told, WINDOWS.judge, WINDOWS.days).known.sum()
    return np.asarray((before.sum(0) + 0.5) / (known + 1))[told.sellable]


def by_hand(model: Model, told: History, *, new_only: bool) -> dict[str, float]:
    """Every figure, one pair and one customer after the other."""
    p, y, before = table(model, told)
    popular = popularity(told)
    errors, absolute, of_popular, pairs, bought = 0.0, 0.0, 0.0, 0, 0
    bins = np.zeros((3, len(BIN_EDGES) - 1))
    ndcgs: list[float] = []
    fresh_ndcgs: list[float] = []
    recalls, precisions, hit_rates = [], [], []
    firsts: list[int] = []
    shown: set[int] = set()
    for chances, truth, known in zip(p, y, before, strict=True):
        kept = ~known if new_only else np.ones(len(truth), bool)
        errors += float(((truth - chances)[kept] ** 2).sum())
        absolute += float(np.abs(truth - chances)[kept].sum())
        of_popular += float(((truth - popular)[kept] ** 2).sum())
        pairs += int(kept.sum())
        bought += int(truth[kept].sum())
        for chance, happened in zip(chances[kept], truth[kept], strict=True):
            place = max(n for n, edge in enumerate(BIN_EDGES[:-1]) if n == 0 or edge <= chance)
            bins[:, place] += 1, chance, happened
        for listable, found in ((kept, ndcgs), (~known, fresh_ndcgs)):
            order = [n for n in np.lexsort((np.arange(len(p.T)), -chances)) if listable[n]][:10]
            hits = [truth[n] > 0 for n in order]
            wanted = int(truth[listable].sum())
            if found is ndcgs:
                shown |= set(order)
                firsts += order[:1]
            if not wanted:
                continue
            places = [place for place, hit in enumerate(hits, 1) if hit]
            ideal = sum(1 / np.log2(n + 1) for n in range(1, min(wanted, 10) + 1))
            found.append(sum(1 / np.log2(n + 1) for n in places) / ideal)
            if found is ndcgs:
                recalls.append(len(places) / wanted)
                precisions.append(
                    sum((n + 1) / place for n, place in enumerate(places)) / min(10, wanted)
                )
                hit_rates.append(bool(places))
    return {
        "customers": len(p),
        "pairs": pairs,
        "bought": bought,
        "rmse": np.sqrt(errors / pairs),
        "mae": absolute / pairs,
        "skill": 1 - errors / of_popular,
        "ndcg_at_10": float(np.mean(ndcgs)),
        "ndcg_new_at_10": float(np.mean(fresh_ndcgs)),
        "recall_at_10": float(np.mean(recalls)),
        "map_at_10": float(np.mean(precisions)),
        "hit_rate_at_10": float(np.mean(hit_rates)),
        "coverage": len(shown) / p.shape[1],
        "top_share": max(firsts.count(n) for n in set(firsts)) / len(p),
        "calibration": float(np.abs(bins[2] - bins[1]).sum() / pairs),
    }


def numbers(found: Judgement) -> dict[str, float]:
    return {name: value for name, value in found.figures().items() if name != "reliability"}


class TestAJudgement:
    @pytest.mark.parametrize("new_only", [False, True], ids=["all pairs", "new pairs only"])
    @pytest.mark.parametrize("model", [MODEL, PLAIN], ids=["als", "baseline"])
    @pytest.mark.parametrize("sold", [20, 13], ids=["all sellable", "some sellable"])
    def test_has_the_figures_of_one_pair_after_the_other(
        self, model: Model, new_only: bool, sold: int
    ) -> None:
        told = replace(TOLD, sellable=np.arange(20) < sold)
        found = judge([model], told, WINDOWS, new_only=new_only)[0]
        assert numbers(found) == pytest.approx(by_hand(model, told, new_only=new_only), rel=1e-5)

    def test_is_the_same_in_small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = judged()
        monkeypatch.setattr(judging, "CHUNK_CELLS", 60)
        assert numbers(judged()) == pytest.approx(numbers(whole), rel=1e-6)

    def test_leaves_out_what_cannot_be_sold(self) -> None:
        found = judged(told=replace(TOLD, sellable=np.arange(20) < 15))
        assert found.pairs == found.customers * 15

    def test_is_of_a_seeded_sample_of_many_customers(self) -> None:
        one, again, other = (
            judge([MODEL], TOLD, WINDOWS, seed=seed, most=10)[0] for seed in (0, 0, 1)
        )
        assert one.customers == 10
        assert numbers(one) == numbers(again) != numbers(other)

    def test_is_of_five_thousand_customers_at_most_and_of_known_ones_only(self) -> None:
        known = np.arange(12_000) % 2 == 0
        found = judged_customers(known, seed=0)
        assert len(set(found.tolist())) == 5_000
        assert known[found].all()
        assert judged_customers(known[:100], seed=0).tolist() == list(range(0, 100, 2))

    def test_has_errors_and_pairs_by_customer_that_add_up_to_the_whole(self) -> None:
        for new_only in (False, True):
            found = judged(new_only=new_only)
            assert found.pair_counts.sum() == found.pairs
            assert found.squared_errors.sum() == pytest.approx(found.rmse**2 * found.pairs)

    def test_is_of_the_pairs_that_each_customer_has_left_where_only_new_ones_count(self) -> None:
        _, _, before = table(MODEL)
        assert judged(new_only=True).pair_counts.tolist() == (~before).sum(1).tolist()
        assert judged().pair_counts.tolist() == [20] * len(before)

    @pytest.mark.parametrize("new_only", [False, True])
    def test_has_a_reliability_table_that_holds_every_pair(self, new_only: bool) -> None:
        found = judged(new_only=new_only)
        assert sum(pairs for pairs, _, _ in found.reliability) == found.pairs
        happened = sum(pairs * observed for pairs, _, observed in found.reliability)
        assert happened == pytest.approx(found.bought)

    def test_of_a_model_that_knows_nothing_has_less_skill(self) -> None:
        zero = Blend(dict.fromkeys(MODEL.blend.repeat, 0.0), dict.fromkeys(MODEL.blend.fresh, 0.0))
        assert judged(replace(MODEL, blend=zero)).skill < 0 < judged().skill

    def test_of_nobody_is_no_accident(self) -> None:
        """Nobody was known when the window began: every figure is a number all the same."""
        late = history([(0, 0, 110), (1, 1, 111)], 2, 3)
        model = template_baseline(late, 106, SETTINGS, "f")
        found = judge([model], late, WINDOWS)[0]
        assert (found.customers, found.pairs, found.bought) == (0, 0, 0)
        assert all(value is not None for value in found.figures().values())

    @settings(max_examples=15)
    @given(st.integers(0, 10_000))
    def test_depends_on_nothing_from_tonight_on(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        known = zip(TOLD.customer.tolist(), TOLD.product.tolist(), TOLD.day.tolist(), strict=True)
        later = [(int(c), int(rng.integers(20)), 120) for c in range(40)]
        assert numbers(judged(told=history([*known, *later], 40, 20))) == numbers(judged())


class TestModelsJudgedTogether:
    @pytest.mark.parametrize("new_only", [False, True])
    def test_are_judged_as_each_alone(self, new_only: bool) -> None:
        """What they share, evidence and affinities, is the same for each of them."""
        together = judge([MODEL, PLAIN], TOLD, WINDOWS, new_only=new_only)
        for model, found in zip((MODEL, PLAIN), together, strict=True):
            alone = judged(model, new_only=new_only)
            assert numbers(found) == numbers(alone)
            assert found.squared_errors.tobytes() == alone.squared_errors.tobytes()
            assert found.ndcgs.tobytes() == alone.ndcgs.tobytes()

    def test_stand_in_the_order_in_which_they_were_asked_about(self) -> None:
        one, other = judge([MODEL, PLAIN], TOLD, WINDOWS)
        assert [numbers(other), numbers(one)] == [
            numbers(found) for found in judge([PLAIN, MODEL], TOLD, WINDOWS)
        ]

    def test_are_judged_on_the_same_pairs_whatever_windows_they_were_made_for(self) -> None:
        week = train(TOLD, replace(WINDOWS, days=7), SETTINGS, kind=BASELINE, fingerprint="")
        one, other = judge([MODEL, week], TOLD, WINDOWS)
        assert week.horizon_days != MODEL.horizon_days
        assert (one.customers, one.pairs, one.bought) == (
            other.customers,
            other.pairs,
            other.bought,
        )
        assert numbers(other) == numbers(judged(week))

    def test_see_the_day_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The evidence of a day is gathered once, however many models look at it."""
        days = []

        def counted(evidence: Evidence) -> Moment:
            days.append(evidence.day)
            return moment(evidence)

        monkeypatch.setattr("factory.train.moment", counted)
        judge([MODEL, PLAIN], TOLD, WINDOWS)
        assert days == [WINDOWS.judge]


class TestAProbabilityOverOtherDays:
    P = np.array([[0.0, 1e-6, 0.01, 0.3, 0.999999, 1.0]], np.float32)

    def test_is_that_of_buying_at_the_same_daily_rate(self) -> None:
        """Not to buy in four weeks is not to buy in four single ones."""
        month = over(self.P, 7, 28)
        assert month[0, :4] == pytest.approx(1 - (1 - self.P[0, :4].astype(float)) ** 4, rel=1e-4)
        assert over(self.P[:, :4], 28, 7)[0] == pytest.approx(
            1 - (1 - self.P[0, :4].astype(float)) ** 0.25, rel=1e-4
        )

    def test_is_the_same_over_the_same_days(self) -> None:
        assert over(self.P, 14, 14).tobytes() == self.P.tobytes()

    @given(st.floats(0, 1, width=32), st.integers(1, 91), st.integers(1, 91))
    def test_is_a_probability_and_the_larger_the_longer(
        self, p: float, one: int, days: int
    ) -> None:
        [[found]] = over(np.array([[p]], np.float32), one, days)
        assert 0 <= found <= 1
        assert found >= p * (1 - 1e-6) if days >= one else found <= p

    @given(st.integers(1, 91), st.integers(1, 91))
    def test_keeps_the_order_of_a_list(self, horizon: int, days: int) -> None:
        p = np.sort(np.random.default_rng(0).random((1, 50), np.float32))
        assert (np.diff(over(p, horizon, days)) >= 0).all()

    def test_makes_models_of_other_windows_comparable(self) -> None:
        """A baseline for a week, judged over a fortnight, foresees about a fortnight's purchases."""
        week = template_baseline(TOLD, 40, SETTINGS, "")
        assert week.horizon_days == 7
        scene = view(week, TOLD, WINDOWS.judge)
        p = over(probabilities(scene, week.blend, np.arange(40)), 7, 14)
        found = judged(week)
        predicted = sum(n * mean for n, mean, _ in found.reliability)
        assert predicted == pytest.approx(float(p.sum()), rel=1e-4)
