"""A night in which something all tenants share is broken, and a night that is too short.

The real run: thirty tenants, their nights worked on, ranked and sealed in this process.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from factory.rank import rank as true_rank
from jobs import fleet, night
from jobs.cli import recfactory
from jobs.fleet import due, run_fleet, tonight
from jobs.night import Begun
from jobs.night import conclude as true_conclude
from jobs.results import Failure, Result, code_of, exit_status
from jobs.schedule import wave
from schema.config import Brake, Nightly
from schema.errors import FactoryError, Problem
from schema.names import Mode, Outcome, Stage, TenantId
from schema.records import Conclusion, Lists, NightReport
from schema.settings import TenantSettings, WindowSettings
from storage.stores import Stores, open_stores
from tests.world import NEXT_NIGHT, NIGHT, NOW, TEMPLATE, World, open_world, tables

FLEET = [TenantId(f"t{number:02}") for number in range(30)]


def small(name: TenantId) -> dict[str, pa.Table]:
    """Too little to be judged by, so that a night takes no time; the lists are made all the same."""
    return tables(name, customers=8, products=6, first=date(2026, 2, 1))


JUDGED = TEMPLATE.model_copy(update={"windows": WindowSettings(days=(7,), min_pairs=5)})
"""But where RMSE is to be looked at."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Thirty tenants with the same customer ids, on the edition of their first night."""
    world = open_world(tmp_path_factory.mktemp("fleet"))
    for name in FLEET:
        world.add(name)
        world.import_(name, small(name))
    results = run(world, FLEET, NIGHT)
    assert all(isinstance(result, NightReport) and result.published for result in results)
    world.stores.engine.dispose()
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A copy of the fleet; its next night is due."""
    home = tmp_path / "home"
    shutil.copytree(made.config.home, home)
    config = made.config.model_copy(update={"home": home, "nightly": nightly()})
    return World(config, open_stores(config), tmp_path)


def nightly(**changes: Any) -> Nightly:
    return Nightly(**{"executor": "in-process", **changes})


def run(world: World, names: Sequence[TenantId], night: date, **changes: Any) -> list[Result]:
    config = world.config.model_copy(update={"nightly": nightly(**changes)})
    tasks = tonight(world.stores, names, night, datetime.now(UTC))
    return run_fleet(world.stores, config, tasks, lambda _: None)


def nights_served(world: World, names: Sequence[TenantId] = FLEET) -> dict[TenantId, date]:
    """By tenant, the night of the edition that a lookup is answered from."""
    found = {}
    for name in names:
        uid = world.tenant(name).uid
        current = world.stores.editions.current(uid)
        assert current is not None
        edition = world.stores.editions.open(uid, current.edition, current.manifest_sha256)
        found[name] = edition.night
        edition.lists.close()
    return found


def old_everywhere(world: World) -> bool:
    return set(nights_served(world).values()) == {NIGHT}


def break_ranking(monkeypatch: pytest.MonkeyPatch, *names: TenantId) -> list[Conclusion]:
    """Code that ranks is broken: lists come out empty, of all tenants or of these; RMSE is as ever.

    Returns:
        What the nights came to.
    """
    true_work, worked = night._work, []
    at_work: list[TenantId] = []

    def rank(*args: Any) -> Lists:
        lists = true_rank(*args)
        if names and at_work[-1] not in names:
            return lists
        entries = lists.entries.copy()
        entries["product"] = -1
        return replace(lists, entries=entries)

    def work(stores: Stores, template: TenantSettings, begun: Begun, now: datetime) -> Conclusion:
        at_work.append(begun.tenant.tenant)
        worked.append(true_work(stores, template, begun, now))
        return worked[-1]

    monkeypatch.setattr(night, "rank", rank)
    monkeypatch.setattr(night, "_work", work)
    return worked


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception, *names: TenantId) -> None:
    """The night of these tenants, or of all, ends in an error."""
    true_work = night._work

    def work(stores: Stores, template: TenantSettings, begun: Begun, now: datetime) -> Conclusion:
        if not names or begun.tenant.tenant in names:
            raise error
        return true_work(stores, template, begun, now)

    monkeypatch.setattr(night, "_work", work)


def no_file() -> FactoryError:
    return FactoryError(Problem("no file", "send it", "DATA_MISSING"), "its", Stage.VALIDATE)


def codes(results: Sequence[Result]) -> set[str | None]:
    return {code_of(result) for result in results}


class TestBrokenRanking:
    def test_publishes_nothing_at_all_and_is_stopped_in_the_first_wave_though_rmse_is_fine(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = replace(world, config=world.config.model_copy(update={"template": JUDGED}))
        worked = break_ranking(monkeypatch)
        results = run(world, FLEET, NEXT_NIGHT)
        assert all(end.figures["challenger"]["rmse"] < 0.5 for end in worked)
        assert old_everywhere(world)
        (brake,) = world.stores.brakes.all()
        assert (brake.wave, brake.sign) == (1, "LISTS_EMPTY")
        assert len(worked) == 2
        assert codes(results) == {"FLEET_BRAKE"}
        assert exit_status(results) == 3

    def test_leaves_nothing_of_that_night_on_disk(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fleet, "_AT_ONCE", 4)
        before = files(world)
        break_ranking(monkeypatch)
        results = run(world, FLEET, NEXT_NIGHT)
        assert files(world) == before
        assert {type(result) for result in results} == {NightReport, Failure}

    def test_says_which_wave_what_was_alike_and_what_to_do(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        break_ranking(monkeypatch)
        results = run(world, FLEET, NEXT_NIGHT)
        reports = [result for result in results if isinstance(result, NightReport)]
        assert reports
        for result in results:
            assert "in wave 1, their lists are empty: 2 of 10 tenants" in result.because
            assert "`recfactory fleet release --why …`" in result.because
        assert world.stores.nights.night(reports[0].tenant, NEXT_NIGHT) == reports[0]

    def test_of_one_tenant_alone_stops_nobody(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        break_ranking(monkeypatch, FLEET[7])
        results = run(world, FLEET, NEXT_NIGHT)
        assert set(nights_served(world).values()) == {NEXT_NIGHT}
        assert exit_status(results) == 0


class TestAHealthyFleet:
    def test_is_published_to_the_last_tenant(self, world: World) -> None:
        results = run(world, FLEET, NEXT_NIGHT)
        assert set(nights_served(world).values()) == {NEXT_NIGHT}
        assert len(results) == len(FLEET)
        assert exit_status(results) == 0
        assert world.stores.brakes.all() == []

    def test_publishes_a_sample_only_when_all_of_it_was_worked_on(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order = followed(monkeypatch)
        run(world, FLEET, NEXT_NIGHT)
        first = order.index("published")
        assert order[:first] == ["worked"] * 9
        assert order.count("published") == len(FLEET)

    def test_some_of_which_were_done_before_is_sampled_by_what_is_missing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(world, FLEET[:10], NEXT_NIGHT)
        order = followed(monkeypatch)
        run(world, FLEET, NEXT_NIGHT)
        assert order.index("published") == 9
        assert order.count("worked") == 20

    def test_with_tenants_that_are_off_or_frozen_waits_for_none_of_them(self, world: World) -> None:
        for name in FLEET[:10]:
            world.switch(name, Mode.OFF if name < FLEET[5] else Mode.FREEZE)
        run(world, FLEET, NEXT_NIGHT)
        assert set(nights_served(world, FLEET[10:]).values()) == {NEXT_NIGHT}
        assert set(nights_served(world, FLEET[:10]).values()) == {NIGHT}


class TestNightsThatFail:
    def test_all_with_the_same_code_stop_the_fleet(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fail(monkeypatch, RuntimeError("a new library"))
        results = run(world, FLEET, NEXT_NIGHT)
        assert codes(results) == {"DEFECT", "FLEET_BRAKE"}
        assert exit_status(results) == 3
        assert world.stores.brakes.all()[0].sign == "DEFECT"

    def test_one_of_thirty_stops_nobody(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fail(monkeypatch, RuntimeError("its data"), FLEET[3])
        run(world, FLEET, NEXT_NIGHT)
        others = [name for name in FLEET if name != FLEET[3]]
        assert set(nights_served(world, others).values()) == {NEXT_NIGHT}

    def test_of_their_own_data_stop_it_only_where_they_are_many(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fail(monkeypatch, no_file(), *FLEET[:2])  # who may both be in the first sample of ten
        run(world, FLEET, NEXT_NIGHT, brake=Brake(own=0.3))
        assert set(nights_served(world, FLEET[2:]).values()) == {NEXT_NIGHT}


class TestTheBrake:
    def test_holds_later_runs_and_waves_of_the_schedule_until_a_person_releases_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            break_ranking(broken)
            run(world, FLEET, NEXT_NIGHT)
        again = run(world, FLEET, NEXT_NIGHT)
        assert codes(again) == {"FLEET_BRAKE"}
        assert exit_status(again) == 3
        assert wave(world.stores, world.config, NOW + timedelta(days=1)) == 0
        assert old_everywhere(world)

        world.stores.brakes.release(by="test", why="mended", at=NOW)

        assert len(due(world.stores, NOW + timedelta(days=1))) == len(FLEET)
        assert wave(world.stores, world.config, NOW + timedelta(days=1)) == len(FLEET)
        assert set(nights_served(world).values()) == {NEXT_NIGHT}

    def test_is_pulled_again_where_nothing_was_mended(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        break_ranking(monkeypatch)
        run(world, FLEET, NEXT_NIGHT)
        world.stores.brakes.release(by="test", why="in haste", at=NOW)
        run(world, FLEET, NEXT_NIGHT)
        assert old_everywhere(world)
        assert len(world.stores.brakes.all()) == 2

    def test_of_another_driver_stops_this_one(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def conclude(*args: Any) -> Any:
            done = true_conclude(*args)
            world.stores.brakes.pull(1, "DEFECT", "elsewhere", at=NOW)
            return done

        monkeypatch.setattr(fleet, "conclude", conclude)
        results = run(world, FLEET, NEXT_NIGHT)
        served = [*nights_served(world).values()]
        assert 0 < served.count(NEXT_NIGHT) <= 10
        assert {None, "FLEET_BRAKE"} == codes(results)

    def test_is_shown_and_released_on_the_command_line(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RECFACTORY_HOME", str(world.config.home))
        world.stores.brakes.pull(1, "LISTS_EMPTY", "in wave 1", at=NOW)
        world.stores.engine.dispose()
        shown = CliRunner().invoke(recfactory, ["fleet", "show"])
        assert (shown.exit_code, "fleet release" in shown.output) == (3, True)
        held = CliRunner().invoke(recfactory, ["night", "--all"])
        assert held.exit_code == 3
        assert (held.stdout + held.stderr).count("fleet release") == 1
        done = CliRunner().invoke(recfactory, ["fleet", "release", "--why", "mended"])
        assert done.exit_code == 0, done.output
        assert CliRunner().invoke(recfactory, ["fleet", "show"]).exit_code == 0
        newest = world.stores.audit.all(1)[0]
        assert (newest.act, newest.detail["why"]) == ("fleet released", "mended")


class TestAKilledRun:
    @pytest.mark.parametrize(("after", "kept"), [(5, 0), (12, 10), (24, 24)])
    def test_is_resumed_in_waves_of_what_is_missing(
        self, after: int, kept: int, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as killed:
            kill(killed, after)
            with pytest.raises(KeyboardInterrupt):
                run(world, FLEET, NEXT_NIGHT)
        published = [name for name, at in nights_served(world).items() if at == NEXT_NIGHT]
        assert len(published) == kept
        gone(monkeypatch)
        worked = break_ranking(monkeypatch)
        run(world, FLEET, NEXT_NIGHT)
        assert [n for n, at in nights_served(world).items() if at == NEXT_NIGHT] == published
        assert len(worked) < 6


class TestTheDeadline:
    def test_stops_the_run_and_keeps_the_old_editions_of_those_that_are_left(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_minute_each(monkeypatch)
        results = run(world, FLEET, NEXT_NIGHT, deadline_minutes=25)
        served = nights_served(world)
        done = [result.tenant for result in results if code_of(result) is None]  # type: ignore[union-attr]
        assert 10 <= len(done) <= 25
        assert {name for name, at in served.items() if at == NEXT_NIGHT} == set(done)
        assert codes(results) == {None, "DEADLINE"}
        assert exit_status(results) == 1

    def test_says_so_of_every_tenant_and_none_is_due_again_before_its_next_night(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a_minute_each(monkeypatch)
        results = run(world, FLEET, NEXT_NIGHT, deadline_minutes=25)
        left = [result for result in results if code_of(result) == "DEADLINE"]
        assert len(results) == len(FLEET)
        for result in left:
            assert isinstance(result, NightReport)
            assert result.outcome is Outcome.FAILED
            assert "25 minutes" in result.because
            assert "the edition before is served" in result.because
        assert due(world.stores, NOW + timedelta(days=1)) == []
        assert len(due(world.stores, NOW + timedelta(days=2))) == len(FLEET)

    def test_before_a_sample_was_judged_publishes_nothing_and_leaves_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = files(world)
        a_minute_each(monkeypatch)
        run(world, FLEET, NEXT_NIGHT, deadline_minutes=5)
        assert old_everywhere(world)
        assert files(world) == before

    def test_that_not_all_will_meet_lets_the_most_valuable_go_first(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dear = FLEET[-12:]
        for name in dear:
            changes = {"value": 1000}
            world.stores.ledger.change_settings(name, changes, by="test", at=NOW)
        true_last = world.stores.nights.last_nights()
        figures = {"seconds": {"train": 60}, "lists": 24}
        last = {name: replace(report, figures=figures) for name, report in true_last.items()}
        monkeypatch.setattr(type(world.stores.nights), "last_nights", lambda _: last)
        a_minute_each(monkeypatch)
        run(world, FLEET, NEXT_NIGHT, deadline_minutes=14)
        served = {name for name, at in nights_served(world).items() if at == NEXT_NIGHT}
        assert served >= set(dear)

    def test_by_hand_the_night_is_done_all_the_same(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as slow:
            a_minute_each(slow)
            run(world, FLEET, NEXT_NIGHT, deadline_minutes=5)
        (result,) = run(world, FLEET[:1], NEXT_NIGHT)
        assert isinstance(result, NightReport)
        assert result.published


@pytest.mark.slow
class TestAHundredTenants:
    def test_of_which_one_is_bad_are_all_published(
        self, empty_world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = [TenantId(f"h{number:02}") for number in range(100)]
        for name in names:
            empty_world.add(name)
            empty_world.import_(name, small(name))
        break_ranking(monkeypatch, names[50])
        results = run(empty_world, names, NIGHT)
        assert exit_status(results) == 0
        assert set(nights_served(empty_world, names).values()) == {NIGHT}


def files(world: World) -> set[str]:
    """Everything of the tenants that lies on disk, but for locks."""
    root = world.config.home / "tenants"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.name != ".lock"}


def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run does, night by night."""
    told: list[str] = []
    true_work = night._work

    def work(*args: Any) -> Conclusion:
        told.append("worked")
        return true_work(*args)

    def conclude(stores: Stores, config: Any, worked: Sequence[Any], clock: Any) -> Any:
        told.extend(["published"] * len(worked))
        return true_conclude(stores, config, worked, clock)

    monkeypatch.setattr(night, "_work", work)
    monkeypatch.setattr(fleet, "conclude", conclude)
    return told


def kill(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """The process ends when so many nights were worked on."""
    true_work: Callable[..., Conclusion] = night._work
    done = 0

    def work(*args: Any) -> Conclusion:
        nonlocal done
        if done == after:
            raise KeyboardInterrupt
        done += 1
        return true_work(*args)

    monkeypatch.setattr(night, "_work", work)


def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that had taken the leases is gone: it was this one."""
    monkeypatch.setattr(night, "alive", lambda _: False)


def a_minute_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each night that is worked on takes a minute by the run's clock."""
    true_work: Callable[..., Conclusion] = night._work
    moment = datetime.now(UTC)

    def work(*args: Any) -> Conclusion:
        nonlocal moment
        moment += timedelta(minutes=1)
        return true_work(*args)

    monkeypatch.setattr(night, "_work", work)
    monkeypatch.setattr(fleet, "_clock", lambda: moment)
    monkeypatch.setattr(fleet, "_AT_ONCE", 4)  # some are never begun
