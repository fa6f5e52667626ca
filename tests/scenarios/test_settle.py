"""A held delivery at the command line: what it says, its exit status, and a person's word on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.test_cli import Cli
from tests.world import ACME, BETA, World, tables, two_tenants, write_files


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = two_tenants(tmp_path)
    yield made
    made.stores.engine.dispose()


@pytest.fixture
def cli(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """With the shipped rules about what is held."""
    monkeypatch.chdir(world.folder)
    made = Cli(world.config.home, capsys, monkeypatch)
    monkeypatch.delenv("RECFACTORY_TEMPLATE")
    return made


@pytest.fixture
def few(world: World) -> Path:
    """A catalogue that has lost 22 of 24 products."""
    made = {"products": tables(ACME)["products"].slice(0, 2)}
    return write_files(world.folder / "few", made)["products"]


class TestImport:
    def test_ends_with_three_where_a_delivery_is_held_and_says_what_to_do(
        self, cli: Cli, few: Path
    ) -> None:
        done = cli("data", "import", ACME, "--products", few)
        assert done.status == 3
        assert "DRIFT_SHRINK products: products 24 -> 2 (-92%)" in done.out
        assert f"recfactory data release {ACME}" in done.out
        assert cli("data", "import", ACME, "--products", few, "--json").json["state"] == "held"

    def test_says_the_same_in_a_dry_run_and_keeps_nothing(self, cli: Cli, few: Path) -> None:
        before = cli.well("data", "show", ACME, "--json").json
        done = cli("data", "import", ACME, "--products", few, "--dry-run")
        assert done.status == 3
        assert "would be held" in done.out
        assert cli.well("data", "show", ACME, "--json").json == before

    def test_of_the_same_files_says_so_and_succeeds(self, cli: Cli, world: World) -> None:
        path = world.folder / "inbox" / ACME / "products.parquet"
        cli.well("data", "import", ACME, "--products", path)
        assert "DATA_UNCHANGED" in cli.well("data", "import", ACME, "--products", path).out


class TestAHeldDelivery:
    @pytest.fixture
    def batch(self, cli: Cli, few: Path) -> str:
        found = cli("data", "import", ACME, "--products", few, "--json").json
        return str(found["batch"])

    def test_is_what_why_and_show_speak_of_first(self, cli: Cli, batch: str) -> None:
        for words in (("why", ACME), ("data", "show", ACME)):
            told = cli.well(*words).out
            assert "products 24 -> 2 (-92%)" in told
            assert f"recfactory data release {ACME} {batch}" in told.replace("\n", "")
        [line] = cli.well("why", ACME, "--json").json["waiting"]
        assert (line["batch"], line["state"]) == (batch, "held")

    def test_is_released_and_counts(self, cli: Cli, batch: str, world: World) -> None:
        cli.well("data", "release", ACME, batch, "--why", "the new catalogue")
        assert len(world.stores.datasets.read(world.tenant(ACME).uid, "products")) == 2
        assert "released" in cli.well("data", "show", ACME, batch).out
        cli.refused("DATA_NOT_HELD", "data", "discard", ACME, batch, "--why", "no")

    def test_is_discarded_and_says_how_to_undo_it(self, cli: Cli, batch: str) -> None:
        done = cli.well("data", "discard", ACME, batch, "--why", "half an export")
        assert "Undo: deliver the files again" in done.out
        assert "discarded" in cli.well("data", "show", ACME, batch).out

    def test_is_another_tenants_not_to_settle(self, cli: Cli, batch: str) -> None:
        for word in ("release", "discard"):
            cli.refused("NO_BATCH", "data", word, BETA, batch, "--why", "curious")

    def test_is_not_settled_without_a_reason(self, cli: Cli, batch: str) -> None:
        assert cli("data", "discard", ACME, batch).status == 2


class TestQuarantine:
    BAD = "product_id,name,price\n" + "".join(f"acme-P-{n:02},x,1\n" for n in range(24))

    def test_goes_to_a_file_is_mended_and_comes_back(self, cli: Cli, world: World) -> None:
        path = world.folder / "bad.csv"
        path.write_text(self.BAD + "acme-P-77,=1+1,cheap\n")
        held = cli("data", "import", ACME, "--products", path, "--json").json
        cli.well("data", "release", ACME, held["batch"], "--why", "names are new")

        told = cli.well("data", "quarantine", ACME, "--to", "mend.csv").out

        assert f"recfactory data import {ACME} --products mend.csv" in told
        mend = world.folder / "mend.csv"
        text = mend.read_bytes().decode()
        assert "'=1+1" in text
        assert cli.well("data", "quarantine", ACME, held["batch"]).out == text
        mend.write_text(text.replace("cheap", "3"))
        cli.well("data", "import", ACME, "--products", mend)
        products = world.stores.datasets.read(world.tenant(ACME).uid, "products").to_pylist()
        assert len(products) == 25
        assert products[-1]["name"] == "=1+1"
        cli.refused("NO_QUARANTINE", "data", "quarantine", ACME)

    def test_of_another_tenant_is_not_there(self, cli: Cli) -> None:
        cli.refused("NO_QUARANTINE", "data", "quarantine", BETA)
