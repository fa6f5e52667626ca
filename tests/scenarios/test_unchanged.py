"""A tenant that sent nothing new keeps its model and its lists, and costs almost nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from schema.names import Action, Mode, Outcome
from schema.rules import written
from storage.rollback import activate
from tests.scenarios.test_night import bought
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

    def test_may_have_been_there_but_dated_ahead(self, tmp_path: Path) -> None:
        world = two_tenants(tmp_path, template=SHIPPED)
        early = NIGHT - timedelta(days=3)
        assert world.night(ACME, early).published

        assert world.night(ACME, NIGHT).published  # the rows of three days have come to light
        world.stores.engine.dispose()


def test_a_frozen_tenant_is_frozen_not_unchanged(world: World) -> None:
    world.switch(ACME, Mode.FREEZE)

    assert world.night(ACME, NEXT_NIGHT).outcome is Outcome.FROZEN
