"""A fleet of new tenants, registered and imported in bulk, and what is rationed among them."""

from datetime import date, timedelta

import pytest
from sqlalchemy import delete, insert

from jobs.fleet import _Run, in_turn
from jobs.many import Outcome, take_in
from jobs.results import Task
from schema.names import TenantId
from schema.records import Choice, Lease
from schema.settings import TuningSettings
from storage.rows import CHOICES, NIGHTS
from tests.benchmarks.test_runs import sold
from tests.world import ACME, BETA, NIGHT, NOW, World


def taken_in(world: World, *numbers: int, spoilt: int | None = None) -> dict[int, Outcome]:
    """What was told of each part; one may have no line that fits."""
    made = [sold(number) for number in numbers]
    made = [
        part._replace(lines=part.lines.assign(quantity=0)) if part.number == spoilt else part
        for part in made
    ]
    told: dict[int, Outcome] = {}
    folder = world.config.home / "demo"
    take_in(world.stores, world.config, made, folder, told.__setitem__, by="ann")
    return told


class TestABulk:
    def test_is_registered_imported_and_on_record_as_if_one_by_one(
        self, empty_world: World
    ) -> None:
        stores = empty_world.stores
        assert taken_in(empty_world, 1, 2) == {1: None, 2: None}
        for name in (TenantId("m1"), TenantId("m2")):
            tenant = stores.ledger.tenant(name)
            assert len(stores.datasets.read(tenant.uid, "interactions")) == 48
            [report] = stores.imports.reports(name)
            assert report["report"]["tenant"] == name
            acts = [line.act for line in stores.audit.of(name)]
            assert sorted(acts) == ["import", "register"]

    def test_once_in_stays_as_it_is_and_only_what_is_missing_is_added(
        self, empty_world: World
    ) -> None:
        taken_in(empty_world, 1)
        uid = empty_world.tenant(TenantId("m1")).uid
        stamp = empty_world.stores.datasets.stamp(uid)
        assert taken_in(empty_world, 1, 2) == {1: None, 2: None}
        assert empty_world.tenant(TenantId("m1")).uid == uid
        assert empty_world.stores.datasets.stamp(uid) == stamp
        assert len(empty_world.stores.imports.reports(TenantId("m1"))) == 1

    def test_goes_on_where_one_is_refused_and_says_why(self, empty_world: World) -> None:
        told = taken_in(empty_world, 1, 2, spoilt=1)
        assert "quantity must be above 0" in str(told[1])
        assert told[2] is None
        assert empty_world.stores.imports.tenants() == {"m2"}


class TestSearches:
    """Every tenant of a new fleet is due for a search on the same date."""

    def run(self, world: World, night: date = NIGHT, *, at_once: int = 0) -> dict[TenantId, bool]:
        """Which may search tonight, in a fleet of two; where so many do it at once."""
        nightly = world.config.nightly.model_copy(update={"searches": at_once})
        template = world.config.template.model_copy(update={"tuning": TuningSettings()})
        config = world.config.model_copy(update={"nightly": nightly, "template": template})
        fleet = _Run(world.stores, config, lambda *_: None)
        tasks = [Task(BETA, night), Task(ACME, night)]
        found = {begun.tenant.tenant: begun.searches for begun in fleet.begun(tasks)}
        release(world, night)
        return found

    def nights_of(self, world: World, name: TenantId, days: int) -> list[date]:
        before = world.stores.nights.before([name])[name]
        nights = [NIGHT + timedelta(days=n) for n in range(1, days + 1)]
        return [night for night in nights if in_turn(before, lease_of(name, night), 28)]

    @pytest.mark.parametrize(("at_once", "all_of_them"), [(1, False), (2, True)])
    def test_fall_on_one_night_in_a_small_fleet_only(
        self, world: World, at_once: int, all_of_them: bool
    ) -> None:
        found = self.run(world, self.nobodys_turn(world), at_once=at_once)
        assert found == {ACME: all_of_them, BETA: all_of_them}

    def test_have_one_night_of_28_for_each_tenant(self, world: World) -> None:
        turns = {name: self.nights_of(world, name, 28) for name in (ACME, BETA)}
        assert [len(nights) for nights in turns.values()] == [1, 1]
        assert turns[ACME] != turns[BETA]

    def test_are_the_same_when_the_night_is_done_again_by_whomever(self, world: World) -> None:
        [night] = self.nights_of(world, ACME, 28)
        assert self.run(world, night) == self.run(world, night) == {ACME: True, BETA: False}
        world.night(BETA, night)
        assert self.run(world, night) == {ACME: True}

    def test_miss_no_turn_that_came_since_the_last_published_night(self, world: World) -> None:
        [turn] = self.nights_of(world, ACME, 28)
        assert world.night(ACME, turn - timedelta(days=1)).published
        assert turn + timedelta(days=6) in self.nights_of(world, ACME, 60)
        assert world.night(ACME, turn + timedelta(days=6)).published
        assert turn + timedelta(days=7) not in self.nights_of(world, ACME, 60)

    def test_have_one_day_of_the_week_once_a_choice_is_made(self, world: World) -> None:
        [turn] = self.nights_of(world, ACME, 28)
        chosen = Choice(turn, {}, "as they are", {})
        with world.stores.engine.begin() as connection:
            told = {name: getattr(chosen, name) for name in Choice.__slots__}
            connection.execute(insert(CHOICES).values(tenant=ACME, **told))
        weeks = {turn + timedelta(days=7 * n) for n in range(-4, 5)}
        assert {*self.nights_of(world, ACME, 28)} == {
            night for night in weeks if NIGHT < night <= NIGHT + timedelta(days=28)
        }
        assert len(self.nights_of(world, BETA, 28)) == 1

    def nobodys_turn(self, world: World) -> date:
        taken = {*self.nights_of(world, ACME, 3), *self.nights_of(world, BETA, 3)}
        return next(night for n in (1, 2, 3) if (night := NIGHT + timedelta(days=n)) not in taken)


def lease_of(name: TenantId, night: date) -> Lease:
    return Lease(name, night, 1, NOW)


def release(world: World, night: date) -> None:
    """As after a kill: nights that were begun may be begun again."""
    with world.stores.engine.begin() as connection:
        connection.execute(
            delete(NIGHTS).where(NIGHTS.c.night == night, NIGHTS.c.state == "running")
        )
