"""Storage that several machines share: an object store that speaks S3, or a shared path.

A home is a cache of it. What is sealed never changes: its files are put once, the manifest last,
under a key that bears the manifest's hash, so that two writers never write one key with different
bytes. A pointer is a new object for every value it had, named by its rank: the highest rank is what
counts, so whoever wakes up late with an older fence changes nothing, and one listing tells a server
everything that is new. An object is seen whole or not at all.

<place>/tenants/<uid>/<folder>/<file>, <place>/pointers/<uid>/<pointer>/<rank>-<hash>
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import orjson
from pyarrow import ArrowException, fs

from schema.config import SharedObjects
from schema.errors import Problem
from storage import durable
from storage.durable import MANIFEST, TEMPORARY, Disk

_PIECE = 1 << 22
"""Bytes of a file that are in memory on their way."""

_LOOKS = 5
"""Times a pointer is looked for that was replaced between its listing and its reading."""


class Objects(Protocol):
    """What the stores need of it; keys begin with a tenant's uid.

    All raise Problem: it does not answer, or refuses (``OBJECTS_AWAY``).
    """

    @property
    def asks(self) -> bool:
        """Whether a pointer has to be looked for whenever it is read; else the home's copy of it
        is good, because nobody else writes, or because a server follows them all.
        """

    def files(self, uid: str, place: str) -> dict[str, int]:
        """Everything under a tenant's place, by its name there: bytes."""

    def put(self, uid: str, place: str, file: Path) -> None:
        """Put a file's bytes."""

    def get(self, uid: str, place: str, file: Path) -> None:
        """Write an object's bytes to a file; ``OBJECT_MISSING`` where there is none."""

    def read(self, uid: str, place: str) -> bytes:
        """As ``get``, for a small one."""

    def remove(self, uid: str, place: str) -> None:
        """Remove an object; again harmless."""

    def newest(self, uid: str, pointer: str) -> str | None:
        """The name of what a pointer says now."""

    def pointers(self) -> dict[tuple[str, str], str]:
        """By uid and pointer: as ``newest``, of everybody, in one listing."""

    def told(self, uid: str, pointer: str, name: str) -> bytes | None:
        """What it says; None where it was replaced meanwhile."""

    def point(self, uid: str, pointer: str, rank: str, body: bytes) -> None:
        """Say this from now on, unless something of a higher rank is said."""

    def alone(self, uid: str) -> AbstractContextManager[None]:
        """While nobody else is here for this tenant, on whatever machine."""

    def forget(self, uid: str) -> None:
        """Remove everything of a tenant."""


class AtHome:
    """One machine: its home is all there is."""

    asks = False

    def files(self, uid: str, place: str) -> dict[str, int]:
        return {}

    def put(self, uid: str, place: str, file: Path) -> None:
        pass

    def get(self, uid: str, place: str, file: Path) -> None:
        raise _missing(place)

    def read(self, uid: str, place: str) -> bytes:
        raise _missing(place)

    def remove(self, uid: str, place: str) -> None:
        pass

    def newest(self, uid: str, pointer: str) -> str | None:
        return None

    def pointers(self) -> dict[tuple[str, str], str]:
        return {}

    def told(self, uid: str, pointer: str, name: str) -> None:
        return None

    def point(self, uid: str, pointer: str, rank: str, body: bytes) -> None:
        pass

    @contextmanager
    def alone(self, uid: str) -> Iterator[None]:
        yield

    def forget(self, uid: str) -> None:
        pass


AT_HOME = AtHome()


@dataclass(frozen=True, slots=True)
class Shared:
    """Several machines: every one keeps this promise to the others. tests/storage/test_objects.py.

    Attributes:
        base: bucket and prefix, or a folder.
        alone: the ledger's lock for a tenant, ``storage.database.alone``.
    """

    filesystem: fs.FileSystem
    base: str
    disk: Disk
    alone: Callable[[str], AbstractContextManager[None]]
    asks: bool

    def files(self, uid: str, place: str) -> dict[str, int]:
        return self._under(f"{self._of(uid)}/{place}")

    def put(self, uid: str, place: str, file: Path) -> None:
        self._put(f"{self._of(uid)}/{place}", lambda: _pieces(file))

    def get(self, uid: str, place: str, file: Path) -> None:
        with _told(place):
            source = self.filesystem.open_input_stream(f"{self._of(uid)}/{place}")

        def piece() -> bytes:
            with _told(place):
                return bytes(source.read(_PIECE))

        with source:  # what the home's own disk does is another matter
            durable.streamed(iter(piece, b""))(file)

    def read(self, uid: str, place: str) -> bytes:
        return self._read(f"{self._of(uid)}/{place}")

    def remove(self, uid: str, place: str) -> None:
        self._remove(f"{self._of(uid)}/{place}")

    def newest(self, uid: str, pointer: str) -> str | None:
        return max(self._under(f"{self.base}/pointers/{uid}/{pointer}"), default=None)

    def pointers(self) -> dict[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = {}
        for place in sorted(self._under(f"{self.base}/pointers")):
            uid, pointer, name = place.split("/")
            found[uid, pointer] = name
        return found

    def told(self, uid: str, pointer: str, name: str) -> bytes | None:
        try:
            return self._read(f"{self.base}/pointers/{uid}/{pointer}/{name}")
        except Problem as problem:
            if problem.code != "OBJECT_MISSING":
                raise
            return None

    def point(self, uid: str, pointer: str, rank: str, body: bytes) -> None:
        parent, name = f"{self.base}/pointers/{uid}/{pointer}", f"{rank}-{digest(body)}"
        before = self._under(parent)
        if name in before:
            return
        try:
            self._put(f"{parent}/{name}", lambda: iter([body]))
        except Problem:  # it may be there all the same: the caller is about to record a failure
            with suppress(Problem):
                self._remove(f"{parent}/{name}")
            raise
        with suppress(
            Problem
        ):  # what was said before stays until the next time, and counts no more
            for older in before:
                if older < name:
                    self._remove(f"{parent}/{older}")

    def forget(self, uid: str) -> None:
        for parent in (f"{self.base}/pointers/{uid}", self._of(uid)):
            for place in self._under(parent):
                self._remove(f"{parent}/{place}")

    def _of(self, uid: str) -> str:
        return f"{self.base}/tenants/{uid}"

    def _under(self, parent: str) -> dict[str, int]:
        with _told(parent):
            found = self.filesystem.get_file_info(
                fs.FileSelector(parent, allow_not_found=True, recursive=True)
            )
        return {
            info.path.removeprefix(f"{parent}/"): info.size
            for info in found
            if info.is_file and not info.base_name.startswith(TEMPORARY)
        }

    def _put(self, path: str, pieces: Callable[[], Iterator[bytes]]) -> None:
        with _told(path):
            if isinstance(self.filesystem, fs.LocalFileSystem):  # a shared path: whole, by rename
                durable.make_folders(self.disk, Path(path).parent)
                durable.replace_by(self.disk, Path(path), durable.streamed(pieces()))
                return
            with self.filesystem.open_output_stream(path) as sink:  # S3: there once it is closed
                for piece in pieces():
                    sink.write(piece)

    def _read(self, path: str) -> bytes:
        with _told(path), self.filesystem.open_input_stream(path) as source:
            return bytes(source.read())

    def _remove(self, path: str) -> None:
        with _told(path), suppress(FileNotFoundError):
            self.filesystem.delete_file(path)


def open_objects(
    config: SharedObjects,
    disk: Disk,
    alone: Callable[[str], AbstractContextManager[None]],
    *,
    follows: bool,
) -> Objects:
    """What the configuration names; nothing is asked of it yet.

    Credentials are the environment's (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the like).

    Args:
        follows: a server, which brings what is new to its home by itself.
    """
    if not config.url:
        return AT_HOME
    if config.scheme == "file":
        return Shared(fs.LocalFileSystem(), config.base, disk, alone, not follows)
    options = {name: value for name, value in config.options.items() if value}
    filesystem = fs.S3FileSystem(
        **options,
        connect_timeout=2,
        request_timeout=10,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
        allow_delayed_open=True,  # a small object is one request, not three
        background_writes=False,  # a thread less for each; what goes wrong is told where it does
    )
    return Shared(filesystem, config.base, disk, alone, not follows)


def digest(body: bytes) -> str:
    """What tells one object from another in its key."""
    return hashlib.sha256(body).hexdigest()[:16]


def news(objects: Objects, uid: str, pointer: str, known: bytes | None) -> bytes | None:
    """What a pointer says now, where that is not what is known here."""
    for _ in range(_LOOKS):
        name = objects.newest(uid, pointer)
        if name is None or (known is not None and name.endswith(f"-{digest(known)}")):
            return None
        body = objects.told(uid, pointer, name)
        if body is not None:
            return body
    raise Problem(
        f"the pointer {pointer} changes faster than it can be read", "try again", "OBJECTS_AWAY"
    )


def succeed(objects: Objects, uid: str, pointer: str, known: bytes | None, body: bytes) -> None:
    """Say what follows upon what is known here; under ``alone``.

    Raises:
        Problem: something else is said by now (``OBJECTS_MOVED``).
    """
    if news(objects, uid, pointer, known) is not None:
        raise Problem(
            f"another machine changed the tenant's {pointer} meanwhile",
            "do it again",
            code="OBJECTS_MOVED",
        )
    name = objects.newest(uid, pointer)
    objects.point(uid, pointer, f"{int(name.split('-')[0]) + 1 if name else 1:012d}", body)


def put_folder(objects: Objects, uid: str, place: str, folder: Path) -> None:
    """Share a sealed folder; whatever of it is there already is not put again.

    Args:
        place: bears the hash of its manifest.
    """
    there = objects.files(uid, place)
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    for name in (*names, MANIFEST):
        if there.get(name) != (folder / name).stat().st_size:
            objects.put(uid, f"{place}/{name}", folder / name)


def get_folder(objects: Objects, disk: Disk, uid: str, place: str, folder: Path) -> None:
    """Bring a sealed folder, under its name once every byte was checked.

    Raises:
        Problem: a file of it is missing (``OBJECT_MISSING``) or changed (``SEALED_BROKEN``).
    """
    manifest = objects.read(uid, f"{place}/{MANIFEST}")
    if not place.endswith(f"-{digest(manifest)}"):
        raise Problem(
            f"the manifest of {place} is not the one it was shared with",
            "seal it again: repeat the night, or go back to another edition",
            code="SEALED_BROKEN",
        )
    names = [name for name in orjson.loads(manifest)["files"] if Path(name).name == name]
    durable.make_folders(disk, folder.parent)
    durable.arrived(
        disk,
        folder,
        manifest,
        {name: partial(objects.get, uid, f"{place}/{name}") for name in names},
    )


def remove_folder(objects: Objects, uid: str, place: str) -> None:
    """Remove a sealed folder; its manifest first, so that a half-removed one is never whole."""
    for name in sorted(objects.files(uid, place), key=lambda name: name != MANIFEST):
        objects.remove(uid, f"{place}/{name}")


def folders(objects: Objects, uid: str, parent: str) -> list[str]:
    """Names of the sealed folders that are whole; without their parent's."""
    return sorted(
        name.removesuffix(f"/{MANIFEST}")
        for name in objects.files(uid, parent)
        if name.endswith(f"/{MANIFEST}")
    )


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            yield piece


@contextmanager
def _told(place: str) -> Iterator[None]:
    """An error as a person can use it; never with the address or the key it was tried with."""
    try:
        yield
    except FileNotFoundError as error:
        raise _missing(place) from error
    except (ArrowException, OSError) as error:
        found = re.search(r"AWS Error (\w+)", str(error))
        why = found[1] if found else type(error).__name__
        raise Problem(
            f"the shared storage did not do what it was asked ({why})",
            "look at objects.url and its credentials; what was served stays served",
            code="OBJECTS_AWAY",
        ) from None


def _missing(place: str) -> Problem:
    return Problem(
        f"{'/'.join(place.split('/')[-2:])} is missing on the shared storage",
        "restore it there, or repeat the night",
        code="OBJECT_MISSING",
    )
