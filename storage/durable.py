"""The only module that writes, syncs, renames and removes files.

Publishing is safe because every step goes through here in a known order: a file is synced before
its name is used, a folder is synced before anything points into it, a pointer is swapped by
rename. Tests put a faulty disk in the place of this one and stop at every single step.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import orjson

from schema.errors import Problem

MANIFEST = "MANIFEST.json"
_PIECE = 2**18
"""Bytes that are hashed at once."""
STAGE, TRASH, TEMPORARY = ".stage-", ".trash-", ".tmp-"


class Disk:
    """The steps themselves, one system call wide. Paths are absolute."""

    def create(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Write a new file and force its content to disk; fails if it exists.

        An error from write or fsync is final: the caller throws the file away and never syncs it
        again (the kernel may have dropped the pages).
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def append(self, path: Path, data: bytes) -> None:
        """Add to the end of a file and force it to disk.

        After an error nobody knows what of it is there: the caller never adds to that file again.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def create_by(self, path: Path, write: Callable[[Path], None]) -> None:
        """Let a library write a new file itself, then force it to disk."""
        write(path)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Force the names inside a folder to disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_folder(self, path: Path) -> None:
        path.mkdir()

    def rename(self, path: Path, goal: Path) -> None:
        os.rename(path, goal)

    def hand_over(self, path: Path, folder: int, name: str) -> None:
        """Rename a file into an open folder: where its path leads by now does not matter."""
        os.rename(path, name, dst_dir_fd=folder)

    def remove_from(self, folder: int, name: str) -> None:
        """Remove a file from an open folder."""
        os.unlink(name, dir_fd=folder)

    def remove_file(self, path: Path) -> None:
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        path.rmdir()

    def free(self, path: Path) -> int:
        """Bytes that may still be written where this folder is."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Around work that leaves what was there until all of it is done.

    Raises:
        Problem: the disk is full or gone (``DISK``).
    """
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)[:80]
        raise Problem(
            f"the disk did not do what it was asked ({why}); what was there stays",
            "make room or mend it, then do it again",
            code="DISK",
        ) from error


def size(folder: Path) -> int:
    """Bytes that a folder's files take on disk."""
    with os.scandir(folder) as files:
        return sum(file.stat().st_blocks * 512 for file in files)


def make_folders(disk: Disk, path: Path) -> None:
    """Make a folder and its missing parents, each durable before the next."""
    if path.is_dir():
        return
    make_folders(disk, path.parent)
    with contextlib.suppress(FileExistsError):
        disk.make_folder(path)
    disk.sync_folder(path.parent)


def replace(disk: Disk, path: Path, data: bytes) -> None:
    """Swap a file's content by rename: readers see all of the old or all of the new."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
    try:
        disk.create(temporary, data)
        disk.rename(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    disk.sync_folder(path.parent)


def replace_by(disk: Disk, path: Path, write: Callable[[Path], None]) -> None:
    """As ``replace``, for content too large to hold: ``write`` makes the file it is given."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
    try:
        disk.create_by(temporary, write)
        disk.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    disk.sync_folder(path.parent)


def replace_or_restore(disk: Disk, path: Path, data: bytes) -> None:
    """As ``replace``; after an error, what readers see is the old content again.

    The swap itself may have happened and only its sync failed: then nobody knows what a power cut
    would leave, and the caller is about to record a failure.
    """
    before = path.read_bytes() if path.exists() else None
    try:
        replace(disk, path, data)
    except OSError:
        if before is not None and path.read_bytes() != before:
            with contextlib.suppress(OSError):  # a disk that is gone; the repeated night mends it
                replace(disk, path, before)
        raise


def sealed(
    disk: Disk, folder: Path, facts: dict[str, object], writers: dict[str, Callable[[Path], None]]
) -> str:
    """Write an immutable folder, whole or not at all.

    Staging beside the goal, every file synced, then the manifest with the hash of each, then the
    names, then one rename, then the parent. If the goal exists with the same manifest, nothing is
    done, so that a repeated night is harmless.

    Args:
        facts: what the manifest says beside the files; the same content must give the same facts.
        writers: by file name, a function that writes the file at the path it is given.

    Returns:
        SHA-256 of the manifest, hex.

    Raises:
        Problem: the goal exists with other content (``SEALED``): sealed folders never change.
    """
    if folder.parent.is_dir():  # perhaps made by an attempt that died: its name may be lost
        disk.sync_folder(folder.parent.parent)
    else:
        make_folders(disk, folder.parent)
    stage = folder.with_name(f"{STAGE}{folder.name}-{secrets.token_hex(4)}")
    try:
        disk.make_folder(stage)
        files = {}
        for name, write in writers.items():
            disk.create_by(stage / name, write)
            files[name] = described(stage / name)
        manifest = orjson.dumps(
            {"format": 1, **facts, "files": files},
            option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2,
        )
        disk.create(stage / MANIFEST, manifest)
        disk.sync_folder(stage)
        if folder.exists():
            if _holds(folder, manifest):
                disk.sync_folder(folder.parent)  # whoever renamed it may have died before this
                return hashlib.sha256(manifest).hexdigest()
            raise Problem(
                f"{folder.name} exists with other content, and sealed folders never change",
                "take the next number",
                code="SEALED",
            )
        disk.rename(stage, folder)
    finally:
        _forget(stage)
    disk.sync_folder(folder.parent)
    return hashlib.sha256(manifest).hexdigest()


def arrived(
    disk: Disk, folder: Path, manifest: bytes, writers: dict[str, Callable[[Path], None]]
) -> None:
    """Write a sealed folder that was made elsewhere: as ``sealed``, its manifest given.

    Another one of its name is replaced: the caller knows which of them counts.

    Raises:
        Problem: a file is not the one its manifest names (``SEALED_BROKEN``).
    """
    stage = folder.with_name(f"{STAGE}{folder.name}-{secrets.token_hex(4)}")
    try:
        disk.make_folder(stage)
        for name, write in writers.items():
            disk.create_by(stage / name, write)
        disk.create(stage / MANIFEST, manifest)
        unsealed(stage)
        disk.sync_folder(stage)
        with locked(folder.parent):
            if folder.exists() and not _holds(folder, manifest):
                discard(disk, folder)
            if not folder.exists():
                disk.rename(stage, folder)
    finally:
        _forget(stage)
    disk.sync_folder(folder.parent)


def sealed_after(
    disk: Disk,
    taken: int,
    folder: Callable[[int], Path],
    in_use: Callable[[int], bool],
    facts: dict[str, object],
    writers: dict[str, Callable[[Path], None]],
) -> tuple[int, str]:
    """Seal a folder under the first number after ``taken`` that is free.

    A number beyond ``taken`` that exists was left by an attempt that died: if it holds the very
    same content it is taken over, if it is in use it stays and the next number is tried, else
    nobody ever saw it and it is replaced.

    Args:
        folder: by number; two below the tenant's own.

    Returns:
        The number and the SHA-256 of the manifest.
    """
    number = taken + 1
    while True:
        try:
            return number, sealed(disk, folder(number), {**facts, "number": number}, writers)
        except Problem as problem:
            if problem.code != "SEALED":
                raise
        # Whoever points to it holds this lock: a worker that wakes up late may be the one who asks.
        with locked(folder(number).parent.parent):
            used = in_use(number)
            if not used:
                discard(disk, folder(number))
        number += used


def content(data: bytes) -> Callable[[Path], None]:
    """A writer of these bytes, for ``sealed``."""
    return lambda path: _write_all(path, data)


def copy_of(source: Path) -> Callable[[Path], None]:
    """A writer of another file's bytes, for ``sealed``."""
    return lambda path: _copy(source, path)


def streamed(chunks: Iterable[bytes]) -> Callable[[Path], None]:
    """A writer of what is made while it is written, for ``replace_by``."""
    return lambda path: _stream(chunks, path)


def _stream(chunks: Iterable[bytes], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(chunks)


def _copy(source: Path, path: Path) -> None:
    shutil.copyfile(source, path)


def _write_all(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def unsealed(
    folder: Path, manifest_sha256: str | None = None, *, later: Collection[str] = ()
) -> dict[str, object]:
    """Read a sealed folder's manifest and check every file against it.

    Args:
        later: files whose bytes are left to whoever opens them, with ``check_bytes``.

    Raises:
        Problem: missing, incomplete, changed, or of a newer format; the reader keeps what it has.
    """
    data = manifest_bytes(folder)
    if data is None:
        raise _broken(folder, "it has no manifest")
    if manifest_sha256 and hashlib.sha256(data).hexdigest() != manifest_sha256:
        raise _broken(folder, "its manifest is not the one that was published")
    try:
        manifest: dict[str, object] = orjson.loads(data)
        known = manifest.get("format") == 1
        files: dict[str, dict[str, object]] = manifest["files"] if known else {}  # type: ignore[assignment]
    except (orjson.JSONDecodeError, AttributeError, KeyError) as error:
        raise _broken(folder, "its manifest is damaged") from error
    if not known:
        raise _broken(folder, f"its format {manifest.get('format')!r} is newer than this program")
    for name, expected in files.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != expected["bytes"]:
            raise _broken(folder, f"{name} is missing or has another length")
        if name not in later:
            check_bytes(path, str(expected["sha256"]))
    return manifest


def check_bytes(path: Path, expected: str) -> None:
    """Check a file of a sealed folder against the hash in its manifest.

    Raises:
        Problem: it has changed, or its folder was removed.
    """
    try:
        found = sha256(path)
    except FileNotFoundError:
        found = None
    if found != expected:
        raise _broken(path.parent, f"the bytes of {path.name} have changed")


def discard(disk: Disk, folder: Path) -> None:
    """Remove a sealed folder; its manifest goes first, so that a half-removed one never loads."""
    trash = folder.with_name(f"{TRASH}{folder.name}-{secrets.token_hex(4)}")
    disk.rename(folder, trash)
    disk.sync_folder(folder.parent)
    _remove(disk, trash)


def sweep(disk: Disk, parent: Path) -> None:
    """Clear what an interrupted write left behind; only where nobody else writes now."""
    if not parent.is_dir():
        return
    for path in parent.iterdir():
        if path.name.startswith((STAGE, TRASH)):
            _remove(disk, path)
        elif path.name.startswith(TEMPORARY):
            disk.remove_file(path)


def forget(path: Path) -> None:
    """Remove what was staged, best effort: what stays is swept by whoever writes next."""
    with contextlib.suppress(OSError):  # the error that brought us here is the one to tell
        path.unlink(missing_ok=True)


def clear(disk: Disk, folder: Path) -> None:
    """Remove a folder and everything in it; what a link leads to stays."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            clear(disk, path)
        else:
            disk.remove_file(path)
    disk.remove_folder(folder)
    disk.sync_folder(folder.parent)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder; the kernel lets go of it if the process dies."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def real_folder(disk: Disk, path: Path) -> Iterator[int]:
    """An open folder in a place where strangers write too; made where it is missing.

    Raises:
        Problem: something else has its name, a link that leads elsewhere, say (``INBOX``).
    """
    with contextlib.suppress(FileExistsError):
        disk.make_folder(path)
        disk.sync_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise Problem(
            f"{path} is not a folder ({error.strerror})", "take away what lies there", code="INBOX"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def claim(path: Path, *, wait: bool = False) -> int | None:
    """Hold an exclusive lock on a file for as long as the descriptor returned is open.

    Returns:
        None if somebody else holds it (unless told to wait), or if the file is gone by now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def release(descriptor: int) -> None:
    """Let go of what ``claim`` holds."""
    os.close(descriptor)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes whenever a file is replaced; None while there is none. One system call."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:  # most are small: file_digest zeroes 256 KiB first
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def described(path: Path) -> dict[str, object]:
    """A file as a manifest names it."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def secret(disk: Disk, path: Path) -> bytes:
    """32 random bytes kept in a file only its owner can read; made at the first call."""
    if not path.exists():
        make_folders(disk, path.parent)
        temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
        disk.create(temporary, secrets.token_hex(32).encode(), 0o600)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # unlike rename, never replaces what another process made
        disk.remove_file(temporary)
        disk.sync_folder(path.parent)
    return bytes.fromhex(path.read_text())


def _holds(folder: Path, manifest: bytes) -> bool:
    """Whether a folder is, byte for byte, what was about to be sealed."""
    try:
        unsealed(folder, hashlib.sha256(manifest).hexdigest())
    except Problem:
        return False
    return True


def manifest_bytes(folder: Path) -> bytes | None:
    """A sealed folder's manifest as it stands; None where there is none."""
    path = folder / MANIFEST
    return path.read_bytes() if path.exists() else None


def _remove(disk: Disk, folder: Path) -> None:
    for path in sorted(folder.iterdir(), key=lambda path: path.name != MANIFEST):
        disk.remove_file(path)
    disk.remove_folder(folder)


def _forget(stage: Path) -> None:
    """Best effort: what stays is swept by the next night."""
    with contextlib.suppress(OSError):  # the error that brought us here is the one to tell
        for path in stage.iterdir():
            path.unlink(missing_ok=True)
        stage.rmdir()


def _broken(folder: Path, why: str) -> Problem:
    return Problem(
        f"{folder.name} cannot be used: {why}",
        "keep what is served; run `recfactory doctor`, then repeat the night",
        code="SEALED_BROKEN",
    )
