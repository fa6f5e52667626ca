"""Which hyper-parameters a tenant gets, and why: told figures first, planted worlds after."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from factory import tune as tuning
from factory.affinity import AFFINITY
from factory.judge import judge
from factory.tune import CANDIDATES, LEAST_GAIN, MOST_LOSS, RUNGS, due, tune
from factory.windows import choose
from schema.errors import Problem
from schema.records import Choice, History, Judgement, Model, Windows
from schema.settings import (
    AlsSettings,
    BlendSettings,
    TenantSettings,
    TuningSettings,
    WindowSettings,
    with_changes,
)
from tests.factory.build import Bought, checkerboard, history
from tests.factory.test_gate import judged
from tests.storage.made import model

NIGHT = date(2026, 4, 1)
ANY = TenantSettings()
TOLD = Windows(7, 100, (72, 79, 86))
"""Windows of a history that nobody looks at."""


def still() -> float:
    """A clock that stands: no budget is ever used up."""
    return 0.0


class TestASearchIsDue:
    RULE = TuningSettings(every_days=28, drop=0.2)

    def chosen(self, days: int, figures: Mapping[str, Any] | None = None) -> Choice:
        """A choice made so many days ago, with lists of 0.5."""
        made = {"ndcg_at_10": 0.5} if figures is None else figures
        return Choice(NIGHT - timedelta(days=days), {}, "", made)

    def due(self, last: Choice | None, ndcg: float | None = 0.5, **rule: float) -> bool:
        return due(last, NIGHT, ndcg, self.RULE.model_copy(update=rule))

    def test_where_nothing_was_chosen_yet(self) -> None:
        assert self.due(None)
        assert self.due(None, None)

    @pytest.mark.parametrize(("days", "expected"), [(27, False), (28, True), (300, True)])
    def test_where_the_choice_is_old(self, days: int, expected: bool) -> None:
        assert self.due(self.chosen(days)) is expected

    @pytest.mark.parametrize(("days", "expected"), [(0, False), (6, False), (7, True), (20, True)])
    def test_where_the_lists_got_clearly_worse_but_a_week_later_at_the_soonest(
        self, days: int, expected: bool
    ) -> None:
        assert self.due(self.chosen(days), 0.39) is expected

    @pytest.mark.parametrize(("ndcg", "expected"), [(0.6, False), (0.41, False), (0.39, True)])
    def test_where_they_lost_more_than_their_share(self, ndcg: float, expected: bool) -> None:
        assert self.due(self.chosen(10), ndcg) is expected

    def test_not_where_they_were_not_judged(self) -> None:
        assert not self.due(self.chosen(10), None)

    @pytest.mark.parametrize("figures", [{}, {"ndcg_at_10": 0.0}])
    def test_not_where_there_is_nothing_to_have_lost(self, figures: Mapping[str, Any]) -> None:
        assert not self.due(self.chosen(10, figures), 0.0)

    def test_never_where_it_may_take_no_time(self) -> None:
        for last in (None, self.chosen(300), self.chosen(10)):
            assert not self.due(last, 0.01, core_seconds=0)


class TestTheCandidates:
    def test_begin_with_the_settings_as_they_are(self) -> None:
        assert CANDIDATES[0] == {}

    def test_are_all_settings_that_hold_and_no_two_are_alike(self) -> None:
        made = [with_changes(ANY, dict(changes)).model_dump_json() for changes in CANDIDATES]
        assert made[0] == ANY.model_dump_json()
        assert len(set(made)) == len(CANDIDATES)

    def test_change_nothing_but_how_a_model_is_made(self) -> None:
        names = {name for changes in CANDIDATES for name in changes}
        assert {name.split(".")[0] for name in names} == {"als", "blend"}


@dataclass
class Figures:
    """What the judge says of each number of factors: (rmse, ndcg, ndcg of new ones), by rung.

    Attributes:
        asked: (factors, customers looked at) of every trial, in order.
        carried: (factors, factors of the model carried on from) of every trial that had one.
        now: seconds so far; every trial takes one.
        known: customers there are.
    """

    said: Mapping[int, Sequence[tuple[float, float, float]]]
    asked: list[tuple[int, int]] = field(default_factory=list)
    carried: list[tuple[int, int]] = field(default_factory=list)
    now: float = 0.0
    known: int = 10_000

    def train(
        self,
        told: History,
        windows: Windows,
        settings: TenantSettings,
        *,
        start: Model | None = None,
        **_: Any,
    ) -> Model:
        self.now += 1
        if start is not None:
            self.carried.append((settings.als.factors, start.settings.als.factors))
        return replace(model(), settings=settings)

    def judge(
        self,
        models: Sequence[Model],
        told: History,
        windows: Windows,
        *,
        seed: int,
        most: int,
        new_only: bool,
    ) -> list[Judgement]:
        [tried] = models
        factors = tried.settings.als.factors
        self.asked.append((factors, most))
        rungs = self.said[factors]
        rmse, ndcg, new = rungs[min(RUNGS.index(most), len(rungs) - 1)]
        found = judged(rmse, ndcg=ndcg, ndcg_new_at_10=new)
        return [replace(found, customers=min(most, self.known))]

    def clock(self) -> float:
        return self.now


PLAIN = ANY.als.factors
Told = Callable[[Mapping[int, Sequence[tuple[float, float, float]]]], Figures]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Trials whose figures are told: one candidate for every number of factors."""

    def tell(said: Mapping[int, Sequence[tuple[float, float, float]]]) -> Figures:
        figures = Figures({PLAIN: [(0.1, 0.4, 0.2)], **said})
        monkeypatch.setattr(tuning, "CANDIDATES", ({}, *({"als.factors": n} for n in said)))
        monkeypatch.setattr(tuning, "train", figures.train)
        monkeypatch.setattr(tuning, "judge", figures.judge)
        return figures

    return tell


def chosen(
    clock: Callable[[], float] = still, *, seconds: float = 1e6, fixed: Sequence[str] = ()
) -> Choice:
    settings = TenantSettings(tuning=TuningSettings(core_seconds=seconds))
    found = tune(checkerboard(), TOLD, settings, night=NIGHT, fixed=fixed, clock=clock)
    assert found is not None
    return found


def gains(of: Choice) -> dict[int, float | None]:
    """By number of factors."""
    trials = of.figures["trials"]
    return {trial["changes"].get("als.factors", PLAIN): trial["gain"] for trial in trials}


class TestTheChoice:
    def test_is_what_gained_most_and_says_by_how_much(self, told: Told) -> None:
        told({1: [(0.1, 0.42, 0.2)], 2: [(0.1, 0.44, 0.22)], 3: [(0.1, 0.43, 0.2)]})
        found = chosen()
        assert (found.night, found.changes) == (NIGHT, {"als.factors": 2})
        assert "NDCG@10 +10.0% over the settings as they are" in found.because
        assert "the best of 4 settings on the 7 days from 1970-03-28" in found.because

    def test_gain_is_the_mean_of_any_products_and_of_new_ones(self, told: Told) -> None:
        told({1: [(0.1, 0.44, 0.2)], 2: [(0.1, 0.4, 0.26)]})
        found = chosen()
        assert gains(found) == pytest.approx({PLAIN: 0.0, 1: 0.05, 2: 0.15})
        assert found.changes == {"als.factors": 2}

    def test_where_nobody_finds_anything_new_is_by_the_rest(self, told: Told) -> None:
        told({PLAIN: [(0.1, 0.4, 0.0)], 1: [(0.1, 0.44, 0.0)]})
        assert gains(chosen())[1] == pytest.approx(0.05)

    def test_goes_without_a_candidate_that_cannot_be_trained(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        figures = told({1: [(0.1, 0.5, 0.3)], 2: [(0.1, 0.44, 0.22)]})

        def train(told: History, windows: Windows, settings: TenantSettings, **rest: Any) -> Model:
            if settings.als.factors == 1:
                raise Problem("the factors did not stay finite", "raise it", code="TRAIN_X")
            return figures.train(told, windows, settings, **rest)

        monkeypatch.setattr(tuning, "train", train)
        found = chosen()
        assert found.changes == {"als.factors": 2}
        assert gains(found)[1] is None

    def test_leaves_a_whole_group_alone_that_the_tenant_set(self, told: Told) -> None:
        told({1: [(0.1, 0.5, 0.3)]})
        settings = TenantSettings()
        assert tune(checkerboard(), TOLD, settings, night=NIGHT, fixed=["als"], clock=still) is None

    def test_looks_at_everybody_once(self, told: Told) -> None:
        figures = told({1: [(0.1, 0.5, 0.3)]})
        figures.known = 30
        chosen()
        assert [most for _, most in figures.asked] == [RUNGS[0]] * 2

    @pytest.mark.parametrize("better", [0.5, 1.5])
    def test_stays_with_the_settings_as_they_are_unless_one_is_clearly_better(
        self, told: Told, better: float
    ) -> None:
        by = 1 + better * LEAST_GAIN
        told({1: [(0.1, 0.4 * by, 0.2 * by)]})
        found = chosen()
        assert found.changes == ({"als.factors": 1} if better > 1 else {})
        assert (f"nothing was better by {LEAST_GAIN:.0%}" in found.because) is (better < 1)

    @pytest.mark.parametrize("worse", [0.5, 1.5])
    def test_is_never_one_that_loses_rmse_whatever_its_lists_gain(
        self, told: Told, worse: float
    ) -> None:
        told({1: [(0.1 * (1 + worse * MOST_LOSS), 0.8, 0.4)], 2: [(0.1, 0.44, 0.22)]})
        found = chosen()
        assert found.changes == {"als.factors": 1 if worse < 1 else 2}
        assert (gains(found)[1] is None) is (worse > 1)

    def test_may_be_ruled_out_on_a_later_rung(self, told: Told) -> None:
        leak = [(0.1, 0.8, 0.4), (0.11, 0.8, 0.4)]
        told({1: leak, 2: [(0.1, 0.44, 0.22)], **{n: [(0.1, 0.3, 0.1)] for n in (3, 4, 5)}})
        found = chosen()
        assert gains(found)[1] is None
        assert found.changes == {"als.factors": 2}

    def test_notes_how_the_lists_were_then(self, told: Told) -> None:
        """What ``due`` holds the nights after against."""
        told({1: [(0.1, 0.44, 0.22)]})
        assert chosen().figures["ndcg_at_10"] == 0.44
        told({1: [(0.1, 0.3, 0.1)]})
        assert chosen().figures["ndcg_at_10"] == 0.4

    def test_leaves_alone_what_the_tenant_chose_itself(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        figures = told({1: [(0.1, 0.8, 0.4)], 2: [(0.1, 0.44, 0.22)]})
        both = {"als.factors": 3, "als.alpha": 2.0}
        monkeypatch.setattr(tuning, "CANDIDATES", ({}, {"als.factors": 1}, both, {"als.alpha": 9}))
        found = chosen(fixed=["als.factors", "lists.length"])
        assert found.changes == {}
        assert [trial["changes"] for trial in found.figures["trials"]] == [{}, {"als.alpha": 9}]
        assert {factors for factors, _ in figures.asked} == {PLAIN}

    def test_is_ready_for_json(self, told: Told) -> None:
        told({1: [(0.2, 0.44, 0.22)], 2: [(0.1, 0.5, 0.3)]})
        found = chosen()
        kept = json.loads(json.dumps(asdict(replace(found, night=None)), allow_nan=False))  # type: ignore[arg-type]
        assert kept["figures"] == found.figures
        assert kept["changes"] == found.changes
        for trial in kept["figures"]["trials"]:
            assert set(trial) == {"changes", "rung", "rmse", "ndcg_at_10", "ndcg_new_at_10", "gain"}


SEVEN = {n: [(0.1, 0.4 + n / 100, 0.2)] for n in (1, 2, 3, 4, 5, 6, 7)}
"""Each better than the one before it."""


class TestTheRungs:
    def test_look_at_more_customers_from_one_to_the_next(self) -> None:
        assert list(RUNGS) == sorted(set(RUNGS))

    def test_keep_the_better_half_and_the_settings_as_they_are(self, told: Told) -> None:
        figures = told(SEVEN)
        chosen()
        rungs = {most: [factors for factors, at in figures.asked if at == most] for most in RUNGS}
        assert rungs == {
            RUNGS[0]: [PLAIN, 1, 2, 3, 4, 5, 6, 7],
            RUNGS[1]: [PLAIN, 7, 6, 5],
            RUNGS[2]: [PLAIN, 7],
        }

    def test_carry_each_candidate_on_from_its_own_model_of_the_rung_before(
        self, told: Told
    ) -> None:
        figures = told(SEVEN)
        chosen()
        assert figures.carried == [(n, n) for n in (PLAIN, 7, 6, 5, PLAIN, 7)]

    def test_decide_by_the_last_one_alone(self, told: Told) -> None:
        """What won on few customers may lose on more."""
        told({**SEVEN, 7: [(0.1, 0.8, 0.4), (0.1, 0.8, 0.4), (0.1, 0.4, 0.2)]})
        assert chosen().changes == {}

    def test_end_where_nothing_is_left_to_compare(self, told: Told) -> None:
        figures = told({1: [(0.1, 0.44, 0.22)]})
        assert chosen().changes == {"als.factors": 1}
        assert [most for _, most in figures.asked] == [RUNGS[0]] * 2

    def test_note_how_far_each_came(self, told: Told) -> None:
        told(SEVEN)
        found = chosen()
        came = {t["changes"].get("als.factors", PLAIN): t["rung"] for t in found.figures["trials"]}
        assert came == {PLAIN: 2, 7: 2, 6: 1, 5: 1, 4: 0, 3: 0, 2: 0, 1: 0}
        assert found.figures["finished"] is True


class TestTheBudget:
    """Every trial takes a second."""

    def test_stops_the_search_before_it_would_be_exceeded(self, told: Told) -> None:
        figures = told(SEVEN)
        found = chosen(figures.clock, seconds=4.5)
        assert [factors for factors, _ in figures.asked] == [PLAIN, 1, 2, 3]
        assert found.figures["seconds"] == 4.0
        assert found.figures["finished"] is False
        assert found.changes == {"als.factors": 3}

    def test_leaves_the_settings_as_they_are_where_it_is_tiny(self, told: Told) -> None:
        figures = told(SEVEN)
        found = chosen(figures.clock, seconds=0.001)
        assert [factors for factors, _ in figures.asked] == [PLAIN]
        assert (found.changes, found.figures["finished"]) == ({}, False)
        assert found.figures["ndcg_at_10"] == 0.4

    def test_that_suffices_is_not_used_up(self, told: Told) -> None:
        figures = told(SEVEN)
        found = chosen(figures.clock, seconds=60)
        assert (found.figures["seconds"], found.figures["finished"]) == (14.0, True)

    def test_is_of_this_search_whenever_the_clock_began(self, told: Told) -> None:
        figures = told(SEVEN)
        figures.now = 1e6
        assert chosen(figures.clock, seconds=60).figures["seconds"] == 14.0


GROUPS = 6
BLIND = TenantSettings(
    windows=WindowSettings(days=(7,), min_pairs=40),
    als=AlsSettings(factors=8),
    blend=BlendSettings.model_validate({"sample": 5_000, "without": (*AFFINITY, "als")}),
)
"""Sees of a pair nothing but how well its product sells."""
SEEING = {"blend.without": list(AFFINITY)}


@cache
def groups(customers: int = 90, products: int = 48, days: int = 120) -> History:
    """Everybody likes the products of one group in six, all of them sell alike, and what they
    bought they seldom buy again: only who else bought a product tells who will like it.
    """
    rng = np.random.default_rng(5)
    rows: list[Bought] = []
    for customer in range(customers):
        liked = [p for p in range(products) if p % GROUPS == customer % GROUPS]
        rng.shuffle(liked)
        turns = itertools.cycle(liked)
        rows += [(customer, next(turns), day) for day in range(days) if rng.random() < 0.12]
    return history(rows, customers, products)


def cut() -> Windows:
    windows = choose(groups(), 120, BLIND.windows, BLIND.blend)
    assert windows is not None
    return windows


def search(told: History, settings: TenantSettings = BLIND) -> Choice | None:
    return tune(told, cut(), settings, night=NIGHT, fixed=(), clock=still)


@pytest.fixture
def two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings as they are, one that helps, and one that does not."""
    useless = {"blend.without": ["als", *AFFINITY, "sales"]}
    monkeypatch.setattr(tuning, "CANDIDATES", ({}, SEEING, useless))


@pytest.mark.usefixtures("two_ways")
class TestAPlantedWorld:
    def test_gives_itself_the_settings_that_see_it(self) -> None:
        found = search(groups())
        assert found is not None
        assert found.changes == SEEING
        plain, seeing = found.figures["trials"][:2]
        assert seeing["ndcg_new_at_10"] > 1.5 * plain["ndcg_new_at_10"]

    def test_stays_with_settings_that_see_it_already(self) -> None:
        found = search(groups(), with_changes(BLIND, dict(SEEING)))
        assert found is not None
        assert found.changes == {}

    def test_chooses_the_same_with_the_same_seed(self) -> None:
        assert search(groups()) == search(groups())

    def test_looks_at_nothing_from_the_judge_window_on(self) -> None:
        """Neither what is bought there nor by whom, nor what may come after it."""
        told, judged_from = groups(), cut().judge
        late = told.day >= judged_from
        other = replace(
            told,
            product=np.where(late, (told.product + 1) % 48, told.product).astype(np.int32),
            bought=told.bought & ~late,
            weight=np.where(late, np.float32(0.1), told.weight),
        )
        assert late.sum() > 50
        assert search(other) == search(told)

    def test_is_looked_at_up_to_the_judge_window(self) -> None:
        told, judged_from = groups(), cut().judge
        last = (told.day >= judged_from - 7) & (told.day < judged_from)
        assert search(replace(told, bought=told.bought & ~last)) != search(told)

    def test_is_judged_on_the_last_teach_window_and_taught_on_those_before_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[Windows, int, int]] = []

        def spied(models: Sequence[Model], told: History, windows: Windows, **how: Any) -> Any:
            [tried] = models
            asked.append((windows, tried.taught_from, tried.trained_through))
            return judge(models, told, windows, **how)

        monkeypatch.setattr(tuning, "judge", spied)
        search(groups())
        windows = cut()
        practice = Windows(7, windows.judge, windows.teach[:-1])
        assert practice.judge == windows.teach[-1]
        assert set(asked) == {(practice, windows.teach[0], windows.teach[-1])}

    @pytest.mark.parametrize("teach", [(), (106,)])
    def test_too_short_to_set_a_window_aside_has_no_choice(self, teach: tuple[int, ...]) -> None:
        windows = Windows(7, 120, teach)
        assert tune(groups(), windows, BLIND, night=NIGHT, fixed=(), clock=still) is None

    def test_is_left_as_it_was(self) -> None:
        told = groups()
        before = {name: getattr(told, name).copy() for name in ("customer", "day", "weight")}
        search(told)
        assert all((getattr(told, name) == kept).all() for name, kept in before.items())


def test_all_that_is_shipped_runs_on_a_small_world() -> None:
    found = search(checkerboard(), TenantSettings(windows=BLIND.windows))
    assert found is not None
    assert len(found.figures["trials"]) == len(CANDIDATES)
    assert found.figures["finished"]
    assert found.figures["trials"][0]["gain"] == 0.0
