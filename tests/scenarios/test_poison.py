"""Poisoned deliveries never reach a model; honest ones do. B14, through import and night."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.intake import import_files
from jobs.release import release
from schema.errors import FactoryError, NotThere, Problem, Refused
from schema.names import Delivered, TenantId
from schema.settings import HoldSettings, IntakeSettings
from storage.durable import Disk
from storage.waiting import discard
from tests.faults.disk import FaultyDisk, Killed
from tests.poison import HONEST, POISON, Delivery, history, shop, week
from tests.scenarios.tree import contents, folder_of
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, TEMPLATE, World, open_world, write_files

PATIENT = IntakeSettings(holds=HoldSettings(waiting=40))
LATER = NOW + timedelta(hours=8)


@pytest.fixture(scope="module")
def made() -> Delivery:
    return shop()


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory, made: Delivery) -> Path:
    """acme after three ordinary months and a night; beta has the same customers."""
    folder = tmp_path_factory.mktemp("evening")
    world = opened(folder)
    world.add(ACME)
    world.import_(ACME, history(made))
    world.add(BETA)
    world.import_(BETA, history(shop("beta")))
    assert world.night(ACME, NIGHT).published
    world.stores.engine.dispose()
    return folder


def opened(folder: Path, disk: Disk | None = None) -> World:
    template = TEMPLATE.model_copy(update={"intake": PATIENT})
    return open_world(folder, disk, template=template)


@pytest.fixture
def world(evening: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(evening / "home", tmp_path / "home")
    world = opened(tmp_path)
    yield world
    world.stores.engine.dispose()


def data(world: World, name: TenantId = ACME) -> dict[str, str]:
    """Every file of a tenant but what was put aside."""
    return {p: h for p, h in contents(folder_of(world, name)).items() if "/aside/" not in p}


def let_count(world: World, batch: str, name: TenantId = ACME) -> Delivered:
    tenant = world.tenant(name)
    done = release(world.stores, tenant, batch, PATIENT, by="ann", why="it is so", now=LATER)
    return done.state


def throw_away(world: World, batch: str, name: TenantId = ACME) -> None:
    discard(world.stores, world.tenant(name), batch, by="ann", why="half of it", now=LATER)


class TestPoison:
    @pytest.mark.parametrize("shape", POISON)
    def test_is_held_and_changes_no_file_of_the_tenants(
        self, shape: str, world: World, made: Delivery
    ) -> None:
        code, made_so = POISON[shape]
        before = data(world)

        report = world.import_(ACME, made_so(made), PATIENT)

        assert report.state is Delivered.HELD
        assert code in {hold.code for hold in report.holds}
        assert data(world) == before

    def test_of_every_shape_leaves_the_next_edition_as_it_would_have_been(
        self, world: World, made: Delivery, evening: Path, tmp_path: Path
    ) -> None:
        for _, made_so in POISON.values():
            assert world.import_(ACME, made_so(made), PATIENT).state is Delivered.HELD
        shutil.copytree(evening / "home", tmp_path / "clean" / "home")
        clean = opened(tmp_path / "clean")

        reports = [each.night(ACME, NEXT_NIGHT) for each in (world, clean)]

        assert reports[0].figures["data_fingerprint"] == reports[1].figures["data_fingerprint"]
        assert data(world) == data(clean)
        clean.stores.engine.dispose()


class TestAnHonestChange:
    @pytest.mark.parametrize("change", HONEST)
    def test_is_accepted(self, change: str, world: World, made: Delivery) -> None:
        report = world.import_(ACME, HONEST[change](made), PATIENT)

        assert (report.state, report.holds) == (Delivered.ACCEPTED, ())

    def test_reaches_the_next_edition(self, world: World, made: Delivery) -> None:
        before = contents(folder_of(world, ACME))
        world.import_(ACME, HONEST["a new branch of customers"](made), PATIENT)

        report = world.night(ACME, NEXT_NIGHT)

        assert report.published
        assert report.figures["customers"] == 500
        assert contents(folder_of(world, ACME)) != before


@pytest.fixture
def tenfold(made: Delivery) -> Delivery:
    return POISON["ten times the rows"][1](made)


class TestAHeldDelivery:
    def test_counts_as_it_came_once_it_is_released(self, world: World, tenfold: Delivery) -> None:
        batch = world.import_(ACME, tenfold, PATIENT).batch
        before = len(world.stores.datasets.read(world.tenant(ACME).uid, "interactions"))

        assert let_count(world, batch) is Delivered.RELEASED

        after = len(world.stores.datasets.read(world.tenant(ACME).uid, "interactions"))
        assert after - before == len(tenfold["interactions"])
        [line] = [r for r in world.stores.imports.reports(ACME) if r["batch"] == batch]
        assert (line["state"], line["imported_at"]) == (Delivered.RELEASED, NOW)
        assert not [path for path in contents(folder_of(world, ACME)) if "/aside/" in path]

    def test_is_what_the_next_one_is_held_against_once_it_was_released(
        self, world: World, made: Delivery
    ) -> None:
        fewer = POISON["a tenth of the catalogue"][1](made)
        let_count(world, world.import_(ACME, fewer, PATIENT).batch)
        assert world.import_(ACME, {"products": fewer["products"].slice(1)}).holds == ()

    def test_is_gone_once_it_is_discarded_and_its_report_stays(
        self, world: World, tenfold: Delivery
    ) -> None:
        before = contents(folder_of(world, ACME))
        batch = world.import_(ACME, tenfold, PATIENT).batch

        throw_away(world, batch)

        assert contents(folder_of(world, ACME)) == before
        found = world.stores.imports.delivery(ACME, batch)
        assert found.state is Delivered.DISCARDED
        assert [reason["code"] for reason in found.reasons] == ["DRIFT_VOLUME"]

    def test_leaves_who_and_why_in_the_audit_trail(self, world: World, tenfold: Delivery) -> None:
        batch = world.import_(ACME, tenfold, PATIENT).batch
        throw_away(world, batch)
        [act, *_] = world.stores.audit.of(ACME)
        assert (act.act, act.actor) == ("data discarded", "ann")
        assert act.detail == {"batch": batch, "why": "half of it"}
        batch = world.import_(ACME, tenfold, PATIENT).batch
        let_count(world, batch)
        assert world.stores.audit.of(ACME)[0].act == "data released"

    def test_that_comes_again_waits_once(self, world: World, tenfold: Delivery) -> None:
        batches = {world.import_(ACME, tenfold, PATIENT).batch for _ in range(2)}
        assert len(batches) == 1
        held = world.stores.imports.deliveries(ACME, None, states=[Delivered.HELD])
        assert len(held) == 1

    def test_is_settled_once(self, world: World, tenfold: Delivery) -> None:
        batch = world.import_(ACME, tenfold, PATIENT).batch
        let_count(world, batch)
        for settle in (let_count, throw_away):
            with pytest.raises(Refused) as told:
                settle(world, batch)
            assert told.value.code == "DATA_NOT_HELD"

    def test_does_not_undo_what_was_delivered_after_it(self, world: World, made: Delivery) -> None:
        """Its catalogue is of yesterday, today's came since; only its rows are still due."""
        fewer = POISON["a tenth of the catalogue"][1](made)["products"]
        batch = world.import_(ACME, {"products": fewer, "interactions": week(made)}, PATIENT).batch
        newest = made["products"].slice(0, 58)
        world.import_(ACME, {"products": newest}, PATIENT)

        assert let_count(world, batch) is Delivered.RELEASED

        uid = world.tenant(ACME).uid
        assert len(world.stores.datasets.read(uid, "products")) == 58
        assert batch in world.stores.datasets.required(uid).interactions

    def test_of_which_nothing_is_due_any_more_can_only_be_discarded(
        self, world: World, made: Delivery
    ) -> None:
        batch = world.import_(ACME, POISON["a tenth of the catalogue"][1](made), PATIENT).batch
        world.import_(ACME, {"products": made["products"].slice(0, 58)}, PATIENT)
        with pytest.raises(FactoryError) as told:
            let_count(world, batch)
        assert told.value.problem.code == "DATA_OVERTAKEN"
        throw_away(world, batch)

    def test_is_no_other_tenants_business(self, world: World, tenfold: Delivery) -> None:
        batch = world.import_(ACME, tenfold, PATIENT).batch
        before = contents(folder_of(world, ACME)), contents(folder_of(world, BETA))
        for settle in (let_count, throw_away):
            with pytest.raises(NotThere):
                settle(world, batch, BETA)
        assert (contents(folder_of(world, ACME)), contents(folder_of(world, BETA))) == before

    def test_waits_with_a_few_others_and_one_too_many_is_refused(
        self, world: World, made: Delivery
    ) -> None:
        few = IntakeSettings(holds=HoldSettings(waiting=2))
        shapes = list(POISON.values())
        batches = [world.import_(ACME, make(made), few).batch for _, make in shapes[:2]]
        with pytest.raises(FactoryError) as told:
            world.import_(ACME, shapes[2][1](made), few)
        assert told.value.problem.code == "HELD_FULL"
        held = world.stores.imports.deliveries(ACME, None, states=[Delivered.HELD])
        assert sorted(one.batch for one in held) == sorted(batches)

    def test_waits_once_also_if_the_mapping_was_changed_before_it_was_sent_again(
        self, world: World, tenfold: Delivery
    ) -> None:
        batch = world.import_(ACME, tenfold, PATIENT).batch
        world.stores.ledger.change_mapping(
            ACME, {"currency": "CHF"}, by="test", why="a test", at=NOW
        )

        assert world.import_(ACME, tenfold, PATIENT).batch == batch

        assert len(world.stores.imports.deliveries(ACME, None, states=[Delivered.HELD])) == 1

    def test_whose_file_is_damaged_since_is_not_released(
        self, world: World, tenfold: Delivery
    ) -> None:
        batch = world.import_(ACME, tenfold, PATIENT).batch
        [path] = folder_of(world, ACME).glob("data/aside/*/interactions.parquet")
        path.write_bytes(path.read_bytes()[:-1])
        before = data(world)
        with pytest.raises(Problem) as told:
            let_count(world, batch)
        assert told.value.code == "SEALED_BROKEN"
        assert data(world) == before

    def test_is_kept_with_the_name_of_its_table_and_nothing_of_the_senders(
        self, world: World, tenfold: Delivery, tmp_path: Path
    ) -> None:
        path = tmp_path / "..%2f; rm -rf 'x'.parquet"
        pq.write_table(tenfold["interactions"], path)
        import_files(
            world.stores, world.tenant(ACME), {"interactions": path}, PATIENT, by="t", now=NOW
        )
        names = {p.name for p in folder_of(world, ACME).glob("data/aside/*/*")}
        assert names == {"interactions.parquet", "MANIFEST.json"}


class TestAKilledProcess:
    def test_while_a_delivery_is_held_leaves_it_held_or_not_there(
        self, evening: Path, tmp_path: Path, tenfold: Delivery
    ) -> None:
        for step in range(100):
            folder = tmp_path / str(step)
            shutil.copytree(evening / "home", folder / "home")
            disk = FaultyDisk(step)
            world = opened(folder, disk)
            try:
                world.import_(ACME, tenfold, PATIENT)
            except Killed:
                world.stores.engine.dispose()
            if not disk.failed:
                assert step > 4
                world.stores.engine.dispose()
                return
            again = opened(folder)
            batch = again.import_(ACME, tenfold, PATIENT).batch
            assert let_count(again, batch) is Delivered.RELEASED
            again.stores.engine.dispose()
        pytest.fail("it never came through")

    def test_while_it_is_released_leaves_it_to_be_released_again_each_row_once(
        self, world: World, tmp_path: Path, tenfold: Delivery
    ) -> None:
        before = len(world.stores.datasets.read(world.tenant(ACME).uid, "interactions"))
        batch = world.import_(ACME, tenfold, PATIENT).batch
        for step in range(100):
            folder = tmp_path / f"at-{step}"
            shutil.copytree(tmp_path / "home", folder / "home")
            disk = FaultyDisk(step)
            killed = opened(folder, disk)
            try:
                let_count(killed, batch)
            except Killed:
                killed.stores.engine.dispose()
            again = opened(folder)
            if again.stores.imports.delivery(ACME, batch).state is Delivered.HELD:
                let_count(again, batch)
            rows = again.stores.datasets.read(again.tenant(ACME).uid, "interactions")
            assert len(rows) - before == len(tenfold["interactions"])
            again.stores.engine.dispose()
            if not disk.failed:
                assert step > 4
                killed.stores.engine.dispose()
                return
        pytest.fail("it never came through")


class TestTheSameFilesAgain:
    def test_change_nothing_and_say_so(self, world: World, made: Delivery) -> None:
        delivery = {**made, "interactions": week(made)}
        assert world.import_(ACME, delivery).state is Delivered.ACCEPTED
        before = data(world)

        assert world.import_(ACME, delivery).state is Delivered.UNCHANGED
        assert world.import_(ACME, {"products": made["products"]}).state is Delivered.UNCHANGED

        assert data(world) == before
        assert world.stores.imports.reports(ACME)[0]["state"] == "unchanged"

    def test_of_an_earlier_day_change_nothing_either(self, world: World, made: Delivery) -> None:
        world.import_(ACME, {"interactions": week(made)})
        old = {"interactions": history(made)["interactions"]}
        assert world.import_(ACME, old).state is Delivered.UNCHANGED

    def test_are_taken_again_where_the_catalogue_has_changed_since(
        self, world: World, made: Delivery
    ) -> None:
        world.import_(ACME, {"interactions": week(made)})
        world.import_(ACME, {"products": made["products"].slice(0, 58)})
        assert world.import_(ACME, {"interactions": week(made)}).state is Delivered.ACCEPTED

    def test_are_taken_again_where_they_are_read_another_way(
        self, world: World, made: Delivery
    ) -> None:
        files = write_files(world.folder / "again", {"interactions": week(made)})
        tenant = world.tenant(ACME)
        states = []
        for zone in ("UTC", "Asia/Tokyo"):
            abroad = replace(tenant, timezone=zone)
            report = import_files(world.stores, abroad, files, PATIENT, by="t", now=NOW)
            states.append(report.state)
        assert states == [Delivered.ACCEPTED, Delivered.ACCEPTED]

    def test_make_a_night_that_says_there_was_nothing_new(self, world: World) -> None:
        moment = datetime(2026, 4, 2, 0, 5, tzinfo=UTC)
        report = world.night(ACME, NEXT_NIGHT, lambda: moment)
        assert report.because.startswith(f"no new data since the night of {NIGHT}; ")
        assert report.published


class TestARefusedDelivery:
    def test_is_recorded_with_its_code_and_sentence(self, world: World, made: Delivery) -> None:
        before = data(world)
        with pytest.raises(FactoryError):
            world.import_(ACME, {"products": made["products"].drop_columns(["product_id"])})
        line = world.stores.imports.reports(ACME)[0]
        assert line["state"] == "refused"
        [reason] = line["reasons"]
        assert reason["code"] == "SCHEMA_MISSING"
        assert "product_id" in reason["sentence"]
        assert reason["next"]
        assert data(world) == before
