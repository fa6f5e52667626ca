"""A publication under faults: what is served is the old edition or the new one, whole."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from jobs import night as night_job
from schema.names import Outcome
from schema.records import NightReport, Verdict
from schema.settings import AlsSettings, BlendSettings, TenantSettings, WindowSettings
from storage import durable
from storage.durable import Disk
from storage.editions import Current, Editions
from tests.faults.conftest import Tell
from tests.faults.disk import (
    POINTER,
    STRAYS,
    FaultyDisk,
    Killed,
    RecordingDisk,
    Step,
    crash_states,
    materialise,
    plain,
)
from tests.faults.size import size
from tests.storage.made import AT, ONE, publish, seal
from tests.world import ACME, NEXT_NIGHT, NIGHT, THIRD_NIGHT, World, open_world, tables

TINY = TenantSettings(
    windows=WindowSettings(days=(7,), min_pairs=8),
    als=AlsSettings(factors=2, iterations=2, regularization=1.0),
    blend=BlendSettings(sample=1_000, teach_windows=1),
    unchanged="retrain",
)
FOURTH_NIGHT = date(2026, 4, 4)
UID = f"t-uid-of-{ACME}"


def opened(folder: Path, disk: Disk | None = None) -> World:
    """acme's home, keeping so few editions that the third night removes the first one's."""
    return open_world(
        folder, disk, template=TINY, publishing={"keep_editions": 2, "keep_models": 2}
    )


def moment(night: date, hours: float = 0) -> Callable[[], datetime]:
    at = AT + timedelta(days=(night - NIGHT).days, hours=hours)
    return lambda: at


def served(editions: Editions, uid: str = UID) -> tuple[int, str]:
    """What a reader finds: edition and hash of its manifest, after reading every byte of it."""
    current = editions.current(uid)
    assert current is not None
    edition = editions.open(uid, current.edition, current.manifest_sha256)
    edition.lists.close()
    editions.check(uid, current.edition, current.manifest_sha256)
    return current.edition, current.manifest_sha256


def debris(home: Path) -> list[str]:
    return [str(p.relative_to(home)) for p in home.rglob("*") if p.name.startswith(STRAYS)]


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "no space left on device")


def bad_disk() -> OSError:
    return OSError(errno.EIO, "input/output error")


def no_quota() -> OSError:
    return OSError(errno.EDQUOT, "disk quota exceeded")


class Trial:
    """A home after two nights, copied for every trial of the third."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        world = opened(folder / "two-nights")
        world.add(ACME)
        world.import_(ACME, tables(ACME, customers=16, products=8, first=date(2026, 2, 1), seed=8))
        for night in (NIGHT, NEXT_NIGHT):
            assert world.night(ACME, night).outcome is Outcome.PROMOTED
        self.old = served(world.stores.editions)
        world.stores.engine.dispose()
        disk = FaultyDisk()
        home = self.copy()
        report = self.third_night(home, disk)
        assert report.outcome is Outcome.PROMOTED
        self.new = self.reads(home)
        self.steps = disk.steps
        self.models = self.model_manifests(home)

    def copy(self) -> Path:
        goal = self._folder / "trial"
        shutil.rmtree(goal, ignore_errors=True)
        shutil.copytree(self._folder / "two-nights", goal)
        return goal

    def third_night(
        self,
        home: Path,
        disk: Disk | None = None,
        night: date = THIRD_NIGHT,
        hours: float = 0,
    ) -> NightReport:
        world = opened(home, disk)
        try:
            return world.night(ACME, night, moment(night, hours))
        finally:
            world.stores.engine.dispose()

    def reads(self, home: Path) -> tuple[int, str]:
        return served(Editions(home / "home" / "tenants", Disk()))

    def model_manifests(self, home: Path) -> dict[str, bytes]:
        found = (home / "home" / "tenants" / UID / "models").glob("v*/MANIFEST.json")
        return {path.parent.name: path.read_bytes() for path in found}

    def heals(self, home: Path, name: str) -> None:
        """The night repeated on a healthy disk ends, byte by byte, as if nothing had happened."""
        report = self.third_night(home, hours=2)  # by then the lease of a dead process is over
        assert (report.outcome, report.published) == (Outcome.PROMOTED, True), name
        assert self.reads(home) == self.new, name
        assert self.model_manifests(home) == self.models, name
        assert debris(home) == [], name

    @property
    def swap(self) -> int:
        """The step that makes the new edition the one that is served."""
        return self.steps.index(f"rename to {POINTER}")


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Every challenger takes over here: what is published is the matter, not how good it is."""
    with pytest.MonkeyPatch.context() as patch:
        won = Verdict(Outcome.PROMOTED, "promoted for the trial")
        patch.setattr(night_job, "decide", lambda *_, **__: won)
        yield Trial(tmp_path_factory.mktemp("publish"))


@contextmanager
def killed() -> Iterator[None]:
    """Expect the process to die inside; a dead one does not tidy up after itself either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "_forget", lambda stage: None)
        try:
            yield
        except Killed:
            return
    pytest.fail("it was to die, and lives")


class TestErrorsOfTheDisk:
    """The night with its N-th step failing, for every N (the loop of SQLite's own tests)."""

    def test_the_night_goes_through_all_steps_that_publish(self, trial: Trial) -> None:
        for step in (
            "make .stage-v000004/",
            "fsync factors.npy",
            "sync models/",
            "make .stage-e000003/",
            "write lists.lmdb",
            "fsync lists.lmdb",
            "fsync products.json",
            "fsync MANIFEST.json",
            "sync .stage-e000003/",
            "rename to e000003",
            "sync editions/",
            "fsync .tmp-CURRENT",
            "rename to CURRENT",
            f"sync {UID}/",
            "rename to .trash-e000001",
            "remove lists.lmdb",
        ):
            assert step in trial.steps, step

    @pytest.mark.parametrize("error", [no_space, bad_disk, no_quota])
    def test_an_error_before_the_swap_leaves_what_is_served_and_a_repeat_heals(
        self, trial: Trial, error: Callable[[], OSError]
    ) -> None:
        for step in range(trial.swap + 1):
            home = trial.copy()
            report = trial.third_night(home, FaultyDisk(step, error, stays=error is not bad_disk))
            name = f"step {step}, {trial.steps[step]}"
            assert (report.outcome, report.published) == (Outcome.FAILED, False), name
            assert error().args[1] in report.because, name
            assert trial.reads(home) == trial.old, name
            if error is bad_disk or step % 3 == 0:  # the way back is the same for both
                trial.heals(home, name)

    def test_an_error_after_the_swap_leaves_reader_and_ledger_of_one_opinion(
        self, trial: Trial
    ) -> None:
        home = trial.copy()
        report = trial.third_night(home, FaultyDisk(trial.swap + 1, bad_disk, stays=False))
        served_now = trial.reads(home)
        trial.heals(home, "after the swap")
        assert (report.published, served_now) in ((True, trial.new), (False, trial.old))

    def test_an_error_while_old_editions_are_removed_does_not_undo_the_night(
        self, trial: Trial
    ) -> None:
        for step in range(trial.swap + 2, len(trial.steps)):
            home = trial.copy()
            report = trial.third_night(home, FaultyDisk(step, bad_disk))
            name = f"step {step}, {trial.steps[step]}"
            assert (report.outcome, report.published) == (Outcome.PROMOTED, True), name
            assert trial.reads(home) == trial.new, name


class TestKilledProcess:
    """The same with a process that is gone at its N-th step."""

    def test_a_reader_finds_the_old_edition_or_the_new_one_and_a_repeat_heals(
        self, trial: Trial, tell: Tell
    ) -> None:
        healed = 0
        for step in range(len(trial.steps)):
            home = trial.copy()
            with killed():
                trial.third_night(home, FaultyDisk(step))
            name = f"step {step}, {trial.steps[step]}"
            assert trial.reads(home) == (trial.old if step <= trial.swap else trial.new), name
            if step <= trial.swap + 1:
                trial.heals(home, name)
                healed += 1
        tell("A01", points=len(trial.steps), torn=0, missing=0, reruns_converged=healed)

    def test_what_a_kill_left_of_removed_editions_is_swept_by_the_next_night(
        self, trial: Trial
    ) -> None:
        for step in range(trial.swap + 2, len(trial.steps)):
            home = trial.copy()
            with killed():
                trial.third_night(home, FaultyDisk(step))
            trial.third_night(home, night=FOURTH_NIGHT)
            assert debris(home) == [], f"step {step}, {trial.steps[step]}"


Found = int | str
"""The edition a reader finds (1 or 2), or what is wrong."""


class Cut:
    """Publishes edition 2 over edition 1, then reads every tree a power cut could leave."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = folder / "real"
        publish(Editions(self._root, Disk()), model=1, fence=1)

    def record(self, kind: type[RecordingDisk] = RecordingDisk) -> RecordingDisk:
        disk = kind(self._root)
        editions = Editions(self._root, disk)
        publish(editions, taken=1, model=2, fence=2)
        disk.acknowledge()
        return disk

    def bad(self, disk: RecordingDisk, *, most: int = 300) -> list[str]:
        """What is wrong in which states; "none" must be the answer for a right protocol."""
        wrong: list[str] = []
        states, known = 0, dict[frozenset[tuple[str, bytes | None]], Found]()
        for acknowledged, tree in crash_states(disk, disk.trace, most=most):
            states += 1
            key = frozenset(tree.items())
            if key not in known:
                root = self._folder / f"state-{len(known)}"
                materialise(tree, root)
                known[key] = _verdict(root)
                shutil.rmtree(root)
            found = known[key]
            if found not in (1, 2) or (acknowledged and found != 2):
                wrong.append(f"acknowledged={acknowledged}: {found}")
        self.states = states
        return wrong


def _verdict(root: Path) -> Found:
    try:
        number, _ = served(Editions(root, Disk()), ONE)
        edition = Editions(root, Disk()).open(ONE, number)
        edition.lists.close()
    except Exception as error:  # whatever the reader says: it has nothing to serve
        return f"{type(error).__name__}: {error}"
    return number if edition.model == number else f"edition {number} of model {edition.model}"


@pytest.fixture
def cut(tmp_path: Path) -> Cut:
    return Cut(tmp_path)


class NoDataSync(RecordingDisk):
    def sync_file(self, path: Path) -> None:
        if path.name not in ("lists.lmdb", "products.json"):
            super().sync_file(path)


class NoManifestSync(RecordingDisk):
    def sync_file(self, path: Path) -> None:
        if path.name != "MANIFEST.json":
            super().sync_file(path)


class NoStageSync(RecordingDisk):
    def sync_folder(self, path: Path) -> None:
        if not path.name.startswith(".stage-"):
            super().sync_folder(path)


class NoEditionsSync(RecordingDisk):
    def sync_folder(self, path: Path) -> None:
        if path.name != "editions":
            super().sync_folder(path)


class NoPointerSync(RecordingDisk):
    def sync_file(self, path: Path) -> None:
        if not plain(path).endswith(POINTER):
            super().sync_file(path)


class NoTenantSync(RecordingDisk):
    def sync_folder(self, path: Path) -> None:
        if path.name != ONE:
            super().sync_folder(path)


class PointerInPlace(RecordingDisk):
    def rename(self, path: Path, goal: Path) -> None:
        if goal.name != POINTER:
            super().rename(path, goal)
            return
        data = path.read_bytes()
        self.trace.append(Step("truncate", self.number_of(goal)))
        self.write(goal, data)
        self.sync_file(goal)
        self.remove_file(path)


class PointerRemovedFirst(RecordingDisk):
    def rename(self, path: Path, goal: Path) -> None:
        if goal.name == POINTER:
            self.remove_file(goal)
        super().rename(path, goal)


class PointerBeforeData(RecordingDisk):
    """Swaps and syncs the pointer first, then writes what it points to."""

    def acknowledge(self) -> None:
        begin = next(n for n, step in enumerate(self.trace) if POINTER in step.name)
        self.trace = self.trace[begin:] + self.trace[:begin]
        super().acknowledge()


class RenamedBeforeItsNames(RecordingDisk):
    """Moves the staging folder to its place before its names are on disk."""

    def acknowledge(self) -> None:
        move = next(n for n, step in enumerate(self.trace) if step.goal == "e000002")
        sync, self.trace[move - 1 : move + 1] = self.trace[move - 1], [self.trace[move]]
        assert sync.verb == "sync"
        self.trace.append(sync)
        super().acknowledge()


WRONG = [
    NoDataSync,
    NoManifestSync,
    NoStageSync,
    NoEditionsSync,
    NoPointerSync,
    NoTenantSync,
    PointerInPlace,
    PointerRemovedFirst,
    PointerBeforeData,
    RenamedBeforeItsNames,
]


class Mortal(RecordingDisk):
    """Its process dies before the N-th step; what it did stays in the kernel's memory."""

    lives = -1

    def _mortal(self) -> None:
        self.lives -= 1
        if self.lives == -1:
            raise Killed

    def write(self, path: Path, data: bytes) -> None:
        self._mortal()
        super().write(path, data)

    def sync_file(self, path: Path) -> None:
        self._mortal()
        super().sync_file(path)

    def sync_folder(self, path: Path) -> None:
        self._mortal()
        super().sync_folder(path)

    def make_folder(self, path: Path) -> None:
        self._mortal()
        super().make_folder(path)

    def rename(self, path: Path, goal: Path) -> None:
        self._mortal()
        super().rename(path, goal)


class TestPowerCut:
    """Every tree that a power cut may leave, read by the reader that serves."""

    def test_finds_the_old_edition_or_the_new_one_and_once_acknowledged_only_the_new(
        self, cut: Cut, tell: Tell
    ) -> None:
        bad = cut.bad(cut.record(), most=size(5_000, 60_000))
        tell("A02", states=cut.states, bad=len(bad))
        assert bad == []
        assert cut.states > 50

    def test_catches_every_wrong_protocol(self, tmp_path: Path, tell: Tell) -> None:
        missed = []
        for protocol in WRONG:
            cut = Cut(tmp_path / protocol.__name__)
            if not cut.bad(cut.record(protocol)):
                missed.append(protocol.__name__)
        caught = len(WRONG) - len(missed)
        tell("A02", planted_protocol_bugs_caught=f"{caught}/{len(WRONG)}")
        assert missed == []

    def test_during_a_rollback_leaves_the_edition_before_or_the_one_gone_back_to(
        self, tmp_path: Path
    ) -> None:
        root = tmp_path / "real"
        editions = Editions(root, Disk())
        two = publish(editions, taken=1, model=2, fence=1)
        number, sha = seal(editions, taken=0, model=1)
        disk = RecordingDisk(root)
        Editions(root, disk).point(ONE, Current(number, sha, 2, AT))
        disk.acknowledge()
        assert two.edition == 2
        for acknowledged, tree in crash_states(disk, disk.trace):
            state = tmp_path / "state"
            materialise(tree, state)
            assert _verdict(state) in ((1,) if acknowledged else (1, 2))
            shutil.rmtree(state)

    def test_during_the_removal_of_an_old_edition_never_touches_what_is_served(
        self, cut: Cut
    ) -> None:
        disk = cut.record()
        Editions(cut._root, disk).discard(ONE, 1)
        assert cut.bad(disk) == []

    def test_catches_a_removal_before_the_swap_is_safe(self, cut: Cut) -> None:
        disk = cut.record(NoTenantSync)
        disk.trace.pop()  # nobody was told yet
        Editions(cut._root, disk).discard(ONE, 1)
        assert cut.bad(disk) != []

    def test_finds_the_same_after_an_attempt_that_was_killed_and_repeated(
        self, tmp_path: Path
    ) -> None:
        wrong = {}
        for life in range(_steps_of_a_publication(tmp_path / "count")):
            cut = Cut(tmp_path / f"life-{life}")
            disk = Mortal(cut._root)
            editions = Editions(cut._root, disk)
            disk.lives = life
            with killed():
                publish(editions, taken=1, model=2, fence=2)
            editions.sweep(ONE)
            publish(editions, taken=1, model=2, fence=3)
            disk.acknowledge()
            if bad := cut.bad(disk, most=40):
                wrong[life] = bad[0]
        assert wrong == {}


def _steps_of_a_publication(folder: Path) -> int:
    cut = Cut(folder)
    disk = Mortal(cut._root)
    disk.lives = most = 1_000
    publish(Editions(cut._root, disk), taken=1, model=2, fence=2)
    return most - disk.lives
