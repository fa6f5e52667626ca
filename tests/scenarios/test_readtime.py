"""What the catalogue says now wins over what it said last night, also for a frozen tenant."""

from pathlib import Path

from click.testing import CliRunner
from fastapi.testclient import TestClient

from jobs.cli import recfactory
from schema.names import Mode
from serving.app import create_app
from tests.serving.morning import until
from tests.world import ACME, BETA, World, tables


def shown(client: TestClient, tenant: str, headers: dict[str, str]) -> list[str]:
    """Every product a stranger is shown."""
    address = f"/tenants/{tenant}/customers/nobody/recs?limit=50"
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200, answer.text
    return [line["product_id"] for line in answer.json()["recommendations"]]


def catalogue_without(world: World, gone: str, empty: str) -> None:
    """Import acme's products again: one is missing, one is out of stock."""
    products = tables(ACME)["products"]
    ids = products["product_id"].to_pylist()
    states = ["out_of_stock" if name == empty else "sellable" for name in ids]
    kept = products.append_column("status", [states]).filter([name != gone for name in ids])
    world.import_(ACME, {"products": kept})


def test_a_product_that_left_the_catalogue_leaves_the_frozen_list_soon(world: World) -> None:
    for name in (ACME, BETA):
        world.night(name)
    world.switch(ACME, Mode.FREEZE)
    config = world.config.model_copy(
        update={"serving": world.config.serving.model_copy(update={"refresh_seconds": 1e-9})}
    )
    ours, theirs = world.headers(ACME), world.headers(BETA)
    with TestClient(create_app(config)) as client:
        before = shown(client, ACME, ours)
        other = shown(client, BETA, theirs)
        catalogue_without(world, gone=before[0], empty=before[1])
        until(lambda: shown(client, ACME, ours) == before[2:])
        assert shown(client, BETA, theirs) == other


def test_the_command_line_says_the_same(world: World, tmp_path: Path) -> None:
    world.night(ACME)
    home = {"RECFACTORY_HOME": str(world.config.home)}
    words = ["recs", ACME, "nobody", "--limit", "50", "--json"]
    before = CliRunner().invoke(recfactory, words, env=home).stdout
    catalogue_without(world, gone="acme-P-00", empty="acme-P-01")
    after = CliRunner().invoke(recfactory, words, env=home).stdout
    for product in ("acme-P-00", "acme-P-01"):
        assert product in before
        assert product not in after
