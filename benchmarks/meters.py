"""What processes use while something is measured: core-seconds, and memory at its most."""

import resource
import threading
from collections.abc import Callable, Iterable, Iterator

import psutil

OWN, WORKERS = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
"""This process; those of its children that have ended."""


def core_seconds(*whose: int) -> float:
    """Of ``OWN``, of ``WORKERS``; of both where none is named."""
    used = [resource.getrusage(who) for who in whose or (OWN, WORKERS)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def stolen() -> float:
    """Core-seconds since the machine's start that its host gave to others; 0 where it does not say."""
    return float(getattr(psutil.cpu_times(), "steal", 0))


def together() -> int:
    """Bytes that this process and its children hold; what they share counts once."""
    me = psutil.Process()
    every = (me, *me.children(recursive=True))
    return sum(_living(every, lambda one: one.memory_full_info().pss))


def largest() -> int:
    """Bytes that one child holds at most; what children share counts for each."""
    every = psutil.Process().children(recursive=True)
    return max(_living(every, lambda one: one.memory_info().rss), default=0)


def _living(
    processes: Iterable[psutil.Process], held: Callable[[psutil.Process], int]
) -> Iterator[int]:
    for process in processes:
        try:
            yield held(process)
        except psutil.Error:  # it has ended meanwhile
            continue


class Peak:
    """Watches a figure, twice a second: the most that it was."""

    def __init__(self, figure: Callable[[], int]) -> None:
        self.most = 0
        self._figure = figure
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.most = max(self.most, self._figure())
