"""A05, B02: kill -9 of the whole night at any moment, and of single workers.

Three quarters of the kills come at random moments, the others at moments where something is just
being decided (tests/faults/process.py). A night is killed up to five times, then repeated to its
end and compared with one that nobody disturbed.
"""

import random
import signal
import subprocess
from collections import Counter

import pytest

from tests.faults.conftest import Tell
from tests.faults.nights import Fleet, Trial, kill, orphans
from tests.faults.process import POINTS
from tests.faults.size import FULL, SEED, size

KILLS = size(10, 200)
NIGHTLY = 5
"""Kills of one night, at most."""
DEATHS = size(6, 50)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"), size(12, 40))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Enough to see a defect."""
    return Fleet(tmp_path_factory.mktemp("few"), 4)


class Killer:
    """Kills nights, and counts what they left behind."""

    def __init__(self, fleet: Fleet, seed: int, planted: str = "") -> None:
        self._fleet, self._rng, self._planted = fleet, random.Random(seed), planted
        self._seconds = fleet.seconds
        self.count = Counter[str]()

    def nights(self, kills: int) -> dict[str, object]:
        while self.count["kills"] < kills:
            self.one_night(min(NIGHTLY, kills - self.count["kills"]))
        return self.figures()

    def one_night(self, kills: int, at: str = "") -> None:
        """Kill a night so many times, if it does not come to its end before; then repeat it."""
        with self._fleet.trial(FAULTS_PLANT="" if self._planted == "early" else self._planted) as t:
            recorder = t.recorder(self._planted if self._planted == "early" else "")
            killed = 0
            while killed < kills and self._killed(t, at):
                killed += 1
                self.count["torn"] += len(t.torn())
            kill(recorder)
            t.completed()
            self.count["kills"] += killed
            self.count["nights"] += 1
            self.count["lost"] += len(t.lost())
            self.count["answered"] += len(t.history.read_text().splitlines())
            self.count["invalid"] += len(self._fleet.names) - len(t.valid())
            self.count["equal"] += killed * (t.end() == self._fleet.end)
            self.count["debris"] += len(t.debris())

    def _killed(self, trial: Trial, at: str) -> bool:
        if not at and self._rng.random() < 0.25:
            at = f"{self._rng.choice(POINTS)} {self._rng.randint(1, 3)} kill"
        process = trial.night(FAULTS_AT=at)
        try:
            # The first part of a run is imports of modules; the kills are spread over the rest.
            process.communicate(timeout=900 if at else self._seconds * self._rng.uniform(0.4, 1.0))
        except subprocess.TimeoutExpired:
            kill(process)
        self.count["orphans"] += orphans([process])
        died = process.returncode == -signal.SIGKILL
        self.count["aimed" if at else "random"] += died
        return died

    def figures(self) -> dict[str, object]:
        count, tenants = self.count, len(self._fleet.names)
        each = count["nights"] * tenants
        return {
            "kills": count["kills"],
            "random": count["random"],
            "aimed": count["aimed"],
            "nights": count["nights"],
            "torn": count["torn"],
            "answered": count["answered"],
            "lost": count["lost"],
            "tenants_valid": f"{each - count['invalid']}/{each}",
            "final_sha_equal": f"{count['equal']}/{count['kills']}",
            "orphans": count["orphans"],
            "debris": count["debris"],
        }

    def found(self) -> set[str]:
        """What is wrong."""
        unequal = self.count["kills"] - self.count["equal"]
        wrong = Counter({"unequal": unequal, **{name: self.count[name] for name in _WRONG}})
        return {name for name, times in wrong.items() if times}


_WRONG = ("torn", "lost", "invalid", "orphans", "debris")


@pytest.mark.slow
@pytest.mark.timeout(0 if FULL else 1200)
class TestAKilledNight:
    def test_leaves_nothing_torn_loses_nothing_and_ends_as_if_nobody_had_disturbed_it(
        self, fleet: Fleet, tell: Tell
    ) -> None:
        killer = Killer(fleet, SEED)
        figures = killer.nights(KILLS)
        tell("A05", tenants=len(fleet.names), **figures, seed=SEED)

        assert killer.found() == set()
        assert killer.count["answered"] > KILLS

    @pytest.mark.parametrize(
        ("planted", "at", "finds"),
        [
            ("torn", "point 1 kill", "torn"),
            ("recorded-first", "committed 1 kill", "invalid"),
            ("unseeded", "pointed 1 kill", "unequal"),
            ("early", "", "lost"),
        ],
    )
    def test_would_be_seen_to_go_wrong(self, planted: str, at: str, finds: str, few: Fleet) -> None:
        killer = Killer(few, SEED, planted)
        for _ in range(10):
            killer.one_night(1, at)
            if finds in killer.found():
                return
        pytest.fail(f"{planted} was not found: {killer.figures()}")


def deaths(trial: Trial, most: int, every: str, **settings: str) -> list[str]:
    """Let workers die while they work; returns whose work it was, once for each death."""
    folder = trial.world.folder / "deaths"
    folder.mkdir(exist_ok=True)
    trial.completed(
        FAULTS_AT=f"{every} die",
        FAULTS_DEATHS=f"{folder} {most}",
        RECFACTORY_NIGHTLY__ATTEMPTS="10",
        **settings,
    )
    return [path.name.split("-", 2)[2] for path in folder.iterdir()]


@pytest.mark.slow
@pytest.mark.timeout(0 if FULL else 1200)
class TestAKilledWorker:
    def test_costs_its_tenant_an_attempt_and_publishes_nothing_twice(
        self, fleet: Fleet, tell: Tell
    ) -> None:
        rng, died, extra, stuck = random.Random(SEED), 0, 0, 0
        while died < DEATHS:
            with fleet.trial() as trial:
                at = f"{rng.choice(('work', 'seal', 'sealed'))} {rng.randint(1, 4)}"
                died += len(deaths(trial, min(DEATHS - died, 10), at))
                valid = trial.valid()
                stuck += len(fleet.names) - len(valid)
                extra += sum(
                    len(trial.world.stores.nights.editions(name)) != 2 for name in fleet.names
                )
                assert trial.end() == fleet.end
        tell("B02", killed=died, stuck_jobs=stuck, taken_over=died, extra_publishes=extra)

        assert (stuck, extra) == (0, 0)

    def test_would_be_seen_to_be_stuck(self, few: Fleet) -> None:
        with few.trial() as trial:
            deaths(trial, 1, "work 1", FAULTS_PLANT="given-up")
            assert len(trial.valid()) < len(few.names)
