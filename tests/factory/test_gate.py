from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.gate import bootstrap, decide
from factory.judge import judge
from factory.train import ALS, BASELINE, train
from schema.names import Outcome
from schema.records import History, Judgement, Verdict, Windows
from schema.settings import AlsSettings, BlendSettings, GateSettings, TenantSettings
from tests.factory.build import Bought, history

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
        pair_counts=np.full(customers, 100.0),
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

    def test_is_held_for_a_person_when_its_error_all_but_vanished(self) -> None:
        assert outcome(judged(0.05)) is Outcome.HELD

    def test_is_held_for_a_person_when_its_lists_are_suddenly_right(self) -> None:
        assert outcome(judged(0.099, ndcg=0.6)) is Outcome.HELD
        assert outcome(judged(0.099, ndcg=0.55)) is Outcome.PROMOTED

    def test_is_held_too_where_its_lists_collapsed_so_that_a_leak_is_seen(self) -> None:
        assert outcome(judged(0.05, coverage=0.2)) is Outcome.HELD

    def test_that_is_not_better_is_rejected_however_right_its_lists_are(self) -> None:
        assert outcome(judged(0.1, ndcg=0.99)) is Outcome.REJECTED

    @given(one=RMSES, other=RMSES, incumbent=RMSES)
    def test_never_fares_worse_by_a_lower_rmse_short_of_a_miracle(
        self, one: float, other: float, incumbent: float
    ) -> None:
        better, worse = sorted([one, other])
        found = [outcome(judged(rmse), judged(incumbent)) for rmse in (worse, better)]
        assert found != [Outcome.PROMOTED, Outcome.REJECTED]


class TestEveryVerdict:
    NAMES = ("finite", "same_pairs", "ndcg", "coverage", "top_share", "error_gain", "ndcg_gain")

    @given(
        rmse=RMSES,
        ndcg=st.floats(0, 1),
        coverage=st.floats(0, 1),
        top_share=st.floats(0, 1),
        incumbent=RMSES,
    )
    def test_promotes_exactly_where_rmse_is_lower_and_no_guard_objects(
        self, rmse: float, ndcg: float, coverage: float, top_share: float, incumbent: float
    ) -> None:
        challenger = judged(rmse, ndcg=ndcg, coverage=coverage, top_share=top_share)
        verdict = decide(challenger, judged(incumbent), RULE, seed=0)
        objected = any(guard.objected for guard in verdict.guards)
        assert (verdict.outcome is Outcome.PROMOTED) == (rmse < incumbent and not objected)

    def test_keeps_every_guard_with_its_figure_and_limit_whether_or_not_it_objected(self) -> None:
        verdict = decide(judged(0.09, ndcg=0.39), INCUMBENT, RULE, seed=0)
        assert verdict.outcome is Outcome.PROMOTED
        assert tuple(guard.name for guard in verdict.guards) == self.NAMES
        kept = {guard.name: (guard.figure, guard.limit) for guard in verdict.guards}
        assert kept["finite"] == (0, 0)
        assert kept["same_pairs"] == (300, 1)
        assert kept["ndcg"] == pytest.approx((0.39, 0.95 * 0.4))
        assert kept["coverage"] == (0.5, 0.25)
        assert kept["top_share"] == (0.2, 0.9)
        assert kept["error_gain"] == pytest.approx((0.19, 0.5))
        assert kept["ndcg_gain"] == pytest.approx((-0.01 / 0.6, 0.3))

    def test_names_each_objection_with_both_its_numbers(self) -> None:
        verdict = decide(judged(0.099, coverage=0.2, top_share=0.95), INCUMBENT, RULE, seed=0)
        told = [guard.because for guard in verdict.guards if guard.objected]
        assert len(told) == 2
        assert all(sentence in verdict.because for sentence in told)
        assert "20.0% of the products, below 25.0%" in verdict.because
        assert "95% of the customers" in verdict.because

    def test_lets_pass_a_first_product_for_all_where_the_incumbent_shows_it_too(self) -> None:
        everybodys = judged(0.1, top_share=0.95)
        assert outcome(judged(0.099, top_share=0.97), everybodys) is Outcome.PROMOTED

    def test_on_what_could_not_be_compared_says_why(self) -> None:
        verdict = decide(replace(judged(0.05), rmse=float("nan")), INCUMBENT, RULE, seed=0)
        assert "figures that are missing or no numbers: 1" in verdict.because
        assert [guard.name for guard in verdict.guards if guard.objected] == ["finite"]


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

    def test_on_customers_who_bought_for_one_model_and_not_for_the_other(self) -> None:
        ndcgs = np.where(np.arange(50) == 7, np.nan, 0.4)
        assert outcome(replace(judged(0.09), ndcgs=ndcgs)) is Outcome.REJECTED

    def test_on_customers_judged_on_more_pairs_for_one_model_than_for_the_other(self) -> None:
        for counts in (np.zeros(49), np.where(np.arange(50) < 25, 90.0, 110.0)):
            assert outcome(replace(judged(0.09), pair_counts=counts)) is Outcome.REJECTED

    def test_on_errors_that_are_missing_or_no_numbers(self) -> None:
        for errors in (np.zeros(49), np.full(50, np.nan), np.full(50, -1.0)):
            assert outcome(replace(judged(0.09), squared_errors=errors)) is Outcome.REJECTED

    def test_on_a_figure_that_is_missing(self) -> None:
        missing: dict[str, Any] = {"coverage": None}
        assert outcome(replace(judged(0.09), **missing)) is Outcome.REJECTED

    def test_on_a_reliability_table_that_holds_what_is_no_number(self) -> None:
        table = ((10, float("nan"), 0.1),)
        assert outcome(judged(0.09, reliability=table)) is Outcome.REJECTED

    def test_on_nothing_to_judge_by(self) -> None:
        assert outcome(judged(0.05, pairs=0), judged(0.1, pairs=0)) is Outcome.REJECTED
        assert outcome(judged(0.05, bought=0), judged(0.1, bought=0)) is Outcome.REJECTED


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

    def test_weighs_a_customer_by_the_pairs_they_were_judged_on(self) -> None:
        """Of a tenant that lists new products only, some customers have hardly any pairs left."""
        few = np.where(np.arange(50) < 25, 10.0, 190.0)
        errors = np.where(np.arange(50) < 25, 0.1, 1.9)
        models = [
            replace(judged(0.1), squared_errors=e, pair_counts=few) for e in (errors, 4 * errors)
        ]
        (low, high), _ = bootstrap(models[0], models[1], seed=0)
        assert (low, high) == pytest.approx((-0.1, -0.1))

    def test_is_the_same_for_the_same_seed(self) -> None:
        assert bootstrap(judged(0.09), INCUMBENT, seed=1) == bootstrap(
            judged(0.09), INCUMBENT, seed=1
        )


class TestALeak:
    """A model that is judged on evidence from the days it should predict."""

    WINDOWS = Windows(days=7, tonight=120, teach=(92, 99, 106))
    SETTINGS = TenantSettings(
        als=AlsSettings(factors=8, regularization=1.0), blend=BlendSettings(sample=5_000)
    )

    @staticmethod
    def purchases() -> list[Bought]:
        """Everybody comes back for three products of their own, and tries another now and then."""
        rng = np.random.default_rng(3)
        rows: list[Bought] = []
        for customer in range(80):
            own = rng.choice(40, 3, replace=False)
            rows += [
                (customer, int(rng.choice(own)), day) for day in range(120) if rng.random() < 0.1
            ]
            rows += [
                (customer, int(rng.integers(40)), day) for day in range(120) if rng.random() < 0.05
            ]
        return rows

    @classmethod
    def told_before(cls, *starts: int) -> History:
        """The same purchases, those of the windows from ``starts`` also booked on the day before."""
        rows = cls.purchases()
        early = [
            (c, p, start - 1) for c, p, day in rows for start in starts if start <= day < start + 7
        ]
        return history(rows + early, 80, 40)

    @classmethod
    def verdict(cls, seen: History) -> Verdict:
        """A challenger that saw this history against a baseline that saw the honest one."""
        honest = history(cls.purchases(), 80, 40)
        challenger = train(seen, cls.WINDOWS, cls.SETTINGS, kind=ALS, fingerprint="")
        baseline = train(honest, cls.WINDOWS, cls.SETTINGS, kind=BASELINE, fingerprint="")
        [one] = judge([challenger], seen, cls.WINDOWS)
        [other] = judge([baseline], honest, cls.WINDOWS)
        return decide(one, other, RULE, seed=0)

    def test_is_not_suspected_where_there_is_none(self) -> None:
        assert self.verdict(self.told_before()).outcome in (Outcome.PROMOTED, Outcome.REJECTED)

    def test_that_was_there_at_teaching_too_is_held(self) -> None:
        verdict = self.verdict(self.told_before(*self.WINDOWS.teach, self.WINDOWS.judge))
        alarms = {guard.name for guard in verdict.guards if guard.objected}
        assert verdict.outcome is Outcome.HELD
        assert "error_gain" in alarms

    def test_that_came_only_now_is_held_though_the_error_fell_by_less_than_half(self) -> None:
        verdict = self.verdict(self.told_before(self.WINDOWS.judge))
        alarms = {guard.name for guard in verdict.guards if guard.objected}
        assert verdict.outcome is Outcome.HELD
        assert alarms == {"ndcg_gain"}
