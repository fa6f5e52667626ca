"""The spool under faults: what was acknowledged is delivered, whatever the disk did."""

import errno
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from schema.errors import Problem
from schema.names import TenantId
from storage.database import LedgerAway
from storage.durable import Disk
from storage.spool import Spool
from tests.faults.disk import FaultyDisk, Killed, RecordingDisk, Step, crash_states, materialise
from tests.world import ACME, BETA, NOW


def event(name: str) -> dict[str, Any]:
    return {"event_id": name, "occurred_at": NOW}


def bad_disk() -> OSError:
    return OSError(errno.EIO, "input/output error")


def left(root: Path) -> list[str]:
    """What a process that comes after it finds, in its order."""
    found: list[str] = []
    heir = Spool(root / "spool", Disk(), 2**20)
    heir.take_over()
    heir.deliver(lambda _, events: found.extend(e["event_id"] for e in events))
    heir.close()
    return found


class Story:
    """A process that spools four letters, delivers the first two, and spools on.

    Attributes:
        sent: what was acknowledged; taken: what the ledger has, durably.
    """

    def __init__(self, root: Path, disk: Disk, told: Callable[[], None] = lambda: None) -> None:
        self._spool, self._told = Spool(root / "spool", disk, 2**20), told
        self.sent: list[str] = []
        self.taken: list[str] = []

    def send(self, tenant: TenantId, name: str) -> None:
        self._spool.append(tenant, [event(name)])
        self.sent.append(name)
        self._told()

    def take(self, _: TenantId, events: list[dict[str, Any]]) -> None:
        self.taken += [event["event_id"] for event in events]
        self._told()

    def away(self, _tenant: TenantId, _events: object) -> None:
        raise LedgerAway("the ledger cannot be used", "wait", code="LEDGER_AWAY")

    def chapters(self) -> Iterator[Callable[[], object]]:
        yield lambda: self.send(ACME, "a")
        yield lambda: self.send(BETA, "b")
        yield lambda: self._spool.deliver(self.take)
        yield lambda: self.send(ACME, "c")
        yield self._away
        yield lambda: self.send(ACME, "d")
        yield lambda: self.send(ACME, "e")

    def _away(self) -> None:
        with suppress(LedgerAway):
            self._spool.deliver(self.away)

    def tell(self) -> None:
        for chapter in self.chapters():
            chapter()

    def end(self) -> None:
        self._spool.close()


TOLD = [("a", ()), ("b", ()), ("", "a"), ("", "b"), ("c", ()), ("d", ()), ("e", ())]
"""What each acknowledgement of the story stands for: sent, or taken by the ledger."""


def owed(acknowledged: int) -> set[str]:
    """What has to be in the spool after so many acknowledgements, if it is not in the ledger."""
    sent = {name for name, _ in TOLD[:acknowledged] if name}
    return sent - {name for _, taken in TOLD[:acknowledged] for name in taken}


class Cut:
    """Tells the story, then looks at every tree a power cut could leave."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "real").mkdir()

    def wrong(self, kind: type[RecordingDisk] = RecordingDisk, most: int = 300) -> list[str]:
        root = self._folder / "real"
        disk = kind(root)
        story = Story(root, disk, disk.acknowledge)
        story.tell()
        story.end()
        self.states = 0
        wrong = []
        known: dict[frozenset[tuple[str, bytes | None]], list[str]] = {}
        for acknowledged, tree in crash_states(disk, disk.trace, most=most):
            self.states += 1
            key = frozenset(tree.items())
            if key not in known:
                state = self._folder / "state"
                materialise(tree, state)
                known[key] = left(state)
                shutil.rmtree(state)
            found = known[key]
            if not owed(acknowledged) <= set(found) <= set("abcde") or found != sorted(found):
                wrong.append(f"after {acknowledged}: {found}")
        return wrong


class NoSync(RecordingDisk):
    def sync_file(self, path: Path) -> None:
        pass


class NoFolderSync(RecordingDisk):
    def sync_folder(self, path: Path) -> None:
        if path.name != "spool":
            super().sync_folder(path)


class NoHomeSync(RecordingDisk):
    def sync_folder(self, path: Path) -> None:
        if path.name == "spool":
            super().sync_folder(path)


class ToldTooEarly(RecordingDisk):
    """The fsync comes after the next letter was written."""

    late: Step | None = None

    def append(self, path: Path, data: bytes) -> None:
        super().append(path, data)
        sync = self.trace.pop()
        if self.late is not None:
            self.trace.append(self.late)
        self.late = sync


class ForgottenBeforeDelivered(RecordingDisk):
    """The file is removed before the ledger has what is in it: two letters."""

    def remove_file(self, path: Path) -> None:
        super().remove_file(path)
        self.trace.insert(-2, self.trace.pop())


class TestPowerCut:
    def test_loses_nothing_that_was_acknowledged(self, tmp_path: Path) -> None:
        cut = Cut(tmp_path)

        assert cut.wrong(most=5_000) == []
        assert cut.states > 50

    @pytest.mark.parametrize(
        "protocol",
        [NoSync, NoFolderSync, NoHomeSync, ToldTooEarly, ForgottenBeforeDelivered],
        ids=lambda protocol: protocol.__name__,
    )
    def test_catches_a_wrong_protocol(self, protocol: type[RecordingDisk], tmp_path: Path) -> None:
        assert Cut(tmp_path).wrong(protocol) != []


class TestADiskThatFails:
    def test_at_any_step_refuses_that_letter_and_loses_no_other(self, tmp_path: Path) -> None:
        for step in itertools.count():
            root = tmp_path / f"{step}"
            root.mkdir()
            disk = FaultyDisk(step, bad_disk, stays=False)
            story = Story(root, disk)
            for chapter in story.chapters():
                with suppress(Problem, OSError):
                    chapter()
            story.end()
            if not disk.failed:
                break
            found = left(root)
            name = f"step {step}, {disk.steps[-1]}"
            assert set(story.sent) <= set(found) | set(story.taken), name
        assert step > 15

    def test_and_stays_so_refuses_every_letter_and_loses_none_it_took(self, tmp_path: Path) -> None:
        for step in itertools.count():
            root = tmp_path / f"{step}"
            root.mkdir()
            disk = FaultyDisk(step, bad_disk)
            story = Story(root, disk)
            for chapter in story.chapters():
                with suppress(Problem, OSError):
                    chapter()
            story.end()
            if not disk.failed:
                break
            assert set(story.sent) <= set(left(root)) | set(story.taken), f"step {step}"

    def test_is_told_as_a_problem(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool", FaultyDisk(0, bad_disk), 2**20)

        with pytest.raises(Problem) as told:
            spool.append(ACME, [event("a")])

        assert told.value.code == "FEEDBACK_FULL"
        assert "input/output error" in told.value.what


class TestAKilledProcess:
    def test_at_any_step_loses_nothing_that_was_acknowledged(self, tmp_path: Path) -> None:
        for step in itertools.count():
            root = tmp_path / f"{step}"
            root.mkdir()
            disk = FaultyDisk(step)
            story = Story(root, disk)
            with suppress(Killed):
                story.tell()
            story.end()
            if not disk.failed:
                break
            found = left(root)
            assert set(story.sent) <= set(found) | set(story.taken), f"step {step}"
            assert left(root) == []
