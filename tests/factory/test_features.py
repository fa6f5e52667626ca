"""Every feature against its own words, one product, customer and pair after the other."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.affinity import AFFINITY
from factory.blend import FRESH, REPEAT
from factory.evidence import as_of
from factory.features import CUSTOMER, PAIR, PRODUCT, features, group_share
from factory.prior import PRIOR
from schema.settings import Feature
from tests.factory.build import Bought, history

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 40)), max_size=25, unique=True
)
CATEGORY = [0, 1, 1, -1, 0]
UNSOLD = 26
"""Horizons for which a product that never sold counts as unsold."""


def faded(ago: int, half_life: float) -> float:
    return float(2 ** (-(ago - 1) / half_life))


def of_product(rows: list[Bought], product: int, day: int, horizon: int) -> dict[str, float]:
    firsts: dict[int, int] = {}
    lasts: dict[int, int] = {}
    days = sorted((d, c) for c, p, d in rows if p == product)
    for when, customer in days:
        firsts.setdefault(customer, when)
        lasts[customer] = when
    known = len({c for c, _, _ in rows}) + 1

    def share(count: float) -> float:
        return math.log((count + 0.5) / known)

    def since(seen: dict[int, int], windows: int) -> int:
        return sum(when >= day - windows * horizon for when in seen.values())

    habit = {p: sum(faded(day - d, 6.0 * horizon) for _, q, d in rows if q == p) for p in range(5)}
    recent = {p: len({c for c, q, d in rows if q == p and d >= day - horizon}) for p in range(5)}

    def of_group(weight: dict[int, float] | dict[int, int]) -> float:
        mine = sum(w for p, w in weight.items() if CATEGORY[p] == CATEGORY[product])
        return math.log((mine + 0.5) / (sum(weight.values()) + 1))

    unsold = (day - days[-1][0]) / horizon if days else UNSOLD
    return {
        "share": share(len(firsts)),
        "recent_share": share(since(lasts, 1)),
        "season_share": share(since(lasts, 3)),
        "newcomers": share(since(firsts, 1)),
        "season_newcomers": share(since(firsts, 3)),
        "sales": share(sum(faded(day - d, 0.5 * horizon) for d, _ in days)),
        "unsold": math.log1p(4 * min(unsold, UNSOLD)),
        "on_sale": math.log1p((day - days[0][0]) / horizon if days else 0),
        "category_share": of_group(habit),
        "category_recent_share": of_group(recent),
    }


def of_customer(rows: list[Bought], customer: int, day: int, horizon: int) -> dict[str, float]:
    mine = sorted((d, p) for c, p, d in rows if c == customer)
    visits = sorted({d for d, _ in mine})
    firsts: dict[int, int] = {}
    for when, product in mine:
        firsts.setdefault(product, when)
    silence = day - visits[-1] if visits else 0
    span = visits[-1] - visits[0] if visits else 0
    interval = (span + 2 * horizon) / max(len(visits), 1)
    return {
        "visits": math.log(len(visits) + 0.5),
        "recent_visits": math.log(sum(faded(day - d, 2 * horizon) for d in visits) + 0.1),
        "silence": math.log1p(4 * silence / horizon),
        "variety": math.log(len(firsts) + 0.5),
        "basket": math.log(len(mine) / max(len(visits), 1) + 0.5),
        "discoveries": math.log(sum(faded(day - d, 2 * horizon) for d in firsts.values()) + 0.1),
        "visit_due": math.log(max(silence, 1) / max(interval, 1)),
    }


def of_pair(
    rows: list[Bought], customer: int, product: int, day: int, horizon: int
) -> dict[str, float]:
    def told(who: int) -> list[int]:
        return sorted(d for c, p, d in rows if (c, p) == (who, product))

    days = told(customer)
    everybody = [told(who) for who in {c for c, p, _ in rows if p == product}]
    gaps = sum(len(each) - 1 for each in everybody)
    spans = sum(each[-1] - each[0] for each in everybody)
    product_interval = (spans + 20 * horizon) / (gaps + 20)
    interval = (days[-1] - days[0] + product_interval) / len(days)
    age = day - days[-1]
    decayed = [sum(faded(day - d, half * horizon) for d in days) for half in (0.5, 2.0, 6.0)]
    return {
        "times": math.log(len(days)),
        "age": math.log1p(4 * age / horizon),
        "decayed_short": math.log(decayed[0] + 0.02),
        "decayed_middle": math.log(decayed[1] + 0.02),
        "decayed_long": math.log(decayed[2] + 0.02),
        "due": math.log(max(age, 1) / max(interval, 1)),
    }


class TestAFeature:
    @settings(max_examples=40)
    @given(ROWS, st.integers(1, 45), st.integers(1, 9))
    def test_is_what_its_words_say(self, rows: list[Bought], day: int, horizon: int) -> None:
        told = history(rows, 4, 5, category=CATEGORY)
        seen = as_of(told, day, horizon)
        found = features(seen)
        past = [row for row in rows if row[2] < day]
        for product in range(5):
            named = dict(zip(PRODUCT, found.product[product].tolist(), strict=True))
            assert named == pytest.approx(of_product(past, product, day, horizon), abs=1e-5)
        for customer in range(4):
            named = dict(zip(CUSTOMER, found.customer[customer].tolist(), strict=True))
            assert named == pytest.approx(of_customer(past, customer, day, horizon), abs=1e-5)
        pairs = zip(seen.customer.tolist(), seen.product.tolist(), strict=True)
        for row, (customer, product) in enumerate(pairs):
            named = dict(zip(PAIR, found.pair[row].tolist(), strict=True))
            expected = of_pair(past, customer, product, day, horizon)
            assert named == pytest.approx(expected, abs=1e-5)

    def test_is_a_number_of_order_one_even_after_years_or_never(self) -> None:
        years = [(0, 0, day) for day in range(3_000)] + [(1, 1, 0)]
        found = features(as_of(history(years, 3, 3), 3_000, 7))
        for table in (found.product, found.customer, found.pair):
            assert table.dtype == np.float32
            assert np.isfinite(table).all()
            assert np.abs(table).max() < 15

    def test_does_not_grow_with_the_tenant(self) -> None:
        """Ten times the customers, each with the same purchases: the same shares."""
        rows = [(c, p, 3 * c + p) for c in range(20) for p in range(4) if (c + p) % 3]
        many = [(c + 20 * n, p, d) for c, p, d in rows for n in range(10)]
        one = features(as_of(history(rows, 20, 5), 70, 14))
        ten = features(as_of(history(many, 200, 5), 70, 14))
        assert np.allclose(ten.customer[:20], one.customer, atol=1e-6)
        sold = [column for column, name in enumerate(PRODUCT) if "recent" not in name]
        assert np.abs(ten.product[:4, sold] - one.product[:4, sold]).max() < 0.6
        assert np.abs(ten.pair[: len(one.pair)] - one.pair).max() < 0.6

    def test_of_a_group_counts_products_without_one_as_a_group_of_their_own(self) -> None:
        weight = np.array([4.0, 1.0, 2.0, 3.0])
        found = np.exp(group_share(np.array([0, 0, -1, -1], np.int32), weight))
        assert found == pytest.approx([5.5 / 11, 5.5 / 11, 5.5 / 11, 5.5 / 11])


class TestTheNames:
    def test_of_the_blend_are_those_of_its_parts_in_their_order(self) -> None:
        assert ("intercept", "als", *AFFINITY, *PRODUCT, *CUSTOMER) == FRESH
        shared = [name for name in FRESH if name not in {"unsold", "on_sale"}]
        assert (*shared, *PAIR) == REPEAT
        assert len({*FRESH, *REPEAT}) == len(FRESH) + len(PAIR)

    def test_are_those_the_template_has_coefficients_for(self) -> None:
        assert set(PRIOR.fresh) == set(FRESH)
        assert set(PRIOR.repeat) == set(REPEAT)
        assert np.isfinite([*PRIOR.fresh.values(), *PRIOR.repeat.values()]).all()

    def test_are_those_a_tenant_may_do_without(self) -> None:
        assert get_args(Feature) == tuple(n for n in (*FRESH, *PAIR) if n != "intercept")
