"""A06, A07: each write, fsync, rename and mkdir of a whole night fails, and is never believed."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.durable import Disk
from tests.faults.conftest import Tell
from tests.faults.disk import STRAYS, FaultyDisk
from tests.faults.homes import FLEET, Homes, second
from tests.faults.size import FULL, size

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EDQUOT": errno.EDQUOT}


def inject(
    homes: Homes, kind: type[FaultyDisk], step: int, number: int, *, stays: bool
) -> Counter[str]:
    """A night whose disk fails at a step, and its repeat on a sound one."""
    count = Counter(injections=1)
    disk = kind(step, lambda: OSError(number, os.strerror(number)), stays=stays)
    with homes.copy(disk) as world:
        told, now = second(world), homes.serves(world)
    for name in FLEET:
        count["torn"] += now[name] not in (homes.old[name], homes.new[name])
        count["wrong_success"] += told[name] and now[name] != homes.new[name]
        count["wrong_failure"] += not told[name] and now[name] == homes.new[name]
    with homes.again() as world:
        second(world)
        strays = [path for path in world.config.home.rglob("*") if path.name.startswith(STRAYS)]
        count["healed"] += homes.serves(world) == homes.new and not strays
    return count


class TestADiskThatFails:
    def test_at_any_step_of_the_night_leaves_the_old_edition_and_a_repeat_heals(
        self, homes: Homes, tell: Tell
    ) -> None:
        count = Counter[str]()
        for step in range(len(homes.steps)):
            cases = [(number, stays) for number in ERRORS.values() for stays in (True, False)]
            if not FULL:  # each step fails, by turns in every way
                cases = [cases[step // 3 % len(cases)]] if step % 3 == 0 else []
            for number, stays in cases:
                count += inject(homes, FaultyDisk, step, number, stays=stays)
        tell(
            "A06",
            steps=len(homes.steps),
            injections=count["injections"],
            torn=count["torn"],
            wrong_success=count["wrong_success"],
            healed=count["healed"],
        )

        assert (count["torn"], count["wrong_success"]) == (0, 0)
        assert count["healed"] == count["injections"]

    def test_would_be_seen_to_be_believed(self, homes: Homes) -> None:
        class Careless(FaultyDisk):
            """Loses what it could not write, and says nothing."""

            def rename(self, path: Path, goal: Path) -> None:
                try:
                    super().rename(path, goal)
                except OSError:
                    return

        at = homes.steps.index("rename to CURRENT")
        assert inject(homes, Careless, at, errno.EIO, stays=False)["wrong_success"] == 1


class Fsyncs:
    """The system's fsync, of which one fails; files that failed are kept open, so that no other
    file gets their inode.
    """

    def __init__(self, at: int) -> None:
        self._at, self._sound = at, os.fsync
        self.calls, self.again, self.failed = 0, 0, set[int]()
        self._held: list[int] = []

    def __call__(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self.calls += stat.S_ISREG(found.st_mode)
        if found.st_ino in self.failed:
            self.again += 1
        elif self.calls - 1 == self._at and stat.S_ISREG(found.st_mode):
            self._held.append(os.dup(descriptor))
            self.failed.add(found.st_ino)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sound(descriptor)

    def served(self, home: Path) -> int:
        """Files that failed, and are in use all the same."""
        return sum(path.stat().st_ino in self.failed for path in home.rglob("*") if path.is_file())

    def close(self) -> None:
        for descriptor in self._held:
            os.close(descriptor)


def fsyncs(homes: Homes, at: int, disk: Disk) -> Fsyncs:
    """A night and its repeat, with one fsync that fails."""
    found = Fsyncs(at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", found)
        with homes.copy(disk) as world:
            second(world)
            second(world)
            found.again += found.served(world.config.home)
            assert homes.serves(world) == homes.new
    found.close()
    return found


class TestAnFsyncThatFails:
    def test_is_final_for_its_file(self, homes: Homes, tell: Tell) -> None:
        calls = fsyncs(homes, -1, Disk()).calls
        failed = again = 0
        for at in range(0, calls, size(3, 1)):
            found = fsyncs(homes, at, Disk())
            failed += len(found.failed)
            again += found.again
        tell("A07", failed_fsyncs=failed, second_fsync_on_same_inode=again, new_staging_used=failed)

        assert failed
        assert again == 0

    def test_would_be_seen_to_be_tried_again(self, homes: Homes) -> None:
        class Insistent(Disk):
            """The mistake that PostgreSQL made until 2018."""

            def create_by(self, path: Path, write: Callable[[Path], None]) -> None:
                try:
                    super().create_by(path, write)
                except OSError:
                    descriptor = os.open(path, os.O_RDONLY)
                    os.fsync(descriptor)
                    os.close(descriptor)

        assert any(fsyncs(homes, at, Insistent()).again for at in range(8))
