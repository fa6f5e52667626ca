import asyncio
from contextlib import ExitStack

import pytest

from serving.control import Denied
from serving.load import LAG, PLACES, Kind, Load, kind_of


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/tenants/acme/customers/C-1/recs", Kind.LOOKUP),
        ("GET", "/tenants/acme/customers/feedback/recs", Kind.LOOKUP),
        ("POST", "/tenants/acme/customers/C-1/recs", Kind.SELLER),
        ("POST", "/tenants/acme/feedback", Kind.SELLER),
        ("GET", "/health/live", Kind.HEALTH),
        ("GET", "/metrics", Kind.HEALTH),
        ("PUT", "/tenants/acme/mode", Kind.ADMIN),
        ("GET", "/docs", Kind.ADMIN),
        ("GET", "/nowhere", Kind.ADMIN),
    ],
)
def test_what_a_request_is_for_shows_in_its_address(method: str, path: str, kind: Kind) -> None:
    assert kind_of(method, path) is kind


class TestAWorker:
    def test_takes_on_so_many_of_a_kind_and_no_more(self) -> None:
        load = Load()
        with ExitStack() as held:
            for _ in range(PLACES[Kind.ADMIN]):
                held.enter_context(load.at(Kind.ADMIN))

            with pytest.raises(Denied) as told, load.at(Kind.ADMIN):
                pass
            with load.at(Kind.SELLER), load.at(Kind.LOOKUP), load.at(Kind.HEALTH):
                pass

        assert (told.value.status, told.value.code, told.value.retry_after) == (
            503,
            "OVERLOADED",
            1,
        )
        with load.at(Kind.ADMIN):
            pass

    def test_gives_the_place_back_where_the_work_fails(self) -> None:
        load = Load()
        with pytest.raises(KeyError), load.at(Kind.SELLER):
            raise KeyError

        assert set(load.at_work.values()) == {0}

    def test_that_falls_behind_refuses_administration_then_feedback_and_never_lookups(self) -> None:
        def refused(load: Load) -> set[Kind]:
            found = set()
            for kind in Kind:
                try:
                    load.admit(kind)
                except Denied:
                    found.add(kind)
            return found

        load = Load()
        assert refused(load) == set()
        load.behind = LAG[Kind.ADMIN] * 1.5
        assert refused(load) == {Kind.ADMIN}
        load.behind = 60
        assert refused(load) == {Kind.ADMIN, Kind.SELLER}

    def test_has_no_more_at_work_than_there_are_threads_for_it(self) -> None:
        assert sum(PLACES.values()) <= 40


class TestBehind:
    def test_is_the_least_delay_of_the_last_second(self) -> None:
        load = Load()
        for look in range(60):
            load.late(0.2 + (look % 3) / 10)

        assert load.behind == 0.2

    @pytest.mark.parametrize("when", range(40))
    def test_is_not_told_by_one_long_step_whenever_it_comes(self, when: int) -> None:
        load = Load()
        for look in range(60):
            load.late(5.0 if look == when else 0.001)
            assert load.behind <= 0.001

    def test_is_over_when_it_is_over(self) -> None:
        load = Load()
        for look in range(80):
            load.late(5.0 if look < 40 else 0.001)

        assert load.behind == 0.001

    def test_is_looked_at_while_the_loop_runs(self) -> None:
        async def run() -> Load:
            load = Load()
            load.behind = 9
            load.watch(asyncio.get_running_loop())
            while load.behind == 9:
                await asyncio.sleep(0.01)
            return load

        assert asyncio.run(run()).behind < 9
