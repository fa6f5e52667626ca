"""A group of nights published in one transaction, killed at every step of it.

Pointers are swapped before the ledger commits: between the two, readers are served the new
editions already, and the ledger knows nothing of them. A repeat ends as if nothing had happened.
"""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from jobs.night import Begun, begin, conclude, work
from schema.names import TenantId
from schema.records import Conclusion, NightReport
from storage.durable import Disk
from tests.faults.disk import POINTER, FaultyDisk, Killed
from tests.faults.test_publish import TINY
from tests.storage.made import AT
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, World, open_world, tables

FLEET = (ACME, BETA, TenantId("gamma"))

Worked = list[tuple[Begun, Conclusion]]


def opened(folder: Path, disk: Disk | None = None) -> World:
    return open_world(
        folder, disk, template=TINY, publishing={"keep_editions": 2, "keep_models": 2}
    )


def worked(world: World, hours: float = 0) -> Worked:
    """The second night of all three, begun and made; not published."""
    at = AT + timedelta(days=1, hours=hours)
    asks = [(name, NEXT_NIGHT) for name in FLEET]
    found = begin(world.stores, world.config, asks, lambda: at)
    nights = [night for night in found if isinstance(night, Begun)]
    return [(night, work(world.stores, world.config.template, night, at)) for night in nights]


def published(world: World, made: Worked) -> list[NightReport]:
    at: datetime = AT + timedelta(days=1)
    told = conclude(world.stores, world.config, made, lambda: at)
    return [report for report in told if isinstance(report, NightReport)]


def serves(world: World) -> dict[TenantId, tuple[int, str]]:
    """What a reader finds of each tenant, after reading every byte of it."""
    found = {}
    for name in FLEET:
        uid = world.tenant(name).uid
        current = world.stores.editions.current(uid)
        assert current is not None
        world.stores.editions.check(uid, current.edition, current.manifest_sha256)
        found[name] = current.edition, current.manifest_sha256
    return found


class Trial:
    """A home after one night, copied for every trial of the second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        world = opened(folder / "one-night")
        for seed, name in enumerate(FLEET):
            world.add(name)
            made = tables(name, customers=16, products=8, first=NIGHT - timedelta(days=59))
            world.import_(name, made)
            assert world.night(name).published, seed
        self.old = serves(world)
        world.stores.engine.dispose()
        disk = FaultyDisk()
        world = self.copy(disk)
        made_nights = worked(world)
        before = len(disk.steps)
        reports = published(world, made_nights)
        assert [report.published for report in reports] == [True, True, True]
        self.steps = range(before, len(disk.steps))
        self.new = serves(world)
        assert sum(step == f"rename to {POINTER}" for step in disk.steps) == len(FLEET)
        world.stores.engine.dispose()

    def copy(self, disk: Disk | None = None) -> World:
        goal = self._folder / "trial"
        shutil.rmtree(goal, ignore_errors=True)
        shutil.copytree(self._folder / "one-night", goal)
        return opened(goal, disk)

    def heals(self) -> None:
        """By a repeat on a healthy disk, when the lease of the dead process is over."""
        world = opened(self._folder / "trial")
        reports = published(world, worked(world, hours=2))
        assert [report.edition for report in reports] == [2] * len(reports)
        assert serves(world) == self.new
        for name in FLEET:
            [first, second] = world.stores.nights.editions(name)
            assert (first["edition"], second["edition"]) == (2, 1)
            assert world.tenant(name).model == world.stores.nights.nights(name)[0].model
        world.stores.engine.dispose()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("group"))


class TestAGroupOfNights:
    def test_killed_at_any_step_serves_old_or_new_of_each_tenant_and_a_repeat_heals(
        self, trial: Trial
    ) -> None:
        seen = set()
        for step in trial.steps:
            disk = FaultyDisk(step)
            world = trial.copy(disk)
            made = worked(world)
            with pytest.raises(Killed):
                published(world, made)
            world.stores.engine.dispose()
            now = serves(opened(world.folder))
            for name in FLEET:
                assert now[name] in (trial.old[name], trial.new[name]), step
            seen.add(sum(now[name] == trial.new[name] for name in FLEET))
            trial.heals()
        assert len(seen) > 1  # some died before the first pointer, some after

    def test_whose_pointers_are_swapped_and_whose_commit_never_came_is_repeated_to_the_same_bytes(
        self, trial: Trial
    ) -> None:
        world = trial.copy()
        made = worked(world)

        def die(connection: Connection) -> None:
            if not connection.get_execution_options().get("reading"):
                raise Killed

        event.listen(world.stores.engine, "commit", die)
        with pytest.raises(Killed):
            published(world, made)
        assert serves(world) == trial.new
        assert [len(world.stores.nights.editions(name)) for name in FLEET] == [1, 1, 1]
        world.stores.engine.dispose()
        trial.heals()
