"""Rows that did not fit come back mended: each counts once."""

import csv
import io
from pathlib import Path

import pytest

from jobs.intake import import_files
from schema.errors import FactoryError
from schema.names import Delivered
from storage.quarantine import as_csv
from storage.staged import Staged
from tests.jobs.test_intake import LIMITS, Shop, bought, customers, products
from tests.world import ACME, BETA, NOW, World

BAD = "C-1,P-1,soon\nC-2,P-2,never\n"


@pytest.fixture
def shop(empty_world: World) -> Shop:
    for name in (ACME, BETA):
        empty_world.add(name)
        Shop(empty_world, name).deliver(
            customers=customers("C-1", "C-2"), products=products("P-1", "P-2")
        )
    return Shop(empty_world)


def rows_of(shop: Shop, batch: str, table: str = "interactions") -> list[dict[str, str]]:
    uid = shop.world.tenant(shop.name).uid
    path = shop.world.stores.datasets.quarantine(uid, batch).get(table)
    text = b"".join(as_csv(path, batch)).decode() if path else ""
    return list(csv.DictReader(io.StringIO(text)))


def mended(rows: list[dict[str, str]], **cells: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({**row, **cells} for row in rows)
    return text.getvalue()


def test_a_file_that_is_not_there_is_told(shop: Shop, tmp_path: Path) -> None:
    files = {"customers": tmp_path / "customers.csv"}
    with pytest.raises(FactoryError) as told:
        import_files(shop.world.stores, shop.world.tenant(ACME), files, LIMITS, by="t", now=NOW)
    assert told.value.problem.code == "DATA_MISSING"


class TestMendedRows:
    def test_are_added_to_the_others_of_their_delivery(self, shop: Shop) -> None:
        batch = shop.deliver(interactions=bought("C-1 P-1") + BAD).batch
        text = mended(rows_of(shop, batch), occurred_at="2026-03-02")

        report = shop.deliver(interactions=text)

        assert report.state is Delivered.ACCEPTED
        assert [table.read for table in report.tables] == [2]
        assert shop.column("interactions", "customer_id") == ["C-1", "C-1", "C-2"]
        assert report.tables[0].ignored == ()

    def test_count_once_however_often_they_come(self, shop: Shop) -> None:
        batch = shop.deliver(interactions=bought("C-1 P-1") + BAD).batch
        rows = rows_of(shop, batch)
        shop.deliver(interactions=mended(rows[:1], occurred_at="2026-03-02"))
        assert [row["customer_id"] for row in rows_of(shop, batch)] == ["C-2"]

        shop.deliver(interactions=mended(rows, occurred_at="2026-03-02"))
        shop.deliver(interactions=mended(rows, occurred_at="2026-03-02"))

        assert len(shop.column("interactions", "event")) == 3
        with pytest.raises(FactoryError) as told:
            shop.deliver(interactions=mended(rows, occurred_at="2026-03-03"))
        assert told.value.problem.code == "MENDED"
        assert rows_of(shop, batch) == []

    def test_bring_no_doubles_with_them_that_lay_beside_them_in_quarantine(
        self, shop: Shop
    ) -> None:
        batch = shop.deliver(interactions=bought("C-1 P-1", "C-1 P-1") + BAD).batch
        rows = rows_of(shop, batch)
        assert [row["_code"] for row in rows] == ["ROW_DUPLICATE", "TIME_FORMAT", "TIME_FORMAT"]
        for row in rows[1:]:
            row["occurred_at"] = "2026-03-02"

        shop.deliver(interactions=mended(rows))

        assert shop.column("interactions", "customer_id") == ["C-1", "C-1", "C-2"]
        assert [row["_code"] for row in rows_of(shop, batch)] == ["ROW_DUPLICATE"]

    def test_that_still_do_not_fit_are_in_the_quarantine_of_their_new_delivery(
        self, shop: Shop
    ) -> None:
        batch = shop.deliver(interactions=bought("C-1 P-1") + BAD).batch
        rows = rows_of(shop, batch)
        rows[0]["occurred_at"] = "2026-03-02"
        second = shop.deliver(interactions=mended(rows))
        assert rows_of(shop, batch) == []
        assert [row["customer_id"] for row in rows_of(shop, second.batch)] == ["C-2"]

    def test_of_a_catalogue_change_their_products_and_leave_the_others(self, shop: Shop) -> None:
        text = "product_id,price\n" + "".join(f"P-{n},1\n" for n in range(1, 40)) + "P-99,cheap\n"
        batch = shop.deliver(products=text).batch
        shop.deliver(products=mended(rows_of(shop, batch, "products"), price="5"))
        prices = dict(
            zip(
                shop.column("products", "product_id"), shop.column("products", "price"), strict=True
            )
        )
        assert len(prices) == 40
        assert prices["P-99"] == 5

    def test_are_no_other_tenants(self, shop: Shop) -> None:
        batch = shop.deliver(interactions=bought("C-1 P-1") + BAD).batch
        text = mended(rows_of(shop, batch), occurred_at="2026-03-02")
        error = Shop(shop.world, BETA).refused(interactions=text)
        assert error.problem.code == "NO_BATCH"

    def test_come_through_a_process_that_died_after_they_were_taken(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        batch = shop.deliver(interactions=bought("C-1 P-1") + BAD).batch
        path = tmp_path / "mended.csv"
        path.write_text(mended(rows_of(shop, batch), occurred_at="2026-03-02"))
        stores, tenant = shop.world.stores, shop.world.tenant(ACME)
        places = (Staged, "accept"), (stores.imports, "record"), (stores.datasets, "mended")
        for place, step in places:
            with monkeypatch.context() as patch:
                sound = getattr(place, step)

                def dies(*args: object, sound: object = sound, **named: object) -> None:
                    sound(*args, **named)  # type: ignore[operator]
                    raise KeyboardInterrupt

                patch.setattr(place, step, dies)
                with pytest.raises(KeyboardInterrupt):
                    import_files(stores, tenant, {"interactions": path}, LIMITS, by="t", now=NOW)
            assert len(shop.column("interactions", "event")) == 3, step
        assert rows_of(shop, batch) == []
        again = import_files(stores, tenant, {"interactions": path}, LIMITS, by="t", now=NOW)
        assert again.state is Delivered.UNCHANGED
        assert len(shop.column("interactions", "event")) == 3

    def test_do_not_come_back_when_their_first_delivery_comes_again(self, shop: Shop) -> None:
        """It is taken again where the catalogue has changed since."""
        first = bought("C-1 P-1", "C-1 P-9") + "C-2,P-2,never\n" + "C-1,P-1,one,field,more\n"
        batch = shop.deliver(interactions=first).batch
        shop.deliver(
            interactions=mended(
                rows_of(shop, batch)[:2], occurred_at="2026-03-02", product_id="P-2"
            )
        )
        shop.deliver(products=products("P-1", "P-2", "P-9"))

        shop.deliver(interactions=first)

        assert shop.column("interactions", "product_id") == ["P-1", "P-2", "P-2"]
        assert [row["_code"] for row in rows_of(shop, batch)] == ["CSV_SHAPE"]

    @pytest.mark.parametrize(
        "text",
        [
            "_line,_batch,_batch,customer_id\n1,a,b,C-1\n",
            "_line,_batch,_line\n1,a,2\n",
            "_line,_batch\n",
        ],
        ids=["two batches", "two numbers", "no row"],
    )
    def test_whose_marks_are_damaged_are_refused(self, shop: Shop, text: str) -> None:
        assert shop.refused(interactions=text).problem.code == "MENDED"
