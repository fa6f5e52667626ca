"""Who goes first when there is not time for everybody."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from jobs.deadline import in_time
from jobs.results import Task
from schema.names import TenantId

TASKS = [Task(TenantId(name), date(2026, 4, 1)) for name in ("large", "middle", "small", "new")]
LARGE, MIDDLE, SMALL, NEW = TASKS
SECONDS = {LARGE.tenant: 60.0, MIDDLE.tenant: 20.0, SMALL.tenant: 10.0}
VALUE = {LARGE.tenant: 300.0, MIDDLE.tenant: 200.0, SMALL.tenant: 10.0}


class TestTime:
    def test_that_is_enough_changes_nothing(self) -> None:
        assert in_time(TASKS[:3], SECONDS, VALUE, 90) == ([LARGE, MIDDLE, SMALL], [])

    def test_that_is_short_is_given_to_those_worth_most_a_second(self) -> None:
        assert in_time(TASKS[:3], SECONDS, VALUE, 85) == ([MIDDLE, LARGE], [SMALL])

    def test_that_is_very_short_is_given_to_the_first_that_fit(self) -> None:
        assert in_time(TASKS[:3], SECONDS, VALUE, 30) == ([MIDDLE], [LARGE, SMALL])

    def test_of_a_tenant_without_a_night_is_an_average_one(self) -> None:
        first, late = in_time([NEW, SMALL], SECONDS, VALUE, 35)
        assert (first, late) == ([NEW], [SMALL])

    def test_is_not_known_before_a_first_night_and_nobody_is_put_back(self) -> None:
        assert in_time(TASKS, {}, {}, 60) == (TASKS, [])

    @given(st.dictionaries(st.sampled_from([t.tenant for t in TASKS]), st.floats(0, 1e4)))
    def test_loses_nobody(self, seconds: dict[TenantId, float]) -> None:
        first, late = in_time(TASKS, seconds, VALUE, 50)
        assert sorted([*first, *late], key=TASKS.index) == TASKS
