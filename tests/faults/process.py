"""`recfactory` with a fault in it, in the process that is started and in its workers.

python -m tests.faults.process night --all …

FAULTS_AT     "point count act": at which arrival of a process at which point something happens:
              kill (SIGKILL to the whole group), stop (SIGSTOP to the whole group), die (SIGKILL to
              this process alone).
FAULTS_DEATHS the folder in which who dies leaves a mark, and how many may die, as "folder most"
FAULTS_PUBLISHED a file to which every swap of a pointer adds its tenant
FAULTS_PLANT  a defect by its name, to see that it is found
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

import jobs.executors
import jobs.fleet
import jobs.night
from storage import durable, editions, nights
from storage.durable import Disk
from storage.feedback import Feedback
from storage.nights import Nights
from tests.faults.disk import POINTER

POINTS = (
    "lease", "leased", "work", "seal", "sealed", "conclude", "point", "pointed", "commit",
    "committed", "deliver", "delivered",
)  # fmt: skip
"""Moments of a night, in their order; feedback is delivered at its very beginning. "lease" and
"commit" are before COMMIT is sent, "leased" and "committed" after it was done."""

_came: Counter[str] = Counter()


def arrive(point: str, place: str = "") -> None:
    """Come to a point: where it is the one, the process does not get further."""
    at, count, act = (os.environ.get("FAULTS_AT") or "none 0 none").split()
    if point != at:
        return
    _came[point] += 1
    if _came[point] != int(count):
        return
    match act:
        case "kill":
            os.killpg(0, signal.SIGKILL)
        case "stop":
            os.killpg(0, signal.SIGSTOP)
        case "die":
            _die(place)


def _die(place: str) -> None:
    folder, most = os.environ["FAULTS_DEATHS"].split()
    deaths = len(os.listdir(folder))
    if deaths < int(most):
        Path(folder, f"{deaths:04}-{os.getpid()}-{place}").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def around(before: str, after: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with a point before it and one after it."""

    @wraps(call)
    def pointed(*args: Any, **named: Any) -> Any:
        arrive(before)
        made = call(*args, **named)
        arrive(after)
        return made

    return pointed


_act: list[str] = []
"""What the transaction that is open now is for."""


def _of(word: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def named(*args: Any, **more: Any) -> Any:
        _act.append(word)
        try:
            return call(*args, **more)
        finally:
            _act.pop()

    return named


def aim() -> None:
    """Put every point into the product."""
    rename = Disk.rename
    commit: Any = DefaultDialect.do_commit  # has no types

    def renamed(self: Disk, path: Path, goal: Path) -> None:
        name = goal.name
        kind = "point" if name == POINTER else "seal" if name.startswith("e0") else ""
        arrive(kind, goal.parent.parent.name)
        rename(self, path, goal)
        arrive(f"{kind}ed", goal.parent.parent.name)
        if kind == "point" and "FAULTS_PUBLISHED" in os.environ:
            with open(os.environ["FAULTS_PUBLISHED"], "a") as told:
                told.write(f"{goal.parent.name}\n")

    def committed(self: DefaultDialect, connection: Any) -> None:
        word = _act[-1] if _act else ""
        arrive({"begin": "lease", "conclude": "commit"}.get(word, ""))
        commit(self, connection)
        arrive({"begin": "leased", "conclude": "committed"}.get(word, ""))

    def work(stores: Any, template: Any, begun: jobs.night.Begun, now: datetime) -> Any:
        arrive("work", begun.tenant.uid)
        return worked(stores, template, begun, now)

    def conclude(*args: Any) -> Any:
        arrive("conclude")
        return concluded(*args)

    Disk.rename = renamed  # type: ignore[method-assign]
    DefaultDialect.do_commit = committed  # type: ignore[method-assign]
    Nights._begun = _of("begin", Nights._begun)  # type: ignore[method-assign]
    Nights._concluded = _of("conclude", Nights._concluded)  # type: ignore[method-assign]
    Feedback._take = around("deliver", "delivered", Feedback._take)  # type: ignore[method-assign]
    worked, jobs.night.work = jobs.night.work, work
    concluded: Any = vars(jobs.fleet)["conclude"]
    vars(jobs.fleet)["conclude"] = conclude
    vars(jobs.executors)["work"] = work


def plant(defect: str) -> None:
    """Put one defect into the product."""
    match defect:
        case "":
            return
        case "torn":  # the pointer is written in place
            durable.replace_or_restore = _in_place
        case "recorded-first":  # the ledger says "published" before the pointer is swapped
            Nights.conclude_all = _recorded_first(Nights.conclude_all)  # type: ignore[method-assign]
        case "unseeded":  # what is ranked depends on more than the data
            vars(jobs.night)["rank"] = _shuffled(vars(jobs.night)["rank"])
        case "no-fence":  # who lost the lease publishes all the same
            nights._published = _unfenced(nights._published)
            editions.Editions._readable = lambda *_: None  # type: ignore[method-assign]
            nights._record = lambda *_: None
        case "no-lease":  # a night that is done, or that another one is at, is begun once more
            nights._not_now = lambda *_: None
        case "given-up":  # a night whose worker is lost is never tried again
            jobs.executors.Turn._start_those_due = lambda self: self._again.clear()  # type: ignore[method-assign]
        case _:
            raise ValueError(defect)


def _in_place(disk: Disk, path: Path, data: bytes) -> None:
    path.write_bytes(data[: len(data) // 2])
    arrive("point")
    path.write_bytes(data)


def _recorded_first(sound: Callable[..., Any]) -> Callable[..., Any]:
    def worse(self: Nights, ends: Any, *, now: datetime) -> Any:
        later = [replace(end, point=lambda _: None) for end in ends]
        told = sound(self, later, now=now)
        for end in ends:
            if end.point is not None and end.conclusion.edition is not None:
                end.point(end.conclusion.edition)
        return told

    return worse


def _shuffled(sound: Callable[..., Any]) -> Callable[..., Any]:
    def worse(*args: Any) -> Any:
        made = sound(*args)
        change = int.from_bytes(os.urandom(3), "big") / 2**24
        entries = made.entries.copy()
        entries["probability"] *= change
        return replace(made, entries=entries)

    return worse


def _unfenced(sound: Callable[..., Any]) -> Callable[..., Any]:
    def worse(ending: Any, tenant: Any, fence: int, now: datetime) -> Any:
        return sound(ending, tenant, ending.lease.fence, now)

    return worse


if __name__ in ("__main__", "__mp_main__"):  # the second is a worker of it
    aim()
    plant(os.environ.get("FAULTS_PLANT", ""))

if __name__ == "__main__":
    from jobs.cli import main

    sys.argv[0] = "recfactory"
    main()
