"""Two tenants with the same customer ids after one night, to be copied for every trial of the second.

The second night is run as `recfactory night --all` runs it, in one process.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from jobs.fleet import run_fleet
from jobs.results import Task
from schema.errors import Problem
from schema.names import TenantId
from schema.records import NightReport
from storage.durable import Disk
from tests.faults.disk import FaultyDisk
from tests.faults.nights import TINY, Found, served
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, World, open_world, tables

FLEET = (ACME, BETA)


class Homes:
    """The home after one night, and what the second makes of it undisturbed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        world = self.open("first")
        for seed, name in enumerate(FLEET):
            world.add(name)
            world.import_(name, tables(name, customers=16, products=8, seed=8 + seed))
            assert world.night(name, NIGHT).published
        world.stores.engine.dispose()
        self.old = {name: served(world, name) for name in FLEET}
        disk = FaultyDisk()
        with self.copy(disk) as world:
            assert second(world) == dict.fromkeys(FLEET, True)
            self.new = self.serves(world)
        self.steps = disk.steps

    def open(self, name: str, disk: Disk | None = None) -> World:
        return open_world(
            self._folder / name, disk, template=TINY, nightly={"executor": "in-process"}
        )

    @contextmanager
    def copy(self, disk: Disk | None = None) -> Iterator[World]:
        shutil.rmtree(self._folder / "trial", ignore_errors=True)
        shutil.copytree(self._folder / "first", self._folder / "trial")
        with self.again(disk) as world:
            yield world

    @contextmanager
    def again(self, disk: Disk | None = None) -> Iterator[World]:
        world = self.open("trial", disk)
        yield world
        world.stores.engine.dispose()

    def serves(self, world: World) -> dict[TenantId, Found]:
        return {name: served(world, name) for name in FLEET}


def second(world: World) -> dict[TenantId, bool]:
    """The second night of all: who was told that theirs is published."""
    tasks = [Task(name, NEXT_NIGHT) for name in FLEET]
    try:
        results = run_fleet(world.stores, world.config, tasks, lambda _: None)
    except (Problem, OSError, SQLAlchemyError):
        return dict.fromkeys(FLEET, False)
    told = {r.tenant: r.published for r in results if isinstance(r, NightReport)}
    return {name: told.get(name, False) for name in FLEET}


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    return Homes(tmp_path_factory.mktemp("homes"))
