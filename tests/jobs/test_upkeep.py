"""Upkeep: files become few and old ones go, and a night reads what it would have read."""

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.cli import recfactory
from jobs.data import read_data
from jobs.schedule import wave
from jobs.upkeep import GRACE, Upkeep, look_after
from schema.names import TenantId
from storage.dataset import Dataset
from tests.world import ACME, BETA, NIGHT, NOW, World, tables, two_tenants

BATCHES = 5


def in_pieces(world: World, name: TenantId) -> None:
    """The tenant's interactions once more, a little changed, in several deliveries."""
    rows = tables(name, seed=8)["interactions"]
    for n in range(BATCHES):
        world.import_(name, {"interactions": rows[n * 50 : (n + 1) * 50]})


def dataset(world: World, name: TenantId) -> Dataset:
    return world.stores.datasets.required(world.tenant(name).uid)


@pytest.fixture
def pieces(tmp_path: Path) -> World:
    world = two_tenants(tmp_path)
    in_pieces(world, ACME)
    return world


class TestUpkeep:
    def test_leaves_what_a_night_reads_as_it_was(self, pieces: World) -> None:
        tenant = pieces.tenant(ACME)
        order = [
            ("customer_id", "ascending"),
            ("occurred_at", "ascending"),
            ("product_id", "ascending"),
        ]
        before = read_data(pieces.stores, tenant, NIGHT)

        assert look_after(pieces.stores, ACME, NOW) == Upkeep(ACME, BATCHES + 1, 0)

        after = read_data(pieces.stores, tenant, NIGHT)
        assert after.fingerprint == before.fingerprint
        assert after.interactions.sort_by(order).equals(before.interactions.sort_by(order))

    def test_removes_the_merged_files_after_a_grace(self, pieces: World) -> None:
        look_after(pieces.stores, ACME, NOW)

        assert look_after(pieces.stores, ACME, NOW + GRACE / 2).removed == 0
        assert look_after(pieces.stores, ACME, NOW + GRACE).removed == BATCHES + 1
        assert look_after(pieces.stores, ACME, NOW + 2 * GRACE) == Upkeep(ACME, 0, 0)

    def test_is_one_tenants_alone(self, pieces: World) -> None:
        before = dataset(pieces, BETA)

        for days in range(3):
            look_after(pieces.stores, ACME, NOW + timedelta(days=days))

        assert dataset(pieces, BETA) == before
        read_data(pieces.stores, pieces.tenant(BETA), NIGHT)

    def test_is_done_once_a_day_after_the_tenants_night(self, pieces: World) -> None:
        wave(pieces.stores, pieces.config, NOW)
        assert len(dataset(pieces, ACME).files) == 1

        in_pieces(pieces, BETA)
        before = dataset(pieces, BETA)
        wave(pieces.stores, pieces.config, NOW + timedelta(hours=1))

        assert dataset(pieces, BETA) == before

    def test_of_damaged_data_stops_nobody_else(
        self, pieces: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        in_pieces(pieces, BETA)
        folder = pieces.config.home / "tenants" / pieces.tenant(ACME).uid / "data"
        (folder / "DATASET.json").write_text("{")

        wave(pieces.stores, pieces.config, NOW)

        assert "acme, upkeep" in caplog.text
        assert len(dataset(pieces, BETA).files) == 1


def test_the_command_names_what_it_did(pieces: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECFACTORY_HOME", str(pieces.config.home))

    done = CliRunner().invoke(recfactory, ["upkeep", "--all", "--json"])
    again = CliRunner().invoke(recfactory, ["upkeep", "acme"])

    assert done.exit_code == 0, done.output
    assert '"tenant": "acme"' in done.output
    assert f'"merged": {BATCHES + 1}' in done.output
    assert again.exit_code == 0, again.output


def test_a_closed_customer_is_not_there_for_a_night(pieces: World) -> None:
    customers = tables(ACME)["customers"]
    status = ["closed" if n == 7 else "active" for n in range(len(customers))]
    pieces.import_(ACME, {"customers": customers.append_column("status", [status])})

    data = read_data(pieces.stores, pieces.tenant(ACME), NIGHT)

    assert len(data.customers) == len(customers) - 1
    assert "C-0007" not in data.customers["customer_id"].to_pylist()
