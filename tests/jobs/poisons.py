"""Ways in which one tenant's night goes wrong inside a real worker, by the tenant's name.

A worker imports this by name: what it changes is changed there, for one night, and nowhere else.
"""

import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn
from unittest.mock import patch

import numpy as np

from factory.train import train
from jobs import executors, night
from jobs.night import Begun
from schema.records import Conclusion, Model


def loops_in_c(*_: Any) -> None:
    """Holds the interpreter's lock and never comes back: no handler of a signal is ever called."""
    sum(itertools.repeat(0))


def is_deaf(*_: Any) -> NoReturn:
    """Ignores the polite signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def is_hungry(*_: Any) -> NoReturn:
    """Takes more and more: what is promised here, and never touched, counts all the same."""
    held = []
    while True:
        held.append(np.empty(2**28, np.uint8))


def crashes(*_: Any) -> NoReturn:
    os.abort()


def leaves(*_: Any) -> NoReturn:
    raise SystemExit(0)


def stumbles(*_: Any) -> NoReturn:
    class Own(Exception):
        """Cannot be sent to another process."""

    raise Own(lambda: None)


def learns_nonsense(*args: Any, **kwargs: Any) -> Model:
    model = train(*args, **kwargs)
    return replace(model, factors=np.full_like(model.factors, np.nan))


WAYS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "loops-in-c": ("from_tables", loops_in_c),
    "deaf": ("from_tables", is_deaf),
    "hungry": ("from_tables", is_hungry),
    "crashes": ("from_tables", crashes),
    "leaves": ("from_tables", leaves),
    "stumbles": ("from_tables", stumbles),
    "nonsense": ("train", learns_nonsense),
}
"""What of jobs.night is another thing while that tenant is at work."""


def work(begun: Begun) -> Conclusion:
    """In the place of ``jobs.executors._work``; tells which worker it was."""
    name, way = WAYS.get(begun.tenant.tenant, ("train", train))
    with patch.object(night, name, way):
        end = executors._work(begun)
    return replace(end, figures={**end.figures, "worker": os.getpid()})
