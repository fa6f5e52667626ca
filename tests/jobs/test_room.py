"""Disk space is looked at before a night starts, in bytes."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from jobs.fleet import run_fleet
from jobs.results import Task
from jobs.room import check_room
from jobs.schedule import wave
from schema.config import Nightly
from schema.errors import Problem
from schema.names import Mode, TenantId
from storage.durable import Disk
from tests.scenarios.tree import contents
from tests.world import ACME, BETA, NEXT_NIGHT, NIGHT, NOW, World, two_tenants

BOTH = [(ACME, NIGHT), (BETA, NIGHT)]


class Small(Disk):
    """A disk with so many bytes free."""

    def __init__(self, free: int) -> None:
        self._free = free

    def free(self, path: Path) -> int:
        return self._free


def missing(world: World, free: int, asks: list[tuple[TenantId, date]], spare: int = 0) -> int:
    """How many bytes the night says are missing; 0 where it would start."""
    last = world.stores.nights.last_nights()
    try:
        check_room(replace(world.stores, disk=Small(free)), Nightly(spare_bytes=spare), asks, last)
    except Problem as problem:
        assert problem.code == "DISK_SPACE"
        found = re.search(r"([0-9,]+) bytes are missing", problem.what)
        assert found is not None
        return int(found[1].replace(",", ""))
    return 0


class TestRoom:
    def test_too_little_is_told_in_bytes(self, world: World) -> None:
        lacking = missing(world, 1000, BOTH)
        assert lacking > 2 * 60 * 2**10
        assert missing(world, 1000 + lacking, BOTH) == 0
        assert missing(world, 1000 + lacking - 1, BOTH) == 1

    def test_what_shall_stay_free_is_asked_for_too(self, world: World) -> None:
        assert missing(world, 0, BOTH, spare=500) == missing(world, 0, BOTH) + 500

    def test_is_what_the_last_night_took(self, world: World) -> None:
        first_guess = missing(world, 0, BOTH)
        report = world.night(ACME)
        edition, folder = report.edition, world.config.home / "tenants" / world.tenant(ACME).uid
        files = [*(folder / f"editions/e{edition:06}").iterdir()]
        files += (folder / f"models/v{report.model:06}").iterdir()
        assert report.figures["bytes"] == sum(file.stat().st_blocks * 512 for file in files)
        known = missing(world, 0, [(ACME, NEXT_NIGHT)])
        assert known == int(1.25 * report.figures["bytes"])
        assert known < first_guess

    def test_a_first_night_takes_no_more_than_is_asked_for(self, world: World) -> None:
        asked = missing(world, 0, [(ACME, NIGHT)])
        folder = world.config.home / "tenants" / world.tenant(ACME).uid
        before = _used(folder)
        world.night(ACME)
        assert _used(folder) - before < asked

    def test_is_not_asked_for_by_nights_that_are_done_or_make_nothing(self, world: World) -> None:
        world.night(ACME)
        world.switch(BETA, Mode.OFF)
        assert missing(world, 0, BOTH) == 0


class TestANightWithoutRoom:
    def test_touches_nothing(self, world: World) -> None:
        world.night(ACME)
        full = replace(world.stores, disk=Small(10**6))
        before = contents(world.config.home)
        with pytest.raises(Problem, match="nothing was begun"):
            run_fleet(full, world.config, [Task(ACME, NEXT_NIGHT)], lambda _: None)
        assert contents(world.config.home) == before

    def test_is_an_error_of_the_wave_which_goes_on_waiting(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        full = replace(world.stores, disk=Small(10**6))
        assert wave(full, world.config, NOW) == 0
        assert "no night was begun" in caplog.text
        assert "bytes are missing" in caplog.text
        assert world.stores.nights.nights(ACME) == []


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 4 MiB; CI runs as root, which may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "recfactory-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail(f"no tmpfs under CI: {done.stderr}")
        pytest.skip(f"only who may mount has a small disk: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class TestASmallDisk:
    def test_is_refused_in_bytes_and_what_is_served_stays(self, tmpfs: Path) -> None:
        world = two_tenants(tmpfs)
        world.night(ACME)
        served = world.stores.editions.current(world.tenant(ACME).uid)
        free = os.statvfs(tmpfs).f_bavail * os.statvfs(tmpfs).f_frsize
        (tmpfs / "filler").write_bytes(bytes(free - 2**17))
        nightly = Nightly(executor="in-process", spare_bytes=0)
        config = world.config.model_copy(update={"nightly": nightly})
        before = contents(world.config.home)
        tasks = [Task(ACME, NEXT_NIGHT), Task(BETA, NEXT_NIGHT)]
        with pytest.raises(Problem, match=r"[0-9,]+ bytes are missing"):
            run_fleet(world.stores, config, tasks, lambda _: None)
        assert contents(world.config.home) == before
        assert world.stores.editions.current(world.tenant(ACME).uid) == served
        world.stores.engine.dispose()


def _used(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
