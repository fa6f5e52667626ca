"""B04: five who run the night of one fleet at the same moment: each tenant has one night."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.faults.conftest import Tell
from tests.faults.nights import Fleet, Trial
from tests.faults.size import FULL, size

TENANTS = size(12, 40)
POLITE = {"NIGHT_RUNNING"}
"""What somebody is told whose tenant another one is at."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"), TENANTS)


class Five:
    """What five runs at once came to."""

    def __init__(self, trial: Trial, **settings: str) -> None:
        started = [
            trial.night(FAULTS_PUBLISHED=str(trial.world.folder / "published"), **settings)
            for _ in range(5)
        ]
        told = [process.communicate(timeout=900)[0] for process in started]
        self.statuses = {process.returncode for process in started}
        self.lines: list[dict[str, Any]] = [line for out in told for line in json.loads(out)]
        self.codes = Counter(line["code"] for line in self.lines if "code" in line)
        published = trial.world.folder / "published"
        self.publishes = Counter(published.read_text().split() if published.exists() else ())

    def errors(self) -> int:
        """Lines that no operator should see."""
        return sum(times for code, times in self.codes.items() if code not in POLITE)


@pytest.mark.slow
@pytest.mark.timeout(0 if FULL else 1200)
class TestFiveSchedulers:
    def test_at_once_publish_each_tenant_once_and_the_others_are_told_so(
        self, fleet: Fleet, tell: Tell
    ) -> None:
        with fleet.trial(RECFACTORY_NIGHTLY__PROCESSES="1") as trial:
            five = Five(trial)
            most = max(five.publishes.values())
            tell(
                "B04",
                schedulers=5,
                tenants=TENANTS,
                publishes_per_tenant=most,
                errors_shown_to_user=five.errors(),
                told_politely=five.codes["NIGHT_RUNNING"],
            )

            assert set(five.publishes.values()) == {1}
            assert len(five.publishes) == TENANTS
            assert five.errors() == 0
            assert five.statuses == {0}
            assert len(trial.valid()) == TENANTS
            assert trial.end() == fleet.end

    def test_would_be_seen_to_publish_more_than_once_without_leases(self, fleet: Fleet) -> None:
        with fleet.trial(RECFACTORY_NIGHTLY__EXECUTOR="in-process") as trial:
            five = Five(trial, FAULTS_PLANT="no-lease")
            assert set(five.publishes.values()) != {1} or five.errors()
