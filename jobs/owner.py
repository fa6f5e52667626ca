"""Which process runs something, and whether it is still there."""

import os
import socket

import psutil


def me() -> str:
    """host:pid:start — the start time tells a process from a later one with the same number."""
    return _named(psutil.Process(os.getpid()))


def alive(owner: str) -> bool:
    """Whether that process still runs; of another host's only its lease can tell, so: yes."""
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(pid))
        return _named(process) == owner and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False


def _named(process: psutil.Process) -> str:
    return f"{socket.gethostname()}:{process.pid}:{int(process.create_time())}"
