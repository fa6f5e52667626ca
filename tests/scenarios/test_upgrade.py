"""What becomes of a tenant whose model and edition an older version made."""

from dataclasses import replace

from schema.names import Mode, Outcome, TenantId
from tests.scenarios.test_rules import cli, ids, recs
from tests.scenarios.tree import contents, folder_of, untouched
from tests.storage.made import older_edition, older_model
from tests.world import ACME, BETA, NEXT_NIGHT, NOW, THIRD_NIGHT, World


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
