"""A model that is too good to be true waits for a person: what they may say, and what it does."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs import night as night_job
from schema.errors import FactoryError, NotThere, Problem, Refused
from schema.names import Mode, Outcome, TenantId
from schema.records import Guard, Verdict
from storage import held
from storage.durable import Disk
from storage.rollback import activate
from tests.scenarios.tree import contents, folder_of, untouched
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, THIRD_NIGHT, World, open_world, two_tenants

MORNING = datetime(2026, 4, 2, 9, tzinfo=UTC)
LEAK = Guard("error_gain", 0.9, 0.5, True, "it wins 90.0% of the error, above 50%")
TOO_GOOD = Verdict(Outcome.HELD, "too good to be true", guards=(LEAK,))


Act = Callable[..., None]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both tenants after a night; acme's second night held model 3, model 2 stayed in force."""
    folder = tmp_path_factory.mktemp("evening")
    made = two_tenants(folder)
    for name in (ACME, BETA):
        assert made.night(name, NIGHT).model == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(night_job, "decide", lambda *_, **__: TOO_GOOD)
        assert made.night(ACME, NEXT_NIGHT).outcome is Outcome.HELD
    assert made.tenant(ACME).model == 2
    made.stores.engine.dispose()
    return folder


@pytest.fixture
def world(evening: Path, tmp_path: Path) -> Iterator[World]:
    """A copy of its own for every test."""
    shutil.copytree(evening / "home", tmp_path / "home")
    made = open_world(tmp_path)
    yield made
    made.stores.engine.dispose()


def promote(world: World, number: int = 3, name: TenantId = ACME) -> None:
    tenant = world.tenant(name)
    held.promote(world.stores, tenant, number, by="ann", why="a new catalogue", now=MORNING)


def discard(world: World, number: int = 3, name: TenantId = ACME) -> None:
    held.discard(world.stores, world.tenant(name), number, by="ann", why="a leak", now=MORNING)


class TestPromoting:
    def test_puts_the_held_model_in_force_and_changes_no_file(self, world: World) -> None:
        before = untouched(folder_of(world, ACME))
        promote(world)
        assert world.tenant(ACME).model == 3
        assert untouched(folder_of(world, ACME)) == before

    def test_makes_it_the_incumbent_that_the_next_night_judges_and_ranks_with(
        self, world: World
    ) -> None:
        promote(world)
        report = world.night(ACME, THIRD_NIGHT)
        assert report.figures["incumbent_model"] == 3
        if report.outcome is Outcome.REJECTED:
            assert world.stores.nights.editions(ACME)[0]["model"] == 3

    def test_keeps_who_why_and_which_model_was_in_force(self, world: World) -> None:
        promote(world)
        [act, *_] = world.stores.audit.of(ACME)
        assert (act.act, act.actor) == ("promote", "ann")
        assert act.detail == {"model": 3, "was": 2, "why": "a new catalogue"}

    def test_leaves_the_verdict_as_the_gate_gave_it(self, world: World) -> None:
        promote(world)
        assert world.stores.nights.model(ACME, 3)["verdict"] == "held"

    def test_leaves_the_other_tenant_alone(self, world: World) -> None:
        before = untouched(folder_of(world, BETA)), world.tenant(BETA)
        promote(world)
        assert (untouched(folder_of(world, BETA)), world.tenant(BETA)) == before

    def test_overtakes_a_night_that_began_with_the_model_before(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupted(Disk):
            def make_folder(self, path: Path) -> None:
                super().make_folder(path)
                if path.name.startswith(".stage-e"):
                    promote(world)

        monkeypatch.setattr(world.stores.editions, "_disk", Interrupted())
        with pytest.raises(FactoryError) as refused:
            world.night(ACME, THIRD_NIGHT)
        assert refused.value.problem.code == "FENCED"
        assert world.tenant(ACME).model == 3


class TestDiscarding:
    def test_removes_its_files_and_nothing_else(self, world: World) -> None:
        before = contents(folder_of(world, ACME))
        discard(world)
        after = contents(folder_of(world, ACME))
        assert {path for path in before if path not in after} == {
            f"models/v000003/{name}"
            for name in ("MANIFEST.json", "early_factors.npy", "factors.npy", "model.json")
        }
        assert {path: after[path] for path in after} == {path: before[path] for path in after}

    def test_leaves_the_model_in_force_and_the_verdict(self, world: World) -> None:
        discard(world)
        assert world.tenant(ACME).model == 2
        assert world.stores.nights.model(ACME, 3)["verdict"] == "held"

    def test_keeps_who_and_why(self, world: World) -> None:
        discard(world)
        [act, *_] = world.stores.audit.of(ACME)
        assert (act.act, act.actor) == ("discard", "ann")
        assert act.detail == {"model": 3, "why": "a leak"}

    def test_does_not_hinder_the_next_night(self, world: World) -> None:
        discard(world)
        report = world.night(ACME, THIRD_NIGHT)
        assert report.published
        assert report.figures["incumbent_model"] == 2
        assert world.stores.nights.models(ACME)[0]["model"] == 4

    def test_is_final(self, world: World) -> None:
        discard(world)
        for act in (promote, discard):
            with pytest.raises(Refused) as refused:
                act(world)
            assert refused.value.code == "MODEL_GONE"
        assert world.tenant(ACME).model == 2


@pytest.mark.parametrize("act", [promote, discard])
class TestEither:
    def test_is_refused_for_a_model_nobody_made(self, act: Act, world: World) -> None:
        assert_refused(world, act, 9, "NO_MODEL")

    def test_is_refused_for_a_model_the_gate_did_not_hold(self, act: Act, world: World) -> None:
        """The gate stays the only automatic way, and a rejected model has none."""
        for number in (1, 2):
            assert_refused(world, act, number, "MODEL_NOT_HELD")

    def test_is_refused_for_a_rejected_model(
        self, act: Act, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rejected = Verdict(Outcome.REJECTED, "no better")
        monkeypatch.setattr(night_job, "decide", lambda *_, **__: rejected)
        world.night(ACME, THIRD_NIGHT)
        assert_refused(world, act, 4, "MODEL_NOT_HELD")

    def test_is_refused_once_a_newer_model_took_over(
        self, act: Act, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        won = Verdict(Outcome.PROMOTED, "better")
        monkeypatch.setattr(night_job, "decide", lambda *_, **__: won)
        world.night(ACME, THIRD_NIGHT)
        assert world.tenant(ACME).model == 4
        assert_refused(world, act, 3, "MODEL_PASSED")

    def test_is_refused_for_the_model_in_force(self, act: Act, world: World) -> None:
        promote(world)
        assert_refused(world, act, 3, "MODEL_PASSED")

    @pytest.mark.parametrize("mode", [Mode.FREEZE, Mode.OFF])
    def test_is_refused_while_the_tenants_models_have_to_stay_as_they_are(
        self, mode: Mode, act: Act, world: World
    ) -> None:
        world.switch(ACME, mode)
        assert_refused(world, act, 3, "MODE")

    def test_never_reaches_another_tenants_model(self, act: Act, world: World) -> None:
        """beta has no model 3: acme's is none of its business."""
        before = contents(folder_of(world, ACME)), world.tenant(ACME)
        with pytest.raises(NotThere):
            act(world, 3, BETA)
        assert (contents(folder_of(world, ACME)), world.tenant(ACME)) == before


class TestDamage:
    def test_a_damaged_held_model_is_not_promoted(self, world: World) -> None:
        path = folder_of(world, ACME) / "models" / "v000003" / "model.json"
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(Problem) as told:
            promote(world)
        assert told.value.code == "SEALED_BROKEN"
        assert world.tenant(ACME).model == 2

    def test_a_model_that_an_edition_was_ranked_with_is_not_discarded(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Promoted, served, and gone back from: going forward again needs its files."""
        promote(world)
        rejected = Verdict(Outcome.REJECTED, "no better")
        monkeypatch.setattr(night_job, "decide", lambda *_, **__: rejected)
        assert world.night(ACME, THIRD_NIGHT).model == 3
        tenant = world.tenant(ACME)
        hold = timedelta(hours=24)
        activate(world.stores, tenant, 2, hold=hold, by="ann", why="odd", now=MORNING)
        assert world.tenant(ACME).model == 2
        assert_refused(world, discard, 3, "MODEL_USED")
        promote(world)
        assert world.tenant(ACME).model == 3


class TestTheVerdict:
    def test_is_kept_for_ever_with_guards_fingerprint_and_seed(self, world: World) -> None:
        for number, verdict in ((2, None), (3, TOO_GOOD)):
            row = world.stores.nights.model(ACME, number)
            report = world.stores.nights.night(ACME, row["night"])
            assert report is not None
            assert report.figures["data_fingerprint"]
            assert report.figures["seed"] == 0
            guards = [Guard(**guard) for guard in report.figures["guards"]]
            assert guards if verdict is None else tuple(guards) == verdict.guards

    def test_is_found_however_many_nights_came_after(self, world: World) -> None:
        first = world.stores.nights.night(ACME, NIGHT)
        assert first == world.stores.nights.nights(ACME)[-1]
        assert world.stores.nights.night(BETA, NEXT_NIGHT) is None


def assert_refused(world: World, act: Act, number: int, code: str) -> None:
    before = contents(folder_of(world, ACME)), world.tenant(ACME), world.stores.audit.of(ACME)
    with pytest.raises(Refused) as refused:
        act(world, number)
    assert refused.value.code == code
    after = contents(folder_of(world, ACME)), world.tenant(ACME), world.stores.audit.of(ACME)
    assert after == before
