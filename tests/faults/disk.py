"""Disks that fail, disks that remember, and what a power cut could leave of what they did.

Two instruments. ``FaultyDisk`` raises at the N-th step of real work. ``RecordingDisk`` writes down
every step; ``crash_states`` then plays the steps back and leaves out whatever no fsync has forced
to disk by then.

The rules of the second are those of a careless, but lawful file system: fsync of a file forces
its content, not its name; fsync of a folder forces the names made, moved and removed in it before;
anything else may or may not be on disk, a write also by half or as zeros of its full length (or as
zeros before a later one that is there);
steps on one name keep their order.
"""

import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from storage.durable import Disk

POINTER = "CURRENT"
STRAYS = (".stage-", ".trash-", ".tmp-")
"""How the names of what an interrupted write leaves behind begin."""


class Killed(BaseException):
    """The process is gone: nobody catches it, and nothing on disk happens after it."""


def plain(path: Path) -> str:
    """A path's name without its random part: ".stage-e000002-1f2e3d4c" -> ".stage-e000002"."""
    name = path.name
    return name.rpartition("-")[0] if name.startswith(STRAYS) else name


class FaultyDisk(Disk):
    """Does real work up to its N-th step, and raises there.

    Attributes:
        steps: names of all steps reached, in order; the last one is the one that failed.
        stays: whether every later step fails too (a full disk, a dead process).
    """

    def __init__(
        self, fail_at: int = -1, error: Callable[[], BaseException] = Killed, *, stays: bool = True
    ) -> None:
        self._fail_at, self._error, self.stays = fail_at, error, stays
        self.steps: list[str] = []
        self.failed = False
        self._writing = threading.RLock()

    def _step(self, name: str) -> None:
        if self.failed and self.stays:
            self._raise()
        self.steps.append(name)
        if len(self.steps) - 1 == self._fail_at:
            self.failed = True
            self._raise()

    def _raise(self) -> NoReturn:
        with self._writing:  # the dead have no threads that write on
            raise self._error()

    def create(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        self._step(f"create {plain(path)}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            half = len(data) // 2
            os.write(descriptor, data[:half])
            self._step(f"write {plain(path)}")
            os.write(descriptor, data[half:])
            self._step(f"fsync {plain(path)}")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append(self, path: Path, data: bytes) -> None:
        self._step(f"append to {plain(path)}")
        half = len(data) // 2
        with path.open("ab") as file:
            file.write(data[:half])
            file.flush()
            self._step(f"append more to {plain(path)}")
            file.write(data[half:])
        self._step(f"fsync {plain(path)}")

    def create_by(self, path: Path, write: Callable[[Path], None]) -> None:
        with self._writing:
            self._step(f"create {plain(path)}")
            write(path)
            size = path.stat().st_size
            whole = path.read_bytes()
            os.truncate(path, size // 2)
            self._step(f"write {plain(path)}")
            path.write_bytes(whole)
            self._step(f"fsync {plain(path)}")

    def sync_folder(self, path: Path) -> None:
        self._step(f"sync {plain(path)}/")
        super().sync_folder(path)

    def make_folder(self, path: Path) -> None:
        self._step(f"make {plain(path)}/")
        super().make_folder(path)

    def rename(self, path: Path, goal: Path) -> None:
        self._step(f"rename to {plain(goal)}")
        super().rename(path, goal)

    def hand_over(self, path: Path, folder: int, name: str) -> None:
        self._step(f"hand over {plain(path)}")
        super().hand_over(path, folder, name)

    def remove_from(self, folder: int, name: str) -> None:
        self._step(f"remove {name}")
        super().remove_from(folder, name)

    def remove_file(self, path: Path) -> None:
        self._step(f"remove {plain(path)}")
        super().remove_file(path)

    def remove_folder(self, path: Path) -> None:
        self._step(f"remove {plain(path)}/")
        super().remove_folder(path)


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a trace.

    Attributes:
        at: the folder whose names change, or the file that is written; by its own number.
        name, goal: which names change in the folder.
        made: the number of what a name leads to from now on.
        offset: where in the file the data goes; what lies behind it is cut off.
    """

    verb: Literal[
        "make", "create", "rename", "remove", "write", "truncate", "fsync", "sync", "acknowledged"
    ]
    at: int = 0
    name: str = ""
    goal: str = ""
    made: int = 0
    data: bytes = b""
    offset: int = 0

    @property
    def names(self) -> frozenset[tuple[int, str]]:
        """What has to keep its order."""
        changed = self.verb in ("make", "create", "rename", "remove")
        return frozenset((self.at, name) for name in (self.name, self.goal) if changed and name)


Tree = dict[str, bytes | None]
"""Path from the root -> content; None is a folder."""


class RecordingDisk(Disk):
    """Does everything for real and writes it down, from an initial tree that is safe on disk."""

    def __init__(self, root: Path) -> None:
        self._fresh = itertools.count(1)
        self._numbers = {root: 0}
        self.folders: dict[int, dict[str, int]] = {0: {}}
        self.files: dict[int, bytes] = {}
        self.trace: list[Step] = []
        for path in sorted(root.rglob("*")):
            number = self._number(path)
            self.folders[self._numbers[path.parent]][path.name] = number
            if path.is_dir():
                self.folders[number] = {}
            else:
                self.files[number] = path.read_bytes()

    def acknowledge(self) -> None:
        """From here on somebody was told that it is published (or durable)."""
        self.trace.append(Step("acknowledged"))

    def create(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        path.touch(mode, exist_ok=False)
        self._entry("create", path)
        self.write(path, data)
        self.sync_file(path)

    def append(self, path: Path, data: bytes) -> None:
        offset = path.stat().st_size
        with path.open("ab") as file:
            file.write(data)
        self.trace.append(Step("write", self._numbers[path], data=data, offset=offset))
        self.sync_file(path)

    def create_by(self, path: Path, write: Callable[[Path], None]) -> None:
        write(path)
        self._entry("create", path)
        self.write(path, path.read_bytes())
        self.sync_file(path)

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.trace.append(Step("write", self._numbers[path], data=data))

    def sync_file(self, path: Path) -> None:
        self.trace.append(Step("fsync", self._numbers[path]))

    def sync_folder(self, path: Path) -> None:
        self.trace.append(Step("sync", self._numbers[path]))

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._entry("make", path)

    def rename(self, path: Path, goal: Path) -> None:
        assert path.parent == goal.parent
        super().rename(path, goal)
        self.trace.append(Step("rename", self._numbers[path.parent], path.name, goal.name))
        self._numbers.pop(goal, None)
        moved = {p: n for p, n in self._numbers.items() if p == path or path in p.parents}
        for old, number in moved.items():
            del self._numbers[old]
            self._numbers[goal / old.relative_to(path)] = number

    def remove_file(self, path: Path) -> None:
        super().remove_file(path)
        self._removed(path)

    def remove_folder(self, path: Path) -> None:
        super().remove_folder(path)
        self._removed(path)

    def number_of(self, path: Path) -> int:
        return self._numbers[path]

    def _entry(self, verb: Literal["make", "create"], path: Path) -> None:
        made = self._number(path)
        self.trace.append(Step(verb, self._numbers[path.parent], path.name, made=made))

    def _removed(self, path: Path) -> None:
        self.trace.append(Step("remove", self._numbers[path.parent], path.name))
        del self._numbers[path]

    def _number(self, path: Path) -> int:
        self._numbers[path] = number = next(self._fresh)
        return number


_Pick = Literal["no", "yes", "half", "zeros"]


def crash_states(
    disk: RecordingDisk, trace: Sequence[Step], *, seed: int = 7, most: int = 300
) -> Iterator[tuple[int, Tree]]:
    """Every tree a power cut could leave, at any moment of a trace.

    Where a moment has more than ``most`` of them, so many are drawn with the seed.

    Yields:
        How often something had been acknowledged by then, and the tree.
    """
    rng = random.Random(seed)
    for moment in range(len(trace) + 1):
        done = trace[:moment]
        acknowledged = sum(step.verb == "acknowledged" for step in done)
        for picks in _choices(done, rng, most):
            yield acknowledged, _tree(disk, done, picks)


def _choices(done: Sequence[Step], rng: random.Random, most: int) -> Iterator[list[_Pick]]:
    options = [_options(done, place) for place in range(len(done))]
    size = 1
    for option in options:
        size *= len(option)
    if size <= most:
        yield from _all(done, options, [])
        return
    for _ in range(most):
        picks: list[_Pick] = []
        for option in options:
            picks.append(rng.choice(_in_order(done, picks, option)))
        yield picks


def _all(
    done: Sequence[Step], options: Sequence[Sequence[_Pick]], picks: list[_Pick]
) -> Iterator[list[_Pick]]:
    if len(picks) == len(done):
        yield picks
        return
    for pick in _in_order(done, picks, options[len(picks)]):
        yield from _all(done, options, [*picks, pick])


def _options(done: Sequence[Step], place: int) -> Sequence[_Pick]:
    step = done[place]
    forced_by = {"write": "fsync", "truncate": "fsync"}.get(step.verb, "sync")
    if step.verb in ("fsync", "sync", "acknowledged") or any(
        later.verb == forced_by and later.at == step.at for later in done[place:]
    ):
        return ("yes",)
    return ("no", "half", "zeros", "yes") if step.verb == "write" else ("no", "yes")


def _in_order(
    done: Sequence[Step], picks: Sequence[_Pick], option: Sequence[_Pick]
) -> Sequence[_Pick]:
    names = done[len(picks)].names
    left_out = any(
        pick == "no" and step.names & names for step, pick in zip(done, picks, strict=False)
    )
    return ("no",) if names and left_out else option


def _tree(disk: RecordingDisk, done: Sequence[Step], picks: Sequence[_Pick]) -> Tree:
    folders = {number: dict(names) for number, names in disk.folders.items()}
    files = dict(disk.files)
    for step, pick in zip(done, picks, strict=True):
        if pick == "no":
            continue
        names = folders.setdefault(step.at, {})
        match step.verb:
            case "make":
                names[step.name] = step.made
                folders.setdefault(step.made, {})
            case "create":
                names[step.name] = step.made
                files.setdefault(step.made, b"")
            case "rename":
                names[step.goal] = names.pop(step.name)
            case "remove":
                names.pop(step.name)
            case "truncate":
                files[step.at] = b""
            case "write":
                size, offset = len(step.data), step.offset
                before = files.get(step.at, b"")[:offset].ljust(offset, b"\0")
                files[step.at] = before + {
                    "half": step.data[: size // 2],
                    "zeros": bytes(size),
                }.get(pick, step.data)
    tree: Tree = {}
    _walk(0, "", folders, files, tree)
    return tree


def _walk(
    number: int,
    path: str,
    folders: dict[int, dict[str, int]],
    files: dict[int, bytes],
    tree: Tree,
) -> None:
    for name, child in folders.get(number, {}).items():
        below = f"{path}{name}"
        if child in files:
            tree[below] = files[child]
        else:
            tree[below] = None
            _walk(child, f"{below}/", folders, files, tree)


def materialise(tree: Tree, root: Path) -> None:
    """Write a tree out."""
    root.mkdir()
    for path, content in tree.items():
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
