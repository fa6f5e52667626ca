from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.intake import ImportReport, import_files
from schema.errors import FactoryError, Refused, as_json
from schema.names import Delivered, TenantId
from schema.settings import HoldSettings, IntakeSettings
from schema.tables import How
from storage.dataset import Dataset
from tests.world import ACME, BETA, NOW, World

LIMITS = IntakeSettings()
TIME = "2026-03-01T10:00:00Z"


def csv(header: str, lines: Iterable[str]) -> str:
    return "\n".join([header, *lines]) + "\n"


def customers(*ids: str) -> str:
    return csv("customer_id", ids)


def products(*ids: str) -> str:
    return csv("product_id", ids)


def bought(*pairs: str) -> str:
    """Interactions: "C-1 P-1" becomes a purchase."""
    return csv(
        "customer_id,product_id,occurred_at", (f"{p.replace(' ', ',')},{TIME}" for p in pairs)
    )


class Shop:
    """One tenant of a world, to whom files are delivered as text."""

    def __init__(self, world: World, name: TenantId = ACME) -> None:
        self.world, self.name = world, name

    def deliver(
        self,
        limits: IntakeSettings = LIMITS,
        *,
        dry_run: bool = False,
        how: Mapping[str, How] | None = None,
        **files: str,
    ) -> ImportReport:
        folder = self.world.folder / self.name
        folder.mkdir(exist_ok=True)
        paths = {table: folder / f"{table}.csv" for table in files}
        for table, path in paths.items():
            path.write_text(files[table])
        tenant = self.world.tenant(self.name)
        return import_files(
            self.world.stores, tenant, paths, limits, by="test", now=NOW, dry_run=dry_run, how=how
        )

    def refused(
        self,
        limits: IntakeSettings = LIMITS,
        how: Mapping[str, How] | None = None,
        **files: str,
    ) -> FactoryError:
        with pytest.raises(FactoryError) as told:
            self.deliver(limits, dry_run=False, how=how, **files)
        assert isinstance(told.value.problem, Refused)
        assert told.value.tenant == self.name
        return told.value

    def has(self) -> Dataset | None:
        return self.world.stores.datasets.of(self.world.tenant(self.name).uid)

    def column(self, table: str, column: str) -> list[Any]:
        rows = self.world.stores.datasets.read(self.world.tenant(self.name).uid, table)
        values: list[Any] = rows[column].to_pylist()
        return values

    def reports(self) -> list[dict[str, Any]]:
        return self.world.stores.imports.reports(self.name)

    def quarantine(self) -> dict[str, list[dict[str, Any]]]:
        folder = self.world.config.home / "tenants" / self.world.tenant(self.name).uid / "data"
        found = sorted((folder / "quarantine").glob("*.parquet"))
        return {path.name: pq.read_table(path).to_pylist() for path in found}


@pytest.fixture
def shop(empty_world: World) -> Shop:
    """acme, with two customers and two products."""
    empty_world.add(ACME)
    shop = Shop(empty_world)
    shop.deliver(customers=customers("C-1", "C-2"), products=products("P-1", "P-2"))
    return shop


class TestADelivery:
    def test_of_all_three_tables_is_taken_at_once(self, empty_world: World) -> None:
        empty_world.add(ACME)
        shop = Shop(empty_world)

        shop.deliver(
            customers=customers("C-1"), products=products("P-1"), interactions=bought("C-1 P-1")
        )

        assert shop.column("customers", "customer_id") == ["C-1"]
        assert shop.column("products", "product_id") == ["P-1"]
        assert shop.column("interactions", "occurred_at") == [datetime(2026, 3, 1, 10, tzinfo=UTC)]

    def test_of_products_replaces_the_catalogue(self, shop: Shop) -> None:
        shop.deliver(products=products("P-2", "P-3"))

        assert shop.column("products", "product_id") == ["P-2", "P-3"]

    def test_of_customers_replaces_the_customers(self, shop: Shop) -> None:
        shop.deliver(customers=customers("C-7"))

        assert shop.column("customers", "customer_id") == ["C-7"]

    def test_of_interactions_adds_to_what_is_there(self, shop: Shop) -> None:
        shop.deliver(interactions=bought("C-1 P-1"))
        shop.deliver(interactions=bought("C-2 P-2"))

        assert shop.column("interactions", "customer_id") == ["C-1", "C-2"]

    def test_that_comes_twice_counts_once(self, shop: Shop) -> None:
        first = shop.deliver(interactions=bought("C-1 P-1", "C-2 P-2"))
        before = shop.has()

        second = shop.deliver(interactions=bought("C-1 P-1", "C-2 P-2"))

        assert second.batch == first.batch
        assert shop.has() == before
        assert len(shop.column("interactions", "event")) == 2

    def test_counts_the_same_line_once(self, shop: Shop) -> None:
        report = shop.deliver(interactions=bought("C-1 P-1", "C-1 P-1", "C-1 P-1"))

        [table] = report.tables
        assert (table.read, table.accepted, table.quarantined) == (3, 1, 2)
        assert [(f.code, f.severity, f.count, f.samples) for f in table.faults] == [
            ("ROW_DUPLICATE", "warning", 2, ((3, "C-1 P-1"), (4, "C-1 P-1")))
        ]
        [rows] = shop.quarantine().values()
        assert [(row["_line"], row["_code"]) for row in rows] == [
            (3, "ROW_DUPLICATE"),
            (4, "ROW_DUPLICATE"),
        ]

    def test_may_hold_the_same_purchase_twice_where_two_lines_are_two_lines(
        self, shop: Shop
    ) -> None:
        limits = IntakeSettings(duplicates="keep")
        shop.deliver(limits, interactions=bought("C-1 P-1", "C-1 P-1"))

        assert len(shop.column("interactions", "event")) == 2

    def test_that_is_sent_again_after_its_products_were_mended_takes_its_own_place(
        self, shop: Shop
    ) -> None:
        sold = bought("C-1 P-1", "C-1 P-9")
        shop.deliver(interactions=sold)
        assert shop.column("interactions", "product_id") == ["P-1"]

        shop.deliver(products=products("P-1", "P-9"))
        shop.deliver(interactions=sold)

        assert shop.column("interactions", "product_id") == ["P-1", "P-9"]

    def test_changes_the_fingerprint_if_and_only_if_it_changes_the_data(self, shop: Shop) -> None:
        fingerprints = []
        for pairs in (["C-1 P-1"], ["C-1 P-1"], ["C-2 P-1"]):
            shop.deliver(interactions=bought(*pairs))
            dataset = shop.has()
            assert dataset is not None
            fingerprints.append(dataset.fingerprint)

        assert fingerprints[0] == fingerprints[1]
        assert fingerprints[1] != fingerprints[2]

    def test_of_nothing_is_refused(self, shop: Shop) -> None:
        assert shop.refused().problem.code == "USAGE"

    def test_takes_times_without_a_zone_in_the_tenants_own(self, empty_world: World) -> None:
        empty_world.add(ACME, "Asia/Tokyo")
        shop = Shop(empty_world)

        shop.deliver(
            customers=customers("C-1"),
            products=products("P-1"),
            interactions=csv("customer_id,product_id,occurred_at", ["C-1,P-1,2026-03-01T10:00:00"]),
        )

        assert shop.column("interactions", "occurred_at") == [datetime(2026, 3, 1, 1, tzinfo=UTC)]


class TestRowsThatDoNotFit:
    def test_are_quarantined_and_the_others_are_taken(self, shop: Shop) -> None:
        report = shop.deliver(interactions=bought("C-1 P-1", "C-9 P-1", "C-2 P-1"))

        [table] = report.tables
        assert (table.read, table.accepted, table.quarantined) == (3, 2, 1)
        assert shop.column("interactions", "customer_id") == ["C-1", "C-2"]

    def test_are_kept_as_they_came_with_row_and_reason(self, shop: Shop) -> None:
        report = shop.deliver(interactions=bought("C-1 P-1", "C-9 P-1"))

        [(name, rows)] = shop.quarantine().items()
        assert name == f"{report.batch}-interactions.parquet"
        assert rows == [
            {
                "customer_id": "C-9",
                "product_id": "P-1",
                "occurred_at": TIME,
                "_line": 3,
                "_code": "REF_UNKNOWN",
            }
        ]

    def test_are_in_the_report_with_count_share_sample_and_remedy(self, shop: Shop) -> None:
        shop.deliver(interactions=bought("C-1 P-1", "C-9 P-1", "C-2 P-1", "C-1 P-2"))

        [table] = shop.reports()[0]["report"]["tables"]
        assert table == {
            "table": "interactions",
            "how": "add",
            "read": 4,
            "accepted": 3,
            "quarantined": 1,
            "erased": 0,
            "ignored_columns": [],
            "faults": [
                {
                    "code": "REF_UNKNOWN",
                    "severity": "error",
                    "column": "customer_id",
                    "what": "customer_id is not among the customers",
                    "count": 1,
                    "share": 0.25,
                    "samples": [{"line": 3, "value": "C-9"}],
                    "fix": "send the missing customers or products first, then this file again",
                }
            ],
        }

    def test_are_no_longer_in_quarantine_after_the_delivery_was_mended(self, shop: Shop) -> None:
        sold = bought("C-1 P-1", "C-1 P-9")
        shop.deliver(interactions=sold)

        shop.deliver(products=products("P-1", "P-9"), interactions=sold)

        assert [rows for rows in shop.quarantine().values() if rows] == []

    def test_include_lines_with_another_number_of_fields(self, shop: Shop) -> None:
        report = shop.deliver(interactions=bought("C-1 P-1", "C-2 P-1") + "C-1,P-1\n")

        [table] = report.tables
        assert (table.read, table.accepted, table.quarantined) == (3, 2, 1)
        assert [(f.code, f.count, f.samples) for f in table.faults] == [
            ("CSV_SHAPE", 1, ((4, "C-1,P-1"),))
        ]
        [(_, rows)] = shop.quarantine().items()
        assert (rows[0]["_line"], rows[0]["_code"]) == (4, "CSV_SHAPE")

    def test_are_no_customers_to_whom_interactions_could_point(self, shop: Shop) -> None:
        report = shop.deliver(
            customers=customers("C-1", "C\x02", "C-3"), interactions=bought("C-1 P-1", "C\x02 P-1")
        )

        codes = {t.table: t.rows for t in report.tables}
        assert codes == {
            "customers": {"ID_CONTROL_CHAR": 1},
            "interactions": {"ID_CONTROL_CHAR": 1},
        }


class TestAFileWithTooManyOfThem:
    STRICT = IntakeSettings(
        refuse_above_rows=2,
        refuse_above_share=0.1,
        holds=HoldSettings(unknown_share=0.5, least_ids=2),
    )  # of ten rows: two are refused; six that name somebody unknown are held

    def test_is_refused_whole_and_what_was_there_stays(self, shop: Shop) -> None:
        shop.deliver(interactions=bought("C-1 P-1"))
        before = shop.has()

        error = shop.refused(
            self.STRICT,
            products=products("P-5"),
            customers=csv("customer_id,x", [f"C-{n},1" for n in range(7)] + [",1"] * 3),
        )

        assert error.problem.code == "ID_EMPTY"
        assert shop.has() == before
        assert shop.column("products", "product_id") == ["P-1", "P-2"]
        assert shop.quarantine() == {}

    @pytest.mark.parametrize(("bad", "refused"), [(2, False), (3, True)])
    def test_means_more_than_the_rows_allowed_in_a_small_file(
        self, bad: int, refused: bool, shop: Shop
    ) -> None:
        text = csv("customer_id,x", [f"C-{n},1" for n in range(10 - bad)] + [",1"] * bad)

        if refused:
            shop.refused(self.STRICT, customers=text)
        else:
            shop.deliver(self.STRICT, customers=text)

    @pytest.mark.parametrize(("bad", "refused"), [(10, False), (11, True)])
    def test_means_more_than_the_share_allowed_in_a_large_one(
        self, bad: int, refused: bool, shop: Shop
    ) -> None:
        text = csv("customer_id,x", [f"C-{n},1" for n in range(100 - bad)] + [",1"] * bad)

        if refused:
            shop.refused(self.STRICT, customers=text)
        else:
            shop.deliver(self.STRICT, customers=text)

    @pytest.mark.parametrize(("unknown", "state"), [(5, Delivered.ACCEPTED), (6, Delivered.HELD)])
    def test_does_not_mean_customers_and_products_nobody_knows_a_person_looks_at_those(
        self, unknown: int, state: Delivered, shop: Shop
    ) -> None:
        text = bought(*["C-1 P-1"] * (10 - unknown), *["C-9 P-1"] * unknown)

        assert shop.deliver(self.STRICT, interactions=text).state is state

    def test_is_refused_where_nothing_of_it_fits_however_small(self, shop: Shop) -> None:
        assert shop.refused(interactions=bought("C-9 P-1")).problem.code == "REF_UNKNOWN"

    def test_takes_the_other_files_of_the_delivery_with_it(self, shop: Shop) -> None:
        shop.refused(customers=customers("C-5"), interactions=bought("C-9 P-1"))

        assert shop.column("customers", "customer_id") == ["C-1", "C-2"]

    def test_is_told_whose_where_what_and_what_to_do(self, shop: Shop) -> None:
        error = shop.refused(interactions=bought("C-9 P-1"))

        assert str(error) == (
            "acme, validate: interactions.csv: 1 of 1 interactions do not fit, most of them "
            "because customer_id is not among the customers (line 2: 'C-9'). Next: send the missing "
            "customers or products first, then this file again; nothing was taken from this file."
        )

    def test_is_named_where_a_delivery_has_several(self, shop: Shop) -> None:
        error = shop.refused(customers=customers("C-5"), products="sku,name\nP-1,One\n")

        assert error.problem.what.startswith("products.csv: column 'product_id' not found")
        assert as_json(error.problem)["file"] == "products.csv"

    def test_is_told_to_programs_with_line_and_column(self, shop: Shop) -> None:
        told = as_json(shop.refused(interactions=bought("C-9 P-1")).problem)

        assert (told["file"], told["line"], told["column"]) == (
            "interactions.csv",
            2,
            "customer_id",
        )

    def test_is_told_the_fault_that_was_too_many_not_another_that_was_tolerated(
        self, shop: Shop
    ) -> None:
        lines = ["C-9,P-1,2026-03-01"] * 5 + ["C-1,P-1,soon"] * 3 + ["C-1,P-1,2026-03-01"] * 2
        text = csv("customer_id,product_id,occurred_at", lines)

        error = shop.refused(self.STRICT, interactions=text)

        assert error.problem.code == "TIME_FORMAT"

    def test_that_is_not_there_is_named_and_no_delivery(self, shop: Shop) -> None:
        nowhere = shop.world.folder / "nowhere.csv"

        with pytest.raises(FactoryError, match=r"DATA_MISSING|no file .*nowhere\.csv") as told:
            import_files(
                shop.world.stores,
                shop.world.tenant(ACME),
                {"customers": nowhere},
                LIMITS,
                by="test",
                now=NOW,
            )

        assert told.value.problem.code == "DATA_MISSING"
        assert [report["state"] for report in shop.reports()] == ["accepted"]

    def test_that_cannot_be_read_leaves_everything_as_it_was(self, shop: Shop) -> None:
        before = shop.has()

        error = shop.refused(customers=customers("C-5"), interactions="")

        assert (error.stage, error.problem.code) == ("import", "DATA_EMPTY")
        assert shop.has() == before


class TestATableThatIsAdded:
    ADD: ClassVar[dict[str, How]] = {"customers": "add", "products": "add"}

    def test_leaves_who_is_not_in_the_file(self, shop: Shop) -> None:
        shop.deliver(how=self.ADD, customers=customers("C-2", "C-3"))

        assert shop.column("customers", "customer_id") == ["C-1", "C-2", "C-3"]

    def test_changes_the_products_it_names_alone(self, shop: Shop) -> None:
        text = csv("product_id,name,status", ["P-1,Pils,discontinued", "P-3,Stout,sellable"])

        shop.deliver(how=self.ADD, products=text)

        assert shop.column("products", "product_id") == ["P-1", "P-2", "P-3"]
        assert shop.column("products", "name") == ["Pils", None, "Stout"]
        uid = shop.world.tenant(shop.name).uid
        assert shop.world.stores.datasets.sellable(uid) == frozenset({"P-2", "P-3"})

    def test_gives_interactions_of_the_same_delivery_old_and_new_ids_to_point_to(
        self, shop: Shop
    ) -> None:
        shop.deliver(
            how=self.ADD,
            customers=customers("C-3"),
            products=products("P-3"),
            interactions=bought("C-1 P-3", "C-3 P-1"),
        )

        assert shop.column("interactions", "customer_id") == ["C-1", "C-3"]

    def test_counts_towards_the_limit_with_what_is_there(self, shop: Shop) -> None:
        limits = IntakeSettings(max_customers=3)
        shop.deliver(limits, how=self.ADD, customers=customers("C-2", "C-3"))

        error = shop.refused(limits, self.ADD, customers=customers("C-4"))

        assert error.problem.code == "DATA_LIMIT"
        assert shop.column("customers", "customer_id") == ["C-1", "C-2", "C-3"]

    def test_may_be_interactions_that_replace_the_history(self, shop: Shop) -> None:
        shop.deliver(interactions=bought("C-1 P-1"))

        shop.deliver(how={"interactions": "replace"}, interactions=bought("C-2 P-2"))

        assert shop.column("interactions", "customer_id") == ["C-2"]


class TestATableThatIsTooLarge:
    @pytest.mark.parametrize("table", ["customers", "products"])
    def test_is_refused_and_what_was_there_stays(self, shop: Shop, table: str) -> None:
        limits = IntakeSettings(max_customers=2, max_products=2)
        before = shop.has()
        text = csv(f"{table[:-1]}_id", ["A", "B", "C"])

        error = shop.refused(limits, None, **{table: text})

        assert (error.problem.code, error.stage) == ("DATA_LIMIT", "validate")
        assert f"2 {table}" in str(error)
        assert f"intake.max_{table}" in str(error)
        assert shop.has() == before


class TestTimesInTheWrongUnit:
    def test_refuse_a_file_where_they_are_more_than_half_however_small(self, shop: Shop) -> None:
        times = ["1772900000000"] * 2 + [TIME]
        text = csv("customer_id,product_id,occurred_at", (f"C-1,P-1,{time}" for time in times))

        error = shop.refused(interactions=text)

        assert error.problem.code == "TIME_RANGE"
        assert "looks like milliseconds since 1970 (line 2: '1772900000000')" in str(error)

    def test_are_quarantined_where_they_are_few(self, shop: Shop) -> None:
        times = ["1772900000000", TIME, "2026-03-02"]
        text = csv("customer_id,product_id,occurred_at", (f"C-1,P-1,{time}" for time in times))

        assert shop.deliver(interactions=text).tables[0].rows == {"TIME_RANGE": 1}


class TestIdsOfTwoSpellings:
    SPELT = products("abc-1", "ABC-1", "P-1")

    def test_are_held_until_the_tenant_has_chosen(self, shop: Shop) -> None:
        before = shop.column("products", "product_id")

        report = shop.deliver(products=self.SPELT)

        assert report.state is Delivered.HELD
        assert [hold.code for hold in report.holds] == ["ID_LOOKALIKE"]
        assert shop.column("products", "product_id") == before

    def test_are_two_products_where_the_tenant_says_so(self, shop: Shop) -> None:
        shop.deliver(IntakeSettings(ids="exact"), products=self.SPELT)

        assert shop.column("products", "product_id") == ["ABC-1", "P-1", "abc-1"]

    def test_are_one_where_the_tenant_says_so_and_its_spelling_stays(self, shop: Shop) -> None:
        folded = IntakeSettings(ids="folded")
        shop.deliver(folded, products=products("abc-1", "P-1"))

        shop.deliver(folded, products=products("P-1", "ABC-1"))
        shop.deliver(folded, interactions=bought("c-1 Abc-1"))

        assert shop.column("products", "product_id") == ["P-1", "abc-1"]
        assert shop.column("interactions", "product_id") == ["abc-1"]
        assert shop.column("interactions", "customer_id") == ["C-1"]


class TestADryRun:
    def test_reports_what_would_happen_and_keeps_nothing(self, shop: Shop) -> None:
        before, reports = shop.has(), shop.reports()

        report = shop.deliver(interactions=bought("C-1 P-1", "C-9 P-1"), dry_run=True)

        assert report.dry_run
        assert report.tables[0].accepted == 1
        assert shop.has() == before
        assert shop.reports() == reports
        assert shop.quarantine() == {}

    def test_refuses_what_would_be_refused(self, shop: Shop) -> None:
        with pytest.raises(FactoryError):
            shop.deliver(interactions=bought("C-9 P-1"), dry_run=True)

    def test_leaves_no_file_behind(self, shop: Shop) -> None:
        folder = shop.world.config.home / "tenants" / shop.world.tenant(shop.name).uid
        before = sorted(path for path in folder.rglob("*") if path.is_file())

        shop.deliver(interactions=bought("C-1 P-1", "C-9 P-1"), dry_run=True)
        shop.refused(interactions=bought("C-9 P-1"))

        assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


class TestTheLedger:
    def test_keeps_a_report_of_every_delivery_newest_first(self, shop: Shop) -> None:
        first = shop.deliver(interactions=bought("C-1 P-1"))
        second = shop.deliver(interactions=bought("C-2 P-1"))

        batches = [report["batch"] for report in shop.reports()]

        assert batches[:2] == [second.batch, first.batch]
        assert shop.reports()[0]["imported_at"] == NOW
        assert shop.reports()[0]["report"] == second.as_json()


class TestTwoTenants:
    @pytest.fixture
    def shops(self, empty_world: World) -> tuple[Shop, Shop]:
        for name in (ACME, BETA):
            empty_world.add(name)
        acme, beta = Shop(empty_world, ACME), Shop(empty_world, BETA)
        acme.deliver(customers=customers("C-1", "only-acmes"), products=products("acme-P-1"))
        beta.deliver(customers=customers("C-1", "only-betas"), products=products("beta-P-1"))
        return acme, beta

    def test_do_not_know_each_others_customers_and_products(self, shops: tuple[Shop, Shop]) -> None:
        acme, _ = shops

        report = acme.deliver(
            interactions=bought("C-1 acme-P-1", "only-betas acme-P-1", "C-1 beta-P-1")
        )

        [table] = report.tables
        assert table.rows == {"REF_UNKNOWN": 2}
        assert acme.column("interactions", "product_id") == ["acme-P-1"]

    def test_keep_their_own_data_when_the_other_delivers(self, shops: tuple[Shop, Shop]) -> None:
        acme, beta = shops
        before, reports = beta.has(), beta.reports()

        acme.deliver(
            customers=customers("C-1"),
            products=products("acme-P-2"),
            interactions=bought("C-1 acme-P-2"),
        )

        assert beta.has() == before
        assert beta.reports() == reports
        assert beta.column("products", "product_id") == ["beta-P-1"]

    def test_may_deliver_the_very_same_file(self, shops: tuple[Shop, Shop]) -> None:
        for shop in shops:
            shop.deliver(products=products("P-1"))
            shop.deliver(interactions=bought("C-1 P-1"))

        acme, beta = shops
        assert acme.column("interactions", "product_id") == ["P-1"]
        assert beta.column("interactions", "product_id") == ["P-1"]


def test_interactions_without_any_customers_before_them_are_refused_input(
    empty_world: World,
) -> None:
    empty_world.add(ACME)

    error = Shop(empty_world).refused(interactions=bought("C-1 P-1"))

    assert error.problem.code == "DATA_MISSING"


def test_the_same_rows_in_another_format_and_order_change_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    shop.deliver(interactions=bought("C-1 P-1", "C-2 P-2"))
    before = shop.has()
    moment = datetime(2026, 3, 1, 10, tzinfo=UTC)
    rows = {
        "occurred_at": [moment] * 2,
        "customer_id": ["C-2", "C-1"],
        "product_id": ["P-2", "P-1"],
    }
    pq.write_table(pa.table(rows), tmp_path / "interactions.parquet")

    files = {"interactions": tmp_path / "interactions.parquet"}
    import_files(shop.world.stores, shop.world.tenant(ACME), files, LIMITS, by="test", now=NOW)

    after = shop.has()
    assert before is not None
    assert after is not None
    assert after.fingerprint == before.fingerprint
    assert len(shop.column("interactions", "event")) == 2


def test_a_parquet_delivery_is_the_same_as_a_csv(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "interactions.parquet"
    moment = datetime(2026, 3, 1, 10, tzinfo=UTC)
    rows = {"customer_id": ["C-1"], "product_id": ["P-1"], "occurred_at": [moment]}
    pq.write_table(pa.table(rows), path)

    files = {"interactions": path}
    import_files(shop.world.stores, shop.world.tenant(ACME), files, LIMITS, by="test", now=NOW)

    assert shop.column("interactions", "occurred_at") == [moment]
