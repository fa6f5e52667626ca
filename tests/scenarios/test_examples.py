"""The made-up tenants' files, by the way a new client goes: from the files to the button."""

import csv
import gzip
from collections import Counter
from pathlib import Path

import pytest

from jobs.example import EXAMPLES, write_example
from schema.mapping import read_mapping
from tests.scenarios.test_cli import Cli

TELECOM = {"customers": "kunden.csv", "products": "artikel.csv", "interactions": "umsaetze.csv.gz"}


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """An installation as it is shipped, that was just made."""
    monkeypatch.chdir(tmp_path)
    made = Cli(tmp_path / "home", capsys, monkeypatch)
    monkeypatch.delenv("RECFACTORY_TEMPLATE")
    made.well("init")
    return made


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_the_same_every_time(kind: str, tmp_path: Path) -> None:
    first, second = (write_example(tmp_path / name, kind) for name in ("first", "second"))

    assert [p.name for p in first] == [p.name for p in second]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


class TestATelecomDealer:
    @pytest.fixture
    def told(self, cli: Cli) -> Cli:
        """Its files are there, and how they look is declared."""
        cli.well("data", "example", "telecom-data", "--kind", "telecom")
        cli.well("tenant", "add", "telecom", "--timezone", "Europe/Vienna")
        cli.well(
            "data", "mapping", "set", "telecom", "telecom-data/mapping.yaml", "--why", "its export"
        )
        return cli

    def test_is_refused_before_anybody_has_said_how_its_files_look(self, cli: Cli) -> None:
        cli.well("data", "example", "telecom-data", "--kind", "telecom")
        cli.well("tenant", "add", "telecom")

        cli.refused(
            "TEXT_ENCODING", "data", "import", "telecom", "--customers", "telecom-data/kunden.csv"
        )

    def test_declares_its_files_in_a_mapping_that_holds(self, tmp_path: Path) -> None:
        *_, path = write_example(tmp_path, "telecom")

        mapping = read_mapping(path.read_text())

        assert mapping.currency == "EUR"
        assert mapping.interactions.columns["occurred_at"].column == "Datum"

    @pytest.mark.slow
    def test_comes_in_has_its_night_and_is_recommended_what_fits_it(
        self, told: Cli, tmp_path: Path
    ) -> None:
        options = [
            word for t, name in TELECOM.items() for word in (f"--{t}", f"telecom-data/{name}")
        ]
        report = told.well("data", "import", "telecom", *options, "--json").json
        for table in report["tables"]:
            assert table["read"] == table["accepted"] + table["quarantined"]
            assert {f["code"] for f in table["faults"]} <= {"ROW_LEFT_OUT", "SCHEMA_EXTRA"}, table
        accepted = {table["table"]: table["accepted"] for table in report["tables"]}
        assert (accepted["customers"], accepted["products"]) == (160, 83)
        assert accepted["interactions"] > 12_000

        [night] = told.well("night", "telecom", "--date", "2026-11-01", "--json").json
        assert (night["verdict"], night["published"]) == ("promoted", True), night["because"]

        bought = brands(tmp_path / "telecom-data")
        right = shown = 0
        for number in range(471, 471 + 160, 8):
            customer = f"{number:06}"
            own = {name for name, _ in bought[customer].most_common(2)}
            lines = told.well("recs", "telecom", customer, "--limit", 5, "--json").json
            for line in lines["recommendations"]:
                shown += 1
                right += any(brand in line["name"] for brand in own)
        assert shown == 100
        assert right > 90


def brands(folder: Path) -> dict[str, Counter[str]]:
    """How often each customer bought of each network and maker, from the files themselves."""
    with (folder / "artikel.csv").open(encoding="windows-1252", newline="") as file:
        names = {
            line["Artikelnr"]: line["Bezeichnung"] for line in csv.DictReader(file, delimiter=";")
        }
    found: dict[str, Counter[str]] = {}
    with gzip.open(folder / TELECOM["interactions"], "rt", encoding="windows-1252") as lines:
        for line in csv.DictReader(lines, delimiter=";"):
            for brand in BRANDS:
                if brand in names[line["Artikelnr"]]:
                    found.setdefault(line["Kundennr"], Counter())[brand] += 1
    return found


BRANDS = ("Alpenfunk", "Donau Mobil", "Südnetz", "Nova", "Orion", "Kestrel", "Fjord")
