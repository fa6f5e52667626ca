"""Where nights run: in this process, or in several of its own.

One port, ``Executor``; a cluster is another keeper of the same promise.
"""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, TimeoutError
from dataclasses import dataclass
from datetime import UTC, date, datetime
from multiprocessing import get_context
from typing import Protocol

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from jobs.night import run_night
from schema.config import Config
from schema.errors import FactoryError
from schema.names import TenantId
from schema.records import NightReport
from storage.stores import Stores, open_stores

log = logging.getLogger("recfactory.night")


@dataclass(frozen=True, slots=True)
class Task:
    """One tenant's night."""

    tenant: TenantId
    night: date


@dataclass(frozen=True, slots=True)
class Failure:
    """A night that came to no report of its own: refused, overtaken, killed or out of time."""

    task: Task
    because: str


Result = NightReport | Failure
Done = Callable[[Result], None]


class Executor(Protocol):
    """Runs tasks, each on its own: whatever one does, the others are done all the same."""

    def run(self, tasks: Sequence[Task], done: Done) -> None:
        """Run all; ``done`` is called in this process as each ends, in any order."""


class InProcess:
    """One after the other, here: for one tenant, and for tests."""

    def __init__(self, stores: Stores, config: Config) -> None:
        self._stores, self._config = stores, config

    def run(self, tasks: Sequence[Task], done: Done) -> None:
        for task in tasks:
            done(_run(self._stores, self._config, task))


class Processes:
    """Spawned workers, one core each; a worker that dies or hangs costs one tenant one attempt."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._workers = config.nightly.processes or os.cpu_count() or 1

    def run(self, tasks: Sequence[Task], done: Done) -> None:
        left = list(tasks)
        for attempt in range(1, self._config.nightly.attempts + 1):
            last = attempt == self._config.nightly.attempts
            left = self._attempt(left, done, last=last)
            if not left:
                return

    def _attempt(self, tasks: Sequence[Task], done: Done, *, last: bool) -> list[Task]:
        """Run them once; returns those whose worker was lost, unless it was the last attempt."""
        lost = []
        seconds = self._config.nightly.tenant_minutes * 60
        with ProcessPool(
            max_workers=min(self._workers, len(tasks)),
            max_tasks=200,
            context=get_context("spawn"),  # forked BLAS and OpenMP threads hang
            initializer=_prepare,
            initargs=(self._config,),
        ) as pool:
            futures: list[ProcessFuture[Result]] = [
                pool.schedule(_work, args=(task,), timeout=seconds) for task in tasks
            ]
            try:
                for task, future in zip(tasks, futures, strict=True):
                    result = _outcome(task, future, seconds)
                    if isinstance(result, str) and not last:
                        log.warning("%s: %s; trying once more", task.tenant, result)
                        lost.append(task)
                    else:
                        done(Failure(task, result) if isinstance(result, str) else result)
            except BaseException:
                pool.stop()  # type: ignore[no-untyped-call]  # Ctrl-C: workers end now, what they published stays whole
                raise
        return lost


def _outcome(task: Task, future: ProcessFuture[Result], seconds: float) -> Result | str:
    """The task's result; a sentence where its worker was lost."""
    try:
        result: Result = future.result()
    except TimeoutError:
        return f"stopped after {seconds:.0f} s (nightly.tenant_minutes)"
    except (ProcessExpired, CancelledError) as error:
        return f"its worker process died ({error})"
    return result


_STORES: list[tuple[Stores, Config]] = []


def _prepare(config: Config) -> None:
    """Once per worker: open the stores; imports are paid by now."""
    _STORES[:] = [(open_stores(config), config)]


def _work(task: Task) -> Result:
    stores, config = _STORES[0]
    return _run(stores, config, task)


def _run(stores: Stores, config: Config, task: Task) -> Result:
    try:
        return run_night(stores, config, task.tenant, task.night, lambda: datetime.now(UTC))
    except FactoryError as error:
        return Failure(task, str(error))
    except Exception as error:  # the ledger gave out, say: still this tenant's, not the fleet's
        log.exception("%s: night of %s", task.tenant, task.night)
        what = f"{task.tenant}: {type(error).__name__}: {error}"
        return Failure(task, f"{what}. Next: see the log, then repeat the night.")
