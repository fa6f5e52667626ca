"""An erasure, and a tenant's end, under faults: stopped at any step, the repeat finishes."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.erasing import finish
from jobs.leaving import finish as delete
from jobs.leaving import leave
from schema.config import Leaving
from storage.durable import Disk
from storage.erase import erase
from tests.faults.disk import FaultyDisk, Killed
from tests.faults.test_publish import opened
from tests.scenarios.planted import WHO, hits, plant, planted
from tests.scenarios.tree import contents, folder_of
from tests.world import ACME, BETA, NOW, World, tables

LATER = NOW + timedelta(days=31)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """acme with a customer planted in every store; beta beside it, with data."""
    world = opened(tmp_path_factory.mktemp("faults"))
    for name in (ACME, BETA):
        world.add(name)
    plant(world)
    world.import_(BETA, tables(BETA, customers=5))
    world.stores.engine.dispose()
    return world.config.home


def trials(home: Path, folder: Path, act: Callable[[World], None]) -> list[World]:
    """A world for every step of the act, in which the process died at that step; then a new one
    opens the home again.
    """
    made: list[World] = []
    while True:
        place = folder / f"trial-{len(made)}"
        shutil.copytree(home, place / "home")
        disk = FaultyDisk(len(made))
        world = opened(place, disk)
        try:
            act(world)
            return made
        except Killed:
            made.append(opened(place, Disk()))
        finally:
            world.stores.feedback.spool.close()  # the kernel lets go of what the dead one held
            world.stores.engine.dispose()


def forget(world: World) -> None:
    erase(world.stores, world.tenant(ACME), WHO, by="test", why="request 17", now=NOW)
    finish(world.stores, NOW)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_erasure_that_dies_at_any_step_is_finished_by_its_repeat(
    home: Path, tmp_path: Path
) -> None:
    worlds = trials(home, tmp_path, forget)

    print(f"steps={len(worlds)}")  # noqa: T201
    assert len(worlds) > 40
    for world in worlds:
        served = world.stores.editions.current(world.tenant(ACME).uid)
        assert served is not None
        world.stores.editions.check(  # whole at any moment: the old one or the new one
            world.tenant(ACME).uid, served.edition, served.manifest_sha256
        )
        beta = contents(folder_of(world, BETA))

        forget(world)

        assert hits(world.config.home) == []
        [made] = world.stores.erasures.of(ACME)
        assert made.finished_at is not None
        assert made.removed["interactions"] > 1  # what was counted is not lost with the process
        assert contents(folder_of(world, BETA)) == beta
        assert world.import_(ACME, planted()).tables[0].erased == 1
        world.stores.engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_tenant_whose_deletion_dies_at_any_step_is_gone_after_its_repeat(
    home: Path, tmp_path: Path
) -> None:
    def go(world: World) -> None:
        out = world.folder / "out"
        leave(
            world.stores, Leaving(), world.tenant(ACME), out, more=False, by="test", why="over", now=NOW
        )  # fmt: skip
        delete(world.stores, Leaving(), LATER)

    def again(world: World) -> None:
        if any(tenant.tenant == ACME for tenant in world.stores.ledger.tenants()):
            go(world)
        else:
            delete(world.stores, Leaving(), LATER)

    worlds = trials(home, tmp_path, go)

    print(f"steps={len(worlds)}")  # noqa: T201
    assert len(worlds) > 20
    for world in worlds:
        beta = contents(folder_of(world, BETA))

        again(world)

        [left] = world.stores.leaving.left()
        assert left.deleted_at is not None
        assert left.told["rows_of_others"]["before"] == left.told["rows_of_others"]["after"]
        assert not list((world.config.home / "tenants").glob(f"*{ACME}"))
        assert hits(world.config.home) == []
        assert contents(folder_of(world, BETA)) == beta
        world.stores.engine.dispose()
