from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.gate import bootstrap, decide
from schema.names import Outcome
from schema.records import Judgement
from schema.settings import GateSettings

RULE = GateSettings()
RMSES = st.floats(0.05, 0.2)


def judged(rmse: float, *, customers: int = 50, ndcg: float = 0.4, **figures: Any) -> Judgement:
    """A judgement whose customers all err alike."""
    known = Judgement(
        customers=customers,
        pairs=customers * 100,
        bought=300,
        rmse=rmse,
        mae=rmse,
        skill=0.1,
        ndcg_at_10=ndcg,
        ndcg_new_at_10=ndcg / 2,
        recall_at_10=0.3,
        map_at_10=0.2,
        hit_rate_at_10=0.6,
        coverage=0.5,
        top_share=0.2,
        calibration=0.001,
        reliability=(),
        squared_errors=np.full(customers, 100 * rmse**2),
        ndcgs=np.full(customers, ndcg),
    )
    return replace(known, **figures)


INCUMBENT = judged(0.1)


def outcome(challenger: Judgement, incumbent: Judgement = INCUMBENT) -> Outcome:
    return decide(challenger, incumbent, RULE, seed=0).outcome


class TestAChallenger:
    def test_takes_over_when_its_rmse_is_lower(self) -> None:
        assert outcome(judged(0.099)) is Outcome.PROMOTED

    def test_stays_out_on_a_tie(self) -> None:
        assert outcome(INCUMBENT) is Outcome.REJECTED

    def test_stays_out_when_its_rmse_is_higher_and_hears_by_how_much(self) -> None:
        verdict = decide(judged(0.11), INCUMBENT, RULE, seed=0)
        assert verdict.outcome is Outcome.REJECTED
        assert "RMSE 0.110000 against the incumbent's 0.100000 (+10.00 %" in verdict.because

    def test_stays_out_when_its_lists_got_clearly_worse(self) -> None:
        verdict = decide(judged(0.099, ndcg=0.3), INCUMBENT, RULE, seed=0)
        assert verdict.outcome is Outcome.REJECTED
        assert "NDCG@10" in verdict.because

    def test_may_lose_ndcg_that_is_noise(self) -> None:
        rng = np.random.default_rng(0)
        noisy = replace(judged(0.099, ndcg=0.37), ndcgs=0.37 + rng.normal(0, 1, 50))
        assert outcome(noisy) is Outcome.PROMOTED

    def test_stays_out_when_its_lists_collapsed(self) -> None:
        assert outcome(judged(0.099, coverage=0.2)) is Outcome.REJECTED
        assert outcome(judged(0.099, top_share=0.95)) is Outcome.REJECTED

    def test_is_held_for_a_person_when_it_is_too_good_to_be_true(self) -> None:
        assert outcome(judged(0.05)) is Outcome.HELD

    @given(one=RMSES, other=RMSES, incumbent=RMSES)
    def test_never_fares_worse_by_a_lower_rmse_short_of_a_miracle(
        self, one: float, other: float, incumbent: float
    ) -> None:
        better, worse = sorted([one, other])
        found = [outcome(judged(rmse), judged(incumbent)) for rmse in (worse, better)]
        assert found != [Outcome.PROMOTED, Outcome.REJECTED]


class TestTheGateFailsClosed:
    @pytest.mark.parametrize("figure", ["rmse", "ndcg_at_10", "coverage", "skill", "calibration"])
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_on_any_figure_that_is_not_finite(self, figure: str, value: float) -> None:
        broken: dict[str, Any] = {figure: value}
        assert outcome(replace(judged(0.05), **broken)) is Outcome.REJECTED
        assert outcome(judged(0.05), replace(INCUMBENT, **broken)) is Outcome.REJECTED

    def test_on_models_judged_on_different_pairs(self) -> None:
        assert outcome(judged(0.05, customers=49)) is Outcome.REJECTED
        assert outcome(judged(0.05, bought=299)) is Outcome.REJECTED

    def test_on_nothing_to_judge_by(self) -> None:
        assert outcome(judged(0.05, pairs=0), judged(0.1, pairs=0)) is Outcome.REJECTED


class TestTheInterval:
    def test_holds_the_difference_and_shrinks_with_customers(self) -> None:
        widths = []
        for customers in (50, 5_000):
            rng = np.random.default_rng(0)
            errors = rng.gamma(1, 1, (2, customers))
            models = [
                replace(
                    judged(float(np.sqrt(e.sum() / customers / 100)), customers=customers),
                    squared_errors=e,
                )
                for e in errors
            ]
            (low, high), _ = bootstrap(models[0], models[1], seed=0)
            assert low < models[0].rmse - models[1].rmse < high
            widths.append(high - low)
        assert widths[1] < widths[0] / 5

    def test_is_the_same_for_the_same_seed(self) -> None:
        assert bootstrap(judged(0.09), INCUMBENT, seed=1) == bootstrap(
            judged(0.09), INCUMBENT, seed=1
        )
