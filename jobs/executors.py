"""Where the work of nights is done: in this process, or in several of its own.

One port, ``Executor``; a cluster (jobs/cluster.py) is another keeper of the same promise. Workers make
and seal; only the one who began the nights publishes them (jobs/fleet.py).
"""

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, TimeoutError, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Protocol

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm  # type: ignore[import-untyped]

from jobs.memory import NIGHT_MEMORY, capped, ended_by_kernel
from jobs.night import Begun, failed, work
from schema.config import Config, Nightly
from schema.logs import about, start_log
from schema.names import Again, TenantId
from schema.records import Conclusion
from storage.stores import Stores, open_stores

log = logging.getLogger("recfactory.night")

Done = Callable[[Sequence[tuple[Begun, Conclusion]]], None]

AHEAD = 8
"""Nights begun for each worker: one at work, the others wait so that it never does."""

_PAUSE = 0.5
"""Seconds before a night whose worker was lost is tried again; twice as long each time."""

_TOGETHER = 1.0
"""Seconds for which nights that ended are gathered, to be published in one transaction."""

_UNFIT = 75
"""Exit status of a worker that was given a night and must take none: it costs the night nothing."""

_HEARD = 0.5
"""Seconds before it leaves, so that the pool knows by then which night it was given."""

_QUIET = 5.0
"""Seconds after which those who wait hear that nothing has ended."""


def workers(nightly: Nightly) -> int:
    """How many nights are at work at once: two a core, as a small one waits for the disk half the time."""
    if nightly.executor == "in-process":
        return 1
    return nightly.processes or 2 * (os.cpu_count() or 1)


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
            done([(begun, work_capped(self._stores, self._config, begun))])


def work_capped(stores: Stores, config: Config, begun: Begun) -> Conclusion:
    """``work`` with the memory that one tenant may have, and how much of it that took.

    What needs too much once needs it again: it is given up at once.
    """
    most = config.nightly.tenant_bytes
    with capped(most) as used:
        end = work(stores, config.template, begun, datetime.now(UTC))
    if end.figures.get("code") == NIGHT_MEMORY:
        name = begun.tenant.tenant
        what = (
            f"{name}: it needs more memory than the {most:,} bytes that a night may have "
            f"(nightly.tenant_bytes); its worker held {used.peak:,} bytes at most. Next: see what "
            "is so large about it, or raise the limit, then repeat the night."
        )
        end = failed(begun.lease, what, NIGHT_MEMORY, again=Again.BY_HAND)
    return replace(end, figures={**end.figures, "memory": used.peak})


class Processes:
    """Spawned workers, one thread each; a worker that dies or hangs costs one tenant one attempt."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._workers = workers(config.nightly)

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        with ProcessPool(
            max_workers=self._workers,
            context=get_context("spawn"),  # forked BLAS and OpenMP threads hang
            initializer=prepare,
            initargs=(self._config, logging.getLogger().level),
        ) as pool:
            try:
                Turn(pool, self._config, self._workers * AHEAD).run(nights, done)
            except BaseException:
                pool.stop()  # type: ignore[no-untyped-call]  # Ctrl-C: workers end now, what was published stays whole
                raise


@dataclass(frozen=True, slots=True)
class _Try:
    """One attempt at a night, counted over all runs: not to begin before a moment of the monotonic
    clock.
    """

    begun: Begun
    attempt: int
    at: float = 0.0


class Pool(Protocol):
    """Has work done elsewhere. The future raises ``TimeoutError`` where it took longer than it may,
    and Pebble's ``ProcessExpired`` where the worker was lost.
    """

    def schedule(
        self, function: Callable[[Begun], Conclusion], args: tuple[Begun], *, timeout: float
    ) -> Future[Conclusion]: ...


class Turn:
    """The nights of one run: which are at work, which are tried again soon."""

    def __init__(self, pool: Pool, config: Config, most: int) -> None:
        self._pool, self._most = pool, most
        self._seconds = config.nightly.tenant_minutes * 60
        self._attempts = config.nightly.attempts
        self._working: dict[Future[Conclusion], _Try] = {}
        self._again: list[_Try] = []
        self._killed = ended_by_kernel()

    def run(self, nights: Iterator[Begun], done: Done) -> None:
        ended: list[tuple[Begun, Conclusion]] = []
        told = time.monotonic()
        while True:
            self._start_those_due()
            while len(self._working) + len(self._again) < self._most and (
                begun := next(nights, None)
            ):
                self._start(_Try(begun, begun.lease.attempts + 1))
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
            exit_code = getattr(error, "exitcode", None)
            if exit_code == _UNFIT:
                self._start(one)
                return []
            if exit_code == -signal.SIGKILL and ended_by_kernel() > self._killed:
                self._killed += 1  # perhaps for another's sake: tried again, as any lost worker
                code, why = NIGHT_MEMORY, "the machine had no memory left, and its worker was ended"
            else:
                code, why = "WORKER_LOST", f"its worker process died ({error})"
        except Exception as error:  # a worker that cannot open its stores, say: not the fleet's end
            code, why = "WORKER_LOST", f"its worker gave up ({type(error).__name__}: {error})"
        if one.attempt < self._attempts:
            with about(tenant=name, night=lease.night, stage=None):  # where it was, nobody knows
                log.warning("%s: %s; trying once more", name, why)
            pause = _PAUSE * 2 ** (one.attempt - lease.attempts - 1)
            at = time.monotonic() + pause * random.uniform(1, 2)  # noqa: S311 (spread, not secret)
            self._again.append(_Try(one.begun, one.attempt + 1, at))
            return []
        tried = one.attempt - lease.attempts
        times = "once" if tried == 1 else f"{tried} times"
        what = f"{name}: {why}, {times}. Next: see the log, then repeat the night."
        return [(one.begun, failed(lease, what, code, attempts=one.attempt))]


_CONFIG: list[Config] = []
_STORES: list[Stores] = []
"""A worker's own, opened at its first task: a worker that failed at its start would be started anew
for ever.
"""


_SPOILT: list[TenantId] = []
"""Whose night ran out of memory in this worker: who knows what of the libraries' it left half made."""


def prepare(config: Config, level: int) -> None:
    """Make this process a worker that logs from a level on."""
    start_log(level)
    # Or implicit's progress bar, shown or not, makes a semaphore that a worker's end leaves behind.
    tqdm.set_lock(threading.RLock())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ends a loop in C too, which hears no handler
    _CONFIG[:] = [config]


def _work(begun: Begun) -> Conclusion:
    if _SPOILT:
        time.sleep(_HEARD)
        os._exit(_UNFIT)
    if not _STORES:
        _STORES.append(open_stores(_CONFIG[0]))
    end = work_capped(_STORES[0], _CONFIG[0], begun)
    if end.figures.get("code") == NIGHT_MEMORY:
        _SPOILT.append(begun.tenant.tenant)
    return end
