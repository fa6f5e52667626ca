"""How much memory the work on one tenant may take in this process, and how much it took."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

NIGHT_MEMORY = "NIGHT_MEMORY"


@dataclass(slots=True)
class Used:
    """Filled in when the work is over.

    Attributes:
        peak: most bytes that the process held at once meanwhile, what it held before with them.
    """

    peak: int = 0


@contextmanager
def capped(most: int) -> Iterator[Used]:
    """Let this process have so many bytes more than it has now; the next one is a MemoryError.

    The limit is on data (RLIMIT_DATA): what is written to and belongs to this process alone. One
    on address space (RLIMIT_AS) would count lists and tables that are mapped from files, whose
    memory the kernel takes back as it likes, and what allocators only reserve.
    """
    used = Used()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    own = psutil.Process().memory_info().data + most
    bounds = [limit for limit in (own, soft, hard) if limit != resource.RLIM_INFINITY]
    _forget_peak()
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield used
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        used.peak = _peak()


def ran_out(error: BaseException | None) -> bool:
    """Whether an error comes from a want of memory, whatever it was made into on its way."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        error = error.__cause__ or error.__context__
    return False


def ended_by_kernel() -> int:
    """How many processes the kernel has ended so far, to have memory again; 0 where it does not say."""
    return _field("/proc/vmstat", "oom_kill")


def _forget_peak() -> None:
    """Have the kernel begin a new one; where it cannot, that of the whole process is told."""
    with suppress(OSError):
        knob = os.open("/proc/self/clear_refs", os.O_WRONLY)  # no file, nothing is kept
        try:
            os.write(knob, b"5")
        finally:
            os.close(knob)


def _peak() -> int:
    kib = _field("/proc/self/status", "VmHWM:")
    return 1024 * (kib or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _field(path: str, name: str) -> int:
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.split()[0] == name:
                return int(line.split()[1])
    return 0
