"""An exported edition is what the button shows, for everybody."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.export import COLUMNS, export, harmless, opened
from schema.errors import NotThere, Problem, Refused
from schema.names import Action, Bought, Mode, TenantId
from schema.rules import written
from tests.scenarios.tree import folder_of
from tests.serving.morning import Night, Served, one_night, serving
from tests.world import ACME, BETA, NEXT_NIGHT, NOW, World, tables


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return one_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def world(night: Night, tmp_path: Path) -> Iterator[World]:
    """acme and beta after a night of each."""
    made = night.world(tmp_path)
    yield made
    made.stores.engine.dispose()


def exported(
    world: World,
    name: TenantId = ACME,
    bought: Bought = Bought.INCLUDE,
    *,
    number: int | None = None,
    file: str = "lists.parquet",
) -> Path:
    path = world.folder / file
    with opened(world.stores, world.tenant(name), number, NOW) as source:
        export(source, path, bought, lambda done, total: None)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return made


def asked(served: Served, name: TenantId, bought: Bought) -> list[dict[str, Any]]:
    """What the button says for every customer in turn, as rows."""
    return [
        {
            "customer_id": customer,
            "rank": line["rank"],
            "product_id": line["product_id"],
            "probability": pytest.approx(line["probability"], abs=1e-7),
            "bought_before": line["bought_before"],
            "reason": line["reason"]["text"],
            "reason_kind": line["reason"]["kind"],
        }
        for customer in (f"C-{n:04}" for n in range(60))
        for line in served.recs(customer, name, limit=50, bought=bought.value)["recommendations"]
    ]


class TestAnExport:
    @pytest.mark.parametrize("name", [ACME, BETA])
    def test_is_what_the_button_shows_every_customer(
        self, name: TenantId, world: World, night: Night
    ) -> None:
        found = {bought: rows(exported(world, name, bought)) for bought in Bought}
        with serving(world, night.keys) as served:
            for bought in Bought:
                assert found[bought]
                assert found[bought] == asked(served, name, bought)

    def test_leaves_out_what_was_discontinued_this_morning_as_the_button_does(
        self, world: World, night: Night
    ) -> None:
        first = rows(exported(world))[0]["product_id"]
        made = tables(ACME)
        kept = [n for n, p in enumerate(made["products"]["product_id"].to_pylist()) if p != first]
        world.import_(ACME, {"products": made["products"].take(kept)})
        found = rows(exported(world))
        assert first not in {row["product_id"] for row in found}
        with serving(world, night.keys) as served:
            assert found == asked(served, ACME, Bought.INCLUDE)

    def test_obeys_the_tenants_rules_as_the_button_does(self, world: World, night: Night) -> None:
        first, second, *_ = [row["product_id"] for row in rows(exported(world))]
        for action, product, value in (
            (Action.EXCLUDE, first, None),
            (Action.BURY, second, 0.001),
        ):
            rule = written(
                action, product=product, value=value, why="x", zone=ZoneInfo("UTC"), by="t", at=NOW
            )
            world.stores.ledger.add_rule(ACME, rule, at=NOW)
        found = rows(exported(world))
        assert first not in {row["product_id"] for row in found}
        assert found[0]["product_id"] != second
        with serving(world, night.keys) as served:
            assert found == asked(served, ACME, Bought.INCLUDE)

    def test_has_the_columns_it_promises_and_says_whose_it_is(self, world: World) -> None:
        schema = pq.read_schema(exported(world))
        assert schema.equals(COLUMNS)
        assert schema.metadata == {
            b"tenant": b"acme",
            b"edition": b"1",
            b"model": b"2",
            b"published_at": b"2026-04-01 00:05:00+00:00",
            b"bought": b"include",
        }

    @pytest.mark.parametrize("bought", list(Bought))
    def test_says_what_was_done_with_products_bought_before(
        self, bought: Bought, world: World
    ) -> None:
        schema = pq.read_schema(exported(world, ACME, bought))
        assert schema.metadata[b"bought"] == bought.value.encode()

    def test_in_csv_holds_the_same(self, world: World) -> None:
        with exported(world, file="lists.csv").open(newline="") as file:
            told = list(csv.DictReader(file))
        for row, line in zip(rows(exported(world)), told, strict=True):
            assert float(line["probability"]) == pytest.approx(row["probability"], rel=1e-6)
            assert line["bought_before"] == str(row["bought_before"]).lower()
            assert {name: line[name] for name in ("customer_id", "product_id", "reason")} == {
                name: row[name] for name in ("customer_id", "product_id", "reason")
            }

    def test_does_not_hold_the_list_for_strangers(self, world: World) -> None:
        assert {row["customer_id"] for row in rows(exported(world))} == {
            f"C-{n:04}" for n in range(60)
        }

    def test_of_an_earlier_edition_is_of_that_one(self, world: World) -> None:
        then = rows(exported(world))
        world.night(ACME, NEXT_NIGHT)
        assert rows(exported(world, number=1)) == then
        assert pq.read_schema(exported(world)).metadata[b"edition"] == b"2"

    def test_is_cut_into_parts_without_losing_anybody(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = rows(exported(world))
        monkeypatch.setattr("jobs.export.AT_ONCE", 7)
        told: list[tuple[int, int]] = []
        with opened(world.stores, world.tenant(ACME), None, NOW) as source:
            done = export(
                source,
                world.folder / "parts.parquet",
                Bought.INCLUDE,
                lambda *part: told.append(part),
            )
        assert rows(world.folder / "parts.parquet") == whole
        assert done == (60, len(whole))
        assert told[0] == (7, 60)
        assert told[-1] == (60, 60)

    def test_changes_nothing_of_the_tenant(self, world: World) -> None:
        before = sorted(folder_of(world, ACME).rglob("*"))
        exported(world)
        assert sorted(folder_of(world, ACME).rglob("*")) == before


class TestARefusedExport:
    def test_of_a_tenant_that_is_off_shows_nothing_as_the_button(self, world: World) -> None:
        world.switch(ACME, Mode.OFF)
        with pytest.raises(Refused) as refused:
            exported(world)
        assert refused.value.code == "MODE"

    @pytest.mark.parametrize("number", [2, 99])
    def test_of_an_edition_nobody_keeps(self, number: int, world: World) -> None:
        with pytest.raises(NotThere) as refused:
            exported(world, number=number)
        assert refused.value.code == "NO_EDITION"

    def test_before_the_first_night(self, empty_world: World) -> None:
        empty_world.add(ACME)
        with pytest.raises(NotThere):
            exported(empty_world)

    def test_of_a_damaged_edition_leaves_the_file_of_yesterday(self, world: World) -> None:
        before = exported(world).read_bytes()
        (folder_of(world, ACME) / "editions" / "e000001" / "products.json").write_bytes(b"[]")
        with pytest.raises(Problem):
            exported(world)
        assert (world.folder / "lists.parquet").read_bytes() == before


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0"]


class TestACsvThatASpreadsheetOpens:
    @pytest.mark.parametrize("text", FORMULAS)
    @pytest.mark.parametrize("before", ["", "'", "''"])
    def test_has_no_text_that_it_would_run_and_gives_every_text_back(
        self, text: str, before: str
    ) -> None:
        [cell] = harmless(pa.RecordBatch.from_pydict({"id": [before + text]}))["id"].to_pylist()

        assert cell == "'" + before + text

    @pytest.mark.parametrize("text", ["", "C-1", "a=b", " =1", "'quoted'", "1+1"])
    def test_has_every_other_text_as_it_is(self, text: str) -> None:
        rows = pa.RecordBatch.from_pydict({"id": [text], "rank": [-1]})

        assert harmless(rows).to_pylist() == rows.to_pylist()

    def test_is_made_so_for_customers_and_products(self, empty_world: World) -> None:
        made = tables(ACME)
        for table, column in (
            ("customers", "customer_id"),
            ("products", "product_id"),
            ("interactions", "customer_id"),
            ("interactions", "product_id"),
        ):
            place = made[table].column_names.index(column)
            risky = pa.array([f"={text}" for text in made[table][column].to_pylist()])
            made[table] = made[table].set_column(place, column, risky)
        empty_world.add(ACME)
        empty_world.import_(ACME, made)
        assert empty_world.night(ACME).published

        path = exported(empty_world, file="lists.csv")

        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert {line[c][:2] for line in lines for c in ("customer_id", "product_id")} == {"'="}
        assert all(row["product_id"].startswith("=") for row in rows(exported(empty_world)))
