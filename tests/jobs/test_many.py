"""A fleet of new tenants, registered and imported in bulk, and what is rationed among them."""

from datetime import date

import pytest
from sqlalchemy import delete, update

from jobs.fleet import _Run
from jobs.many import Outcome, take_in
from jobs.results import Task
from schema.names import Outcome as Verdict
from schema.names import TenantId
from schema.settings import TuningSettings
from storage.rows import NIGHTS
from tests.benchmarks.test_runs import sold
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, World


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


class TestTheRationOfSearches:
    """Every tenant of a new fleet is due for a search on the same date."""

    def run(self, world: World, searches: int, night: date = NIGHT) -> dict[TenantId, bool]:
        nightly = world.config.nightly.model_copy(update={"searches": searches})
        template = world.config.template.model_copy(update={"tuning": TuningSettings()})
        config = world.config.model_copy(update={"nightly": nightly, "template": template})
        fleet = _Run(world.stores, config, lambda *_: None)
        tasks = [Task(ACME, night), Task(BETA, night)]
        found = {begun.tenant.tenant: begun.searches for begun in fleet.begun(tasks)}
        release(world, night)
        return found

    @pytest.mark.parametrize(
        ("searches", "expected"), [(0, (False, False)), (1, (True, False)), (9, (True, True))]
    )
    def test_goes_to_the_first_that_are_due(
        self, world: World, searches: int, expected: tuple[bool, bool]
    ) -> None:
        assert tuple(self.run(world, searches).values()) == expected

    def test_counts_what_was_searched_before_a_kill(self, world: World) -> None:
        self.last_night_of_acme(world, Verdict.REJECTED, {"searched": True})
        assert self.run(world, 1) == {BETA: False}
        assert self.run(world, 2) == {BETA: True}

    @pytest.mark.parametrize("figures", [{"searched": True}, {"searched": False}])
    def test_is_not_spent_again_where_a_search_was_in_vain_of_late(
        self, world: World, figures: dict[str, bool]
    ) -> None:
        self.last_night_of_acme(world, Verdict.REJECTED, figures)
        after = self.run(world, 1, NEXT_NIGHT)
        assert after == {ACME: not figures["searched"], BETA: figures["searched"]}

    def test_is_not_spent_on_a_tenant_too_small_to_be_judged(self, world: World) -> None:
        self.last_night_of_acme(world, Verdict.TOO_SMALL, {})
        assert self.run(world, 1, NEXT_NIGHT) == {ACME: False, BETA: True}

    def last_night_of_acme(self, world: World, verdict: Verdict, figures: dict[str, bool]) -> None:
        assert world.night(ACME).published
        with world.stores.engine.begin() as connection:
            connection.execute(
                update(NIGHTS)
                .where(NIGHTS.c.tenant == ACME)
                .values(outcome=verdict.value, figures=figures)
            )


def release(world: World, night: date) -> None:
    """As after a kill: nights that were begun may be begun again."""
    with world.stores.engine.begin() as connection:
        connection.execute(
            delete(NIGHTS).where(NIGHTS.c.night == night, NIGHTS.c.state == "running")
        )
