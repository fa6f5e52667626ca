"""Tenants whose right lists are known beforehand, by the way a night goes: train, then rank."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from jobs.evaluate import read_folder
from schema.names import Outcome, TenantId
from schema.records import History, Lists
from schema.settings import ListSettings, TenantSettings, WindowSettings
from tests.factory.build import Bought, history
from tests.factory.planted import (
    FIRST_DAY,
    SMALL,
    folder_of,
    listed,
    lists_of,
    model_of,
    tables,
    tonight,
)
from tests.world import World

TONIGHT = 140


def camps(customers: int = 60, products: int = 24) -> tuple[History, list[set[int]]]:
    """Two camps that buy disjoint halves; nobody has met all products of the own half.

    Returns:
        The history, and by customer the products of the own half never bought.
    """
    rng = np.random.default_rng(3)
    rows: list[Bought] = []
    missing = []
    for customer in range(customers):
        half = [p for p in range(products) if p % 2 == customer % 2]
        unmet = set(rng.choice(half, 4, replace=False).tolist())
        met = [p for p in half if p not in unmet]
        rng.shuffle(met)  # one product is discovered after the other, and each is bought again
        for place, product in enumerate(met):
            first = 2 + place * 16 + int(rng.integers(0, 8))
            days = range(first, TONIGHT, int(rng.integers(18, 30)))
            rows += [(customer, product, day) for day in days]
        missing.append(unmet)
    return history(rows, customers, products), missing


class TestTwoCamps:
    def test_see_every_product_of_their_own_half_before_any_of_the_other(self) -> None:
        told, missing = camps()
        lists = lists_of(told, TONIGHT)
        for customer, unmet in enumerate(missing):
            order = listed(lists, customer)
            worst_own = max(order.index(product) for product in unmet)
            best_other = min(order.index(p) for p in range(24) if p % 2 != customer % 2)
            assert worst_own < best_other, (customer, order)


WEEKLY = TenantSettings(windows=WindowSettings(days=(7,), min_pairs=20))


def cycles(
    cycle: int, nights: int, customers: int = 80
) -> tuple[History, dict[int, int], dict[int, int]]:
    """Everybody buys two staples every ``cycle`` days each, half a cycle apart, and sundries.

    Returns:
        The history; by customer the staple that is due now, and the one of the last half cycle.
    """
    rng = np.random.default_rng(4)
    rows: list[Bought] = []
    due, just = {}, {}
    for customer in range(customers):
        one, other = rng.choice(8, 2, replace=False).tolist()
        phase = int(rng.integers(0, cycle))
        for product, shift in ((one, 0), (other, cycle // 2)):
            last = max(d for d in range(phase + shift, nights, cycle))
            rows += [(customer, product, d) for d in range(phase + shift, nights, cycle)]
            age = nights - last
            if age >= cycle - 2:
                due[customer] = product
            if age <= cycle // 2:
                just[customer] = product
        rows += [
            (customer, int(rng.integers(8, 20)), int(day)) for day in rng.integers(0, nights, 4)
        ]
    return history(rows, customers, 20), due, just


@pytest.mark.parametrize(
    ("cycle", "settings"), [(14, WEEKLY), (28, SMALL)], ids=["week", "template"]
)
class TestAReorderCycle:
    """Of twice the window: within a whole cycle both are bought, whichever is due."""

    def test_puts_what_is_due_before_what_was_just_bought(
        self, cycle: int, settings: TenantSettings
    ) -> None:
        told, due, just = cycles(cycle, 10 * cycle)
        model = model_of(told, 10 * cycle, settings)
        lists = lists_of(told, 10 * cycle, model=model)
        both = sorted(due.keys() & just.keys())
        assert model.horizon_days == cycle // 2
        assert len(both) >= 8
        for customer in both:
            order = listed(lists, customer)
            assert order.index(due[customer]) < order.index(just[customer]), customer

    def test_puts_what_is_due_first_of_all(self, cycle: int, settings: TenantSettings) -> None:
        told, due, _ = cycles(cycle, 10 * cycle)
        lists = lists_of(told, 10 * cycle, settings)
        assert all(listed(lists, customer)[0] == product for customer, product in due.items())


GROUPS = 4
IN_GROUP = 8


def tastes(place: Path) -> tuple[History, list[set[int]]]:
    """Each customer buys from one category only; the last product of each category is new.

    The new products were never bought by anybody. Returns the history, and by customer the
    products of the own category never bought.
    """
    rng = np.random.default_rng(5)
    products = GROUPS * IN_GROUP
    rows: list[Bought] = []
    missing = []
    for customer in range(80):
        group = customer % GROUPS
        sold = [p for p in range(products) if p % GROUPS == group and p < products - GROUPS]
        unmet = int(rng.choice(sold))
        met = [p for p in sold if p != unmet]
        rng.shuffle(met)
        for order, product in enumerate(met):
            first = 2 + order * 18 + int(rng.integers(0, 10))
            rows += [(customer, product, d) for d in range(first, TONIGHT, 25)]
        missing.append({unmet, products - GROUPS + group})
    made = tables(rows, 80, products, [f"group {p % GROUPS}" for p in range(products)])
    return read_folder(folder_of(place, made), SMALL, datetime.now(UTC)), missing


class TestATasteForACategory:
    @pytest.fixture
    def lists_and_missing(self, tmp_path: Path) -> tuple[Lists, list[set[int]]]:
        told, missing = tastes(tmp_path)
        return lists_of(told, tonight(TONIGHT)), missing

    def test_puts_its_unmet_product_before_any_of_another_category(
        self, lists_and_missing: tuple[Lists, list[set[int]]]
    ) -> None:
        lists, missing = lists_and_missing
        for customer, unmet in enumerate(missing):
            order = listed(lists, customer)
            known = min(unmet)
            others = [p for p in range(GROUPS * IN_GROUP) if p % GROUPS != customer % GROUPS]
            assert order.index(known) < min(order.index(p) for p in others), customer

    def test_puts_its_cold_product_before_the_cold_ones_of_other_categories(
        self, lists_and_missing: tuple[Lists, list[set[int]]]
    ) -> None:
        lists, missing = lists_and_missing
        cold = range(GROUPS * (IN_GROUP - 1), GROUPS * IN_GROUP)
        for customer, unmet in enumerate(missing):
            order = [p for p in listed(lists, customer) if p in cold]
            assert order[0] == max(unmet), (customer, order)


def launched(before: int) -> tuple[History, int, list[int]]:
    """A product appears a week ago and takes off: most customers try it within a fortnight.

    Beside their favourites customers rarely try anything else: one product in a hundred, a week.

    Args:
        before: earlier launches that went the same way, three weeks apart.

    Returns:
        The history, the product, and the customers who do not have it yet.
    """
    rng = np.random.default_rng(6)
    customers, products = 80, 60
    rows: list[Bought] = []
    old = products - 1 - before
    for customer in range(customers):
        favourites = rng.choice(old, 6, replace=False)
        for day in range(TONIGHT):
            if rng.random() < 0.25:
                found = rng.choice(favourites) if rng.random() < 0.8 else rng.integers(0, old)
                rows.append((customer, int(found), day))
        for place in range(before + 1):
            day = TONIGHT - 7 - 21 * (before - place) + int(rng.integers(0, 14))
            if rng.random() < 0.6 and day < TONIGHT:
                rows.append((customer, old + place, day))
    buyers = {row[0] for row in rows if row[1] == products - 1}
    return history(rows, customers, products), products - 1, sorted(set(range(customers)) - buyers)


class TestAProductThatAppearedLastWeek:
    """``launched(5)``: there were five launches to learn from; ``launched(0)``: there was none."""

    def test_and_takes_off_enters_the_first_ten_of_everybody_who_has_none(self) -> None:
        told, new, others = launched(5)
        lists = lists_of(told, TONIGHT)
        places = {customer: listed(lists, customer).index(new) for customer in others}
        assert max(places.values()) < 10, places

    @pytest.mark.parametrize(("before", "place"), [(5, 1), (0, 3)])
    def test_is_first_of_what_is_new_to_them_or_nearly_so_without_a_launch_to_learn_from(
        self, before: int, place: int
    ) -> None:
        told, new, others = launched(before)
        lists = lists_of(told, TONIGHT)
        for customer in others:
            entries = lists.entries[customer]
            fresh = entries["product"][(entries["times"] == 0) & (entries["product"] >= 0)]
            assert new in fresh[:place], customer

    @pytest.mark.parametrize("before", [5, 0])
    def test_is_among_the_first_that_a_stranger_sees(self, before: int) -> None:
        told, new, _ = launched(before)
        popular = lists_of(told, TONIGHT).popular["product"].tolist()
        assert popular.index(new) < 10


def steady(customers: int, products: int, days: int = TONIGHT) -> list[Bought]:
    """Every customer buys every product, each once in ten days."""
    return [
        (customer, product, day)
        for customer in range(customers)
        for product in range(products)
        for day in range((customer + 3 * product) % 10, days, 10)
    ]


def whole(lists: Lists, rows: int, products: int) -> bool:
    """Every customer has every product once, with a finite probability."""
    return len(lists.customers) == rows and all(
        sorted(listed(lists, row)) == list(range(products))
        and bool(np.isfinite(lists.entries[row]["probability"]).all())
        for row in range(rows)
    )


class TestExtremes:
    """Lists come out whole, whether the tenant is too small to judge or just large enough."""

    EAGER = SMALL.model_copy(update={"windows": SMALL.windows.model_copy(update={"min_pairs": 1})})

    @pytest.mark.parametrize("settings", [SMALL, EAGER], ids=["template", "trained"])
    def test_two_customers(self, settings: TenantSettings) -> None:
        told = history(steady(2, 6), 2, 9)
        assert whole(lists_of(told, TONIGHT, settings), 2, 9)

    @pytest.mark.parametrize("settings", [SMALL, EAGER], ids=["template", "trained"])
    def test_everybody_bought_everything(self, settings: TenantSettings) -> None:
        told = history(steady(30, 8), 30, 8)
        lists = lists_of(told, TONIGHT, settings)
        assert model_of(told, TONIGHT, settings).kind == "als"
        assert whole(lists, 30, 8)
        assert (lists.entries["times"][:, :8] > 0).all()

    @pytest.mark.parametrize("settings", [SMALL, EAGER], ids=["template", "trained"])
    def test_one_product_only(self, settings: TenantSettings) -> None:
        told = history(steady(30, 1), 30, 1)
        lists = lists_of(told, TONIGHT, settings)
        assert whole(lists, 30, 1)
        assert lists.popular["product"][:2].tolist() == [0, -1]

    @pytest.mark.parametrize("settings", [SMALL, EAGER], ids=["template", "trained"])
    def test_customers_without_a_history_are_left_to_the_popular_list(
        self, settings: TenantSettings
    ) -> None:
        told = history(steady(20, 6), 50, 8)
        lists = lists_of(told, TONIGHT, settings)
        assert lists.customers == tuple(f"C-{n:03}" for n in range(20))
        assert sorted(n for n in lists.popular["product"].tolist() if n >= 0) == list(range(8))

    @pytest.mark.parametrize(
        "rule",
        [
            ListSettings(length=5, at_least_new=0, at_least_bought=0),
            ListSettings(length=5, at_least_new=5, at_least_bought=0),
            ListSettings(length=5, at_least_new=0, at_least_bought=5),
        ],
        ids=["no guarantee", "new only", "bought only"],
    )
    def test_a_list_rule_without_guarantees_fills_the_list(self, rule: ListSettings) -> None:
        told = history(steady(20, 6), 20, 12)
        lists = lists_of(told, TONIGHT, rule=rule)
        assert all(len(set(listed(lists, row))) == 5 for row in range(20))


class TestANightOf:
    """The same extremes through the door: import, night, edition."""

    @pytest.mark.parametrize(("customers", "products"), [(2, 6), (30, 1), (30, 8), (1, 1)], ids=str)
    def test_an_extreme_tenant_publishes_beside_an_ordinary_one(
        self, world: World, customers: int, products: int
    ) -> None:
        odd = TenantId("odd")
        world.add(odd)
        world.import_(odd, tables(steady(customers, products, 90), customers, products))
        reports = [
            world.night(name, FIRST_DAY + timedelta(days=day))
            for day in (83, 90)
            for name in (odd, TenantId("acme"))
        ]
        assert all(report.published for report in reports), [r.because for r in reports]
        assert Outcome.FAILED not in {report.outcome for report in reports}
        assert all(report.figures["lists"] == customers for report in reports[::2])
