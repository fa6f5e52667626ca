"""After the fact: what a night says of the edition whose days are over."""

import json
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.results import exit_status
from schema.names import Mode, Outcome, TenantId
from schema.records import NightReport, Realised, Verdict, entries
from storage.rollback import activate
from tests.scenarios.test_cli import Cli
from tests.scenarios.tree import folder_of
from tests.weeks import WEEK, between, deliver, first_night, told, turned
from tests.world import ACME, BETA, FIRST_DAY, NIGHT, NOW, World, open_world

DAY = timedelta(days=1)
DUE = NIGHT + WEEK
"""The night in which the first edition comes due."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after the first night of acme and beta."""
    folder = tmp_path_factory.mktemp("begun")
    first_night(folder).stores.engine.dispose()
    return folder


@pytest.fixture
def world(begun: Path, tmp_path: Path) -> Iterator[World]:
    """acme and beta after their first night; nothing of the next week has arrived."""
    shutil.copytree(begun / "home", tmp_path / "home")
    made = open_world(tmp_path)
    yield made
    made.stores.engine.dispose()


def lived(world: World, name: TenantId = ACME, until: date = DUE) -> None:
    """Deliver what happened since the first night."""
    deliver(world, name, between(name, NIGHT, until))


def series(world: World, name: TenantId = ACME) -> list[Realised]:
    return world.stores.nights.realised(name)


def said(report: NightReport) -> dict[str, Any]:
    found: dict[str, Any] = report.figures["realised"]
    return found


class TestANight:
    def test_scores_the_edition_whose_days_are_over(self, world: World) -> None:
        lived(world)
        report = world.night(ACME, DUE)
        [point] = series(world)
        assert said(report) == json.loads(json.dumps(point.as_json()))
        model = world.stores.nights.nights(ACME)[1].model
        assert (point.edition, point.model, point.night) == (1, model, DUE)
        assert (point.starts, point.ends, point.lists) == (NIGHT, DUE, "served")
        assert point.figures is not None
        assert point.figures["pairs"] == 60 * 24
        assert not point.flagged
        assert exit_status([report]) == 0

    def test_finds_what_its_gate_finds_of_the_same_model_on_the_same_days(
        self, world: World
    ) -> None:
        """Nights a week apart: the days since are tonight's judge window, and the model of then
        is tonight's incumbent.
        """
        lived(world)
        report = world.night(ACME, DUE)
        for name in ("rmse", "mae", "bought", "calibration", "skill"):
            assert said(report)[name] == report.figures["incumbent"][name], name

    def test_puts_it_beside_what_the_gate_had_predicted(self, world: World) -> None:
        [first] = world.stores.nights.nights(ACME)
        lived(world)
        foretold = said(world.night(ACME, DUE))["predicted"]
        won = first.outcome is Outcome.PROMOTED
        judged = first.figures["challenger" if won else "incumbent"]
        assert foretold == {
            "mse": judged["rmse"] ** 2,
            **{n: judged[n] for n in foretold if n != "mse"},
        }

    def test_measures_the_lists_that_were_really_served(self, world: World) -> None:
        """Entry by entry of the edition, against the lines that were delivered."""
        lived(world)
        edition = world.stores.editions.open(world.tenant(ACME).uid, 1)
        lines = between(ACME, NIGHT, DUE)
        bought: dict[str, set[str]] = {}
        for customer, product in zip(
            lines["customer_id"].to_pylist(), lines["product_id"].to_pylist(), strict=True
        ):
            bought.setdefault(customer, set()).add(product)
        ndcgs, recalls = [], []
        for customer, wanted in bought.items():
            best = entries(edition.lists.of(customer) or b"")[:10]
            shown = [edition.products[entry.product].product_id for entry in best]
            gain = sum(1 / np.log2(n + 2) for n, product in enumerate(shown) if product in wanted)
            ndcgs.append(gain / sum(1 / np.log2(n + 2) for n in range(min(10, len(wanted)))))
            recalls.append(len(wanted & set(shown)) / len(wanted))
        edition.lists.close()
        found = said(world.night(ACME, DUE))
        assert found["ndcg_at_10"] == pytest.approx(np.mean(ndcgs))
        assert found["recall_at_10"] == pytest.approx(np.mean(recalls))

    def test_waits_until_the_days_are_over(self, world: World) -> None:
        lived(world)
        report = world.night(ACME, DUE - DAY)
        assert report.figures["realised"] is None
        assert series(world) == []

    def test_that_is_repeated_gives_the_same_point_once(self, world: World) -> None:
        lived(world)
        report = world.night(ACME, DUE)
        points = series(world)
        assert world.night(ACME, DUE) == report
        assert series(world) == points

    def test_that_runs_again_in_another_mode_tells_the_point_it_made(self, world: World) -> None:
        lived(world)
        world.switch(ACME, Mode.FREEZE)
        frozen = world.night(ACME, DUE)
        world.switch(ACME, Mode.ON)
        again = world.night(ACME, DUE)
        assert said(again) == said(frozen)
        assert len(series(world)) == 1

    def test_does_not_see_what_happened_after_those_days(
        self, world: World, begun: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(begun / "home", tmp_path / "twin" / "home")
        twin = open_world(tmp_path / "twin")
        lived(world)
        lived(twin)
        deliver(twin, ACME, turned(between(ACME, DUE, DUE + 2 * WEEK)))
        world.night(ACME, DUE + 3 * DAY)
        twin.night(ACME, DUE + 3 * DAY)
        ours, theirs = series(world)[0], series(twin)[0]
        assert ours == theirs
        twin.stores.engine.dispose()

    def test_of_another_tenant_is_not_touched(self, world: World) -> None:
        """The same customers, other products: beta's figures are the same whatever acme lived."""
        lived(world, BETA)
        alone = said(world.night(BETA, DUE))
        assert series(world, ACME) == []
        deliver(world, ACME, turned(between(ACME, NIGHT, DUE)))
        world.night(ACME, DUE)
        assert said(world.stores.nights.nights(BETA)[0]) == alone
        assert series(world, BETA)[0].figures != series(world, ACME)[0].figures


class TestTastesThatTurnedOvernight:
    def turn(self, world: World) -> NightReport:
        deliver(world, ACME, turned(between(ACME, NIGHT, DUE)))
        return world.night(ACME, DUE)

    def test_are_flagged_and_ask_for_a_person(self, world: World) -> None:
        report = self.turn(world)
        assert said(report)["flagged"]
        assert said(report)["because"].startswith("above its band and above the threshold of 0.25")
        assert report.published
        assert exit_status([report]) == 3

    def test_are_seen_by_the_operator_in_every_place(
        self,
        world: World,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.turn(world)
        cli = Cli(world.config.home, capsys, monkeypatch)
        again = cli("night", ACME, "--date", DUE)
        assert again.status == 3
        assert "flagged" in again.out
        assert "acme, flagged: above its band" in again.told
        assert f"Next: see `recfactory model quality {ACME}`" in again.told
        assert cli("night", ACME, "--date", DUE, "--json").json[0]["realised"]["flagged"] is True
        why = cli.well("why", ACME).out
        assert "flagged    above its band" in why
        assert "Next: see `recfactory model quality acme`" in why
        shown = cli.well("model", "quality", ACME).out
        assert "flagged" in shown
        assert "2026-04-08: above its band" in shown
        [line] = cli.well("model", "quality", ACME, "--json").json
        assert (line["tenant"], line["edition"], line["flagged"]) == ("acme", 1, True)
        assert line["rmse"] > line["predicted"]["rmse"]
        assert cli.well("model", "quality", BETA, "--json").json == []
        assert "Nothing has come due yet" in cli.well("model", "quality", BETA).out

    def test_are_flagged_by_the_absolute_threshold_alone(self, world: World) -> None:
        changes = {"realised.first_band": 100, "realised.max_rmse": 0.1}
        world.stores.ledger.change_settings(ACME, changes, by="test", at=NOW)
        lived(world)
        report = world.night(ACME, DUE)
        assert said(report)["because"].startswith("above the threshold of 0.1: ")
        assert exit_status([report]) == 3


class TestAFrozenTenant:
    @pytest.fixture(autouse=True)
    def _frozen(self, world: World) -> None:
        world.switch(ACME, Mode.FREEZE)

    def test_is_scored_every_week_by_what_it_goes_on_serving(self, world: World) -> None:
        for week in (1, 2, 3):
            lived(world, until=NIGHT + week * WEEK)
            report = world.night(ACME, NIGHT + week * WEEK)
            assert report.outcome is Outcome.FROZEN
            assert said(report)["starts"] == (NIGHT + (week - 1) * WEEK).isoformat()
        assert [point.edition for point in series(world)] == [1, 1, 1]

    def test_reads_nothing_in_a_night_without_anything_due(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unread(*_: object) -> None:
            raise AssertionError("nothing is due")

        monkeypatch.setattr("jobs.night.read_data", unread)
        assert world.night(ACME, DUE - DAY).figures == {}

    def test_is_flagged_when_its_customers_move_on(self, world: World) -> None:
        deliver(world, ACME, turned(between(ACME, NIGHT, DUE)))
        report = world.night(ACME, DUE)
        assert (report.outcome, exit_status([report])) == (Outcome.FROZEN, 3)


class TestATenantThatIsOff:
    def test_is_not_scored_and_is_later_for_the_days_it_was_on(self, world: World) -> None:
        world.switch(ACME, Mode.OFF)
        lived(world)
        assert world.night(ACME, DUE).figures == {}
        assert series(world) == []
        world.switch(ACME, Mode.ON)
        assert said(world.night(ACME, DUE + DAY))["starts"] == NIGHT.isoformat()


class TestNightsEveryDay:
    def test_score_each_edition_in_its_turn_though_its_lists_have_expired(
        self, world: World
    ) -> None:
        """Four editions are kept; the model that ranked the expired ones is."""
        lived(world, until=DUE + 2 * DAY)
        for day in range(1, 10):
            world.night(ACME, NIGHT + day * DAY)
        found = [(point.edition, point.starts, point.lists) for point in reversed(series(world))]
        assert found == [(n, NIGHT + (n - 1) * DAY, "model") for n in (1, 2, 3)]
        assert all(point.figures for point in series(world))

    def test_keep_every_model_that_is_still_awaited(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However often the gate promotes, and however few are kept."""
        promoted = Verdict(Outcome.PROMOTED, "a test")
        monkeypatch.setattr("jobs.night.decide", lambda *_, **__: promoted)
        publishing = world.config.publishing.model_copy(update={"keep_models": 2})
        few = World(
            world.config.model_copy(update={"publishing": publishing}), world.stores, world.folder
        )
        lived(few, until=DUE)
        for day in range(1, 8):
            few.night(ACME, NIGHT + day * DAY)
        uid = few.tenant(ACME).uid
        week = {row["model"] for row in few.stores.nights.editions(ACME) if row["night"] > NIGHT}
        assert len(week) == 7
        assert week <= set(few.stores.models.numbers(uid))
        assert few.stores.nights.editions(ACME)[-1]["model"] not in few.stores.models.numbers(uid)


class TestAnEditionThatCannotBeScored:
    def test_for_its_model_has_expired_says_so_and_is_not_asked_for_again(
        self, world: World
    ) -> None:
        lived(world)
        world.switch(ACME, Mode.FREEZE)
        tenant = world.tenant(ACME)
        assert tenant.model is not None
        world.stores.models.discard(tenant.uid, tenant.model)
        report = world.night(ACME, DUE)
        assert said(report)["because"] == f"not scored: model {tenant.model} has expired"
        assert exit_status([report]) == 0
        assert [point.figures for point in series(world)] == [None]
        assert world.night(ACME, DUE + DAY).figures == {}

    def test_for_nothing_has_arrived_yet_is_scored_when_it_has(self, world: World) -> None:
        world.switch(ACME, Mode.FREEZE)
        report = world.night(ACME, DUE)
        assert said(report)["because"].startswith("not scored: no purchase from 2026-04-01 on")
        assert (exit_status([report]), series(world)) == (0, [])
        lived(world)
        assert said(world.night(ACME, DUE + DAY))["starts"] == NIGHT.isoformat()

    def test_for_its_files_are_damaged_asks_for_a_person_and_stops_no_night(
        self, world: World
    ) -> None:
        lived(world)
        path = folder_of(world, ACME) / "editions" / "e000001" / "products.json"
        path.chmod(0o644)
        path.write_bytes(b"[]")
        report = world.night(ACME, DUE)
        assert (report.published, report.edition) == (True, 2)
        assert said(report)["flagged"]
        assert said(report)["because"].startswith("not scored: ")
        assert exit_status([report]) == 3

    def test_for_a_defect_stops_no_night_either(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("a defect")

        lived(world)
        monkeypatch.setattr("jobs.realised.realise", broken)
        report = world.night(ACME, DUE)
        assert report.published
        assert said(report) == {
            "flagged": True,
            "because": "not scored: ZeroDivisionError: a defect",
        }
        assert series(world) == []


class TestARollback:
    def test_leaves_the_newer_edition_to_answer_for_itself(self, world: World) -> None:
        lived(world, until=DUE + WEEK)
        world.night(ACME, DUE)
        tenant = world.tenant(ACME)
        hold = timedelta(hours=36)
        activate(world.stores, tenant, 1, hold=hold, by="ann", why="odd", now=NOW + WEEK)
        report = world.night(ACME, DUE + WEEK)
        assert [point.edition for point in series(world)] == [2, 1]
        assert said(report)["edition"] == 2


class TestASmallTenant:
    def test_is_measured_against_the_threshold_alone(self, tmp_path: Path) -> None:
        world = open_world(tmp_path)
        world.add(ACME)
        few = told(ACME)["customers"].slice(0, 5)
        ids = set(few["customer_id"].to_pylist())

        def made(start: date, end: date) -> Any:
            lines = between(ACME, start, end)
            return lines.filter([name in ids for name in lines["customer_id"].to_pylist()])

        world.import_(
            ACME, {**told(ACME), "customers": few, "interactions": made(FIRST_DAY, NIGHT)}
        )
        first = world.night(ACME)
        assert first.outcome is Outcome.TOO_SMALL
        due = NIGHT + timedelta(days=first.figures["horizon_days"])
        deliver(world, ACME, made(NIGHT, due))
        found = said(world.night(ACME, due))
        assert (found["predicted"], found["band"], found["foreseen_rmse"]) == (None, None, None)
        assert found["pairs"] == 5 * 24
        assert found["flagged"] is (found["rmse"] > 0.25)
        world.stores.engine.dispose()
