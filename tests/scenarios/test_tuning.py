"""A tenant's own hyper-parameters, from its first night on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from factory import tune as tuning
from factory.affinity import AFFINITY
from factory.train import train
from schema.names import Mode, Outcome, TenantId
from schema.records import Model, NightReport
from schema.settings import TuningSettings
from tests.scenarios.test_rules import cli
from tests.world import (
    ACME,
    BETA,
    NEXT_NIGHT,
    NIGHT,
    NOW,
    TEMPLATE,
    THIRD_NIGHT,
    World,
    two_tenants,
)

WITHOUT = "blend.without"
BLIND = [*AFFINITY, "als"]
"""What the template of these tests leaves out: nothing is left that sees the planted taste."""
SEEING = {WITHOUT: list(AFFINITY)}


def template(**tuned: float) -> Any:
    blend = TEMPLATE.blend.model_copy(update={"without": tuple(BLIND)})
    rule = TuningSettings(**{"core_seconds": 1e6, **tuned})
    return TEMPLATE.model_copy(update={"blend": blend, "tuning": rule})


def opened(folder: Path, **tuned: float) -> World:
    return two_tenants(folder, template=template(**tuned))


@pytest.fixture(autouse=True)
def _two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings as they are, and those that see the planted taste."""
    monkeypatch.setattr(tuning, "CANDIDATES", ({}, SEEING))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """acme and beta, data imported, no night yet; a tenant may search for a month at a time."""
    made = opened(tmp_path)
    yield made
    made.stores.engine.dispose()


def set_(world: World, changes: dict[str, Any], name: TenantId = ACME) -> None:
    world.stores.ledger.change_settings(name, changes, by="test", at=NOW)


def without(world: World, report: NightReport) -> list[str]:
    """What the newest challenger of the night was made without, as its file says."""
    assert report.model is not None
    uid = world.tenant(report.tenant).uid
    return list(world.stores.models.load(uid, report.model).settings.blend.without)


def shown(world: World, name: TenantId = ACME) -> dict[str, Any]:
    done = cli(world, "tenant", "show", name, "--json")
    assert done.exit_code == 0, done.output
    body: dict[str, Any] = json.loads(done.stdout)
    return body


class TestTheFirstNight:
    def test_chooses_and_its_models_are_made_that_way(self, world: World) -> None:
        report = world.night(ACME)

        [choice] = world.stores.nights.choices(ACME)
        assert (choice.night, choice.changes) == (NIGHT, SEEING)
        assert (report.outcome, without(world, report)) == (Outcome.PROMOTED, list(AFFINITY))
        first = world.stores.models.load(world.tenant(ACME).uid, 1)
        assert list(first.settings.blend.without) == list(AFFINITY)

    def test_says_what_and_why_and_how_long_it_took(self, world: World) -> None:
        report = world.night(ACME)

        [choice] = world.stores.nights.choices(ACME)
        assert report.figures["tuning"] == {"changes": SEEING, "because": choice.because}
        assert "the best of 2 settings on the 7 days from 2026-03-18" in choice.because
        assert "tune" in report.figures["seconds"]

    def test_is_shown_with_the_tenant(self, world: World) -> None:
        assert shown(world)["tuned"] == {}
        world.night(ACME)

        body = shown(world)
        assert (body["tuned"], body["changes"]) == (SEEING, {})
        assert body["settings"]["blend"]["without"] == list(AFFINITY)

    def test_chooses_nothing_for_the_other_tenant(self, world: World) -> None:
        world.night(ACME)

        assert world.stores.nights.choices(BETA) == []
        assert shown(world, BETA)["tuned"] == {}
        set_(world, {"tuning.core_seconds": 0}, BETA)
        assert without(world, world.night(BETA)) == BLIND

    def test_that_failed_chose_nothing_and_chooses_when_it_is_repeated(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("a defect")

        with monkeypatch.context() as patch:
            patch.setattr("jobs.night.rank", broken)
            assert world.night(ACME).outcome is Outcome.FAILED
        assert world.stores.nights.choices(ACME) == []
        assert world.night(ACME).figures["tuning"]["changes"] == SEEING

    def test_that_may_take_no_time_leaves_the_templates(self, tmp_path: Path) -> None:
        world = opened(tmp_path, core_seconds=0)
        report = world.night(ACME)

        assert (report.figures["tuning"], without(world, report)) == (None, BLIND)
        assert world.stores.nights.choices(ACME) == []

    def test_of_a_tenant_too_small_to_judge_chooses_nothing(self, world: World) -> None:
        set_(world, {"windows.min_pairs": 1_000_000})
        report = world.night(ACME)

        assert (report.outcome, report.figures["tuning"]) == (Outcome.TOO_SMALL, None)
        assert world.stores.nights.choices(ACME) == []


class TestTheTenantsOwnSetting:
    def test_is_left_alone_by_the_search(self, world: World) -> None:
        set_(world, {WITHOUT: BLIND})
        report = world.night(ACME)

        assert report.figures["tuning"] is None  # nothing else is tried in this world
        assert without(world, report) == BLIND

    def test_wins_over_what_was_chosen_before_and_gives_way_when_it_is_taken_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made_without = []

        def spied(*given: Any, **how: Any) -> Model:
            made = train(*given, **how)
            made_without.append(list(made.settings.blend.without))
            return made

        world.night(ACME)
        monkeypatch.setattr("jobs.night.train", spied)
        set_(world, {WITHOUT: ["neighbours"]})
        assert shown(world)["tuned"] == SEEING
        assert shown(world)["settings"]["blend"]["without"] == ["neighbours"]
        world.night(ACME, NEXT_NIGHT)

        set_(world, {})
        assert shown(world)["settings"]["blend"]["without"] == list(AFFINITY)
        world.night(ACME, THIRD_NIGHT)

        assert made_without == [["neighbours"], list(AFFINITY)]


class TestLaterNights:
    def test_keep_the_choice_and_do_not_search_again(self, world: World) -> None:
        world.night(ACME)
        [choice] = world.stores.nights.choices(ACME)
        report = world.night(ACME, NEXT_NIGHT)

        assert report.figures["tuning"] is None
        assert world.stores.nights.choices(ACME) == [choice]
        assert without(world, report) == list(AFFINITY)

    def test_search_again_once_the_choice_is_old_from_the_template_not_from_the_choice(
        self, tmp_path: Path
    ) -> None:
        world = opened(tmp_path, every_days=1)
        world.night(ACME)
        report = world.night(ACME, NEXT_NIGHT)

        newer, older = world.stores.nights.choices(ACME)
        assert (newer.night, older.night) == (NEXT_NIGHT, NIGHT)
        assert newer.changes == report.figures["tuning"]["changes"] == SEEING
        assert newer.figures["trials"][1]["gain"] > 0.01

    def test_that_are_repeated_do_not_search_again(self, world: World) -> None:
        report = world.night(ACME)
        choices = world.stores.nights.choices(ACME)

        assert world.night(ACME) == report
        assert world.stores.nights.choices(ACME) == choices


class TestAFrozenTenant:
    @pytest.mark.parametrize("lists", ["keep", "rerank"])
    def test_is_not_searched_for(self, tmp_path: Path, lists: str) -> None:
        world = opened(tmp_path, every_days=1)
        set_(world, {"frozen_lists": lists})
        report = world.night(ACME)
        choices = world.stores.nights.choices(ACME)
        world.switch(ACME, Mode.FREEZE)

        frozen = world.night(ACME, NEXT_NIGHT)

        assert frozen.outcome is Outcome.FROZEN
        assert frozen.published is (lists == "rerank")
        assert not frozen.figures.get("tuning")
        assert world.stores.nights.choices(ACME) == choices
        assert world.tenant(ACME).model == report.model

    def test_before_its_first_night_has_no_choice(self, world: World) -> None:
        world.switch(ACME, Mode.FREEZE)
        world.night(ACME)
        assert world.stores.nights.choices(ACME) == []
