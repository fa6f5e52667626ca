"""The cap on one tenant's memory, and what is told of it."""

import resource
from collections.abc import Callable

import numpy as np
import psutil
import pyarrow as pa
import pytest

from jobs import executors, night
from jobs.executors import work_capped
from jobs.memory import capped, ran_out
from jobs.night import Begun, begin
from schema.config import Nightly
from schema.errors import FactoryError, Problem, during
from schema.names import Again, Outcome
from schema.records import Conclusion
from tests.world import ACME, NIGHT, NOW, World

CAP = 2**28


class TestCap:
    @pytest.mark.parametrize(
        "too_much",
        [
            lambda: np.empty(CAP, np.uint16),
            lambda: bytearray(2 * CAP),
            lambda: pa.allocate_buffer(2**33),
        ],
        ids=["numpy", "python", "arrow"],
    )
    def test_stops_who_takes_more_and_is_gone_afterwards(
        self, too_much: Callable[[], object]
    ) -> None:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        with capped(CAP), pytest.raises(MemoryError):
            too_much()
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
        assert len(bytearray(2 * CAP)) == 2 * CAP

    def test_leaves_alone_who_takes_less(self) -> None:
        with capped(CAP):
            assert len(bytearray(CAP // 2)) == CAP // 2

    def test_the_peak_is_of_this_work_and_not_of_the_one_before(self) -> None:
        idle = psutil.Process().memory_info().rss
        with capped(CAP) as large:
            bytearray(b"x") * (CAP // 2)
        with capped(CAP) as small:
            pass
        assert large.peak > idle + CAP // 4
        assert small.peak < large.peak - CAP // 4


class TestRanOut:
    def test_is_seen_through_whatever_the_error_was_made_into(self) -> None:
        def read() -> None:
            try:
                raise pa.ArrowMemoryError("malloc of size 1 failed")
            except pa.ArrowException as error:
                raise Problem("it cannot be read", "look", "DATA") from error

        with pytest.raises(FactoryError) as told, during("validate", ACME):
            read()
        assert ran_out(told.value)
        assert ran_out(OSError(12, "Cannot allocate memory"))

    def test_is_no_other_error(self) -> None:
        assert not ran_out(OSError(28, "No space left on device"))
        assert not ran_out(ValueError("memory"))


class TestANightThatNeedsTooMuch:
    def test_has_failed_by_name_with_the_limit_and_the_peak_and_is_not_tried_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(night, "from_tables", lambda *_: np.empty(2**40, np.uint8))
        nightly = Nightly(tenant_bytes=2**30)
        config = world.config.model_copy(update={"nightly": nightly})
        end = work_capped(world.stores, config, _begun(world))
        assert (end.outcome, end.figures["code"]) == (Outcome.FAILED, "NIGHT_MEMORY")
        assert end.because.startswith("acme: ")
        assert "1,073,741,824 bytes" in end.because
        assert f"{end.figures['memory']:,} bytes at most" in end.because
        assert "nightly.tenant_bytes" in end.because
        assert end.figures["again"] == Again.BY_HAND

    def test_and_every_other_tells_its_peak(self, world: World) -> None:
        end = work_capped(world.stores, world.config, _begun(world))
        assert end.outcome is Outcome.PROMOTED
        assert 2**24 < end.figures["memory"] < 2**36

    def test_has_the_whole_cap_however_much_its_worker_holds(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = bytearray(2 * CAP)
        room: list[int] = []

        def work(*_: object) -> Conclusion:
            limit, _hard = resource.getrlimit(resource.RLIMIT_DATA)
            room.append(limit - psutil.Process().memory_info().data)
            return Conclusion(Outcome.OFF, "nothing", {})

        monkeypatch.setattr(executors, "work", work)
        work_capped(world.stores, world.config, _begun(world))
        assert room[0] == pytest.approx(world.config.nightly.tenant_bytes, rel=0.02)
        assert held


def _begun(world: World) -> Begun:
    found = begin(world.stores, world.config, [(ACME, NIGHT)], lambda: NOW)[0]
    assert isinstance(found, Begun)
    return found
