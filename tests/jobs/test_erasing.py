"""What was delivered of an erased customer, wherever it lies and however it is written."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import event

from jobs.erasing import finish
from jobs.intake import import_files
from jobs.release import release
from schema.errors import FactoryError, Problem
from schema.names import Delivered, TenantId
from schema.records import Erasure
from schema.settings import HoldSettings, IntakeSettings
from storage.erase import erase, unerase
from tests.jobs.test_intake import LIMITS, Shop, bought, csv, customers, products
from tests.world import ACME, NOW, World

STRICT = IntakeSettings(holds=HoldSettings(least_rows=5, least_ids=5))
OTHERS = [f"K-{n}" for n in range(40)]


@pytest.fixture
def shop(empty_world: World) -> Shop:
    empty_world.add(ACME)
    shop = Shop(empty_world)
    shop.deliver(customers=customers("C-1", "C 1", *OTHERS), products=products("P-1", "P-2"))
    return shop


def forget(shop: Shop, customer: str = "C-1") -> Erasure:
    stores = shop.world.stores
    erase(stores, shop.world.tenant(ACME), customer, by="test", why="request 17", now=NOW)
    [told] = finish(stores, NOW)
    return told


def put(shop: Shop, place: Path, text: str) -> Path:
    path = shop.world.config.home / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestADeliveredFile:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("customers.csv", "customer_id|name\nC-1|Ann\n"),
            ("customers.csv", "customer_id,name\nC-3,Bob\nC-1,Ann,too,many\n"),
            ("customers.csv", "An export\n\ncustomer_id,name\nC-1,Ann\n"),
            ("customers.csv", "C-1,Ann\nC-3,Bob\n"),
            ("customers.jsonl", '{"customer_id": "C-3"}\n{"customer_id": "C-1", "a": [1]}\n'),
        ],
        ids=["another sign", "fields too many", "lines above", "no header", "no row"],
    )
    def test_goes_however_it_names_them(self, shop: Shop, name: str, text: str) -> None:
        path = put(shop, Path("inbox") / ACME / "taken" / name, text)

        forget(shop)

        assert not path.exists()

    def test_that_names_others_stays(self, shop: Shop) -> None:
        path = put(shop, Path("inbox") / ACME / "taken" / "customers.csv", customers("C-11"))

        forget(shop)

        assert path.exists()

    @pytest.mark.parametrize("place", ["uploads/one", "source/waiting", "arrived", "arriving"])
    def test_that_waits_for_its_import_is_waited_for(self, shop: Shop, place: str) -> None:
        folder = Path("tenants") / shop.world.tenant(ACME).uid / place
        path = put(shop, folder / "customers.csv", customers("C-1", "C-2"))

        assert forget(shop).finished_at is None
        assert path.exists()
        path.unlink()
        [told] = finish(shop.world.stores, NOW + timedelta(hours=1))
        assert told.finished_at is not None

    def test_leaves_no_answer_to_its_upload(self, shop: Shop) -> None:
        folder = Path("tenants") / shop.world.tenant(ACME).uid / "uploads" / "one"
        path = put(shop, folder / "OUTCOME.json", '{"samples": [{"value": "Ann"}]}')

        forget(shop)

        assert not path.exists()


class TestAcceptedRows:
    def test_of_two_deliveries_alike_without_them_stay_each_ones_own(self, shop: Shop) -> None:
        shop.deliver(interactions=bought("K-1 P-1", "C-1 P-1"))
        batch = shop.deliver(interactions=bought("K-1 P-1", "C-1 P-2")).batch

        forget(shop)

        assert shop.column("interactions", "customer_id") == ["K-1", "K-1"]
        dataset = shop.has()
        assert dataset is not None
        assert len({*dataset.interactions.values()}) == len(dataset.files) == 2
        assert batch in dataset.interactions


class TestTheNextDelivery:
    def test_with_ids_that_are_no_text_is_refused_as_any_other(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        forget(shop)
        path = tmp_path / "customers.parquet"
        pq.write_table(pa.table({"customer_id": [b"C-1", b"\xff"]}), path)

        with pytest.raises(FactoryError) as told:
            import_files(
                shop.world.stores, shop.world.tenant(ACME), {"customers": path}, LIMITS,
                by="test", now=NOW,
            )  # fmt: skip

        assert told.value.problem.code == "PARQUET_UNSUPPORTED"


class TestWhoMayComeBack:
    def test_is_in_the_next_delivery_though_its_files_are_the_same(self, shop: Shop) -> None:
        sold = bought("C-1 P-1", "K-1 P-1")
        shop.deliver(interactions=sold)
        forget(shop)
        everybody = customers("C-1", *OTHERS)
        shop.deliver(customers=everybody)
        assert shop.column("interactions", "customer_id") == ["K-1"]

        stores, tenant = shop.world.stores, shop.world.tenant(ACME)
        unerase(stores, tenant, "C-1", by="t", why="a new contract", now=NOW + timedelta(1))
        shop.deliver(customers=everybody, interactions=sold)

        assert "C-1" in shop.column("customers", "customer_id")
        assert shop.column("interactions", "customer_id") == ["C-1", "K-1"]


class TestAHeldDelivery:
    def hold(self, shop: Shop, text: str) -> Callable[[], object]:
        report = shop.deliver(STRICT, customers=text)
        assert report.state is Delivered.HELD
        stores, tenant = shop.world.stores, shop.world.tenant(ACME)
        return lambda: release(stores, tenant, report.batch, LIMITS, by="t", why="w", now=NOW)

    def test_of_others_can_be_released(self, shop: Shop) -> None:
        let_count = self.hold(shop, customers("C-9"))

        forget(shop)
        let_count()

        assert shop.column("customers", "customer_id") == ["C-9"]

    def test_of_theirs_has_to_be_sent_again(self, shop: Shop) -> None:
        let_count = self.hold(shop, customers("C-9", "C-1"))

        forget(shop)

        with pytest.raises(Problem, match="discard it, and deliver them again"):
            let_count()

    def test_tells_why_without_their_name(self, shop: Shop) -> None:
        rows = [f"C 1,P-1,2026-03-01T10:{m:02}:{s:02}Z" for m in range(10) for s in range(60)]
        text = csv("customer_id,product_id,occurred_at", rows)
        assert shop.deliver(STRICT, interactions=bought("K-1 P-1") + text.split("\n", 1)[1]).holds

        forget(shop, "C 1")

        assert "C 1" not in json.dumps(shop.reports(), default=str)


class TestALookAtAllTenants:
    def test_costs_as_many_queries_for_a_fleet_as_for_one(self, shop: Shop) -> None:
        def queries() -> int:
            asked: list[str] = []

            def ask(*args: object) -> None:
                asked.append(str(args[2]))

            event.listen(shop.world.stores.engine, "before_cursor_execute", ask)
            assert finish(shop.world.stores, NOW) == []
            event.remove(shop.world.stores.engine, "before_cursor_execute", ask)
            return len(asked)

        one = queries()
        for number in range(5):
            shop.world.add(TenantId(f"t{number}"))

        assert queries() == one > 0
