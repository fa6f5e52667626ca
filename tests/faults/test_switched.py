"""B21: freeze and off win: once a switch is acknowledged, nothing is published any more."""

import threading
from collections import Counter

import pytest

from jobs import night as night_job
from schema.names import Mode
from tests.faults.conftest import Tell
from tests.faults.disk import FaultyDisk
from tests.faults.homes import Homes, second
from tests.faults.size import size
from tests.world import ACME, World

POINTS = size(10, 20)


class Switching(FaultyDisk):
    """Somebody switches the tenant at the N-th step, and remembers what was served when told so."""

    def __init__(self, at: int, mode: Mode) -> None:
        super().__init__()
        self._at, self._mode = at, mode
        self.world: World | None = None
        self.person: threading.Thread | None = None
        self.pointer = b""

    def _step(self, name: str) -> None:
        super()._step(name)
        if len(self.steps) - 1 == self._at:
            self.person = threading.Thread(target=self._switch)
            self.person.start()
            self.person.join(0.3)  # longer: the night publishes right now, and comes first

    def _switch(self) -> None:
        assert self.world is not None
        self.world.switch(ACME, self._mode)
        self.pointer = pointer(self.world)


def pointer(world: World) -> bytes:
    return (world.config.home / "tenants" / f"t-uid-of-{ACME}" / "CURRENT").read_bytes()


def switched(homes: Homes, points: int) -> Counter[str]:
    """A night for each point and mode, switched there."""
    count = Counter[str]()
    for point in sorted({round(n * last(homes) / (points - 1)) for n in range(points)}):
        for mode in (Mode.FREEZE, Mode.OFF):
            disk = Switching(point, mode)
            with homes.copy(disk) as world:
                disk.world = world
                published = second(world)[ACME]
                assert disk.person is not None
                disk.person.join()
                count["switches"] += 1
                count["withdrawn"] += not published
                count["after_ack"] += pointer(world) != disk.pointer
    return count


def last(homes: Homes) -> int:
    """The step after acme's pointer was swapped."""
    return homes.steps.index("rename to CURRENT") + 1


class TestASwitch:
    def test_at_any_point_of_a_night_that_runs_is_the_last_word(
        self, homes: Homes, tell: Tell
    ) -> None:
        count = switched(homes, POINTS)
        tell(
            "B21",
            points=POINTS,
            switches=count["switches"],
            withdrawn=count["withdrawn"],
            publishes_after_ack=count["after_ack"],
        )

        assert count["after_ack"] == 0
        assert 0 < count["withdrawn"] < count["switches"]

    def test_would_be_seen_to_be_overruled(
        self, homes: Homes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(night_job, "stands", lambda *_: True)
        assert switched(homes, 3)["after_ack"] > 0
