"""What a tenant's admin sees of its deliveries over HTTP, and their word on those that are held."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from jobs.release import release
from schema.config import Config
from schema.names import Delivered, Role
from schema.settings import IntakeSettings
from storage.datasets import Datasets
from tests.serving.morning import Served, problem
from tests.world import ACME, BETA, NOW, tables

SHIPPED = IntakeSettings()
WHY = {"why": "it is so"}


@pytest.fixture
def held(own: Served) -> str:
    """A batch of acme's that waits: its catalogue lost 22 of 24 products."""
    report = own.world.import_(ACME, {"products": tables(ACME)["products"].slice(0, 2)}, SHIPPED)
    assert report.state is Delivered.HELD
    return report.batch


@pytest.fixture
def spoilt(own: Served) -> str:
    """A batch of acme's of which two rows are in quarantine, one of them like a formula."""
    rows = tables(ACME)["products"]
    bad = pa.table({**{n: rows[n].slice(0, 2) for n in rows.column_names}})
    bad = bad.set_column(0, "product_id", pa.array(["acme-P-98", "acme-P-99"]))
    bad = bad.set_column(1, "name", pa.array(["=1+1", "-5 degrees"]))
    bad = bad.set_column(3, "price", pa.array([-1.0, -2.0]))
    return own.world.import_(ACME, {"products": pa.concat_tables([rows, bad])}).batch


class TestReports:
    def test_tell_what_became_of_every_delivery_newest_first(self, own: Served, held: str) -> None:
        newest, first = own.ask("GET", "/data/reports").json()
        assert (newest["batch"], newest["state"]) == (held, "held")
        assert newest["because"] == ["DRIFT_SHRINK: products 24 -> 2 (-92%)"]
        assert (first["state"], first["because"]) == ("accepted", [])
        assert set(first["read"]) == {"customers", "products", "interactions"}

    def test_are_kept_whole(self, own: Served, spoilt: str) -> None:
        found = own.ask("GET", f"/data/reports/{spoilt}").json()
        [fault] = found["tables"][0]["faults"]
        assert (fault["code"], fault["count"]) == ("VALUE_RANGE", 2)
        assert [sample["value"] for sample in fault["samples"]] == ["-1", "-2"]
        assert fault["fix"]

    def test_of_another_tenant_do_not_exist(self, own: Served, held: str) -> None:
        found = own.ask("GET", f"/data/reports/{held}", BETA, key=BETA)
        problem(found, 404, "NO_BATCH")
        assert held not in own.ask("GET", "/data/reports", BETA, key=BETA).text


class TestQuarantine:
    def test_comes_as_a_file_that_no_spreadsheet_runs(self, own: Served, spoilt: str) -> None:
        found = own.ask("GET", f"/data/quarantine/{spoilt}/products")
        assert found.headers["content-type"].startswith("text/csv")
        header, one, other = found.text.splitlines()
        assert header == "product_id,name,category,price,_line,_code,_batch"
        assert one == f"acme-P-98,'=1+1,even,'-1,25,VALUE_RANGE,{spoilt}"
        assert other.startswith("acme-P-99,'-5 degrees,")

    def test_of_a_delivery_that_fitted_is_not_there(self, own: Served, spoilt: str) -> None:
        for path in (f"/data/quarantine/{spoilt}/customers", "/data/quarantine/x/products"):
            assert own.ask("GET", path).status_code == 404

    def test_is_nothing_that_an_auditor_or_a_seller_reads(self, own: Served, spoilt: str) -> None:
        path = f"/data/quarantine/{spoilt}/products"
        problem(own.ask("GET", path, role=Role.AUDITOR), 403, "ROLE")
        problem(own.ask("GET", path, role=Role.SELLER), 403, "ROLE")

    @pytest.mark.parametrize("batch", ["..%2f..%2fledger", "..", "%2e%2e", "*"])
    def test_opens_no_path_that_the_ledger_does_not_know(
        self, batch: str, own: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Datasets, "quarantine", lambda *_: pytest.fail("looked on disk"))
        # A client makes /data/products of "..": an address that files are only sent to.
        assert own.ask("GET", f"/data/quarantine/{batch}/products").status_code in (404, 405)


class TestAHeldDelivery:
    def test_is_discarded_with_who_and_why_in_the_trail(self, own: Served, held: str) -> None:
        found = own.ask("POST", f"/data/held/{held}/discard", json=WHY)
        assert found.json()["state"] == "discarded"
        [line] = own.world.stores.audit.of(ACME, 1)
        assert line.act == "data discarded"
        assert line.actor.startswith("key ")
        assert line.detail == {"batch": held, **WHY}

    def test_is_released_by_a_process_of_its_own(
        self, own: Served, held: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []

        async def run_cli(args: Sequence[str], config: Config, *, by: str | None) -> Any:
            asked.extend([*args, by])
            world = own.world
            limits = world.config.template.intake
            release(world.stores, world.tenant(ACME), held, limits, by="x", why="y", now=NOW)
            return 0, {}

        monkeypatch.setattr("serving.reports.run_cli", run_cli)
        found = own.ask("POST", f"/data/held/{held}/release", json=WHY)
        assert found.json()["state"] == "released"
        assert asked[:5] == ["data", "release", ACME, held, "--why=it is so"]
        assert asked[-1].startswith("key ")

    def test_that_cannot_be_imported_is_told_as_the_command_told_it(
        self, own: Served, held: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said = {"code": "DATA_OVERTAKEN", "message": "replaced", "fix": "discard it"}
        for status, told, answer, code in (
            (2, said, 422, "DATA_OVERTAKEN"),
            (1, None, 503, "RELEASE_FAILED"),
        ):

            async def run_cli(*_: Any, status: int = status, told: Any = told, **__: Any) -> Any:
                return status, told

            monkeypatch.setattr("serving.reports.run_cli", run_cli)
            found = own.ask("POST", f"/data/held/{held}/release", json=WHY)
            problem(found, answer, code)
        assert own.ask("GET", f"/data/reports/{held}").json()["state"] == "held"

    @pytest.mark.parametrize("word", ["release", "discard"])
    def test_is_not_another_tenants_to_settle(self, word: str, own: Served, held: str) -> None:
        found = own.ask("POST", f"/data/held/{held}/{word}", BETA, key=BETA, json=WHY)
        problem(found, 404, "NO_BATCH")
        assert own.ask("GET", f"/data/reports/{held}").json()["state"] == "held"

    def test_that_was_settled_before_is_refused(self, own: Served, held: str) -> None:
        own.ask("POST", f"/data/held/{held}/discard", json=WHY)
        for word in ("release", "discard"):
            found = own.ask("POST", f"/data/held/{held}/{word}", json=WHY)
            problem(found, 422, "DATA_NOT_HELD")
