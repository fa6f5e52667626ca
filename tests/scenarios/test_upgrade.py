"""What becomes of a tenant whose model and edition an older version made."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.results import exit_status
from schema.names import Mode, Outcome, TenantId
from tests.scenarios.test_rules import cli, ids, recs
from tests.scenarios.tree import contents, folder_of, untouched
from tests.storage.made import older_edition, older_model
from tests.weeks import WEEK, between, deliver, first_night
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, THIRD_NIGHT, World


def upgraded(world: World, *names: TenantId) -> None:
    """Each of these tenants had one night, under version 0.1."""
    for name in names:
        assert world.night(name).published
        tenant, folder = world.tenant(name), folder_of(world, name)
        for model in (folder / "models").iterdir():
            older_model(model)
        current = world.stores.editions.current(tenant.uid)
        assert current is not None
        sha = older_edition(folder / "editions" / f"e{current.edition:06d}")
        world.stores.editions.point(tenant.uid, replace(current, manifest_sha256=sha))


class TestATenantThatIsOn:
    def test_goes_on_being_served_until_its_night(self, world: World) -> None:
        upgraded(world, ACME)

        assert recs(world)["edition"] == 1
        assert len(ids(recs(world))) == 10

    def test_starts_again_from_the_baseline(self, world: World) -> None:
        upgraded(world, ACME)

        report = world.night(ACME, NEXT_NIGHT)

        assert report.published
        assert report.figures["incumbent_model"] is None
        made = {row["model"]: row["kind"] for row in world.stores.nights.models(ACME)}
        assert made == {1: "baseline", 2: "als", 3: "baseline", 4: "als"}
        assert world.tenant(ACME).model == report.model in (3, 4)
        assert recs(world)["edition"] == 2

    def test_is_an_ordinary_one_from_then_on(self, world: World) -> None:
        upgraded(world, ACME)
        first = world.night(ACME, NEXT_NIGHT)
        assert world.night(ACME, THIRD_NIGHT).figures["incumbent_model"] == first.model

    def test_is_no_matter_of_the_other_tenants(self, world: World) -> None:
        world.night(BETA)
        before = untouched(folder_of(world, BETA))
        upgraded(world, ACME)
        world.night(ACME, NEXT_NIGHT)
        assert untouched(folder_of(world, BETA)) == before
        assert world.night(BETA, NEXT_NIGHT).figures["incumbent_model"] == 2


class TestAFrozenTenant:
    def test_keeps_model_and_lists_exactly_as_they_are(self, world: World) -> None:
        upgraded(world, ACME, BETA)
        world.switch(ACME, Mode.FREEZE)
        served = recs(world, "C-0001", ACME, "--limit", 50)
        before = untouched(folder_of(world, ACME)), contents(folder_of(world, ACME))

        report = world.night(ACME, NEXT_NIGHT)

        assert report.outcome is Outcome.FROZEN
        assert (untouched(folder_of(world, ACME)), contents(folder_of(world, ACME))) == before
        assert world.tenant(ACME).model == 2
        assert recs(world, "C-0001", ACME, "--limit", 50) == {**served, "mode": "freeze"}

    def test_that_wants_its_lists_ranked_anew_is_told_that_it_cannot_and_is_served_as_before(
        self, world: World
    ) -> None:
        upgraded(world, ACME)
        world.stores.ledger.change_settings(ACME, {"frozen_lists": "rerank"}, by="test", at=NOW)
        world.switch(ACME, Mode.FREEZE)
        before = contents(folder_of(world, ACME))

        report = world.night(ACME, NEXT_NIGHT)

        assert (report.outcome, report.figures["code"]) == (Outcome.FAILED, "MODEL_VERSION")
        assert "acme, validate: model 2 was made by another version" in report.because
        assert contents(folder_of(world, ACME)) == before
        assert (world.tenant(ACME).model, recs(world)["edition"]) == (2, 1)
        assert "another version" in cli(world, "why", ACME).stdout

    def test_starts_again_once_it_is_on(self, world: World) -> None:
        upgraded(world, ACME)
        world.switch(ACME, Mode.FREEZE)
        world.night(ACME, NEXT_NIGHT)
        world.switch(ACME, Mode.ON)
        assert world.night(ACME, NEXT_NIGHT).model in (3, 4)


def doctor(world: World) -> dict[str, tuple[str, str]]:
    """State and detail by what was looked at; the exit status says whether all is well."""
    done = cli(world, "doctor", "--json")
    lines = json.loads(done.stdout)
    assert (done.exit_code == 0) == all(line["state"] == "ok" for line in lines)
    return {line["what"]: (line["state"], line["detail"]) for line in lines}


class TestTheDoctor:
    def test_finds_a_model_of_another_version_well_and_says_what_becomes_of_it(
        self, world: World
    ) -> None:
        upgraded(world, ACME)
        world.night(BETA)

        found = doctor(world)

        assert found[ACME] == (
            "ok",
            "edition 1, model 2 (made by another version; starts again at its next night)",
        )
        assert found[BETA] == ("ok", "edition 1, model 2")

    def test_says_no_more_of_it_once_the_tenant_started_again(self, world: World) -> None:
        upgraded(world, ACME)
        model = world.night(ACME, NEXT_NIGHT).model
        assert doctor(world)[ACME] == ("ok", f"edition 2, model {model}")

    def test_still_finds_its_damage(self, world: World) -> None:
        upgraded(world, ACME)
        damage(folder_of(world, ACME) / "models" / "v000002" / "factors.npy")
        assert doctor(world)[ACME][0] == "broken"


def damage(file: Path) -> None:
    os.chmod(file, 0o644)
    body = bytearray(file.read_bytes())
    body[-1] ^= 0xFF
    file.write_bytes(body)


class TestGoingBackToAnEditionOfAnOlderModel:
    @pytest.fixture
    def later(self, world: World) -> World:
        """Both tenants' first edition is of an older model, their second of a new one."""
        for name in (ACME, BETA):
            world.night(name)
            for model in (folder_of(world, name) / "models").iterdir():
                older_model(model)
            assert world.night(name, NEXT_NIGHT).published
        return world

    def test_serves_it_at_once(self, later: World) -> None:
        done = cli(later, "edition", "activate", ACME, 1, "--why", "the lists were better")

        assert done.exit_code == 0, done.output
        assert (recs(later)["edition"], later.tenant(ACME).model) == (1, 2)
        assert len(ids(recs(later))) == 10
        assert (recs(later, name=BETA)["edition"], later.tenant(BETA).model) == (2, 4)
        assert doctor(later)[ACME][0] == "ok"

    def test_starts_again_at_the_next_night(self, later: World) -> None:
        cli(later, "edition", "activate", ACME, 1, "--why", "the lists were better")
        later.stores.ledger.release(ACME, by="test", at=NOW)

        report = later.night(ACME, THIRD_NIGHT)

        assert (report.published, report.edition) == (True, 3)
        assert report.figures["incumbent_model"] is None
        assert report.model in (5, 6)

    def test_is_refused_where_a_byte_of_the_model_has_changed(self, later: World) -> None:
        damage(folder_of(later, ACME) / "models" / "v000002" / "factors.npy")

        done = cli(later, "edition", "activate", ACME, 1, "--why", "the lists were better")

        assert done.exit_code != 0
        assert (recs(later)["edition"], later.tenant(ACME).model) == (2, 4)


class TestWhatWasServedOfAnOlderModel:
    @pytest.fixture
    def due(self, tmp_path: Path) -> Iterator[World]:
        """A week after acme's and beta's first night; acme's model is of another version."""
        made = first_night(tmp_path)
        for model in (folder_of(made, ACME) / "models").iterdir():
            older_model(model)
        for name in (ACME, BETA):
            deliver(made, name, between(name, NIGHT, NIGHT + WEEK))
        yield made
        made.stores.engine.dispose()

    @pytest.mark.parametrize("mode", [Mode.ON, Mode.FREEZE])
    def test_is_not_scored_and_says_why_and_disturbs_nobody(self, due: World, mode: Mode) -> None:
        if mode is not Mode.ON:
            due.switch(ACME, mode)

        report = due.night(ACME, NIGHT + WEEK)

        assert report.outcome is not Outcome.FAILED
        [point] = due.stores.nights.realised(ACME)
        assert point.because == "not scored: model 2 was made by another version"
        assert (point.figures, point.flagged, exit_status([report])) == (None, False, 0)
        due.night(BETA, NIGHT + WEEK)
        [other] = due.stores.nights.realised(BETA)
        assert other.figures is not None
