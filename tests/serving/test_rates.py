from hypothesis import given
from hypothesis import strategies as st

from serving import rates
from serving.rates import Rates

PLENTY = (1e9, 1e9)


def let_through(limit: Rates, moments: list[float], key: str = "k", tenant: str = "t") -> int:
    return sum(limit.take(key, tenant, now) == 0 for now in moments)


class TestAKey:
    def test_may_ask_as_often_at_once_as_its_burst(self) -> None:
        limit = Rates((10, 7), PLENTY)

        assert let_through(limit, [100.0] * 50) == 7

    def test_may_then_ask_at_its_rate(self) -> None:
        limit = Rates((10, 7), PLENTY)
        let_through(limit, [100.0] * 50)

        assert let_through(limit, [100 + n / 100 for n in range(1, 301)]) == 30

    def test_is_told_when_it_may_ask_again_and_then_may(self) -> None:
        limit = Rates((2, 1), PLENTY)
        limit.take("k", "t", 100.0)

        wait = limit.take("k", "t", 100.1)

        assert abs(wait - 0.4) < 1e-3
        assert limit.take("k", "t", 100.1 + wait) == 0

    def test_pays_nothing_for_what_it_is_refused(self) -> None:
        limit = Rates((1, 1), PLENTY)
        let_through(limit, [100.0] * 1000)

        assert limit.take("k", "t", 101.0) == 0

    def test_leaves_others_alone(self) -> None:
        limit = Rates((1, 1), PLENTY)
        let_through(limit, [100.0] * 1000)

        assert limit.take("another", "t", 100.0) == 0

    @given(
        st.lists(st.floats(0, 5), min_size=1, max_size=200),
        st.integers(1, 20),
        st.integers(1, 20),
    )
    def test_never_gets_more_than_a_burst_and_its_rate(
        self, gaps: list[float], rate: int, burst: int
    ) -> None:
        limit = Rates((rate, burst), PLENTY)
        now, passed = 1000.0, list[float]()
        for gap in gaps:
            now += gap
            if limit.take("k", "t", now) == 0:
                passed.append(now)

        for first in range(len(passed)):
            seconds = passed[-1] - passed[first]
            assert len(passed) - first <= burst + rate * seconds + 1


class TestATenant:
    def test_has_one_limit_for_all_its_keys(self) -> None:
        limit = Rates(PLENTY, (10, 7))

        through = [limit.take(f"k{n}", "t", 100.0) == 0 for n in range(50)]

        assert sum(through) == 7

    def test_meets_it_alone(self) -> None:
        limit = Rates(PLENTY, (10, 7))
        let_through(limit, [100.0] * 1000, tenant="noisy")

        assert let_through(limit, [100.0] * 7, key="k2", tenant="quiet") == 7

    def test_does_not_pay_for_what_one_of_its_keys_is_refused(self) -> None:
        limit = Rates((1, 1), (10, 2))
        let_through(limit, [100.0] * 1000, key="noisy")

        assert limit.take("quiet", "t", 100.0) == 0

    def test_is_none_for_an_operators_key(self) -> None:
        limit = Rates(PLENTY, (1, 1))

        assert let_through(limit, [100.0] * 50, tenant="") == 50


def test_what_is_remembered_is_bounded() -> None:
    limit = Rates((10, 10), (10, 10))
    for n in range(rates.MOST + 10):
        limit.take(f"k{n}", f"t{n}", 100.0 + n)

    assert len(limit._keys) <= rates.MOST
    assert len(limit._tenants) <= rates.MOST
