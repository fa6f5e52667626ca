"""On, freeze, off: what a night does to a tenant that chose, and to nobody else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schema.names import Mode, Outcome, TenantId
from storage.durable import Disk
from tests.scenarios.tree import contents, folder_of, untouched
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, THIRD_NIGHT, World, two_tenants


class BusyDisk(Disk):
    """Does something else, once, when a night makes its next folder."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] | None = None

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()


@pytest.fixture
def disk() -> BusyDisk:
    return BusyDisk()


@pytest.fixture
def world(tmp_path: Path, disk: BusyDisk) -> Iterator[World]:
    """acme and beta, imported, on a disk that can do something meanwhile."""
    made = two_tenants(tmp_path, disk)
    yield made
    made.stores.engine.dispose()


def rerank(world: World, name: TenantId = ACME) -> None:
    changes = {"frozen_lists": "rerank"}
    world.stores.ledger.change_settings(name, changes, by="test", at=NOW)


def edition(world: World, name: TenantId = ACME) -> int | None:
    current = world.stores.editions.current(world.tenant(name).uid)
    return None if current is None else current.edition


def no_training(*args: object, **named: object) -> None:
    raise AssertionError("nothing may be trained or judged now")


class TestOn:
    def test_a_night_trains_judges_maybe_promotes_and_publishes(self, world: World) -> None:
        report = world.night(ACME)
        assert report.outcome is Outcome.PROMOTED
        assert report.figures["challenger"]["rmse"] < report.figures["incumbent"]["rmse"]
        assert (report.published, edition(world)) == (True, 1)
        assert world.tenant(ACME).model == report.model == 2


class TestFreeze:
    def test_model_and_published_edition_stay_exactly_as_they_are(self, world: World) -> None:
        world.night(ACME)
        before = untouched(folder_of(world, ACME)), contents(folder_of(world, ACME))
        world.switch(ACME, Mode.FREEZE)
        report = world.night(ACME, NEXT_NIGHT)
        assert (report.outcome, report.published) == (Outcome.FROZEN, False)
        assert (untouched(folder_of(world, ACME)), contents(folder_of(world, ACME))) == before
        assert world.tenant(ACME).model == 2

    def test_nothing_is_trained_or_judged(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.night(ACME)
        rerank(world)
        world.switch(ACME, Mode.FREEZE)
        monkeypatch.setattr("jobs.night.train", no_training)
        monkeypatch.setattr("jobs.night.judge", no_training)
        report = world.night(ACME, NEXT_NIGHT)
        assert report.outcome is Outcome.FROZEN
        assert report.figures["challenger"] is None

    def test_lists_are_reranked_with_the_frozen_model_if_the_tenant_asks(
        self, world: World
    ) -> None:
        first = world.night(ACME)
        models = contents(folder_of(world, ACME) / "models")
        old = contents(folder_of(world, ACME) / "editions" / "e000001")
        rerank(world)
        world.switch(ACME, Mode.FREEZE)
        report = world.night(ACME, NEXT_NIGHT)
        assert (report.outcome, report.published) == (Outcome.FROZEN, True)
        assert (report.edition, report.model) == (2, first.model)
        assert edition(world) == 2
        assert contents(folder_of(world, ACME) / "models") == models
        assert contents(folder_of(world, ACME) / "editions" / "e000001") == old
        assert contents(folder_of(world, ACME) / "editions" / "e000002") != old

    def test_a_tenant_that_was_frozen_before_its_first_night_gets_no_model(
        self, world: World
    ) -> None:
        rerank(world)
        world.switch(ACME, Mode.FREEZE)
        report = world.night(ACME)
        assert (report.outcome, report.model) == (Outcome.FROZEN, None)
        assert world.stores.nights.models(ACME) == []


class TestOff:
    def test_nothing_is_computed_and_nothing_is_deleted(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.night(ACME)
        before = untouched(folder_of(world, ACME))
        world.switch(ACME, Mode.OFF)
        monkeypatch.setattr("jobs.night.read_data", no_training)
        report = world.night(ACME, NEXT_NIGHT)
        assert (report.outcome, report.published) == (Outcome.OFF, False)
        assert untouched(folder_of(world, ACME)) == before
        assert world.tenant(ACME).model == 2

    def test_once_on_again_the_night_of_the_same_date_runs_for_real(self, world: World) -> None:
        world.switch(ACME, Mode.OFF)
        assert world.night(ACME).outcome is Outcome.OFF
        assert world.night(ACME).outcome is Outcome.OFF
        world.switch(ACME, Mode.ON)
        report = world.night(ACME)
        assert (report.outcome, report.published) == (Outcome.PROMOTED, True)

    def test_on_after_freeze_does_the_same(self, world: World) -> None:
        world.night(ACME)
        world.switch(ACME, Mode.FREEZE)
        assert world.night(ACME, NEXT_NIGHT).outcome is Outcome.FROZEN
        world.switch(ACME, Mode.ON)
        report = world.night(ACME, NEXT_NIGHT)
        assert report.outcome in (Outcome.PROMOTED, Outcome.REJECTED)
        assert (report.published, edition(world)) == (True, 2)


class TestSwitchWhileANightRuns:
    @pytest.mark.parametrize(
        ("mode", "outcome"), [(Mode.FREEZE, Outcome.FROZEN), (Mode.OFF, Outcome.OFF)]
    )
    def test_the_switch_wins(
        self, world: World, disk: BusyDisk, mode: Mode, outcome: Outcome
    ) -> None:
        world.night(ACME)
        folder = folder_of(world, ACME)
        pointer, served = untouched(folder)["CURRENT"], contents(folder / "editions" / "e000001")
        disk.meanwhile = lambda: world.switch(ACME, mode)
        report = world.night(ACME, THIRD_NIGHT)
        assert disk.meanwhile is None
        assert (report.outcome, report.published, report.edition) == (outcome, False, None)
        assert untouched(folder)["CURRENT"] == pointer
        assert contents(folder / "editions" / "e000001") == served
        assert world.tenant(ACME).model == 2
        assert [row["edition"] for row in world.stores.nights.editions(ACME)] == [1]

    def test_the_first_night_of_all_publishes_nothing_either(
        self, world: World, disk: BusyDisk
    ) -> None:
        disk.meanwhile = lambda: world.switch(ACME, Mode.OFF)
        assert world.night(ACME).outcome is Outcome.OFF
        assert edition(world) is None
        assert world.tenant(ACME).model is None

    def test_a_freeze_keeps_the_model_even_where_lists_may_be_reranked(
        self, world: World, disk: BusyDisk
    ) -> None:
        rerank(world)
        disk.meanwhile = lambda: world.switch(ACME, Mode.FREEZE)
        world.night(ACME)
        assert world.tenant(ACME).model is None
        assert edition(world) is None

    def test_what_it_left_behind_is_no_hindrance_once_on_again(
        self, world: World, disk: BusyDisk
    ) -> None:
        disk.meanwhile = lambda: world.switch(ACME, Mode.OFF)
        world.night(ACME)
        world.switch(ACME, Mode.ON)
        report = world.night(ACME)
        assert (report.published, report.edition, report.model) == (True, 1, 2)


class TestTheOtherTenant:
    @pytest.mark.parametrize("mode", [Mode.FREEZE, Mode.OFF])
    def test_is_not_affected(self, world: World, mode: Mode) -> None:
        world.night(ACME)
        world.switch(ACME, mode)
        for number, night in enumerate((NIGHT, NEXT_NIGHT), start=1):
            world.night(ACME, night)
            assert world.night(BETA, night).published
            assert edition(world, BETA) == number
        assert world.tenant(BETA).mode is Mode.ON
        assert edition(world) == 1

    def test_a_night_never_touches_another_tenants_files(self, world: World) -> None:
        world.night(BETA)
        before = untouched(folder_of(world, BETA))
        world.night(ACME)
        assert untouched(folder_of(world, BETA)) == before
