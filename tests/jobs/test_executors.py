"""Workers that are lost, nights that hang, and the order in which nights are begun."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest
from pebble import ProcessExpired

from jobs import executors, fleet
from jobs.executors import Turn
from jobs.fleet import run_fleet
from jobs.night import Begun, begin
from jobs.results import Task, exit_status
from schema.config import Config, Nightly
from schema.errors import Problem
from schema.names import Again, Outcome, TenantId
from schema.records import Conclusion, NightReport
from storage.database import LedgerAway
from tests.world import ACME, BETA, NIGHT, World

Worked = Sequence[tuple[Begun, Conclusion]]


class Pool:
    """In the place of worker processes: does to each night what it is told, at once."""

    def __init__(self, fate: Callable[[TenantId, int], Exception | None]) -> None:
        self._fate = fate
        self.tries: list[tuple[TenantId, float]] = []

    def schedule(
        self, function: object, args: tuple[Begun], *, timeout: float
    ) -> "Future[Conclusion]":
        name = args[0].tenant.tenant
        self.tries.append((name, time.monotonic()))
        future: Future[Conclusion] = Future()
        error = self._fate(name, [tried for tried, _ in self.tries].count(name))
        if error is None:
            future.set_result(Conclusion(Outcome.TOO_SMALL, "done", {}))
        else:
            future.set_exception(error)
        return future


def turn(pool: Pool, config: Config, nights: Iterator[Begun], *, ahead: int = 4) -> Worked:
    """Work on them all; what each came to, in the order they ended."""
    told: list[tuple[Begun, Conclusion]] = []
    Turn(pool, config, ahead).run(nights, told.extend)
    return told


def begun(world: World) -> list[Begun]:
    asks = [(ACME, NIGHT), (BETA, NIGHT)]
    found = begin(world.stores, world.config, asks, lambda: datetime.now(UTC))
    return [night for night in found if isinstance(night, Begun)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_PAUSE", 0.05)
    monkeypatch.setattr(executors, "_TOGETHER", 0.01)


@pytest.mark.usefixtures("quick")
class TestALostWorker:
    def test_costs_its_night_an_attempt_and_no_other_night_anything(self, world: World) -> None:
        pool = Pool(lambda name, attempt: _lost() if (name, attempt) == (ACME, 1) else None)
        told = turn(pool, world.config, iter(begun(world)))
        assert [night.tenant.tenant for night, _ in told] == [BETA, ACME]
        assert {end.outcome for _, end in told} == {Outcome.TOO_SMALL}

    def test_again_and_again_ends_in_a_failed_night_that_names_tenant_and_cause(
        self, world: World
    ) -> None:
        config = with_nightly(world, attempts=3)
        pool = Pool(lambda name, _: _lost() if name == ACME else None)
        [_, (night, end)] = turn(pool, config, iter(begun(world)))
        assert [name for name, _ in pool.tries].count(ACME) == 3
        assert (night.tenant.tenant, end.outcome) == (ACME, Outcome.FAILED)
        assert end.figures["code"] == "WORKER_LOST"
        assert end.because.startswith("acme: its worker process died")
        assert "3 times" in end.because
        assert "repeat the night" in end.because

    def test_is_replaced_after_a_pause_that_grows_and_is_not_the_same_for_all(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn: list[tuple[float, float]] = []

        def uniform(low: float, high: float) -> float:
            drawn.append((low, high))
            return low

        monkeypatch.setattr(random, "uniform", uniform)
        pool = Pool(lambda name, _: _lost() if name == ACME else None)
        turn(pool, with_nightly(world, attempts=3), iter(begun(world)))
        at = [moment for name, moment in pool.tries if name == ACME]
        assert at[1] - at[0] >= 0.05
        assert at[2] - at[1] >= 0.1
        assert drawn == [(1, 2), (1, 2)]

    def test_counts_the_attempts_of_earlier_runs(self, world: World) -> None:
        earlier = [replace(night, lease=replace(night.lease, attempts=1)) for night in begun(world)]
        pool = Pool(lambda name, _: _lost() if name == ACME else None)
        end = _end_of(ACME, turn(pool, with_nightly(world, attempts=3), iter(earlier)))
        assert [name for name, _ in pool.tries].count(ACME) == 2
        assert end.figures["attempts"] == 3
        assert "2 times" in end.because

    def test_is_tried_once_by_a_person_though_its_attempts_are_used_up(self, world: World) -> None:
        earlier = [replace(night, lease=replace(night.lease, attempts=5)) for night in begun(world)]
        pool = Pool(lambda name, _: _lost() if name == ACME else None)
        turn(pool, with_nightly(world, attempts=2), iter(earlier))
        assert [name for name, _ in pool.tries].count(ACME) == 1

    def test_that_the_kernel_ended_for_want_of_memory_says_so_and_is_tried_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended = iter([7, 8, 9])
        monkeypatch.setattr(executors, "ended_by_kernel", lambda: next(ended))
        pool = Pool(lambda name, _: _lost() if name == ACME else None)
        end = _end_of(ACME, turn(pool, with_nightly(world, attempts=2), iter(begun(world))))
        assert end.figures["code"] == "NIGHT_MEMORY"
        assert (end.figures["attempts"], end.figures["again"]) == (2, Again.SOON)

    def test_that_must_take_no_night_costs_the_one_it_was_given_nothing(self, world: World) -> None:
        unfit = ProcessExpired("Abnormal termination", code=executors._UNFIT)  # type: ignore[no-untyped-call]
        pool = Pool(lambda name, attempt: unfit if (name, attempt) == (ACME, 1) else None)
        told = turn(pool, with_nightly(world, attempts=1), iter(begun(world)))
        assert {end.because for _, end in told} == {"done"}

    def test_whatever_it_died_of_is_not_the_end_of_the_fleet(self, world: World) -> None:
        pool = Pool(lambda name, _: RuntimeError("no ledger") if name == ACME else None)
        told = turn(pool, with_nightly(world, attempts=1), iter(begun(world)))
        because = {night.tenant.tenant: end.because for night, end in told}
        assert "RuntimeError: no ledger" in because[ACME]
        assert because[BETA] == "done"

    def test_a_night_out_of_time_says_so(self, world: World) -> None:
        pool = Pool(lambda name, _: TimeoutError() if name == ACME else None)
        told = turn(pool, with_nightly(world, attempts=1), iter(begun(world)))
        end = {night.tenant.tenant: end for night, end in told}[ACME]
        assert end.figures["code"] == "NIGHT_TIME"
        assert "nightly.tenant_minutes" in end.because


@pytest.mark.usefixtures("quick")
class TestNightsAhead:
    def test_are_begun_only_when_their_turn_is_near(self, world: World) -> None:
        asked: list[TenantId] = []

        def nights() -> Iterator[Begun]:
            for night in begun(world):
                asked.append(night.tenant.tenant)
                yield night

        seen: list[int] = []
        pool = Pool(lambda *_: seen.append(len(asked)))
        turn(pool, world.config, nights(), ahead=1)
        assert seen == [1, 2]

    def test_keep_their_leases_while_another_takes_long(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each look at the clock is a minute later, and a lease is for three."""
        moment = datetime.now(UTC)

        def clock() -> datetime:
            nonlocal moment
            moment += timedelta(minutes=1)
            return moment

        monkeypatch.setattr(fleet, "_clock", clock)
        run = fleet._Run(world.stores, with_nightly(world, tenant_minutes=3), lambda *_: None)
        started = [*run.begun([Task(ACME, NIGHT), Task(BETA, NIGHT)])]
        assert len(started) == 2
        for _ in range(6):
            run.publish([])
        told = _taken_by_another(world, moment)
        assert isinstance(told, Problem)
        assert told.code == "NIGHT_RUNNING"

    def test_are_not_begun_while_the_ledger_is_away_and_each_is_told(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object) -> None:
            raise LedgerAway("the ledger cannot be used", "look", "LEDGER_AWAY")

        monkeypatch.setattr(fleet, "begin", away)
        tasks = [Task(ACME, NIGHT), Task(BETA, NIGHT)]
        results = run_fleet(
            world.stores, with_nightly(world, executor="in-process"), tasks, lambda _: None
        )
        assert ["cannot be used" in result.because for result in results] == [True, True]
        assert exit_status(results) == 1


@pytest.mark.slow
class TestRealWorkers:
    def test_killed_at_a_tenant_twice_leave_its_night_failed_and_the_others_published(
        self, world: World
    ) -> None:
        fifo = hang(world, ACME)
        config = with_nightly(world, executor="processes", processes=1, attempts=2)
        killer = threading.Thread(target=kill_readers_of, args=(fifo, 2))
        killer.start()
        tasks = [Task(ACME, NIGHT), Task(BETA, NIGHT)]
        bad, good = run_fleet(world.stores, config, tasks, lambda _: None)
        killer.join()
        assert isinstance(bad, NightReport)
        assert isinstance(good, NightReport)
        assert (bad.outcome, bad.figures["code"]) == (Outcome.FAILED, "WORKER_LOST")
        assert bad == world.stores.nights.night(ACME, NIGHT)
        assert good.published

    def test_that_hang_are_stopped_at_the_tenants_time(self, world: World) -> None:
        hang(world, ACME)
        config = with_nightly(
            world, executor="processes", processes=2, attempts=1, tenant_minutes=0.25
        )
        tasks = [Task(ACME, NIGHT), Task(BETA, NIGHT)]
        bad, good = run_fleet(world.stores, config, tasks, lambda _: None)
        assert isinstance(bad, NightReport)
        assert isinstance(good, NightReport)
        assert (bad.outcome, bad.figures["code"]) == (Outcome.FAILED, "NIGHT_TIME")
        assert good.published


def _end_of(name: TenantId, worked: Worked) -> Conclusion:
    [end] = [end for night, end in worked if night.tenant.tenant == name]
    return end


def _lost() -> Exception:
    return ProcessExpired("Abnormal termination", code=-9)  # type: ignore[no-untyped-call]


def _taken_by_another(world: World, now: datetime) -> object:
    [told] = world.stores.nights.begin_all(
        [(BETA, NIGHT)],
        owner="another-host:1:1",
        alive=lambda _: True,
        now=now,
        lease=timedelta(minutes=3),
    )
    return told


def with_nightly(world: World, **nightly: Any) -> Config:
    return world.config.model_copy(update={"nightly": Nightly(**nightly)})


def hang(world: World, name: TenantId) -> str:
    """Put a pipe that nobody writes in the place of a tenant's file: who opens it waits for ever."""
    uid = world.tenant(name).uid
    (path,) = (world.config.home / "tenants" / uid / "data" / "customers").glob("*.parquet")
    path.unlink()
    os.mkfifo(path)
    return str(path)


def kill_readers_of(fifo: str, times: int) -> None:
    """Kill the one worker as soon as it waits for the pipe, and so many after it.

    It is stopped before each look: the look itself would let it go on.
    """
    while times:
        for worker in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # one that is dead already
                if "spawn_main" in " ".join(worker.cmdline()) and _waits(worker, fifo):
                    worker.kill()
                    times -= 1
        time.sleep(0.05)


def _waits(worker: psutil.Process, fifo: str) -> bool:
    worker.send_signal(signal.SIGSTOP)
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        worker.send_signal(signal.SIGCONT)
        return False
    return True
