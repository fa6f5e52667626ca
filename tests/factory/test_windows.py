import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.windows import ABOUT, FORTNIGHT, bought_pairs, choose, days_between_visits
from schema.records import History
from schema.settings import BlendSettings, WindowSettings
from tests.factory.build import Bought, history, retold

RULE = WindowSettings(days=(7, 14, 28), min_pairs=10, max_share=0.2)
BLEND = BlendSettings(teach_windows=3)


def steady(a_day: int, days: int = 200, every: int = 1) -> History:
    """Every so many days so many customers buy one product each."""
    rows = [(n, day % 5, day) for day in range(0, days, every) for n in range(a_day)]
    return history(rows, customers=a_day, products=5)


def rounds(customers: int, every: int, days: int = 900) -> History:
    """Customers come every so many days, one after the other, each time for the next product."""
    rows = [
        (n, turn % 12, day)
        for n in range(customers)
        for turn, day in enumerate(range(n * every // customers, days, every))
    ]
    return history(rows, customers, 12)


def length(
    told: History, tonight: int = 200, kept: int | None = None, **rule: object
) -> int | None:
    windows = choose(told, tonight, RULE.model_copy(update=rule), BLEND, kept)
    return windows.days if windows else None


class TestTheJudgeWindow:
    def test_is_a_fortnight_where_customers_come_often_and_purchases_suffice(self) -> None:
        assert FORTNIGHT == 14
        assert length(steady(3)) == 14

    def test_is_a_week_only_where_a_fortnight_is_too_much_of_the_history(self) -> None:
        assert length(steady(3, days=60), 60) == 7

    def test_grows_where_purchases_are_rare(self) -> None:
        assert length(rounds(20, every=10), 900) == 14
        assert length(rounds(5, every=10), 900) == 28

    @pytest.mark.parametrize(("every", "days"), [(17, 14), (18, 28), (35, 28), (36, 56)])
    def test_is_the_shortest_of_about_the_days_that_customers_stay_away(
        self, every: int, days: int
    ) -> None:
        told = rounds(20, every)
        assert days >= ABOUT * every
        assert days == 14 or days / 2 < ABOUT * every
        assert length(told, 900, days=(7, 14, 28, 56)) == days

    def test_is_the_longest_that_holds_enough_where_customers_stay_away_for_longer(self) -> None:
        assert length(rounds(20, every=50), 900) == 28

    def test_is_never_more_than_its_share_of_the_history(self) -> None:
        assert choose(steady(3, days=30), 30, RULE, BLEND) is None

    def test_is_missing_where_nothing_was_bought(self) -> None:
        assert choose(history([], 3, 3), 200, RULE, BLEND) is None

    def test_counts_only_customers_who_were_known_before(self) -> None:
        told = history([(0, 0, 1), (0, 1, 9), (1, 1, 9)], 2, 2)
        assert bought_pairs(told, start=5, end=10) == 1

    def test_knows_nothing_of_what_happens_from_tonight_on(self) -> None:
        told = steady(3)
        later = [(n, 4, day) for day in range(200, 230) for n in range(3)]
        assert choose(retold(told, later), 200, RULE, BLEND) == choose(told, 200, RULE, BLEND)

    @given(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 199)), max_size=150
        ),
        st.integers(1, 30),
    )
    def test_always_holds_enough_and_never_too_much(self, rows: list[Bought], least: int) -> None:
        told = history(rows, 6, 4)
        rule = RULE.model_copy(update={"min_pairs": least})
        windows = choose(told, 200, rule, BLEND)
        if windows is None:
            span = 200 - min((day for _, _, day in rows), default=200)
            assert all(
                days > 0.2 * span or bought_pairs(told, 200 - days, 200) < least
                for days in rule.days
            )
            return
        assert windows.days in rule.days
        assert bought_pairs(told, windows.judge, windows.tonight) >= least
        assert windows.days <= 0.2 * (200 - int(told.day.min()))


class TestTheIncumbentsWindow:
    """Models of neighbouring nights speak of the same days."""

    def test_stays_while_it_holds_enough(self) -> None:
        assert [length(steady(3), kept=days) for days in (7, 14, 28)] == [7, 14, 28]

    def test_goes_where_it_holds_too_few_purchases(self) -> None:
        assert length(rounds(5, every=10), 900, kept=7) == 28

    def test_goes_where_the_tenant_does_not_want_it_any_more(self) -> None:
        assert length(steady(3), kept=10) == 14

    def test_goes_where_it_became_too_large_a_share_of_the_history(self) -> None:
        assert length(steady(3, days=60), 60, kept=28) == 7

    def test_helps_nobody_who_is_too_small(self) -> None:
        assert length(steady(3, days=30), 30, kept=7) is None


class TestTheDaysBetweenVisits:
    def test_are_the_median_over_all_customers_visits(self) -> None:
        told = history([(0, 0, 0), (0, 1, 10), (0, 0, 13), (1, 0, 5), (1, 1, 9)], 3, 2)
        assert days_between_visits(told, 50) == np.median([10, 3, 4])

    def test_count_a_day_once_however_much_was_bought(self) -> None:
        told = history([(0, 0, 0), (0, 1, 0), (0, 2, 6), (0, 3, 6)], 1, 4)
        assert days_between_visits(told, 50) == 6

    def test_leave_out_what_was_only_looked_at_and_what_is_yet_to_come(self) -> None:
        told = history([(0, 0, 0), (0, 0, 3), (0, 0, 8)], 1, 1, weights=[1, 0.1, 1])
        assert days_between_visits(told, 50) == 8
        assert days_between_visits(told, 8) == 0

    def test_are_none_where_nobody_came_twice(self) -> None:
        assert days_between_visits(history([(0, 0, 1), (1, 0, 9)], 2, 1), 50) == 0
        assert days_between_visits(history([], 2, 1), 50) == 0


class TestTheTeachWindows:
    def test_end_where_the_judge_window_begins(self) -> None:
        windows = choose(steady(3), 200, RULE, BLEND)
        assert windows is not None
        assert windows.judge == 186
        assert windows.teach == (144, 158, 172)

    def test_leave_half_of_the_history_as_past(self) -> None:
        windows = choose(steady(3, days=40), 40, RULE, BLEND)
        assert windows is not None
        assert windows.teach[0] >= 20

    def test_are_one_at_least_and_no_more_than_the_tenant_wants(self) -> None:
        for most, found in ((1, 1), (3, 3), (12, 6)):
            windows = choose(steady(3), 200, RULE, BlendSettings(teach_windows=most))
            assert windows is not None
            assert len(windows.teach) == found
