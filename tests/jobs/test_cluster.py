"""What a cluster must be before it gets work, and what becomes of work where it fails.

A stand-in takes Ray's place here; tests/scenarios/test_cluster.py runs a night on a real cluster.
"""

import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pebble import ProcessExpired
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from jobs import cluster
from jobs.fleet import run_fleet
from jobs.night import Begun
from jobs.results import Task
from schema.config import Config, Ledger, Nightly, RayCluster
from schema.errors import Problem, Refused
from schema.names import Outcome
from schema.records import Conclusion
from tests.world import ACME, BETA, NIGHT, World

DONE = Conclusion(Outcome.TOO_SMALL, "done", {})


class Stand:
    """In the place of Ray: workers answer at once, each as its number says."""

    def __init__(
        self, fate: Callable[[int], Exception | None], *, placed: bool = True, unfit: str = ""
    ) -> None:
        self._fate, self._placed, self._unfit = fate, placed, unfit
        self.started = 0
        self.killed: list[int] = []

    def remote(self, _: type) -> "Stand":
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._start))  # type: ignore[return-value]

    def _start(self, *_: object) -> "_Named":
        self.started += 1
        number = self.started

        def work(*_: object) -> Conclusion:
            if error := self._fate(number):
                raise error
            return DONE

        answers = {"unfit": lambda *_: ("a-node", self._unfit), "work": work}
        calls = {name: _remote(answer) for name, answer in answers.items()}
        return _Named(number, calls)

    def wait(self, refs: list[object], timeout: float) -> tuple[list[object], list[object]]:
        if not self._placed:
            time.sleep(timeout)
        return (refs, []) if self._placed else ([], refs)

    def get(self, ref: Callable[[], Any], timeout: float | None = None) -> Any:
        return ref()

    def kill(self, worker: "_Named") -> None:
        self.killed.append(worker.number)


class _Named:
    def __init__(self, number: int, calls: dict[str, Any]) -> None:
        self.number = number
        self.unfit, self.work = calls["unfit"], calls["work"]


def _remote(answer: Callable[..., Any]) -> SimpleNamespace:
    return SimpleNamespace(remote=lambda *given: lambda: answer(*given))


@contextmanager
def pool(stand: Stand, monkeypatch: pytest.MonkeyPatch, wait: float = 60) -> Iterator[Any]:
    monkeypatch.setattr(cluster, "ray", stand)
    monkeypatch.setattr(cluster, "_LOOK", 0.01)
    config = Config(nightly=Nightly(ray=RayCluster(wait_minutes=wait / 60)))
    with cluster._Pool(config, 1) as made:
        yield made


def ask(made: Any) -> "Future[Conclusion]":
    future: Future[Conclusion] = made.schedule(
        lambda _: DONE, args=cast("tuple[Begun]", (None,)), timeout=1
    )
    return future


class TestAWorker:
    def test_that_is_lost_costs_its_night_an_attempt_and_is_replaced(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stand = Stand(lambda number: RayActorError() if number == 1 else None)
        with pool(stand, monkeypatch) as made:
            with pytest.raises(ProcessExpired, match="on a-node"):
                ask(made).result(10)
            assert ask(made).result(10) == DONE
        assert stand.started == 2

    def test_that_takes_too_long_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stand = Stand(lambda number: GetTimeoutError() if number == 1 else None)
        with pool(stand, monkeypatch) as made:
            with pytest.raises(TimeoutError):
                ask(made).result(10)
            assert ask(made).result(10) == DONE
            assert stand.killed == [1]

    def test_whose_night_raises_tells_that_and_goes_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        error = RayTaskError("work", "…", OSError("no ledger"))
        stand = Stand(lambda _: error)
        with pool(stand, monkeypatch) as made:
            for _ in range(2):
                with pytest.raises(OSError, match="no ledger"):
                    ask(made).result(10)
        assert stand.started == 1

    def test_on_an_unfit_node_gets_no_work_and_the_log_says_why(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        stand = Stand(lambda _: None, unfit="it does not see the home /srv")
        with pool(stand, monkeypatch) as made, pytest.raises(Problem) as told:
            ask(made).result(10)
        assert told.value.code == "CLUSTER_EMPTY"
        assert "a-node cannot be used: it does not see the home /srv" in told.value.what
        assert "it gets no work" in caplog.text
        assert stand.started == 1

    def test_that_nobody_has_a_place_for_ends_the_night_after_a_while(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stand = Stand(lambda _: None, placed=False)
        with pool(stand, monkeypatch, wait=0.1) as made:
            with pytest.raises(Problem, match="no worker"):
                ask(made).result(10)
            with pytest.raises(Problem, match="no worker"):
                ask(made)


class TestANode:
    @pytest.fixture(autouse=True)
    def _tokens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setattr(cluster, "prepare", lambda *_: None)  # this is no worker's process

    def unfit(self, config: Config, theirs: str = "", host: str = "") -> str:
        here = socket.gethostname()
        worker = cluster.Worker(config, logging.WARNING)
        return worker.unfit(theirs or version("recfactory"), host or here)[1]

    def test_that_is_as_the_driver_may_work(self, world: World) -> None:
        assert self.unfit(world.config) == ""

    def test_of_another_version_may_not(self, world: World) -> None:
        assert "it has version" in self.unfit(world.config, theirs="9.9.9")

    def test_without_tokens_may_not(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("RAY_AUTH_MODE")
        assert "RAY_AUTH_MODE" in self.unfit(world.config)

    def test_that_does_not_see_the_home_may_not(self, world: World) -> None:
        elsewhere = world.config.model_copy(update={"home": world.folder / "elsewhere"})
        assert "does not see the home" in self.unfit(elsewhere)

    def test_on_another_machine_may_not_use_sqlite(self, world: World) -> None:
        assert "SQLite" in self.unfit(world.config, host="another")
        ledger = Ledger.model_validate({"url": "postgresql://db/ledger"})
        shared = world.config.model_copy(update={"ledger": ledger})
        assert self.unfit(shared, host="another") == ""


class TestANightThatCannotBeSentAway:
    def refused(self, world: World) -> Problem:
        ray = RayCluster(address="127.0.0.1:9")
        config = world.config.model_copy(update={"nightly": Nightly(executor="ray", ray=ray)})
        with pytest.raises(Problem) as told:
            run_fleet(world.stores, config, [Task(ACME, NIGHT), Task(BETA, NIGHT)], lambda _: None)
        assert world.stores.nights.last_nights() == {}
        return told.value

    def test_is_refused_where_the_cluster_wants_no_token(self, world: World) -> None:
        problem = self.refused(world)
        assert isinstance(problem, Refused)
        assert problem.code == "CLUSTER_OPEN"
        assert "RAY_AUTH_MODE=token" in problem.next_step

    def test_says_at_once_that_nobody_is_there_and_takes_no_lease(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        begin = datetime.now(UTC)
        problem = self.refused(world)
        assert problem.code == "CLUSTER_AWAY"
        assert "127.0.0.1:9" in problem.what
        assert (datetime.now(UTC) - begin).seconds < 60

    def test_says_what_to_install(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "jobs.cluster", raising=False)
        monkeypatch.setitem(sys.modules, "ray", None)
        problem = self.refused(world)
        assert problem.code == "RAY_MISSING"
        assert "requirements-ray.lock" in problem.next_step
