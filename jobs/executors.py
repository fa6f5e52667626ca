"""Where the work of nights is done: in this process, or in several of its own.

One port, ``Executor``; a cluster is another keeper of the same promise. Workers make and seal; only
the one who began the nights publishes them (jobs/fleet.py).
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, TimeoutError, wait
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Protocol

from pebble import ProcessExpired, ProcessPool

from jobs.night import Begun, failed, work
from schema.config import Config
from schema.records import Conclusion
from storage.stores import Stores, open_stores

log = logging.getLogger("recfactory.night")

Done = Callable[[Sequence[tuple[Begun, Conclusion]]], None]

_AHEAD = 4
"""Nights begun for each worker: one at work, the others wait so that it never does."""

_TOGETHER = 0.2
"""Seconds for which nights that ended are gathered, to be published in one transaction."""


class Executor(Protocol):
    """Does the work of nights, each on its own: whatever one does, the others are done all the same."""

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        """Work on all of them, taken from the iterator when their turn is near; ``done`` is called
        in this process with those that ended, in any order.
        """


class InProcess:
    """One after the other, here: for one tenant, and for tests."""

    def __init__(self, stores: Stores, config: Config) -> None:
        self._stores, self._config = stores, config

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        for begun in nights:
            done([(begun, work(self._stores, self._config.template, begun, datetime.now(UTC)))])


class Processes:
    """Spawned workers, one core each; a worker that dies or hangs costs one tenant one attempt."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._workers = config.nightly.processes or os.cpu_count() or 1

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        with ProcessPool(
            max_workers=self._workers,
            max_tasks=1000,
            context=get_context("spawn"),  # forked BLAS and OpenMP threads hang
            initializer=_prepare,
            initargs=(self._config,),
        ) as pool:
            try:
                _Turn(pool, self._config, self._workers * _AHEAD).run(nights, done)
            except BaseException:
                pool.stop()  # type: ignore[no-untyped-call]  # Ctrl-C: workers end now, what was published stays whole
                raise


class _Turn:
    """The nights of one run: which are at work, which ended and wait to be published."""

    def __init__(self, pool: ProcessPool, config: Config, most: int) -> None:
        self._pool, self._most = pool, most
        self._seconds = config.nightly.tenant_minutes * 60
        self._attempts = config.nightly.attempts
        self._working: dict[Future[Conclusion], tuple[Begun, int]] = {}

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        ended: list[tuple[Begun, Conclusion]] = []
        flushed = time.monotonic()
        while True:
            while len(self._working) < self._most and (begun := next(nights, None)):
                self._start(begun, 1)
            if not self._working and not ended:
                return
            ready, _ = wait(self._working, timeout=_TOGETHER, return_when=FIRST_COMPLETED)
            for future in ready:
                ended += self._ended(future)
            if ended and (time.monotonic() - flushed >= _TOGETHER or not self._working):
                done(ended)
                ended, flushed = [], time.monotonic()

    def _start(self, begun: Begun, attempt: int) -> None:
        future: Future[Conclusion] = self._pool.schedule(
            _work, args=(begun,), timeout=self._seconds
        )
        self._working[future] = begun, attempt

    def _ended(self, future: Future[Conclusion]) -> list[tuple[Begun, Conclusion]]:
        """The night and what it came to; nothing where its worker was lost and it is tried again."""
        begun, attempt = self._working.pop(future)
        name = begun.tenant.tenant
        try:
            conclusion: Conclusion = future.result()
        except TimeoutError:
            code, why = (
                "NIGHT_TIME",
                f"stopped after {self._seconds:.0f} s (nightly.tenant_minutes)",
            )
        except (ProcessExpired, CancelledError) as error:
            code, why = "WORKER_LOST", f"its worker process died ({error})"
        else:
            return [(begun, conclusion)]
        if attempt < self._attempts:
            log.warning("%s: %s; trying once more", name, why)
            self._start(begun, attempt + 1)
            return []
        what = f"{name}: {why}, {attempt} times. Next: see the log, then repeat the night."
        return [(begun, failed(begun.lease, what, code))]


_STORES: list[tuple[Stores, Config]] = []


def _prepare(config: Config) -> None:
    """Once per worker: open the stores; imports are paid by now."""
    _STORES[:] = [(open_stores(config), config)]


def _work(begun: Begun) -> Conclusion:
    stores, config = _STORES[0]
    return work(stores, config.template, begun, datetime.now(UTC))
