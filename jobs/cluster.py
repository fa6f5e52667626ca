"""The work of nights on a Ray cluster: a worker for each core, wherever it is.

Only work is sent away. Nights are begun, tried again and published where they are in one machine's
own processes (jobs/executors.py, jobs/fleet.py); Ray itself repeats nothing. Every node has this
version of the product and sees the same home (docs/cluster.md).

Imported only by those who ask for it: Ray is an extra, and takes a second to import.
"""

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any

import ray
from pebble import ProcessExpired
from ray._private import worker as _worker
from ray.exceptions import AuthenticationError, GetTimeoutError, RayError, RayTaskError

from jobs.executors import AHEAD, Done, Turn, prepare
from jobs.memory import NIGHT_MEMORY
from jobs.night import Begun
from schema.config import Config
from schema.errors import Problem, Refused
from schema.records import Conclusion

log = logging.getLogger("recfactory.night")

_STARTS = 3
"""Times in a row that a worker is started and is lost before it is ready: then there is one less."""

_LOOK = 0.5
"""Seconds between looks at whether the run is over, while a worker waits for a place."""

_CONNECT = 10.0
"""Seconds in which the cluster has to take a connection."""

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Ray:
    """A worker for each core of the cluster; a node that dies costs its tenants one attempt."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        """As ``Executor.run``.

        Raises:
            Refused: the cluster takes work from anybody (``CLUSTER_OPEN``), or runs another version
                (``CLUSTER_VERSION``).
            Problem: it cannot be reached (``CLUSTER_AWAY``), or has nobody to do the work, now or
                after its nodes have died (``CLUSTER_EMPTY``).
        """
        _connect(self._config.nightly.ray.address)
        try:
            cores = int(ray.cluster_resources().get("CPU", 0))
            workers = self._config.nightly.ray.workers or max(1, cores)
            with _Pool(self._config, workers) as pool:
                Turn(pool, self._config, workers * AHEAD).run(nights, done)
        finally:
            ray.shutdown()


def _connect(address: str) -> None:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise Refused(
            "a Ray cluster without tokens runs whatever anybody sends it",
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here and at every node",
            code="CLUSTER_OPEN",
        )
    asked = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    try:
        if asked != "auto":  # Ray itself tries for ten minutes
            host, _, port = asked.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT).close()
    except (OSError, ValueError) as error:
        raise _away(address, error) from error
    _worker._worker_logs_enabled = (
        False  # a dead node's log would go to standard output, amid --json
    )
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except AuthenticationError as error:
        raise Refused(
            f"the Ray cluster at {address} does not take this token ({_first(error)})",
            "give this machine the token of the cluster: RAY_AUTH_TOKEN_PATH",
            code="CLUSTER_OPEN",
        ) from error
    except RuntimeError as error:
        if "Version mismatch" in str(error):
            told = " ".join(str(error).split())
            raise Refused(
                told, "install the same lock at every node and here", code="CLUSTER_VERSION"
            ) from error
        raise _away(address, error) from error
    except (OSError, RayError, ValueError) as error:
        raise _away(address, error) from error


def _away(address: str, error: Exception) -> Problem:
    return Problem(
        f"no Ray cluster can be reached at {address} ({_first(error)})",
        "start `ray start` on this machine too, and see nightly.ray.address in config.yaml",
        code="CLUSTER_AWAY",
    )


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class Worker:
    """One core of a node, for one night after the other."""

    def __init__(self, config: Config, level: int) -> None:
        self._config = config
        prepare(config, level)

    def unfit(self, theirs: str, host: str) -> tuple[str, str]:
        """Which node this is, and why it must not do the work; nothing where it may.

        Args:
            theirs: the driver's version of the product; host: its host.
        """
        config, ours, here = self._config, version("recfactory"), socket.gethostname()
        if ours != theirs:
            return here, f"it has version {ours}, the night was begun by {theirs}"
        if os.environ.get("RAY_AUTH_MODE") != "token":
            return here, "it was started without RAY_AUTH_MODE=token: anybody could send it work"
        if not (config.home / "tenants").is_dir():
            return here, f"it does not see the home {config.home}"
        if here != host and not config.ledger.url.get_secret_value():
            return here, "the ledger is SQLite, which only one machine can use: set ledger.url"
        return here, ""

    def work(self, job: Callable[..., Conclusion], *given: Any) -> Conclusion:
        return job(*given)


class _Unfit(Exception):
    """A node that must not do the work: it would fail every night it is given."""


class _Pool:
    """Schedules as Pebble's does and raises what it raises, so that one ``Turn`` serves both.

    A thread stands for each worker. It takes a night when its worker is placed and ready, so that
    none waits for a core while its time runs.
    """

    def __init__(self, config: Config, size: int) -> None:
        self._config = config
        self._wait = config.nightly.ray.wait_minutes * 60
        self._actor = ray.remote(Worker).options(
            num_cpus=1,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": _ONE_THREAD},
        )
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        self._over = threading.Event()
        self._change = threading.Lock()
        self._workers: set[Any] = set()
        self._keepers = self._ready = 0
        self._none_since = time.monotonic()
        self._why = "every core is taken, or its nodes are gone"
        self._gone: Problem | None = None
        self._threads = [threading.Thread(target=self._keep, daemon=True) for _ in range(size)]

    def __enter__(self) -> "_Pool":
        self._keepers = len(self._threads)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._over.set()
        for _ in self._threads:
            self._asked.put(None)
        for worker in [*self._workers] if kind else ():  # Ctrl-C: nobody waits for what they are at
            ray.kill(worker)
        for thread in self._threads:
            thread.join()

    def schedule(
        self, function: Callable[[Begun], Conclusion], args: tuple[Begun], *, timeout: float
    ) -> "Future[Conclusion]":
        """Have it done by the next worker that is free.

        Raises:
            Problem: there is no worker any more (``CLUSTER_EMPTY``).
        """
        with self._change:
            if self._gone is not None:
                raise self._gone
            asked = _Asked(function, args, timeout)
            self._asked.put(asked)
        return asked.future

    def _keep(self) -> None:
        """Have one worker at work: another where it is lost, none where the node is unfit."""
        lost = 0
        while lost < _STARTS and not self._over.is_set():
            worker = self._actor.remote(self._config, logging.getLogger().level)
            self._workers.add(worker)
            try:
                host = self._placed(worker)
                if host is None:
                    return
                lost = 0
                self._serve(worker, host)
            except _Unfit as unfit:
                log.error("%s; it gets no work", unfit)
                self._why = str(unfit)
                break
            except RayError as error:
                lost += 1
                self._why = _first(error)
                self._over.wait(lost * random.uniform(1, 2))  # noqa: S311 (spread, not secret)
            finally:
                self._workers.discard(worker)
                ray.kill(worker)
        with self._change:
            self._keepers -= 1
            if not (self._keepers or self._over.is_set()):
                self._give_up()

    def _placed(self, worker: Any) -> str | None:
        """Its host, as soon as it is ready; None where the run is over before."""
        told = worker.unfit.remote(version("recfactory"), socket.gethostname())
        while not self._over.is_set():
            if ray.wait([told], timeout=_LOOK)[0]:
                host, why = ray.get(told)
                if why:
                    raise _Unfit(f"a worker on {host} cannot be used: {why}")
                return str(host)
            with self._change:
                if not self._ready and time.monotonic() - self._none_since > self._wait:
                    self._give_up()
        return None

    def _serve(self, worker: Any, host: str) -> None:
        """Do nights until there are no more or the worker is lost."""
        with self._change:
            self._ready += 1
        try:
            while asked := self._asked.get():
                if not asked.done_by(worker, host):
                    return
        finally:
            with self._change:
                self._ready -= 1
                self._none_since = time.monotonic()

    def _give_up(self) -> None:
        """Nobody does the work: what waits for it is not done. Under the lock."""
        self._gone = Problem(
            f"no worker of the Ray cluster is ready ({self._why})",
            "see `ray status`, then repeat the night: it does what is missing",
            code="CLUSTER_EMPTY",
        )
        while not self._asked.empty():
            if asked := self._asked.get():
                asked.future.set_exception(self._gone)


class _Asked:
    """One job, and what came of it."""

    def __init__(
        self, job: Callable[..., Conclusion], given: tuple[Any, ...], seconds: float
    ) -> None:
        self._job, self._given, self._seconds = job, given, seconds
        self.future: Future[Conclusion] = Future()

    def done_by(self, worker: Any, host: str) -> bool:
        """Whether the worker is good for another."""
        try:
            told = ray.get(worker.work.remote(self._job, *self._given), timeout=self._seconds)
        except GetTimeoutError:
            self.future.set_exception(TimeoutError())
        except RayTaskError as error:
            self.future.set_exception(error.cause)
            return True
        except RayError as error:
            lost = f"on {host}: {_first(error)}"
            self.future.set_exception(ProcessExpired(lost))  # type: ignore[no-untyped-call]
        except BaseException as error:
            self.future.set_exception(error)
            raise
        else:
            self.future.set_result(told)
            return bool(told.figures.get("code") != NIGHT_MEMORY)  # its libraries may be half made
        return False
