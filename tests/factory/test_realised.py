from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from factory.blend import probabilities
from factory.judge import judge
from factory.realised import (
    FIGURES,
    Due,
    awaited,
    band,
    due,
    foreseen,
    of_lists,
    predicted,
    realise,
    unscored,
    weighed,
)
from factory.train import ALS, train, view
from schema.dates import day_date
from schema.errors import Problem
from schema.names import Outcome, TenantId
from schema.records import History, Model, NightReport, Realised, Windows
from schema.settings import RealisedSettings, WindowSettings
from tests.factory.build import kept, retold
from tests.factory.test_train import SETTINGS, TOLD

RULE = RealisedSettings()
MONDAY = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 0, 5, tzinfo=UTC)
WEEK = timedelta(days=7)
JUDGED = {
    "customers": 50, "pairs": 50_000, "bought": 500, "rmse": 0.09, "mae": 0.02, "skill": 0.1,
    "ndcg_at_10": 0.4, "recall_at_10": 0.3, "calibration": 0.001, "reliability": (),
    "coverage": 0.5,
}  # fmt: skip


def published(
    edition: int,
    night: date,
    *,
    model: int = 1,
    days: int | None = 7,
    outcome: Outcome = Outcome.REJECTED,
    **figures: Any,
) -> NightReport:
    """A night whose edition was served, over a horizon of so many days."""
    horizon = {} if days is None else {"horizon_days": days}
    known = {"windows": {"days": 7}, "challenger": None, "incumbent": JUDGED, **horizon, **figures}
    return NightReport(
        TenantId("acme"), night, "done", outcome, "", True, edition, model, known, AT, AT
    )


def point(edition: int, starts: date, ratio: float = 1.0, days: int = 7) -> Realised:
    """A point of the series: realised RMSE is ``ratio`` times the foreseen one."""
    ends = starts + timedelta(days=days)
    figures = {**JUDGED, "rmse": 0.09 * ratio, "foreseen_rmse": 0.09}
    return Realised(edition, 1, ends, starts, ends, "served", figures, JUDGED, False, "")


def days(night: date, editions: int) -> list[NightReport]:
    """An edition every night, newest first; the last one of ``night``."""
    return [
        published(editions - back, night - timedelta(days=back), model=editions - back)
        for back in range(editions)
    ]


class TestAnEdition:
    def test_comes_due_when_the_days_it_speaks_of_are_over(self) -> None:
        nights = [published(1, MONDAY, model=4)]
        assert due(nights, [], 1, MONDAY + timedelta(days=6)) is None
        assert due(nights, [], 1, MONDAY + WEEK) == Due(1, 4, MONDAY, MONDAY, MONDAY + WEEK)

    def test_comes_due_once(self) -> None:
        nights = [published(1, MONDAY)]
        assert due(nights, [point(1, MONDAY)], None, MONDAY + WEEK) is None

    def test_of_every_night_comes_due_in_its_own(self) -> None:
        """Daily nights, a horizon of a week: each night scores the edition of a week ago."""
        series: list[Realised] = []
        for back in range(5, 0, -1):
            tonight = MONDAY + timedelta(days=20 - back)
            found = due(days(tonight - timedelta(days=1), 20 - back), series, 20 - back, tonight)
            assert found is not None
            assert found.starts == tonight - WEEK
            assert found.passed == (0 if series else found.edition - 1)
            series.insert(0, point(found.edition, found.starts))

    def test_that_was_overtaken_stays_unscored_and_is_counted(self) -> None:
        """After a pause of the nights only the newest one that is due is scored."""
        found = due(days(MONDAY, 5), [point(1, MONDAY)], 5, MONDAY + timedelta(days=30))
        assert found is not None
        assert (found.edition, found.passed) == (5, 3)

    def test_of_a_longer_horizon_waits_longer(self) -> None:
        nights = [published(2, MONDAY + WEEK, days=28), published(1, MONDAY)]
        found = due(nights, [], 2, MONDAY + 2 * WEEK)
        assert found is not None
        assert (found.edition, found.passed) == (1, 0)

    def test_of_a_version_that_noted_no_horizon_never_comes_due(self) -> None:
        assert due([published(1, MONDAY, days=None)], [], 1, MONDAY + 9 * WEEK) is None


class TestAnEditionThatGoesOnBeingServed:
    NIGHTS = (published(1, MONDAY),)

    def test_is_held_against_every_further_week(self) -> None:
        series = [point(1, MONDAY)]
        for week in (1, 2, 3):
            starts = MONDAY + week * WEEK
            found = due(self.NIGHTS, series, 1, starts + WEEK)
            assert found == Due(1, 1, MONDAY, starts, starts + WEEK)
            series.insert(0, point(1, starts))

    def test_is_not_held_against_a_part_of_a_week(self) -> None:
        series = [point(1, MONDAY)]
        for further in range(1, 7):
            assert due(self.NIGHTS, series, 1, MONDAY + WEEK + timedelta(days=further)) is None

    def test_is_held_against_the_newest_whole_week_after_a_pause(self) -> None:
        found = due(self.NIGHTS, [point(1, MONDAY)], 1, MONDAY + timedelta(days=30))
        assert found is not None
        assert found.starts == MONDAY + 3 * WEEK

    def test_after_a_rollback_answers_only_for_the_days_since(self) -> None:
        newer = published(2, MONDAY + timedelta(days=10))
        series = [point(2, newer.night), point(1, MONDAY)]
        nights = [newer, *self.NIGHTS]
        assert due(nights, series, 1, MONDAY + timedelta(days=20)) is None
        found = due(nights, series, 1, MONDAY + timedelta(days=21))
        assert found is not None
        assert (found.edition, found.starts) == (1, MONDAY + 2 * WEEK)

    def test_is_not_looked_at_again_once_another_is_served(self) -> None:
        assert due(self.NIGHTS, [point(1, MONDAY)], 2, MONDAY + 2 * WEEK) is None


class TestAModel:
    def test_is_awaited_until_its_last_edition_has_come_due(self) -> None:
        nights = [published(2, MONDAY + timedelta(days=1), model=5), published(1, MONDAY, model=4)]
        assert awaited(nights, MONDAY + timedelta(days=6)) == {4, 5}
        assert awaited(nights, MONDAY + WEEK) == {5}
        assert awaited(nights, MONDAY + timedelta(days=8)) == set()


class TestWhatTheGateHadPredicted:
    SCORED = Due(2, 3, MONDAY, MONDAY, MONDAY + WEEK)

    def rmse(self, *nights: NightReport) -> float | None:
        found = predicted(nights, self.SCORED)
        return None if found is None else found["rmse"]

    def test_of_a_model_promoted_that_night_is_the_challengers_figure(self) -> None:
        figures: Any = {"challenger": {**JUDGED, "rmse": 0.08}, "incumbent": JUDGED}
        night = published(2, MONDAY, model=3, outcome=Outcome.PROMOTED, **figures)
        assert self.rmse(night) == 0.08

    @pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.HELD])
    def test_of_a_model_that_stayed_is_the_incumbents(self, outcome: Outcome) -> None:
        figures: Any = {"challenger": {**JUDGED, "rmse": 0.08}, "incumbent": JUDGED}
        assert self.rmse(published(2, MONDAY, model=3, outcome=outcome, **figures)) == 0.09

    def test_of_a_night_that_judged_nothing_is_what_was_measured_last(self) -> None:
        frozen = published(2, MONDAY, model=3, outcome=Outcome.FROZEN, incumbent=None)
        assert self.rmse(frozen, published(1, MONDAY - WEEK, model=3)) == 0.09

    def test_is_never_that_of_another_model_a_later_night_or_another_horizon(self) -> None:
        frozen = published(2, MONDAY, model=3, outcome=Outcome.FROZEN, incumbent=None)
        later = published(3, MONDAY + WEEK, model=3)
        other = published(1, MONDAY - WEEK, model=2)
        longer = published(1, MONDAY - WEEK, model=3, windows={"days": 14})
        assert self.rmse(later, frozen, other, longer) is None

    def test_is_kept_under_the_same_names(self) -> None:
        found = predicted([published(2, MONDAY, model=3)], self.SCORED)
        assert found is not None
        assert set(found) == set(FIGURES)
        assert found["mse"] == pytest.approx(0.09**2)


WEEKLY = SETTINGS.model_copy(update={"windows": WindowSettings(days=(7,), min_pairs=20)})
WINDOWS = Windows(7, 120, (92, 99, 106))
MODEL = train(TOLD, WINDOWS, WEEKLY, kind=ALS, fingerprint="f")
OVER = Due(1, 1, day_date(WINDOWS.judge), day_date(WINDOWS.judge), day_date(WINDOWS.tonight))
"""An edition made where the judge window of these tests begins: its promise ends tonight."""


def later(due: Due, by: int) -> Due:
    return replace(due, starts=due.starts + timedelta(days=by), ends=due.ends + timedelta(days=by))


def realised(told: History = TOLD, due: Due = OVER, model: Model = MODEL) -> dict[str, Any]:
    return realise(model, told, due, None, seed=0)


class TestTheFigures:
    def test_are_those_the_gate_would_measure_on_the_same_days(self) -> None:
        gate = judge([MODEL], TOLD, WINDOWS)[0].figures()
        found = realised()
        assert found == {
            "mse": gate["rmse"] ** 2,
            **{name: gate[name] for name in gate.keys() & set(found)},
        }
        assert set(found) == set(FIGURES)

    def test_depend_on_nothing_that_happened_after_those_days(self) -> None:
        everybody = [(customer, customer % 20, WINDOWS.tonight) for customer in range(40)]
        assert realised(retold(TOLD, everybody)) == realised()

    def test_depend_on_what_happened_in_them(self) -> None:
        inside = TOLD.day >= WINDOWS.judge
        changed = replace(
            TOLD, product=np.where(inside, (TOLD.product + 1) % 20, TOLD.product).astype(np.int32)
        )
        assert realised(changed)["rmse"] > realised()["rmse"]

    def test_of_later_days_are_by_what_was_known_when_the_edition_was_made(self) -> None:
        """What happens between the making and those days changes nothing: the lists were fixed."""
        told = kept(TOLD, TOLD.day < WINDOWS.judge)
        week = [(customer, customer % 2, WINDOWS.judge + 9) for customer in range(40)]
        quiet = retold(told, week)
        busy = retold(told, [*week, *((customer, 5, WINDOWS.judge + 1) for customer in range(40))])
        made = Due(1, 1, OVER.made, OVER.made, OVER.made + timedelta(days=7))
        assert realised(quiet, later(made, 7)) == realised(busy, later(made, 7))
        assert realised(quiet, made) != realised(busy, made)

    def test_are_refused_to_a_model_that_saw_those_days(self) -> None:
        seen = replace(MODEL, trained_through=WINDOWS.judge + 1)
        with pytest.raises(Problem, match="trained into the days"):
            realised(model=seen)

    @pytest.mark.parametrize("part", ["factors", "coefficients"])
    def test_that_are_no_numbers_are_refused(self, part: str) -> None:
        broken = replace(MODEL, factors=np.full_like(MODEL.factors, np.nan))
        if part == "coefficients":
            nothing = dict.fromkeys(MODEL.blend.fresh, float("nan"))
            broken = replace(MODEL, blend=replace(MODEL.blend, fresh=nothing))
        with pytest.raises(Problem, match="finite"):
            realised(model=broken)

    def test_of_a_tenant_that_lists_new_products_only_leave_out_what_was_bought_before(
        self,
    ) -> None:
        gate = judge([MODEL], TOLD, WINDOWS, new_only=True)[0].figures()
        found = realised(due=replace(OVER, new_only=True))
        assert found["pairs"] == gate["pairs"] < realised()["pairs"]
        assert found["rmse"] == gate["rmse"]


class TestAWorldThatDoesWhatTheModelSays:
    def happened(self, seed: int = 3) -> History:
        """Every pair is bought with exactly the probability the model gave it."""
        past = kept(TOLD, TOLD.day < WINDOWS.judge)
        scene = view(MODEL, past, WINDOWS.judge)
        p = probabilities(scene, MODEL.blend, np.arange(40))
        drawn = np.argwhere(np.random.default_rng(seed).random(p.shape) < p)
        return retold(past, [(int(c), int(i), WINDOWS.judge + 1) for c, i in drawn])

    def test_is_calibrated_and_as_wrong_as_chance_is(self) -> None:
        past = self.happened()
        p = probabilities(view(MODEL, past, WINDOWS.judge), MODEL.blend, np.arange(40))
        found = realised(past)
        assert found["rmse"] == pytest.approx(np.sqrt((p * (1 - p)).mean()), rel=0.1)
        assert found["calibration"] < 0.02

    def test_is_not_flagged(self) -> None:
        foretold = judge([MODEL], self.happened(4), WINDOWS)[0].figures()
        made = weighed(OVER, MONDAY, realised(self.happened()), foretold, [], RULE, lists="model")
        assert not made.flagged, made.because


class TestTheServedLists:
    @given(
        listed=st.lists(
            st.lists(st.integers(0, 11), max_size=14, unique=True), min_size=3, max_size=3
        ),
        bought=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), max_size=20),
        gone=st.sets(st.integers(0, 11), max_size=4),
    )
    def test_are_measured_place_by_place(
        self, listed: list[list[int]], bought: list[tuple[int, int]], gone: set[int]
    ) -> None:
        """Against the definition, written out for one customer after the other."""
        ndcgs, recalls = [], []
        for customer, places in enumerate(listed):
            wanted = {product for who, product in bought if who == customer} - gone
            if wanted:
                shown = [product for product in places if product not in gone][:10]
                gain = sum(1 / np.log2(n + 2) for n, p in enumerate(shown) if p in wanted)
                ideal = sum(1 / np.log2(n + 2) for n in range(min(10, len(wanted))))
                ndcgs.append(gain / ideal)
                recalls.append(len(wanted & set(shown)) / len(wanted))
        table = np.full((3, 14), -1, np.int32)
        for row, places in enumerate(listed):
            table[row, : len(places)] = places
        labels = np.zeros((3, 12), np.float32)
        for who, product in bought:
            labels[who, product] = 1
        sellable = np.array([product not in gone for product in range(12)])
        found = of_lists(table, csr_matrix(labels), sellable)
        assert found["ndcg_at_10"] == pytest.approx(np.mean(ndcgs) if ndcgs else 0)
        assert found["recall_at_10"] == pytest.approx(np.mean(recalls) if recalls else 0)

    def test_may_be_shorter_than_ten(self) -> None:
        labels = csr_matrix(np.eye(3, dtype=np.float32))
        listed = np.array([[0], [0], [-1]], np.int32)
        assert of_lists(listed, labels, np.ones(3, bool))["recall_at_10"] == pytest.approx(1 / 3)

    def test_stand_for_ndcg_and_recall_and_nothing_else(self) -> None:
        nothing = np.full((40, 5), -1, np.int32)
        found = realise(MODEL, TOLD, OVER, nothing, seed=0)
        assert found == {**realised(), "ndcg_at_10": 0.0, "recall_at_10": 0.0}


def flagged(
    rmse: float, bought: int = 500, series: Sequence[Realised] = (), **rule: Any
) -> Realised:
    """A week in which so much was bought, and the model was off by so much."""
    figures = {**JUDGED, "rmse": rmse, "mse": rmse**2, "bought": bought}
    foretold = {**JUDGED, "mse": 0.09**2}
    return weighed(
        Due(9, 1, MONDAY, MONDAY, MONDAY + WEEK),
        MONDAY + WEEK,
        figures,
        foretold,
        series,
        RealisedSettings(**rule),
        lists="served",
    )


class TestAFlag:
    def test_is_not_raised_where_it_came_as_predicted(self) -> None:
        found = flagged(0.091)
        assert not found.flagged
        assert "RMSE 0.091000 against 0.090000 predicted by the gate" in found.because

    def test_is_raised_above_the_band_and_below_it(self) -> None:
        assert flagged(0.12).because.startswith("above its band: RMSE 0.120000")
        assert flagged(0.07).because.startswith("below its band: RMSE 0.070000")
        assert flagged(0.12).flagged
        assert flagged(0.07).flagged

    def test_is_raised_above_the_threshold_whatever_was_predicted(self) -> None:
        assert not flagged(0.1).flagged
        found = flagged(0.1, max_rmse=0.095)
        assert found.flagged
        assert found.because.startswith("above the threshold of 0.095: ")

    def test_is_a_quarter_by_default(self) -> None:
        assert RULE.max_rmse == 0.25

    def test_names_both_reasons(self) -> None:
        assert "above its band and above the threshold of 0.25" in flagged(0.3).because

    def test_needs_no_prediction_for_the_threshold(self) -> None:
        made = Due(9, 1, MONDAY, MONDAY, MONDAY + WEEK)
        for rmse, is_flagged in ((0.2, False), (0.26, True)):
            figures = {**JUDGED, "rmse": rmse}
            found = weighed(made, MONDAY, figures, None, [], RULE, lists="model")
            assert found.flagged is is_flagged
            assert "which the gate had not predicted" in found.because

    def test_is_not_raised_by_a_busy_or_a_quiet_week(self) -> None:
        """The squared error of a rare event grows with how often it happens."""
        for factor in (0.5, 2):
            assert not flagged(0.09 * np.sqrt(factor), int(500 * factor)).flagged
        assert flagged(0.09 * np.sqrt(2)).flagged

    def test_says_how_many_were_passed_over(self) -> None:
        made = Due(9, 1, MONDAY, MONDAY, MONDAY + WEEK, passed=2)
        found = weighed(made, MONDAY, JUDGED, None, [], RULE, lists="model")
        assert found.because.endswith("; 2 older ones were due as well and stay unscored")

    def test_is_not_raised_by_what_could_not_be_scored(self) -> None:
        found = unscored(Due(9, 1, MONDAY, MONDAY, MONDAY + WEEK), MONDAY, "model 1 has expired")
        assert (found.flagged, found.figures) == (False, None)
        assert found.because == "not scored: model 1 has expired"


def lived(*ratios: float) -> list[Realised]:
    return [point(n + 1, MONDAY + n * WEEK, ratio) for n, ratio in enumerate(ratios)]


class TestTheBand:
    def test_is_wide_until_there_is_a_history(self) -> None:
        assert band(lived(*[1.0] * 7), RULE) == (1 / 1.2, 1.2)
        assert band([], RULE) == (1 / 1.2, 1.2)

    def test_is_then_the_tenants_own(self) -> None:
        steady, restless = lived(*[1.0, 1.01] * 4), lived(*[0.95, 1.05] * 4)
        assert flagged(0.1, series=steady).flagged
        assert not flagged(0.1, series=restless).flagged

    def test_lies_around_the_tenants_own_middle(self) -> None:
        low, high = band(lived(*[1.1, 1.11, 1.09] * 3), RULE)
        assert low < 1.1 < high
        assert low > 1

    def test_is_never_narrower_than_is_allowed(self) -> None:
        low, high = band(lived(*[1.0] * 9), RULE)
        assert (low, high) == pytest.approx((1 / 1.02, 1.02))

    def test_forgets_one_odd_week(self) -> None:
        odd = band(lived(*[1.0, 1.01, 0.99] * 4, 3.0), RULE)
        even = band(lived(*[1.0, 1.01, 0.99] * 4, 1.0), RULE)
        assert odd == pytest.approx(even, abs=0.02)

    def test_learns_from_no_point_without_a_figure(self) -> None:
        empty = [
            unscored(Due(n, 1, MONDAY, MONDAY, MONDAY + WEEK), MONDAY, "why") for n in range(9)
        ]
        assert band(empty, RULE) == (1 / 1.2, 1.2)

    @given(st.lists(st.floats(0.2, 5), min_size=8, max_size=40))
    def test_is_an_interval_around_something(self, ratios: list[float]) -> None:
        low, high = band(lived(*ratios), RULE)
        assert 0 < low < high
        assert high / low >= RULE.narrowest**2 - 1e-9


class TestTheForeseenRmse:
    def test_is_the_predicted_one_at_the_same_share_of_bought_pairs(self) -> None:
        assert foreseen({**JUDGED, "pairs": 100_000, "bought": 1000}, JUDGED) == pytest.approx(0.09)
        assert foreseen({**JUDGED, "bought": 1000}, JUDGED) == pytest.approx(0.09 * np.sqrt(2))

    def test_is_unknown_without_a_prediction_or_a_purchase(self) -> None:
        assert foreseen(JUDGED, None) is None
        assert foreseen({**JUDGED, "bought": 0}, JUDGED) is None
