"""Where the work of nights is done: in this process, or in several of its own.

One port, ``Executor``; a cluster is another keeper of the same promise. Workers make and seal; only
the one who began the nights publishes them (jobs/fleet.py).
"""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, TimeoutError, wait
from dataclasses import dataclass
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

_PAUSE = 0.5
"""Seconds before a night whose worker was lost is tried again; twice as long each time."""

_TOGETHER = 0.2
"""Seconds for which nights that ended are gathered, to be published in one transaction."""

_QUIET = 5.0
"""Seconds after which those who wait hear that nothing has ended."""


class Executor(Protocol):
    """Does the work of nights, each on its own: whatever one does, the others are done all the same."""

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        """Work on all of them, taken from the iterator when their turn is near; ``done`` is called
        in this process with those that ended, in any order, and with none while that takes long.
        Where it raises, work that goes on is stopped.
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
            context=get_context("spawn"),  # forked BLAS and OpenMP threads hang
            initializer=_prepare,
            initargs=(self._config,),
        ) as pool:
            try:
                _Turn(pool, self._config, self._workers * _AHEAD).run(nights, done)
            except BaseException:
                pool.stop()  # type: ignore[no-untyped-call]  # Ctrl-C: workers end now, what was published stays whole
                raise


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt at a night: not to begin before a moment of the monotonic clock."""

    begun: Begun
    attempt: int
    at: float = 0.0


class _Turn:
    """The nights of one run: which are at work, which are tried again soon."""

    def __init__(self, pool: ProcessPool, config: Config, most: int) -> None:
        self._pool, self._most = pool, most
        self._seconds = config.nightly.tenant_minutes * 60
        self._attempts = config.nightly.attempts
        self._working: dict[Future[Conclusion], _Try] = {}
        self._again: list[_Try] = []

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        ended: list[tuple[Begun, Conclusion]] = []
        told = time.monotonic()
        while True:
            self._start_those_due()
            while len(self._working) + len(self._again) < self._most and (
                begun := next(nights, None)
            ):
                self._start(_Try(begun, 1))
            if not (self._working or self._again or ended):
                return
            if self._working:
                ready, _ = wait(self._working, timeout=_TOGETHER, return_when=FIRST_COMPLETED)
            else:
                ready = set()
                time.sleep(_TOGETHER)
            for future in ready:
                ended += self._ended(future)
            waited = time.monotonic() - told
            if waited >= (_TOGETHER if ended else _QUIET) or (ended and not self._working):
                done(ended)
                ended, told = [], time.monotonic()

    def _start(self, one: _Try) -> None:
        future: Future[Conclusion] = self._pool.schedule(
            _work, args=(one.begun,), timeout=self._seconds
        )
        self._working[future] = one

    def _start_those_due(self) -> None:
        now = time.monotonic()
        for one in [one for one in self._again if one.at <= now]:
            self._again.remove(one)
            self._start(one)

    def _ended(self, future: Future[Conclusion]) -> list[tuple[Begun, Conclusion]]:
        """The night and what it came to; nothing where its worker was lost and it is tried again."""
        one = self._working.pop(future)
        name, lease = one.begun.tenant.tenant, one.begun.lease
        try:
            return [(one.begun, future.result())]
        except TimeoutError:
            code = "NIGHT_TIME"
            why = f"stopped after {self._seconds:.0f} s (nightly.tenant_minutes)"
        except (ProcessExpired, CancelledError) as error:
            code, why = "WORKER_LOST", f"its worker process died ({error})"
        except Exception as error:  # a worker that cannot open its stores, say: not the fleet's end
            code, why = "WORKER_LOST", f"its worker gave up ({type(error).__name__}: {error})"
        if one.attempt < self._attempts:
            log.warning("%s: %s; trying once more", name, why)
            pause = _PAUSE * 2 ** (one.attempt - 1)
            at = time.monotonic() + pause * random.uniform(1, 2)  # noqa: S311 (spread, not secret)
            self._again.append(_Try(one.begun, one.attempt + 1, at))
            return []
        times = "once" if one.attempt == 1 else f"{one.attempt} times"
        what = f"{name}: {why}, {times}. Next: see the log, then repeat the night."
        return [(one.begun, failed(lease, what, code))]


_CONFIG: list[Config] = []
_STORES: list[Stores] = []
"""A worker's own, opened at its first task: a worker that failed at its start would be started anew
for ever.
"""


def _prepare(config: Config) -> None:
    _CONFIG[:] = [config]


def _work(begun: Begun) -> Conclusion:
    if not _STORES:
        _STORES.append(open_stores(_CONFIG[0]))
    return work(_STORES[0], _CONFIG[0].template, begun, datetime.now(UTC))
