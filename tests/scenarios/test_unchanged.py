"""A tenant that sent nothing new keeps its model and its lists, and costs almost nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from sqlalchemy import update

from schema.names import Action, Mode, Outcome, TenantId
from schema.rules import written
from storage.rollback import activate
from storage.rows import NIGHTS, TENANTS
from tests.scenarios.test_night import bought, burning
from tests.scenarios.tree import contents, folder_of
from tests.world import (
    ACME,
    BETA,
    LAST_DAY,
    NEXT_NIGHT,
    NIGHT,
    NOW,
    TEMPLATE,
    THIRD_NIGHT,
    World,
    tables,
    two_tenants,
)

SHIPPED = TEMPLATE.model_copy(update={"unchanged": "keep"})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """acme and beta after one night, under the shipped rule."""
    made = two_tenants(tmp_path, template=SHIPPED)
    for name in (ACME, BETA):
        assert made.night(name).published
    yield made
    made.stores.engine.dispose()


def deliver_a_day(world: World) -> None:
    rows = tables(ACME, first=LAST_DAY, last=LAST_DAY + timedelta(days=1))
    world.import_(ACME, {"interactions": rows["interactions"]})


class TestNothingNew:
    def test_is_said_and_nothing_is_made(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = contents(folder_of(world, ACME))
        monkeypatch.setattr("jobs.night.read_data", None)

        report = world.night(ACME, NEXT_NIGHT)

        assert (report.outcome, report.published) == (Outcome.UNCHANGED, False)
        assert report.because == f"no new data since the night of {NIGHT}; its model and lists stay"
        assert contents(folder_of(world, ACME)) == before

    def test_leaves_the_tenant_its_place_in_the_fleet_s_plans(self, world: World) -> None:
        """By cost, by what its lists are worth, and by the room they need."""
        worked = world.stores.nights.night(ACME, NIGHT)
        assert worked is not None
        for night in (NEXT_NIGHT, THIRD_NIGHT):
            report = world.night(ACME, night)
            assert report.seconds == 0
            assert report.likely_seconds == worked.seconds > 0
            for figure in ("lists", "bytes"):
                assert report.figures[figure] == worked.figures[figure] > 0

    def test_is_found_again_the_night_after(self, world: World) -> None:
        world.night(ACME, NEXT_NIGHT)

        assert world.night(ACME, THIRD_NIGHT).outcome is Outcome.UNCHANGED

    def test_may_be_the_same_files_once_more(self, world: World) -> None:
        world.import_(ACME, tables(ACME))

        assert world.night(ACME, NEXT_NIGHT).outcome is Outcome.UNCHANGED

    def test_ends_with_the_days_that_the_lists_speak_of(self, world: World) -> None:
        last = NIGHT + timedelta(days=7)  # the tests' only window
        assert world.night(ACME, last - timedelta(days=1)).outcome is Outcome.UNCHANGED
        assert world.night(ACME, last).published

    def test_is_no_reason_where_the_tenant_wants_every_night(self, world: World) -> None:
        world.stores.ledger.change_settings(ACME, {"unchanged": "retrain"}, by="test", at=NOW)
        assert world.night(ACME, NEXT_NIGHT).published

        assert world.night(ACME, THIRD_NIGHT).published  # by the same settings as the night before


class TestSomethingNew:
    def test_may_be_a_delivery(self, world: World) -> None:
        deliver_a_day(world)

        assert world.night(ACME, NEXT_NIGHT).published
        assert world.night(BETA, NEXT_NIGHT).outcome is Outcome.UNCHANGED

    def test_may_be_as_many_rows_with_another_content(self, world: World) -> None:
        products = tables(ACME)["products"]
        dearer = pa.array([2.5 * (n + 1) for n in range(len(products))])
        world.import_(ACME, {"products": products.set_column(3, "price", dearer)})

        assert world.night(ACME, NEXT_NIGHT).published

    def test_may_be_feedback(self, world: World) -> None:
        event = bought("C-0001", f"{ACME}-P-01", "e-1", NOW)
        world.stores.feedback.record(ACME, [event], lambda: NOW)

        assert world.night(ACME, NEXT_NIGHT).published
        assert world.night(BETA, NEXT_NIGHT).outcome is Outcome.UNCHANGED

    def test_waits_for_the_next_night_where_feedback_came_after_this_one_began(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("jobs.night.unchanged", burning)
            assert world.night(ACME, NEXT_NIGHT).outcome is Outcome.FAILED
        late = datetime(2026, 4, 2, 9, tzinfo=UTC)
        event = bought("C-0001", f"{ACME}-P-01", "e-1", NOW)
        world.stores.feedback.record(ACME, [event], lambda: late)

        repeated = world.night(ACME, NEXT_NIGHT, lambda: late + timedelta(hours=1))

        assert repeated.outcome is Outcome.UNCHANGED
        assert world.night(ACME, THIRD_NIGHT).published

    def test_may_be_a_setting(self, world: World) -> None:
        world.stores.ledger.change_settings(ACME, {"lists.length": 40}, by="test", at=NOW)

        assert world.night(ACME, NEXT_NIGHT).published

    def test_may_be_a_rule_and_its_end(self, world: World) -> None:
        rule = written(
            Action.EXCLUDE,
            product=f"{ACME}-P-01",
            until=f"{NEXT_NIGHT}T12:00:00Z",
            why="a fair",
            zone=ZoneInfo("UTC"),
            by="test",
            at=NOW,
        )
        world.stores.ledger.add_rule(ACME, rule, at=NOW)
        noon = datetime(2026, 4, 2, 11, tzinfo=UTC)
        assert world.night(ACME, NEXT_NIGHT, lambda: noon).published

        assert world.night(ACME, THIRD_NIGHT).published

    def test_may_be_another_program(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("jobs.unchanged._CODE", "another")

        assert world.night(ACME, NEXT_NIGHT).published

    def test_may_be_an_older_edition_that_serves(self, world: World) -> None:
        deliver_a_day(world)
        assert world.night(ACME, NEXT_NIGHT).published
        hold = timedelta(hours=1)
        activate(world.stores, world.tenant(ACME), 1, hold=hold, by="ann", why="odd", now=NOW)

        assert world.night(ACME, THIRD_NIGHT).published

    @pytest.mark.parametrize("told", ["newest", "horizon_days", "data_fingerprint", "made_from"])
    def test_may_be_all_that_an_earlier_version_did_not_note(self, world: World, told: str) -> None:
        figures = {**world.stores.nights.last_nights()[ACME].figures}
        del figures[told]
        with world.stores.engine.begin() as connection:
            connection.execute(
                update(NIGHTS).where(NIGHTS.c.tenant == ACME).values(figures=figures)
            )

        assert world.night(ACME, NEXT_NIGHT).published

    def test_may_be_a_model_that_a_person_put_in_force(self, world: World) -> None:
        with world.stores.engine.begin() as connection:
            connection.execute(update(TENANTS).where(TENANTS.c.tenant == ACME).values(model=1))

        assert world.night(ACME, NEXT_NIGHT).published

    def test_may_be_that_nothing_is_served_any_more(self, world: World) -> None:
        (folder_of(world, ACME) / "CURRENT").unlink()

        assert world.night(ACME, NEXT_NIGHT).published

    def test_may_be_an_older_edition_of_the_same_model(self, world: World) -> None:
        world.stores.ledger.change_settings(ACME, {"frozen_lists": "rerank"}, by="test", at=NOW)
        older = world.night(ACME, NEXT_NIGHT)
        world.switch(ACME, Mode.FREEZE)
        newer = world.night(ACME, THIRD_NIGHT)
        assert (newer.model, newer.edition) == (older.model, 3)
        world.switch(ACME, Mode.ON)
        hold = timedelta(hours=1)
        activate(world.stores, world.tenant(ACME), 2, hold=hold, by="ann", why="odd", now=NOW)

        assert world.night(ACME, THIRD_NIGHT + timedelta(days=1)).published

    def test_may_have_happened_at_the_very_midnight_of_the_tenant(self, tmp_path: Path) -> None:
        world, name = two_tenants(tmp_path, template=SHIPPED), TenantId("east")
        world.add(name, "Pacific/Kiritimati")  # ten in the morning in Greenwich, when all is sold
        world.import_(name, tables(name))
        assert world.night(name).published

        assert world.night(name, NEXT_NIGHT).published
        assert world.night(name, THIRD_NIGHT).outcome is Outcome.UNCHANGED
        world.stores.engine.dispose()

    def test_may_have_been_there_but_dated_ahead(self, tmp_path: Path) -> None:
        world = two_tenants(tmp_path, template=SHIPPED)
        early = NIGHT - timedelta(days=3)
        assert world.night(ACME, early).published

        assert world.night(ACME, NIGHT).published  # the rows of three days have come to light
        world.stores.engine.dispose()


@pytest.mark.parametrize("lists", ["keep", "rerank"])
def test_a_frozen_tenant_is_frozen_not_unchanged(world: World, lists: str) -> None:
    world.stores.ledger.change_settings(ACME, {"frozen_lists": lists}, by="test", at=NOW)
    world.night(ACME, NEXT_NIGHT)
    world.switch(ACME, Mode.FREEZE)

    report = world.night(ACME, THIRD_NIGHT)

    assert (report.outcome, report.published) == (Outcome.FROZEN, lists == "rerank")
