"""`recfactory data pull` as an operator meets it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from tests.salescore import QUERIES, SalesCore, sqlite
from tests.scenarios.test_cli import Cli


@pytest.fixture
def database(tmp_path: Path) -> SalesCore:
    """Client 42 of a SalesCore, with two order lines of yesterday."""
    made = sqlite(tmp_path)
    made.stocked(42, customers=["C-1"], products=["P-1", "P-2"])
    made.sold(42, datetime.now(UTC) - timedelta(days=1), "C-1 P-1", "C-1 P-2")
    return made


@pytest.fixture
def cli(
    database: SalesCore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Cli:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_bytes(orjson.dumps({"source": {"queries": QUERIES}}))
    monkeypatch.setenv("RECFACTORY_SOURCE__URL", database.url)
    cli = Cli(tmp_path / "home", capsys, monkeypatch)
    cli.well("init")
    for name in ("acme", "beta"):
        cli.well("tenant", "add", name)
    cli.well("tenant", "set", "acme", "source.client=42")
    return cli


def test_tells_every_tenant_what_came_and_ends_well(cli: Cli) -> None:
    acme, beta = cli.well("data", "pull", "--all", "--json").json

    assert (acme["tenant"], acme["state"]) == ("acme", "accepted")
    tables = {t["table"]: t["accepted"] for d in acme["deliveries"] for t in d["tables"]}
    assert tables == {"customers": 1, "products": 2, "interactions": 2}
    assert (beta["state"], beta["deliveries"]) == ("skipped", [])


def test_prints_a_table(cli: Cli) -> None:
    printed = cli.well("data", "pull", "acme").out

    assert "From the source" in printed
    assert "interactions │    2 │        2" in printed


def test_dry_keeps_nothing(cli: Cli) -> None:
    printed = cli.well("data", "pull", "acme", "--dry-run").out

    assert "What would come" in printed
    assert cli.well("data", "show", "acme", "--json").json == []


def test_ends_with_one_if_a_tenant_failed(cli: Cli) -> None:
    cli.well("tenant", "set", "beta", "source.client=43")

    done = cli("data", "pull", "--all", "--json")

    assert done.status == 1
    assert [line["state"] for line in done.json] == ["accepted", "failed"]
    assert "no customers for the client '43'" in done.json[1]["because"]


@pytest.mark.parametrize("words", [(), ("acme", "--all")])
def test_wants_names_or_all(cli: Cli, words: tuple[str, ...]) -> None:
    cli.refused("USAGE", "data", "pull", *words)


def test_without_a_source_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECFACTORY_SOURCE__URL")
    Path("config.yaml").write_text("")

    assert "no source is configured" in cli.refused("SOURCE_URL", "data", "pull", "--all")


def test_never_shows_the_address_in_what_is_wrong_with_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECFACTORY_SOURCE__URL", "postgresql://u:hunter2@localhost/sales")

    assert "hunter2" not in cli.refused("SOURCE_HOST", "data", "pull", "--all")
