from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from factory.history import from_tables, local_days
from schema.dates import day_number
from schema.records import History
from schema.settings import TenantSettings


def tables(rows: list[tuple[str, str, str, datetime]]) -> tuple[pa.Table, pa.Table, pa.Table]:
    return (
        pa.table(
            {
                "customer_id": ["b", "a", "c"],
                "segment": pa.array(["schools", None, "farms"], pa.string()),
            }
        ),
        pa.table(
            {
                "product_id": ["y", "x"],
                "status": ["sellable", "out_of_stock"],
                "category": pa.array(["tools", None], pa.string()),
            }
        ),
        pa.table(
            {
                "customer_id": pa.array([row[0] for row in rows], pa.string()),
                "product_id": pa.array([row[1] for row in rows], pa.string()),
                "event": pa.array([row[2] for row in rows], pa.string()),
                "occurred_at": pa.array([row[3] for row in rows], pa.timestamp("us", "UTC")),
            }
        ),
    )


def read(
    rows: list[tuple[str, str, str, datetime]], zone: str = "UTC", before: date = date(2026, 6, 1)
) -> History:
    return from_tables(*tables(rows), TenantSettings(), ZoneInfo(zone), before)


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 5, day, hour, tzinfo=UTC)


class TestAHistory:
    def test_numbers_customers_and_products_in_the_order_of_their_ids(self) -> None:
        told = read([("b", "y", "purchase", at(1))])
        assert (told.customers.names, told.products.names) == (("a", "b", "c"), ("x", "y"))
        assert (told.customer.tolist(), told.product.tolist()) == ([1], [1])

    def test_counts_a_day_once_however_many_lines_it_had(self) -> None:
        told = read([("a", "x", "purchase", at(1, 9)), ("a", "x", "purchase", at(1, 17))])
        assert len(told.day) == 1
        assert told.weight.tolist() == [1.0]

    def test_knows_nothing_from_the_night_on(self) -> None:
        rows = [("a", "x", "purchase", at(1)), ("a", "x", "purchase", at(2))]
        assert len(read(rows, before=date(2026, 5, 2)).day) == 1

    def test_draws_the_line_at_the_tenants_own_midnight(self) -> None:
        rows = [("a", "x", "purchase", datetime(2026, 5, 1, 23, tzinfo=UTC))]
        assert len(read(rows, "UTC", date(2026, 5, 2)).day) == 1
        assert len(read(rows, "Europe/Zurich", date(2026, 5, 2)).day) == 0

    def test_weighs_interest_below_a_purchase_however_often_it_was_shown(self) -> None:
        told = read([("a", "x", "view", at(1, hour)) for hour in range(20)] * 3)
        assert told.bought.tolist() == [False]
        assert 0 < told.weight[0] <= 1

    def test_leaves_returns_out(self) -> None:
        assert len(read([("a", "x", "return", at(1))]).day) == 0

    def test_keeps_what_was_bought_of_a_product_that_left_but_does_not_sell_it(self) -> None:
        told = read([("a", "gone", "purchase", at(1))])
        assert dict(zip(told.products.names, told.sellable.tolist(), strict=True)) == {
            "gone": False,
            "x": False,
            "y": True,
        }

    def test_numbers_groups_in_the_order_of_their_names_and_knows_who_is_in_none(self) -> None:
        told = read([("b", "y", "purchase", at(1))])
        assert (told.categories.names, told.category.tolist()) == (("tools",), [-1, 0])
        assert told.segments.names == ("farms", "schools")
        assert told.segment.tolist() == [-1, 1, 0]

    def test_has_no_group_for_a_product_that_left(self) -> None:
        told = read([("a", "gone", "purchase", at(1))])
        assert dict(zip(told.products.names, told.category.tolist(), strict=True)) == {
            "gone": -1,
            "x": -1,
            "y": 0,
        }

    def test_of_a_tenant_without_groups_has_none(self) -> None:
        customers, products, interactions = tables([("a", "x", "purchase", at(1))])
        nothing = pa.nulls(3, pa.string())
        told = from_tables(
            customers.set_column(1, "segment", nothing),
            products.set_column(2, "category", nothing[:2]),
            interactions,
            TenantSettings(),
            ZoneInfo("UTC"),
            date(2026, 6, 1),
        )
        assert len(told.categories) == len(told.segments) == 0
        assert (told.category.tolist(), told.segment.tolist()) == ([-1, -1], [-1, -1, -1])

    def test_forgets_customers_who_left(self) -> None:
        assert len(read([("gone", "x", "purchase", at(1))]).day) == 0

    def test_of_nothing_is_empty(self) -> None:
        assert len(read([]).day) == 0


@pytest.mark.parametrize("zone", ["Europe/Zurich", "America/Santiago", "Australia/Lord_Howe"])
def test_local_days_agree_with_the_calendar_all_year_round(zone: str) -> None:
    hours = np.arange(0, 366 * 24) * 3_600_000_000 + 1_750_000_000_000_000
    told = local_days(hours, ZoneInfo(zone))
    expected = [
        day_number(datetime.fromtimestamp(hour / 1e6, ZoneInfo(zone)).date()) for hour in hours
    ]
    assert told.tolist() == expected
