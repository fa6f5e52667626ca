"""A fleet of tiny tenants and its real night: started, killed, repeated, compared.

Every tenant has the same customer ids. One home is prepared: data imported, a first night
published. Each trial is a copy of it, so that the second night can be compared byte by byte with
one that nobody disturbed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil

from schema.names import FeedbackKind, TenantId
from schema.settings import AlsSettings, BlendSettings, WindowSettings
from tests.faults.disk import POINTER, STRAYS
from tests.faults.recorder import NAMES
from tests.floors.test_purity import ROOT
from tests.scenarios.tree import contents
from tests.world import NEXT_NIGHT, NIGHT, TEMPLATE, World, open_world, tables

TINY = TEMPLATE.model_copy(
    update={
        "windows": WindowSettings(days=(7,), min_pairs=8),
        "als": AlsSettings(factors=2, iterations=2, regularization=1.0),
        "blend": BlendSettings(sample=1_000, teach_windows=1),
    }
)
SECOND = NEXT_NIGHT
"""The night of every trial."""

Process = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """What a tenant serves: edition and hash of its manifest; or what is wrong with it."""

    edition: int = 0
    sha: str = ""
    broken: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """All that a night left behind, but for what every repeat changes: times and fences."""

    served: Mapping[TenantId, Found]
    files: Mapping[str, str]
    told: Mapping[TenantId, Any]


class Fleet:
    """A home after one night, to be copied, and what the second night makes of it undisturbed."""

    def __init__(self, folder: Path, tenants: int) -> None:
        self._folder, self.names = folder, NAMES[:tenants]
        world = self.open(folder / "first")
        for seed, name in enumerate(self.names):
            world.add(name)
            made = tables(
                name,
                customers=16,
                products=8,
                first=NIGHT - timedelta(days=59),
                last=NIGHT + timedelta(days=3),
                seed=seed,
            )
            world.import_(name, made)
            assert world.night(name).published
        self.old = {name: served(world, name) for name in self.names}
        shutil.rmtree(world.folder / "inbox")
        world.stores.engine.dispose()
        with self.trial() as undisturbed:
            begin = time.monotonic()
            undisturbed.completed()
            self.seconds = time.monotonic() - begin
            self.end = undisturbed.end()
        assert {found.edition for found in self.end.served.values()} == {2}

    def trial(self, **settings: str) -> "Trial":
        goal = self._folder / "trial"
        shutil.rmtree(goal, ignore_errors=True)
        shutil.copytree(self._folder / "first", goal)
        return Trial(self, self.open(goal), settings)

    def open(self, folder: Path) -> World:
        made = open_world(folder, template=TINY)
        (folder / "config.yaml").write_bytes(
            orjson.dumps({"template": TINY.model_dump(mode="json"), "nightly": {"processes": 2}})
        )
        return made


class Trial:
    """A copy of the home, and everything that was started on it."""

    def __init__(self, fleet: Fleet, world: World, settings: Mapping[str, str]) -> None:
        self.fleet, self.world, self._settings = fleet, world, settings
        self._started: list[Process] = []

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            kill(process)
        self.world.stores.engine.dispose()

    def start(self, *words: str, **settings: str) -> Process:
        """`recfactory` of these words, in a process group of its own; FAULTS_… may aim it."""
        home = self.world.config.home
        settings = {
            "RECFACTORY_HOME": str(home),
            "RECFACTORY_CONFIG": str(home.parent / "config.yaml"),
            **self._settings,
            **settings,
        }
        return self._run("tests.faults.process", *words, **settings)

    def night(self, **settings: str) -> Process:
        return self.start("night", "--all", "--date", f"{SECOND}", "--json", **settings)

    def recorder(self, planted: str = "") -> Process:
        return self._run(
            "tests.faults.recorder", str(self.world.config.home), str(self.history), planted
        )

    def _run(self, module: str, *words: str, **settings: str) -> Process:
        with (self.world.folder / "told").open("ab") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdout=subprocess.PIPE,
                stderr=told,
                process_group=0,
            )
        self._started.append(process)
        return process

    @property
    def history(self) -> Path:
        """Events that were answered, a line each: tenant and id."""
        return self.world.folder / "answered"

    def completed(self, **settings: str) -> list[dict[str, Any]]:
        """The night, run to its end by whoever comes next; its lines."""
        process = self.night(**settings)
        out, _ = process.communicate(timeout=900)
        lines: list[dict[str, Any]] = orjson.loads(out)
        return lines

    def served(self) -> dict[TenantId, Found]:
        return {name: served(self.world, name) for name in self.fleet.names}

    def torn(self) -> list[str]:
        """Tenants who serve neither the old edition nor the new one, whole."""
        old, new = self.fleet.old, self.fleet.end.served
        return [
            f"{name}: {found}"
            for name, found in self.served().items()
            if found not in (old[name], new[name])
        ]

    def valid(self) -> list[TenantId]:
        """Tenants on exactly one edition, the one that the ledger names, of one done night."""
        nights = self.world.stores.nights
        good = []
        for name, found in self.served().items():
            editions, done = nights.editions(name), nights.nights(name)
            wanted = [(2, found.sha), (1, self.fleet.old[name].sha)]
            if (
                found == self.fleet.end.served[name]
                and [(row["edition"], row["manifest_sha256"]) for row in editions] == wanted
                and [(n.night, n.published, n.edition) for n in done]
                == [(SECOND, True, 2), (NIGHT, True, 1)]
                and self.world.tenant(name).model == done[0].model
            ):
                good.append(name)
        return good

    def end(self) -> End:
        tenants = self.world.config.home / "tenants"
        files = {
            path: sha
            for path, sha in contents(tenants).items()
            if not path.endswith((POINTER, ".mdb-lock"))
        }
        nights = self.world.stores.nights
        told = {}
        for name in self.fleet.names:
            report = nights.nights(name)[0]
            figures = {
                key: value
                for key, value in report.figures.items()
                if key not in ("feedback_until", "seconds", "core_seconds", "memory")
            }
            told[name] = report.outcome, report.because, report.published, report.model, figures
        return End(self.served(), files, told)

    def lost(self) -> list[str]:
        """Events that were answered and are not in the ledger, once all was delivered."""
        self.world.stores.feedback.deliver()
        answered = [line.split() for line in self.history.read_text().splitlines()]
        return [
            event_id
            for name in {name for name, _ in answered}
            for event_id in {event_id for of, event_id in answered if of == name}
            - set(_events(self.world, TenantId(name)))
        ]

    def debris(self) -> list[str]:
        home = self.world.config.home
        return [str(path) for path in home.rglob("*") if path.name.startswith(STRAYS)]


def _events(world: World, name: TenantId) -> list[str]:
    soon = datetime.now(UTC) + timedelta(days=1)
    return [row["event_id"] for row in world.stores.feedback.events(name, soon, [*FeedbackKind])]


def served(world: World, name: TenantId) -> Found:
    """What a reader finds of a tenant, after reading every byte and list of it."""
    editions, uid = world.stores.editions, f"t-uid-of-{name}"
    try:
        current = editions.current(uid)
        if current is None:
            return Found(broken="nothing is served")
        editions.check(uid, current.edition, current.manifest_sha256)
    except Exception as error:  # whatever a reader says of it: it has nothing to serve
        return Found(broken=repr(error))
    return Found(current.edition, current.manifest_sha256)


def kill(process: Process) -> None:
    """End a process and everything it started, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def orphans(processes: Sequence[Process]) -> int:
    """Processes of these groups that still run; a few moments are granted to be gone."""
    groups = {process.pid for process in processes}
    for _ in range(200):
        left = sum(_group(found) in groups for found in psutil.process_iter())
        if not left:
            break
        time.sleep(0.02)
    return left


def _group(process: psutil.Process) -> int | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None
