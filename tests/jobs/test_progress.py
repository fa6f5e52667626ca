"""How far a run has come: counted, and foretold by what each tenant took last night."""

from datetime import UTC, datetime

from jobs.progress import Progress, expected
from jobs.results import Failure, Task
from schema.names import Outcome, TenantId
from schema.records import NightReport
from tests.world import ACME, BETA, NIGHT

GAMMA = TenantId("gamma")


def ended(tenant: TenantId, outcome: Outcome = Outcome.PROMOTED) -> NightReport:
    at = datetime(2026, 4, 1, tzinfo=UTC)
    return NightReport(tenant, NIGHT, "done", outcome, "", True, 1, 1, {}, at, at)


class TestTheLine:
    def test_counts_verdicts_and_those_that_did_not_run_as_failed(self) -> None:
        progress = Progress({ACME: 1, BETA: 1, GAMMA: 1})
        progress.add(ended(ACME))
        progress.add(ended(BETA, Outcome.TOO_SMALL))
        progress.add(Failure(Task(GAMMA, NIGHT), "lost", "WORKER_LOST"))
        assert progress.told() == "promoted 1, kept 1, failed 1"
        assert (progress.done, progress.total) == (3, 3)

    def test_names_held_ones_only_where_there_are(self) -> None:
        progress = Progress({ACME: 1})
        assert "held" not in progress.told()
        progress.add(ended(ACME, Outcome.HELD))
        assert "held 1" in progress.told()

    def test_counts_apart_what_another_run_is_at(self) -> None:
        progress = Progress({ACME: 1, BETA: 1})
        progress.add(ended(ACME))
        progress.add(Failure(Task(BETA, NIGHT), "running", "NIGHT_RUNNING"))
        assert progress.told() == "promoted 1, kept 0, failed 0, running 1"


class TestTimeLeft:
    def test_is_unknown_before_anything_ended(self) -> None:
        assert Progress({ACME: 1}).left(5.0) is None

    def test_goes_by_cost_since_the_largest_come_first(self) -> None:
        progress = Progress({ACME: 90, BETA: 5, GAMMA: 5})
        progress.add(ended(ACME))
        assert progress.left(9.0) == 1.0  # a mean of those done would say 18

    def test_is_nothing_when_all_are_done(self) -> None:
        progress = Progress({ACME: 3})
        progress.add(ended(ACME))
        assert progress.left(9.0) == 0


class TestExpected:
    def test_is_what_the_night_before_took_and_for_a_new_tenant_what_is_usual(self) -> None:
        assert expected({ACME: 8, BETA: 4, GAMMA: 0}, dict) == {ACME: 8, BETA: 4, GAMMA: 6}

    def test_goes_by_the_size_of_the_data_in_a_fleets_first_night(self) -> None:
        sizes = {ACME: 500.0, BETA: 0.0}
        assert expected({ACME: 0, BETA: 0}, lambda: sizes) == {ACME: 500, BETA: 1}
