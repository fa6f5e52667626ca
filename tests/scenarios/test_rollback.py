"""Going back to an edition: at once, with its model, and the next night respects it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs import night as night_job
from schema.errors import FactoryError, NotThere, Problem
from schema.names import Outcome
from schema.records import Verdict
from storage.durable import Disk
from storage.rollback import activate
from tests.scenarios.tree import contents, folder_of, untouched
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, THIRD_NIGHT, World, two_tenants

MORNING = datetime(2026, 4, 2, 9, tzinfo=UTC)
HOLD = timedelta(hours=24)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Both tenants after two nights; acme's editions are of two models."""
    made = two_tenants(tmp_path)
    for name in (ACME, BETA):
        made.night(name, NIGHT)
    made.stores.ledger.change_settings(ACME, {"als.factors": 4}, by="test", at=MORNING)
    for name in (ACME, BETA):
        made.night(name, NEXT_NIGHT)
    yield made
    made.stores.engine.dispose()


def go_back(world: World, number: int = 1, hold: timedelta = HOLD) -> None:
    tenant = world.tenant(ACME)
    activate(world.stores, tenant, number, hold=hold, by="ann", why="odd lists", now=MORNING)


def served(world: World) -> int:
    current = world.stores.editions.current(world.tenant(ACME).uid)
    assert current is not None
    return current.edition


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


class TestRollback:
    def test_serves_the_edition_at_once_and_its_model_is_in_force_again(self, world: World) -> None:
        editions = {row["edition"]: row for row in world.stores.nights.editions(ACME)}
        assert served(world) == 2
        go_back(world)
        assert served(world) == 1
        assert world.tenant(ACME).model == editions[1]["model"]

    def test_changes_no_file_but_the_pointer(self, world: World) -> None:
        before = untouched(folder_of(world, ACME))
        go_back(world)
        after = untouched(folder_of(world, ACME))
        assert {path for path in after if after[path] != before.get(path)} == {"CURRENT"}
        assert after.keys() == before.keys()

    def test_leaves_the_other_tenant_alone(self, world: World) -> None:
        before = untouched(folder_of(world, BETA)), world.tenant(BETA)
        go_back(world)
        assert (untouched(folder_of(world, BETA)), world.tenant(BETA)) == before

    def test_mends_a_damaged_pointer(self, world: World) -> None:
        (folder_of(world, ACME) / "CURRENT").write_bytes(b"{")
        with pytest.raises(Problem) as told:
            served(world)
        assert "edition activate" in told.value.next_step
        go_back(world)
        assert served(world) == 1

    def test_can_be_undone(self, world: World) -> None:
        go_back(world, 1)
        go_back(world, 2)
        assert served(world) == 2


class TestTheNextNight:
    def test_trains_and_judges_records_its_verdict_and_does_not_publish(self, world: World) -> None:
        go_back(world)
        before = untouched(folder_of(world, ACME))["CURRENT"]
        report = world.night(ACME, THIRD_NIGHT)
        assert report.outcome in (Outcome.PROMOTED, Outcome.REJECTED)
        assert report.figures["challenger"]["rmse"] > 0
        assert not report.published
        assert served(world) == 1
        assert untouched(folder_of(world, ACME))["CURRENT"] == before
        assert world.stores.nights.models(ACME)[0]["night"] == THIRD_NIGHT

    def test_publishes_again_once_the_hold_is_over(self, world: World) -> None:
        go_back(world)
        report = world.night(ACME, THIRD_NIGHT, at(MORNING + HOLD))
        assert report.published
        assert served(world) == report.edition == 3

    def test_publishes_again_once_the_hold_is_released(self, world: World) -> None:
        go_back(world)
        world.stores.ledger.release(ACME, by="ann", at=MORNING)
        assert world.night(ACME, THIRD_NIGHT).published
        assert served(world) == 3

    def test_the_night_after_a_held_one_publishes_too(self, world: World) -> None:
        go_back(world)
        world.night(ACME, THIRD_NIGHT)
        report = world.night(ACME, THIRD_NIGHT + timedelta(days=1))
        assert report.published
        assert served(world) == report.edition

    def test_the_edition_gone_back_to_survives_the_removal_of_old_ones(self, world: World) -> None:
        go_back(world, hold=timedelta(days=30))
        for day in range(1, 8):
            world.night(ACME, NEXT_NIGHT + timedelta(days=day))
        world.stores.editions.check(
            world.tenant(ACME).uid, 1, world.stores.nights.editions(ACME)[-1]["manifest_sha256"]
        )
        assert served(world) == 1

    def test_leaves_the_model_of_the_edition_gone_back_to_in_force(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A challenger promoted during the hold was never served: the next one need not beat it."""
        go_back(world)
        before = world.tenant(ACME).model
        won = Verdict(Outcome.PROMOTED, "promoted for the trial")
        monkeypatch.setattr(night_job, "decide", lambda *_, **__: won)
        report = world.night(ACME, THIRD_NIGHT, at(MORNING + timedelta(hours=20)))
        assert (report.outcome, report.published) == (Outcome.PROMOTED, False)
        assert world.tenant(ACME).model == before

    def test_one_that_ran_while_somebody_went_back_is_refused(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupted(Disk):
            def make_folder(self, path: Path) -> None:
                super().make_folder(path)
                if path.name.startswith(".stage-e"):
                    go_back(world)

        monkeypatch.setattr(world.stores.editions, "_disk", Interrupted())
        with pytest.raises(FactoryError) as refused:
            world.night(ACME, THIRD_NIGHT)
        assert refused.value.problem.code == "FENCED"
        assert served(world) == 1


class TestRefusedRollback:
    def test_an_unknown_edition(self, world: World) -> None:
        before = contents(folder_of(world, ACME)), world.tenant(ACME)
        with pytest.raises(NotThere) as told:
            go_back(world, 9)
        assert told.value.code == "NO_EDITION"
        assert (contents(folder_of(world, ACME)), world.tenant(ACME)) == before

    @pytest.mark.parametrize(
        "file", ["editions/e000001/lists.lmdb", "editions/e000001/MANIFEST.json"]
    )
    def test_a_damaged_edition(self, world: World, file: str) -> None:
        path = folder_of(world, ACME) / file
        path.write_bytes(path.read_bytes()[:-1])
        before = contents(folder_of(world, ACME)), world.tenant(ACME)
        with pytest.raises(Problem):
            go_back(world)
        assert served(world) == 2
        assert (contents(folder_of(world, ACME)), world.tenant(ACME)) == before

    def test_an_edition_whose_model_is_damaged(self, world: World) -> None:
        model = next(r["model"] for r in world.stores.nights.editions(ACME) if r["edition"] == 1)
        path = folder_of(world, ACME) / "models" / f"v{model:06d}" / "model.json"
        path.write_bytes(path.read_bytes() + b" ")
        before = world.tenant(ACME)
        with pytest.raises(Problem):
            go_back(world)
        assert (served(world), world.tenant(ACME)) == (2, before)

    def test_an_edition_that_expired(self, world: World) -> None:
        world.stores.editions.discard(world.tenant(ACME).uid, 1)
        with pytest.raises(Problem):
            go_back(world)
        assert served(world) == 2
