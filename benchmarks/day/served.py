"""A server in a process of its own, ready before it is measured."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Served:
    """One that runs.

    Attributes:
        ready_after: seconds from its start to the first answer.
    """

    port: int
    process: psutil.Process
    ready_after: float

    @property
    def megabytes(self) -> float:
        return float(self.process.memory_info().rss) / 2**20

    @property
    def descriptors(self) -> int:
        return int(self.process.num_fds())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(words: list[str], port: int, env: Mapping[str, str]) -> Iterator[Served]:
    """Run an installed command until the end of the block; ready once it answers over HTTP."""
    begin = time.perf_counter()
    command = Path(sys.executable).with_name(words[0])
    process = subprocess.Popen([command, *words[1:]], env={**os.environ, **env})
    try:
        while not _answers(port):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
            time.sleep(0.01)
        yield Served(port, psutil.Process(process.pid), time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True
