"""One customer is erased: real data, real nights, real commands; then every byte is searched."""

import json
import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.data import read_data
from jobs.erasing import finish
from jobs.fleet import run_fleet, tonight
from schema.names import Role, TenantId
from schema.records import Erasure
from storage.erase import erase
from tests.scenarios.planted import (
    STRINGS,
    WHO,
    csv_of,
    hits,
    kept_editions,
    plant,
    planted,
    receipt,
    rows_of,
)
from tests.scenarios.test_rules import cli, ids, recs
from tests.scenarios.tree import contents, folder_of, untouched
from tests.serving.morning import SOON, Served, serving
from tests.world import ACME, BETA, NIGHT, NOW, THIRD_NIGHT, World, open_world, tables


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """acme with the planted customer in every store; beta beside it."""
    world = open_world(tmp_path_factory.mktemp("planted"))
    for name in (ACME, BETA):
        world.add(name)
    world.import_(BETA, tables(BETA))
    assert world.night(BETA).published
    plant(world)
    world.stores.engine.dispose()
    return world.config.home


@pytest.fixture
def canary(home: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(home, tmp_path / "home")
    world = open_world(tmp_path, serving=SOON)
    yield world
    world.stores.engine.dispose()


def forget(world: World, who: str = WHO) -> None:
    done = cli(world, "data", "erase", ACME, who, "--why", "request 17", "--json")
    assert done.exit_code == 0, done.output
    [told] = json.loads(done.stdout)
    assert told["state"] == "done", told


class TestAPlantedCustomer:
    def test_is_found_in_every_store_before(self, canary: World) -> None:
        """Or the search after it would prove nothing."""
        found = " ".join(hits(canary.config.home))
        for store in (
            "data/customers/", "data/interactions/", "data/quarantine/", "data/aside/", "taken/",
            "refused/", "ledger.db", ".spool", ".stuck", "e000001/lists.lmdb", "e000001/grounds.bin",
            "e000002/lists.lmdb",
        ):  # fmt: skip
            assert store in found, store

    def test_is_in_no_byte_of_the_home_afterwards(self, canary: World) -> None:
        forget(canary)

        assert hits(canary.config.home) == []
        removed = receipt(canary)["removed"]
        assert {name: count > 0 for name, count in removed.items()} == dict.fromkeys(removed, True)
        assert removed["customers"] == 2  # a row in every version there was
        assert removed["editions"] == 2

    def test_is_in_no_line_that_is_told(
        self, canary: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)

        told = cli(canary, "data", "erase", ACME, WHO, "--why", "request 17").output
        told += cli(canary, "data", "erasures", ACME).output
        told += cli(canary, "data", "import", ACME, "--customers", _file(canary)).output
        told += cli(canary, "doctor").output + cli(canary, "audit", ACME, "--json").output

        assert not any(text in told + caplog.text for text in STRINGS)

    def test_takes_nothing_of_another_along(self, canary: World) -> None:
        before = untouched(folder_of(canary, BETA)), rows_of(canary, BETA)
        kept = {name: recs(canary, name, ACME) for name in ("C-0001", "C-0059")}

        forget(canary)

        assert (untouched(folder_of(canary, BETA)), rows_of(canary, BETA)) == before
        for name, shown in kept.items():
            assert recs(canary, name)["recommendations"] == shown["recommendations"]
        events = canary.stores.feedback.spool.events()
        assert [(event["customer_id"]) for _, event in events] == ["C-0003"]

    def test_of_the_same_id_stays_with_the_other_tenant(self, canary: World) -> None:
        before = contents(folder_of(canary, BETA)), recs(canary, "C-0001", BETA)

        forget(canary, "C-0001")

        assert (contents(folder_of(canary, BETA)), recs(canary, "C-0001", BETA)) == before
        assert recs(canary, "C-0001", ACME)["source"] == "popular"


class TestAfterwards:
    def test_no_edition_can_be_gone_back_to_that_shows_them(self, canary: World) -> None:
        forget(canary)

        assert kept_editions(canary) == [3]
        for number in (1, 2):
            done = cli(canary, "edition", "activate", ACME, number, "--why", "a test")
            assert done.exit_code == 1, done.output
        assert cli(canary, "edition", "activate", ACME, 3, "--why", "a test").exit_code == 0
        assert recs(canary, WHO)["source"] == "popular"

    def test_an_edition_that_never_held_them_stays(self, canary: World) -> None:
        canary.import_(ACME, tables(ACME))
        assert canary.night(ACME, THIRD_NIGHT).published

        forget(canary)

        assert recs(canary)["edition"] == 3
        assert kept_editions(canary) == [3]

    def test_the_next_import_does_not_bring_them_back(self, canary: World) -> None:
        dataset = canary.stores.datasets.of(canary.tenant(ACME).uid)
        forget(canary)

        report = canary.import_(ACME, planted())

        assert [(t.read, t.accepted, t.quarantined, t.erased > 0) for t in report.tables][:2] == [
            (60, 59, 0, True),
            (24, 24, 0, False),
        ]
        for table in report.tables:
            assert table.accepted + table.quarantined + table.erased == table.read
        assert hits(canary.config.home) == []
        after = canary.stores.datasets.of(canary.tenant(ACME).uid)
        assert dataset is not None
        assert after is not None
        assert set(after.interactions) == set(dataset.interactions)  # delivered again, counted once
        told = json.dumps(canary.stores.imports.reports(ACME)[0]["report"])
        assert "CUSTOMER_ERASED" in told

    def test_the_next_night_learns_nothing_of_them(self, canary: World) -> None:
        forget(canary)
        canary.import_(ACME, planted())

        data = read_data(canary.stores, canary.tenant(ACME), THIRD_NIGHT)
        assert WHO not in data.customers["customer_id"].to_pylist()
        assert WHO not in data.interactions["customer_id"].to_pylist()
        assert canary.night(ACME, THIRD_NIGHT).published
        assert hits(canary.config.home) == []
        assert recs(canary, WHO)["source"] == "popular"

    def test_a_night_does_not_learn_of_them_though_their_rows_are_still_there(
        self, canary: World
    ) -> None:
        tenant = canary.tenant(ACME)
        erase(canary.stores, tenant, WHO, by="test", why="request 17", now=NOW)

        data = read_data(canary.stores, tenant, THIRD_NIGHT)

        assert WHO not in data.customers["customer_id"].to_pylist()
        assert WHO not in data.interactions["customer_id"].to_pylist()

    def test_they_come_back_when_somebody_says_so(self, canary: World) -> None:
        forget(canary)
        done = cli(canary, "data", "unerase", ACME, WHO, "--why", "a new contract")
        assert done.exit_code == 0, done.output

        report = canary.import_(ACME, planted())

        assert report.tables[0].erased == 0
        assert receipt(canary)["state"] == "returned"
        finish(canary.stores, NOW, again=True)
        assert canary.stores.datasets.knows(canary.tenant(ACME).uid, WHO)

    def test_they_come_back_with_the_very_file_that_came_while_they_were_erased(
        self, canary: World
    ) -> None:
        forget(canary)
        assert canary.import_(ACME, planted()).tables[0].erased == 1
        assert canary.import_(ACME, planted()).state == "unchanged"
        done = cli(canary, "data", "unerase", ACME, WHO, "--why", "a new contract")
        assert done.exit_code == 0, done.output

        report = canary.import_(ACME, planted())

        assert report.tables[0].erased == 0
        assert canary.stores.datasets.knows(canary.tenant(ACME).uid, WHO)


class TestWhatIsPending:
    def test_is_finished_by_the_next_night_of_anybody(self, canary: World) -> None:
        erase(canary.stores, canary.tenant(ACME), WHO, by="test", why="request 17", now=NOW)
        assert receipt(canary)["state"] == "pending"
        canary.import_(BETA, tables(BETA))

        run_fleet(
            canary.stores, canary.config, tonight(canary.stores, [BETA], NIGHT, NOW), lambda _: None
        )

        assert receipt(canary)["state"] == "done"
        assert hits(canary.config.home) == []

    def test_waits_for_a_night_that_is_running(self, canary: World) -> None:
        tenant = canary.tenant(ACME)
        reports: list[Erasure] = []

        def clock() -> datetime:
            """Asked when the night begins, and by then it holds the data in memory."""
            if not reports and canary.stores.nights.running(ACME, lambda _: True, NOW):
                erase(canary.stores, tenant, WHO, by="test", why="request 17", now=NOW)
                reports.extend(finish(canary.stores, NOW))
            return datetime(2026, 4, 3, 0, 5, tzinfo=UTC)

        assert canary.night(ACME, THIRD_NIGHT, clock).published
        assert [made.pending != () for made in reports] == [True]

        finish(canary.stores, NOW)
        assert receipt(canary)["state"] == "done"
        assert hits(canary.config.home) == []


class TestARestoredBackup:
    def test_of_ledger_and_data_is_brought_up_to_the_marks_beside_it(self, canary: World) -> None:
        home = canary.config.home
        before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
        forget(canary)
        for path, data in before.items():  # all of it but erased/, which is newer
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        assert hits(home) != []

        assert recs(canary, WHO)["source"] == "popular"
        assert _doctor(canary) == "pending"
        done = cli(canary, "data", "erasures", "--finish", "--json")

        assert done.exit_code == 0, done.output
        assert "found beside the ledger" in done.stdout
        assert hits(home) == []
        assert _doctor(canary) == "ok"

    def test_of_the_data_alone_is_searched_again(self, canary: World) -> None:
        folder = folder_of(canary, ACME) / "data"
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        forget(canary)
        for path, data in before.items():
            path.write_bytes(data)

        assert cli(canary, "data", "erasures", "--finish").exit_code == 0

        assert hits(canary.config.home) == []


@pytest.mark.slow
def test_over_http_the_person_is_a_stranger_before_the_answer_is_sent(canary: World) -> None:
    keys: dict[tuple[TenantId | None, Role], str] = {
        (ACME, role): canary.key(ACME, role) for role in (Role.SELLER, Role.ADMIN)
    }
    with serving(canary, keys) as served:
        assert served.recs(WHO)["source"] == "personal"
        found = served.ask("DELETE", f"/customers/{WHO}", json={"why": "request 17"})
        assert found.json()["known"] is True
        assert served.recs(WHO)["source"] == "popular"
        _finished(canary, served)
        assert ids(served.recs(WHO)) == ids(served.recs("nobody"))
    assert hits(canary.config.home) == []


def _finished(canary: World, served: Served) -> None:
    finish(canary.stores, NOW)
    told = served.ask("GET", "/erasures/1").json()
    assert told["state"] == "done", told


def _doctor(world: World) -> str:
    [state] = [
        found["state"]
        for found in json.loads(cli(world, "doctor", "--json").stdout)
        if found["what"] == "erasures"
    ]
    return str(state)


def _file(world: World) -> Path:
    return csv_of(planted()["customers"], world.folder / "again.csv")
