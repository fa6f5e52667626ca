from factory.windows import bought_pairs, choose
from schema.records import History
from schema.settings import BlendSettings, WindowSettings
from tests.factory.build import history

RULE = WindowSettings(days=(7, 14, 28), min_pairs=10, max_share=0.2)
BLEND = BlendSettings(teach_windows=3)


def steady(a_day: int, days: int = 200, every: int = 1) -> History:
    """Every so many days so many customers buy one product each."""
    rows = [(n, day % 5, day) for day in range(0, days, every) for n in range(a_day)]
    return history(rows, customers=a_day, products=5)


class TestTheJudgeWindow:
    def test_is_the_shortest_that_holds_enough_purchases(self) -> None:
        windows = choose(steady(3), 200, RULE, BLEND)
        assert windows is not None
        assert windows.days == 7

    def test_grows_where_purchases_are_rare(self) -> None:
        windows = choose(steady(3, every=3), 200, RULE, BLEND)
        assert windows is not None
        assert windows.days == 14

    def test_is_never_more_than_its_share_of_the_history(self) -> None:
        assert choose(steady(3, days=30), 30, RULE, BLEND) is None

    def test_is_missing_where_nothing_was_bought(self) -> None:
        assert choose(history([], 3, 3), 200, RULE, BLEND) is None

    def test_counts_only_customers_who_were_known_before(self) -> None:
        told = history([(0, 0, 1), (0, 1, 9), (1, 1, 9)], 2, 2)
        assert bought_pairs(told, start=5, end=10) == 1


class TestTheTeachWindows:
    def test_end_where_the_judge_window_begins(self) -> None:
        windows = choose(steady(3), 200, RULE, BLEND)
        assert windows is not None
        assert windows.judge == 193
        assert windows.teach == (172, 179, 186)

    def test_leave_half_of_the_history_as_past(self) -> None:
        windows = choose(steady(3, days=40), 40, RULE, BLEND)
        assert windows is not None
        assert windows.teach[0] >= 20
