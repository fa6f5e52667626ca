"""Deliveries that wait for a person while others come: none undoes what came after it."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from jobs.intake import ImportReport, import_files
from jobs.release import release
from schema.errors import FactoryError
from schema.names import Delivered
from schema.settings import HoldSettings, IntakeSettings
from schema.tables import How
from tests.jobs.test_intake import Shop, bought, csv, customers, products
from tests.jobs.test_mend import mended, rows_of
from tests.world import ACME, NOW, World

STRICT = IntakeSettings(holds=HoldSettings(least_rows=5, least_ids=5, late_days=0))
LOOSE = IntakeSettings(holds=HoldSettings(least_rows=10_000, least_ids=1_000, late_days=400))
EVERYBODY = [f"K-{n}" for n in range(40)]
HEADER = "customer_id,product_id,occurred_at"
LONG = [f"K-{n},P-1,2026-03-0{day}T10:00:00Z" for n in range(40) for day in range(1, 9)]


@pytest.fixture
def shop(empty_world: World) -> Shop:
    empty_world.add(ACME)
    shop = Shop(empty_world)
    shop.deliver(customers=customers(*EVERYBODY), products=products("P-1", "P-2"))
    return shop


def deliver(
    shop: Shop,
    how: Mapping[str, How] | None = None,
    limits: IntakeSettings = LOOSE,
    **files: str,
) -> ImportReport:
    paths = {table: shop.world.folder / f"{table}.csv" for table in files}
    for table, path in paths.items():
        path.write_text(files[table])
    stores, tenant = shop.world.stores, shop.world.tenant(ACME)
    return import_files(stores, tenant, paths, limits, by="test", now=NOW, how=how)


def held(shop: Shop, how: Mapping[str, How] | None = None, **files: str) -> str:
    report = deliver(shop, how, STRICT, **files)
    assert report.state is Delivered.HELD
    return report.batch


def let_count(shop: Shop, batch: str) -> ImportReport:
    stores, tenant = shop.world.stores, shop.world.tenant(ACME)
    later = NOW + timedelta(hours=1)
    return release(stores, tenant, batch, LOOSE, by="t", why="w", now=later)


def waiting(shop: Shop) -> list[str]:
    found = shop.world.stores.imports.deliveries(ACME, None, states=[Delivered.HELD])
    return [one.batch for one in found]


class TestAHeldDelivery:
    def test_of_a_whole_history_does_not_undo_a_newer_one(self, shop: Shop) -> None:
        deliver(shop, {"interactions": "replace"}, interactions=csv(HEADER, LONG))
        batch = held(shop, {"interactions": "replace"}, interactions=csv(HEADER, LONG[:20]))
        newer = [*LONG, "K-1,P-2,2026-03-09T10:00:00Z"]
        deliver(shop, {"interactions": "replace"}, interactions=csv(HEADER, newer))

        with pytest.raises(FactoryError) as told:
            let_count(shop, batch)

        assert told.value.problem.code == "DATA_OVERTAKEN"
        assert len(shop.column("interactions", "event")) == len(newer)

    def test_is_not_added_to_a_whole_history_that_came_after_it(self, shop: Shop) -> None:
        deliver(shop, interactions=csv(HEADER, LONG))
        batch = held(shop, interactions=csv(HEADER, [*LONG[:-1], "K-1,P-2,2026-03-09T10:00:00Z"]))
        newer = [*LONG, "K-1,P-2,2026-03-09T10:00:00Z"]
        deliver(shop, {"interactions": "replace"}, interactions=csv(HEADER, newer))

        with pytest.raises(FactoryError) as told:
            let_count(shop, batch)

        assert told.value.problem.code == "DATA_OVERTAKEN"
        assert len(shop.column("interactions", "event")) == len(newer)

    def test_is_not_overtaken_by_mended_rows_of_an_earlier_one(self, shop: Shop) -> None:
        first = deliver(shop, customers=customers(*EVERYBODY, "K-\x07")).batch
        batch = held(shop, customers=customers("N-1"))
        deliver(shop, customers=mended(rows_of(shop, first, "customers"), customer_id="K-7"))

        let_count(shop, batch)

        assert shop.column("customers", "customer_id") == ["N-1"]

    def test_leaves_what_was_overtaken_to_be_delivered_again(self, shop: Shop) -> None:
        """It never counted: sent again on purpose, it is no repeat."""
        sold = bought("K-1 P-1")
        batch = held(shop, customers=customers("N-1", "K-1"), interactions=sold)
        deliver(shop, customers=customers(*EVERYBODY[:39]))
        assert let_count(shop, batch).state is Delivered.RELEASED

        report = deliver(shop, customers=customers("N-1", "K-1"))

        assert report.state is Delivered.ACCEPTED
        assert shop.column("customers", "customer_id") == ["K-1", "N-1"]

    def test_waits_once_however_it_is_read(self, shop: Shop) -> None:
        """Or one of two would be released, and the other wait for ever without its files."""
        batch = held(shop, customers=customers("N-1"))
        folded = STRICT.model_copy(update={"ids": "folded"})
        assert deliver(shop, None, folded, customers=customers("N-1")).batch == batch

        assert waiting(shop) == [batch]
        let_count(shop, batch)
        assert waiting(shop) == []


class TestMendedRows:
    def test_do_not_let_a_delivery_beside_them_pass(self, shop: Shop) -> None:
        sold = bought("K-1 P-1", "K-2 P-2") + "K-3,P-1,soon\n"
        first = deliver(shop, interactions=sold).batch
        text = mended(rows_of(shop, first), occurred_at="2026-03-02")

        report = deliver(shop, None, STRICT, customers=customers("N-1", "K-3"), interactions=text)

        assert report.state is Delivered.HELD
