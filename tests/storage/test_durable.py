"""The writing floor: what is sealed never changes, what is broken never loads."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import orjson
import pytest

from schema.errors import Problem
from storage.durable import (
    MANIFEST,
    Disk,
    content,
    discard,
    locked,
    make_folders,
    replace,
    replace_by,
    sealed,
    sealed_after,
    secret,
    sweep,
    unsealed,
)
from tests.faults.disk import FaultyDisk, Killed

DISK = Disk()


def seal(folder: Path, body: bytes = b"lists") -> str:
    return sealed(DISK, folder, {"night": "2026-04-01"}, {"body": content(body)})


def bad_disk() -> OSError:
    return OSError(errno.EIO, "input/output error")


class TestCreate:
    def test_writes_all_of_it(self, tmp_path: Path) -> None:
        DISK.create(tmp_path / "new", b"x" * 100_000)
        assert (tmp_path / "new").read_bytes() == b"x" * 100_000

    def test_never_overwrites(self, tmp_path: Path) -> None:
        (tmp_path / "there").write_bytes(b"old")
        with pytest.raises(FileExistsError):
            DISK.create(tmp_path / "there", b"new")
        assert (tmp_path / "there").read_bytes() == b"old"


class TestReplace:
    def test_swaps_the_content_and_leaves_nothing_beside_it(self, tmp_path: Path) -> None:
        for body in (b"old", b"new"):
            replace(DISK, tmp_path / "CURRENT", body)
        assert (tmp_path / "CURRENT").read_bytes() == b"new"
        assert os.listdir(tmp_path) == ["CURRENT"]

    def test_an_open_reader_keeps_the_old_content(self, tmp_path: Path) -> None:
        replace(DISK, tmp_path / "CURRENT", b"old")
        with (tmp_path / "CURRENT").open("rb") as reader:
            replace(DISK, tmp_path / "CURRENT", b"new")
            assert reader.read() == b"old"

    @pytest.mark.parametrize("step", range(4))
    def test_an_error_leaves_the_old_content_and_no_temporary_file(
        self, tmp_path: Path, step: int
    ) -> None:
        replace(DISK, tmp_path / "CURRENT", b"old")
        with pytest.raises(OSError, match="input/output"):
            replace(FaultyDisk(step, bad_disk), tmp_path / "CURRENT", b"new")
        assert (tmp_path / "CURRENT").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["CURRENT"]


class TestReplaceBy:
    def test_swaps_what_a_library_wrote_and_leaves_nothing_beside_it(self, tmp_path: Path) -> None:
        (tmp_path / "lists.csv").write_bytes(b"old")
        replace_by(DISK, tmp_path / "lists.csv", content(b"new"))
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"lists.csv": "new"}

    def test_whatever_stops_the_writer_leaves_the_old_content(self, tmp_path: Path) -> None:
        def stopped(path: Path) -> None:
            path.write_text("ha")
            raise KeyboardInterrupt

        (tmp_path / "lists.csv").write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt):
            replace_by(DISK, tmp_path / "lists.csv", stopped)
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"lists.csv": "old"}


class TestMakeFolders:
    def test_makes_missing_parents_and_syncs_each_in_its_own(self, tmp_path: Path) -> None:
        disk = FaultyDisk()
        make_folders(disk, tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()
        assert disk.steps == ["make a/", f"sync {tmp_path.name}/", "make b/", "sync a/"]

    def test_does_nothing_where_it_exists(self, tmp_path: Path) -> None:
        disk = FaultyDisk()
        make_folders(disk, tmp_path)
        assert disk.steps == []


class TestSealed:
    def test_holds_its_files_and_a_manifest_with_the_hash_of_each(self, tmp_path: Path) -> None:
        sha = seal(tmp_path / "e1")
        manifest = (tmp_path / "e1" / MANIFEST).read_bytes()
        assert hashlib.sha256(manifest).hexdigest() == sha
        assert orjson.loads(manifest) == {
            "format": 1,
            "night": "2026-04-01",
            "files": {"body": {"bytes": 5, "sha256": hashlib.sha256(b"lists").hexdigest()}},
        }

    def test_the_same_content_again_changes_nothing_and_gives_the_same_hash(
        self, tmp_path: Path
    ) -> None:
        first = seal(tmp_path / "e1")
        was = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (tmp_path / "e1").iterdir()}
        assert seal(tmp_path / "e1") == first
        assert {
            p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (tmp_path / "e1").iterdir()
        } == was
        assert os.listdir(tmp_path) == ["e1"]

    def test_other_content_is_refused_and_what_is_sealed_stays(self, tmp_path: Path) -> None:
        sha = seal(tmp_path / "e1")
        with pytest.raises(Problem) as refused:
            seal(tmp_path / "e1", b"other")
        assert refused.value.code == "SEALED"
        assert unsealed(tmp_path / "e1", sha)
        assert os.listdir(tmp_path) == ["e1"]

    def test_an_error_at_any_step_leaves_no_folder_under_its_name_and_no_staging(
        self, tmp_path: Path
    ) -> None:
        for step in range(10):  # up to the rename; only the sync of the parent comes after it
            disk = FaultyDisk(step, bad_disk)
            with pytest.raises(OSError, match="input/output"):
                sealed(disk, tmp_path / "e1", {}, {"body": content(b"lists")})
            assert os.listdir(tmp_path) == [], disk.steps
        assert disk.steps[-1] == "rename to e1"

    def test_a_writer_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        def fails(path: Path) -> None:
            path.write_bytes(b"half")
            raise ValueError("not today")

        with pytest.raises(ValueError, match="not today"):
            sealed(DISK, tmp_path / "e1", {}, {"body": fails})
        assert os.listdir(tmp_path) == []


class TestSealedAfter:
    def number(
        self,
        parent: Path,
        taken: int,
        body: bytes,
        in_use: Callable[[int], bool] = lambda number: False,
    ) -> int:
        number, _ = sealed_after(
            DISK, taken, lambda n: parent / f"e{n}", in_use, {}, {"body": content(body)}
        )
        return number

    def test_takes_the_next_number(self, tmp_path: Path) -> None:
        assert self.number(tmp_path, 0, b"one") == 1
        assert self.number(tmp_path, 1, b"two") == 2
        assert (tmp_path / "e1" / "body").read_bytes() == b"one"

    def test_takes_over_what_a_dead_attempt_left_if_it_is_the_same(self, tmp_path: Path) -> None:
        self.number(tmp_path, 4, b"lists")
        inode = (tmp_path / "e5" / "body").stat().st_ino
        assert self.number(tmp_path, 4, b"lists") == 5
        assert (tmp_path / "e5" / "body").stat().st_ino == inode

    def test_replaces_what_a_dead_attempt_left_if_it_is_another(self, tmp_path: Path) -> None:
        self.number(tmp_path, 4, b"left behind")
        assert self.number(tmp_path, 4, b"lists") == 5
        assert (tmp_path / "e5" / "body").read_bytes() == b"lists"
        assert os.listdir(tmp_path) == ["e5"]

    def test_leaves_a_number_in_use_alone_and_takes_the_one_after(self, tmp_path: Path) -> None:
        self.number(tmp_path, 4, b"served")
        assert self.number(tmp_path, 4, b"lists", lambda number: number == 5) == 6
        assert (tmp_path / "e5" / "body").read_bytes() == b"served"

    def test_replaces_a_folder_without_a_manifest(self, tmp_path: Path) -> None:
        (tmp_path / "e1").mkdir()
        assert self.number(tmp_path, 0, b"lists") == 1
        assert unsealed(tmp_path / "e1")


class TestUnsealed:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        seal(tmp_path / "e1")
        return tmp_path / "e1"

    def refused(self, folder: Path, sha: str | None = None) -> str:
        with pytest.raises(Problem) as refused:
            unsealed(folder, sha)
        assert refused.value.code == "SEALED_BROKEN"
        return refused.value.what

    def test_gives_the_facts_back(self, folder: Path) -> None:
        assert unsealed(folder)["night"] == "2026-04-01"

    def test_refuses_a_changed_file(self, folder: Path) -> None:
        (folder / "body").write_bytes(b"Lists")
        assert "bytes of body have changed" in self.refused(folder)

    def test_refuses_a_file_cut_short(self, folder: Path) -> None:
        os.truncate(folder / "body", 4)
        assert "another length" in self.refused(folder)

    def test_refuses_a_missing_file(self, folder: Path) -> None:
        (folder / "body").unlink()
        assert "missing" in self.refused(folder)

    def test_refuses_a_folder_without_a_manifest(self, folder: Path) -> None:
        (folder / MANIFEST).unlink()
        assert "no manifest" in self.refused(folder)

    def test_refuses_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        assert "no manifest" in self.refused(tmp_path / "e404")

    def test_refuses_another_manifest_than_the_one_published(self, folder: Path) -> None:
        assert "not the one that was published" in self.refused(folder, "0" * 64)

    def test_refuses_a_newer_format(self, folder: Path) -> None:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        (folder / MANIFEST).write_bytes(orjson.dumps({**manifest, "format": 2}))
        assert "newer than this program" in self.refused(folder)

    @pytest.mark.parametrize("data", [b"", b"\x00" * 4, b"{", b"[]", b'{"format": 1}'], ids=repr)
    def test_refuses_a_manifest_that_is_none(self, folder: Path, data: bytes) -> None:
        (folder / MANIFEST).write_bytes(data)
        self.refused(folder)

    def test_finds_every_flipped_bit(self, folder: Path) -> None:
        sha = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        for path in (folder / "body", folder / MANIFEST):
            whole = path.read_bytes()
            for place in range(0, len(whole), 7):
                flipped = bytearray(whole)
                flipped[place] ^= 1 << place % 8
                path.write_bytes(flipped)
                self.refused(folder, sha)
            path.write_bytes(whole)
        assert unsealed(folder, sha)


class TestDiscard:
    def test_removes_it_whole(self, tmp_path: Path) -> None:
        seal(tmp_path / "e1")
        discard(DISK, tmp_path / "e1")
        assert os.listdir(tmp_path) == []

    def test_removes_the_manifest_first(self, tmp_path: Path) -> None:
        writers = {name: content(b"lists") for name in ("a", "z")}
        for step in range(5):
            parent = tmp_path / str(step)
            sealed(DISK, parent / "e1", {}, writers)
            disk = FaultyDisk(step)
            with pytest.raises(Killed):
                discard(disk, parent / "e1")
            (left,) = parent.iterdir()
            names = set(os.listdir(left))
            assert MANIFEST not in names or names == {"a", "z", MANIFEST}, disk.steps


class TestSweep:
    def test_clears_stages_trash_and_temporary_files_and_nothing_else(self, tmp_path: Path) -> None:
        seal(tmp_path / "e1")
        for name in (".stage-e2-ab12", ".trash-e0-cd34"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "body").write_bytes(b"half")
            (tmp_path / name / MANIFEST).write_bytes(b"half")
        (tmp_path / ".tmp-CURRENT-ef56").write_bytes(b"half")
        (tmp_path / "CURRENT").write_bytes(b"whole")
        sweep(DISK, tmp_path)
        assert sorted(os.listdir(tmp_path)) == ["CURRENT", "e1"]
        assert unsealed(tmp_path / "e1")

    def test_has_nothing_to_do_where_there_is_no_folder(self, tmp_path: Path) -> None:
        sweep(DISK, tmp_path / "none")
        assert os.listdir(tmp_path) == []


class TestLocked:
    def test_one_holder_at_a_time(self, tmp_path: Path) -> None:
        order: list[str] = []

        def second() -> None:
            with locked(tmp_path):
                order.append("second")

        other = Thread(target=second)
        with locked(tmp_path):
            other.start()
            other.join(0.05)
            order.append("first")
        other.join()
        assert order == ["first", "second"]


class TestSecret:
    def test_is_32_bytes_only_its_owner_can_read(self, tmp_path: Path) -> None:
        path = tmp_path / "home" / "pepper"
        assert len(secret(DISK, path)) == 32
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.listdir(path.parent) == ["pepper"]

    def test_never_changes(self, tmp_path: Path) -> None:
        assert secret(DISK, tmp_path / "pepper") == secret(DISK, tmp_path / "pepper")

    def test_differs_between_installations(self, tmp_path: Path) -> None:
        assert secret(DISK, tmp_path / "one") != secret(DISK, tmp_path / "two")

    def test_of_two_that_make_it_at_once_both_get_the_same(self, tmp_path: Path) -> None:
        found: list[bytes] = []
        path = tmp_path / "pepper"

        class Late(Disk):
            """Somebody else makes the file between the look and the link."""

            def create(self, path: Path, data: bytes, mode: int = 0o644) -> None:
                super().create(path, data, mode)
                if not found:
                    found.append(b"")
                    found[0] = secret(Disk(), tmp_path / "pepper")

        assert secret(Late(), path) == found[0] == secret(DISK, path)
