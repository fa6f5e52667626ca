"""An import under faults: all of it or nothing of it, and repeated, every row exactly once.

A delivery here has all three tables in the same version, so that half of one is seen at once.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.intake import import_files
from schema.errors import FactoryError, Refused
from storage.datasets import Datasets
from storage.durable import Disk
from tests.faults.disk import STRAYS, FaultyDisk, Killed, RecordingDisk, crash_states, materialise
from tests.faults.test_publish import Mortal, bad_disk, no_space
from tests.scenarios.tree import contents
from tests.world import ACME, BETA, NOW, Tables, World, open_world, write_files

MAIN = [sys.executable, "-c", "from jobs.cli import main; main()"]
UID = f"t-uid-of-{ACME}"


def version(number: int, rows: int = 60) -> Tables:
    """The same customers and products under new names, and that day's interactions."""
    ids = [f"C-{n:02}" for n in range(12)]
    products = [f"P-{n}" for n in range(6)]
    day = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=number)
    return {
        "customers": pa.table({"customer_id": ids, "name": [f"v{number}"] * len(ids)}),
        "products": pa.table({"product_id": products, "name": [f"v{number}"] * len(products)}),
        "interactions": pa.table(
            {
                "customer_id": [ids[n % 12] for n in range(rows)],
                "product_id": [products[n * 7 % 6] for n in range(rows)],
                "value": [float(number)] * rows,
                "occurred_at": pa.array(
                    [day + timedelta(seconds=n) for n in range(rows)], pa.timestamp("us", "UTC")
                ),
            }
        ),
    }


@dataclass(frozen=True)
class Seen:
    """What a reader finds: versions of customers and products, and rows by version."""

    customers: frozenset[str]
    products: frozenset[str]
    rows: tuple[tuple[float, int], ...]


def whole(newest: int, rows: int = 60) -> Seen:
    """All deliveries up to one, each row once."""
    names = frozenset([f"v{newest}"])
    return Seen(names, names, tuple((float(n), rows) for n in range(newest + 1)))


def seen(datasets: Datasets, uid: str = UID) -> Seen:
    dataset = datasets.of(uid)
    names = {
        table: frozenset(datasets.read(uid, table, dataset)["name"].to_pylist())
        for table in ("customers", "products")
    }
    values = Counter(datasets.read(uid, "interactions", dataset)["value"].to_pylist())
    return Seen(names["customers"], names["products"], tuple(sorted(values.items())))


def on_disk(home: Path) -> Seen:
    return seen(Datasets(home / "home" / "tenants", Disk()))


class Trial:
    """Two tenants after their first delivery; a copy for every trial of acme's second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        world = open_world(folder / "first")
        for name in (ACME, BETA):
            world.add(name)
            world.import_(name, version(0))
        self._betas = contents(self._of_beta(folder / "first"))
        self._second = write_files(folder / "second", version(1))
        world.stores.engine.dispose()

    def copy(self) -> Path:
        goal = self._folder / "trial"
        shutil.rmtree(goal, ignore_errors=True)
        shutil.copytree(self._folder / "first", goal)
        return goal

    def second(self, home: Path, disk: Disk | None = None) -> None:
        """Deliver version 1."""
        world = open_world(home, disk)
        try:
            limits = world.config.template.intake
            tenant = world.tenant(ACME)
            import_files(world.stores, tenant, self._second, limits, by="test", now=NOW)
        finally:
            world.stores.engine.dispose()

    def heals(self, home: Path, name: str) -> None:
        """Delivered again on a sound disk, everything is there once, and nothing else is left."""
        self.second(home)
        assert on_disk(home) == whole(1), name
        assert contents(self._of_beta(home)) == self._betas, name
        assert [path for path in home.rglob("*") if path.name.startswith(STRAYS)] == [], name

    def _of_beta(self, home: Path) -> Path:
        return home / "home" / "tenants" / f"t-uid-of-{BETA}"


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("trial"))


def every_step(
    trial: Trial, error: Callable[[], BaseException] = Killed, *, stays: bool = True
) -> Iterator[tuple[Path, FaultyDisk]]:
    """Homes where the second delivery failed at its first, second, … step."""
    for step in itertools.count():
        home = trial.copy()
        disk = FaultyDisk(step, error, stays=stays)
        with suppress(Killed, OSError, FactoryError):
            trial.second(home, disk)
        if not disk.failed:
            assert step > 10
            return
        yield home, disk


class TestAKilledImport:
    def test_at_any_step_leaves_all_of_it_or_nothing_and_a_repeat_completes_it(
        self, trial: Trial
    ) -> None:
        for home, disk in every_step(trial):
            assert on_disk(home) in (whole(0), whole(1)), disk.steps[-1]
            trial.heals(home, disk.steps[-1])

    @pytest.mark.slow
    def test_by_kill_9_at_any_moment_shows_readers_whole_imports_only(self, tmp_path: Path) -> None:
        rows, kills, killed = 20_000, 10, 0
        world = open_world(tmp_path)
        world.add(ACME)
        world.loosen(ACME)
        limits = world.config.template.intake
        files = write_files(tmp_path / "v0", version(0, rows))
        import_files(world.stores, world.tenant(ACME), files, limits, by="test", now=NOW)
        world.stores.engine.dispose()
        begin = time.monotonic()
        ended(started(world, tmp_path / "v1", version(1, rows)))
        undisturbed = time.monotonic() - begin
        for kill in range(kills):
            before, after = whole(kill + 1, rows), whole(kill + 2, rows)
            delivery = version(kill + 2, rows)
            process = started(world, tmp_path / f"v{kill + 2}", delivery)
            # The first part of a run is imports of modules; the kills are spread over the rest.
            until = time.monotonic() + undisturbed * (0.4 + 0.6 * kill / kills)
            while process.poll() is None and time.monotonic() < until:
                assert seen(world.stores.datasets) in (before, after)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
            assert seen(world.stores.datasets) in (before, after)
            report = ended(started(world, tmp_path / f"v{kill + 2}", delivery))
            # Killed after all was done, there is nothing left to do.
            assert [t["accepted"] for t in report["tables"]] in ([12, 6, rows], [])
            assert seen(world.stores.datasets) == after
        assert killed > kills // 3
        left = [path for path in world.config.home.rglob("*") if path.name.startswith(STRAYS)]
        assert left == []


def started(world: World, folder: Path, delivery: Tables) -> "subprocess.Popen[bytes]":
    """`recfactory data import` of a delivery, in a process group of its own."""
    files = write_files(folder, delivery)
    options = [word for table, path in files.items() for word in (f"--{table}", str(path))]
    return subprocess.Popen(
        [*MAIN, "data", "import", ACME, *options, "--json"],
        env={**os.environ, "RECFACTORY_HOME": str(world.config.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[bytes]") -> dict[str, list[dict[str, int]]]:
    """The report of an import that nobody disturbs."""
    out, told = process.communicate(timeout=120)
    assert process.returncode == 0, told.decode()
    report: dict[str, list[dict[str, int]]] = json.loads(out)
    return report


class TestADiskThatFails:
    @pytest.mark.parametrize("stays", [True, False], ids=["for-good", "once"])
    @pytest.mark.parametrize("error", [no_space, bad_disk])
    def test_leaves_the_old_data_or_all_of_the_new_and_a_repeat_heals(
        self, error: Callable[[], OSError], stays: bool, trial: Trial
    ) -> None:
        for home, disk in every_step(trial, error, stays=stays):
            assert on_disk(home) in (whole(0), whole(1)), disk.steps[-1]
            trial.heals(home, disk.steps[-1])

    @pytest.mark.parametrize("error", [no_space, bad_disk])
    def test_is_told_as_a_problem_of_the_machine_not_of_the_file(
        self, error: Callable[[], OSError], trial: Trial
    ) -> None:
        for step in itertools.count():
            disk = FaultyDisk(step, error)
            try:
                trial.second(trial.copy(), disk)
            except FactoryError as told:
                assert not isinstance(told.problem, Refused), disk.steps[-1]
                assert told.problem.code == "DISK"
                assert os.strerror(error().errno or 0).lower() in str(told).lower()
            if not disk.failed:
                break


class TestAPowerCut:
    """Every tree it may leave, read by the reader of the night."""

    def test_leaves_all_of_an_import_or_nothing_and_once_told_all_of_it(self, trial: Trial) -> None:
        home = trial.copy()
        disk = RecordingDisk(home / "home")
        trial.second(home, disk)
        disk.acknowledge()

        assert wrong(home, disk, most=100) == []

    def test_leaves_the_same_after_an_import_that_was_killed_and_repeated(
        self, trial: Trial
    ) -> None:
        found = {}
        for life in itertools.count():
            home = trial.copy()
            disk = Mortal(home / "home")
            disk.lives = life
            try:
                trial.second(home, disk)
            except Killed:
                trial.second(home, disk)
                disk.acknowledge()
                if bad := wrong(home, disk, most=10):
                    found[life] = bad[0]
            else:
                break
        assert life > 10
        assert found == {}

    def test_would_be_seen_to_lose_files_whose_names_were_not_synced(self, trial: Trial) -> None:
        class NoNames(RecordingDisk):
            def sync_folder(self, path: Path) -> None:
                if path.name == "interactions":
                    return
                super().sync_folder(path)

        home = trial.copy()
        disk = NoNames(home / "home")
        trial.second(home, disk)
        disk.acknowledge()

        assert wrong(home, disk, most=100) != []


def wrong(home: Path, disk: RecordingDisk, most: int) -> list[str]:
    """What readers would find that is neither the old data nor the new."""
    bad = []
    known: dict[frozenset[tuple[str, bytes | None]], Seen | str] = {}
    for told, tree in crash_states(disk, disk.trace, most=most):
        data = {
            path.removeprefix("tenants/"): content
            for path, content in tree.items()
            if path.startswith(f"tenants/{UID}")
        }
        key = frozenset(data.items())
        if key not in known:
            state = home / "state"
            materialise(data, state)
            try:
                known[key] = seen(Datasets(state, Disk()))
            except Exception as error:
                known[key] = repr(error)
            shutil.rmtree(state)
        if known[key] not in ((whole(1),) if told else (whole(0), whole(1))):
            bad.append(str(known[key]))
    return bad
