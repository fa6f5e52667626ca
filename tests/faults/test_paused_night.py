"""B03: a night that is paused beyond its lease, and wakes up when another one has published.

The whole process group is stopped, as a machine that is suspended is: driver and workers.
"""

import os
import signal
import time
from datetime import UTC, datetime

import psutil
import pytest

from storage.database import reading
from storage.rows import NIGHTS
from tests.faults.conftest import Tell
from tests.faults.nights import Fleet, Process, Trial, kill
from tests.faults.size import FULL

LEASE_SECONDS = 6
POINTS = ("leased", "work", "seal", "sealed", "conclude", "point")
SHORT = {"RECFACTORY_NIGHTLY__TENANT_MINUTES": str(LEASE_SECONDS / 60)}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"), 2)


def stopped(process: Process) -> bool:
    return bool(psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)


def paused(trial: Trial, point: str) -> Process:
    """A night that stopped itself at a point, and whose lease is over by now."""
    process = trial.night(FAULTS_AT=f"{point} 1 stop", **SHORT)
    until = time.monotonic() + 600
    while not stopped(process):
        assert process.poll() is None, f"it never came to {point}"
        assert time.monotonic() < until
        time.sleep(0.05)
    while not_over(trial):
        time.sleep(0.1)
    return process


def not_over(trial: Trial) -> bool:
    """Whether a lease still holds."""
    now = datetime.now(UTC)
    with reading(trial.world.stores.engine) as connection:
        rows = connection.execute(NIGHTS.select().where(NIGHTS.c.state == "running")).all()
    return any(row.lease_until > now for row in rows)


def stale(trial: Trial, point: str) -> int:
    """Publications of a night after another one took it over: pauses one, lets the next publish."""
    process = paused(trial, point)
    other = trial.night(**SHORT, FAULTS_PLANT="")
    if point == "point":  # stopped while it publishes: it holds the ledger, and no other can
        time.sleep(2)
    else:
        other.communicate(timeout=600)
        assert len(trial.valid()) == len(trial.fleet.names), point
    before = pointers(trial)
    os.killpg(process.pid, signal.SIGCONT)
    process.communicate(timeout=600)
    other.communicate(timeout=600)
    kill(process)
    changed = pointers(trial) != before if point != "point" else False
    return changed + (len(trial.fleet.names) - len(trial.valid()))


def pointers(trial: Trial) -> dict[str, bytes]:
    found = (trial.world.config.home / "tenants").glob("*/CURRENT")
    return {path.parent.name: path.read_bytes() for path in found}


@pytest.mark.slow
class TestANightThatWasPaused:
    def test_publishes_nothing_once_another_has_taken_over(self, fleet: Fleet, tell: Tell) -> None:
        points = POINTS if FULL else ("leased", "sealed", "conclude", "point")
        found = 0
        for point in points:
            with fleet.trial(RECFACTORY_NIGHTLY__EXECUTOR="in-process") as trial:
                found += stale(trial, point)
        tell("B03", points=len(points), stale_publishes=found)

        assert found == 0

    def test_would_be_seen_to_publish_without_fences(self, fleet: Fleet) -> None:
        with fleet.trial(
            RECFACTORY_NIGHTLY__EXECUTOR="in-process", FAULTS_PLANT="no-fence"
        ) as trial:
            assert stale(trial, "conclude") > 0
